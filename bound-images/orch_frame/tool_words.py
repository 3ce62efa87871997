"""What skopeo and podman mean by a failure: the one table from their words to errors.

Both exit with the same status for nearly everything, and old proxies tell no error by a code, so
only the message says what happened, and whether to try again.
Source: the texts of skopeo 1.9 to 1.22 and podman 4.3 to 5.8, of the registry client that they
share, and of Go's network library; measured on registries and configurations that misbehave.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orch_frame.errors import (
    AuthError,
    ConfigError,
    InvalidImageError,
    LimitError,
    MismatchError,
    NotFoundError,
    OrchError,
    PolicyError,
    ReadOnlyError,
    SpaceError,
    StorageIOError,
    StoreDamagedError,
    ToolError,
    TransientError,
    UsageError,
)

_FILE = re.compile(r'"(/[^"\n]+)"|parsing (/[^\s:]+): |open (/[^\s:]+): ')


@dataclass(frozen=True, slots=True)
class Meaning:
    """One class of failures.

    Attributes:
        pattern: Matches anywhere in the words, whatever the case.
        error: The class to raise.
        summary: One sentence; ``{subject}`` is the image or the layer where it begins with that,
            ``{inner}`` where it does not.
        hint: What the reader can do about it, or None.
    """

    pattern: re.Pattern[str]
    error: type[OrchError]
    summary: str
    hint: str | None

    def file_named_in(self, text: str) -> str | None:
        """Return the configuration file that *text* complains of; None for other failures."""
        match = _FILE.search(text) if self.error is ConfigError else None
        return next(filter(None, match.groups()), None) if match else None


def _means(
    error: type[OrchError], summary: str, *patterns: str, hint: str | None = None
) -> Meaning:
    return Meaning(re.compile("|".join(patterns), re.IGNORECASE), error, summary, hint)


def _status(codes: str) -> str:
    return rf'(?:status ?(?:code)?|http code)(?: from registry)?:? ?"?(?:{codes})\b'


# The first match decides.  A full disk also breaks connections, and the word that a configuration
# file ends with is also the word of a connection that ends; so what is nearer stands first.
MEANINGS = (
    _means(
        SpaceError,
        "There is no space to fetch {inner}.",
        r"no space left",
        r"disk quota exceeded",
        hint="Free some space, then try again.",
    ),
    _means(
        ReadOnlyError,
        "There is no place to write {inner} to.",
        r"read-only file system",
        hint="Make the file system that it goes to writable.",
    ),
    _means(
        StorageIOError, "Reading {inner} failed.", r"input/output error", hint="Check the disk."
    ),
    _means(
        ConfigError,
        "The signature policy that {inner} is to be checked against cannot be read.",
        r"invalid policy in",
        r"unknown policy requirement",
        r"default policy is missing",
        hint="Repair the file: containers-policy.json(5).",
    ),
    _means(
        ConfigError,
        "The configuration of registries that {inner} is looked up in cannot be read.",
        r"loading (?:drop-in )?registries configuration",
        r"mixing sysregistry v1/v2",
        r"parsing \S+\.yaml: ",
        r"error parsing \S*registries\.d",
        hint="Repair the file: containers-registries.conf(5), containers-registries.d(5).",
    ),
    _means(
        ConfigError,
        "The program that keeps the credentials for {inner} cannot be run.",
        r"getting credentials - err: .*(?:executable|not found|no such file|permission denied)",
        r"docker-credential-\S+(?:\"|:)? .*executable",
        hint="Install the credential helper that the authentication file or registries.conf names.",
    ),
    _means(
        ConfigError,
        "The file of credentials for {inner} cannot be read.",
        r"reading JSON file",
        r"unmarshaling JSON at",
        r"illegal base64 data",
        r"invalid auth configuration file",
        hint="Repair the authentication file, or name another one with --authfile.",
    ),
    _means(
        ConfigError,
        "The certificates for the registry of {inner} are not complete.",
        r"missing (?:client certificate|key) \S+ for (?:key|client certificate|cert)",
        hint="Put key and certificate beside each other: containers-certs.d(5).",
    ),
    # Nobody refused anything, and no other credentials would help: this host takes a registry that
    # has no TLS for one that has.
    _means(
        ConfigError,
        "The registry of {inner} speaks plain HTTP, and HTTPS was expected.",
        r"server gave HTTP response to HTTPS client",
        r"first record does not look like a TLS handshake",
        hint=(
            "If it is to be trusted all the same, say insecure = true for it in "
            "/etc/containers/registries.conf, or leave TLS out for this once."
        ),
    ),
    _means(
        PolicyError,
        "The configuration of this host blocks the registry of {inner}.",
        r"registry \S+ is blocked in",
        hint="Ask who wrote blocked = true, or take the image from another registry.",
    ),
    _means(
        PolicyError,
        "There is no signature policy to check {inner} against.",
        r"policy\.json: no such file",
        r"no policy\.json",
        hint="Write /etc/containers/policy.json: containers-policy.json(5).",
    ),
    _means(
        PolicyError,
        "The signature policy forbids {inner}.",
        r"image rejected",
        r"rejected by policy",
        r"signature was required",
        r"signature for identity .* is not accepted",
        r"signature .*(?:required|not found|invalid)",
        r"invalid signature",
        r"no signature exists",
        hint="See containers-policy.json(5).",
    ),
    _means(
        PolicyError,
        "The registry of {inner} is not trusted.",
        r"x509:",
        r"tls: (?!.*timeout)",
        r"certificate (?:signed|has expired|is not valid|verify)",
        hint=(
            "Install the certificate of its authority on this machine, or name the directory that "
            "has it: --cert-dir for the image of a system, CertDir= in the unit of an app image."
        ),
    ),
    _means(
        PolicyError,
        "The registry of {inner} refers to a place that is not followed: it is neither http nor "
        "https.",
        r"unsupported protocol scheme",
        hint="Ask who runs the registry, or take the image from another.",
    ),
    _means(
        MismatchError,
        "What was received for {inner} is not what was promised.",
        r"corrupted blob",
        r"expected -?\d+ bytes in blob, got",
        r"does not match (?:provided |expected |the )?(?:manifest |config )?digest",
        r"digest did not match",
        r"digest mismatch",
        r"error verifying",
        r"checksum failed",
        r"manifest does not match",
        r"digest \S+ does not match",
        r"blob with digest .* does not match",
    ),
    _means(
        TransientError,
        "The registry of {inner} asks to be left alone for a while.",
        r"too ?many ?requests",
        _status("429"),
        hint="Try again later.",
    ),
    # Also where the service that gives tokens fails, which is not the registry's refusal.
    _means(
        TransientError,
        "{subject} cannot be reached at the moment.",
        _status(r"5\d\d"),
        r"\b5\d\d \(?(?:internal server error|bad gateway|service unavailable|gateway time-?out)",
        r"stopped after \d+ redirects",
        hint="Try again later.",
    ),
    _means(
        AuthError,
        "The registry refuses access to {inner}.",
        r"unauthorized",
        r"authentication required",
        r"no basic auth credentials",
        r"unable to retrieve auth token",
        r"invalid username/password",
        r"access to the resource is denied",
        r"access forbidden",
        r"(?:^|errors:\n|: )denied(?::|$)",
        _status("40[13]"),
        r"40[13] \(?(?:unauthorized|forbidden)",
        r"unsupported scope",
        r"bearer token: .*\b4\d\d\b",
        r"decoding bearer token",
        # Of all documents only the token has this limit.
        r"maximum allowed size of 1048576 bytes",
        hint=(
            "Name a file with the right credentials with --authfile; for an app image AuthFile= "
            "and Creds= of its unit come first."
        ),
    ),
    _means(
        LimitError,
        "A document of {inner} is too large.",
        r"exceeded maximum allowed size",
        r"exceeds? (?:the )?maximum",
    ),
    _means(
        StoreDamagedError,
        "The store that {inner} goes to was made for another place.",
        r"database configuration mismatch",
        r"does not match our (?:static|graph|run)",
        hint="The store was used under another path; remove its libpod directory.",
    ),
    _means(
        ToolError,
        "The program that fetches {inner} is too old.",
        r"unknown (?:shorthand )?flag",
        r"unknown command",
        r"unrecognized command",
        hint="A newer version of the program is needed.",
    ),
    _means(
        NotFoundError,
        "{subject} was not found.",
        r"manifest[ _]unknown",
        r"name[ _]unknown",
        r"blob[ _]unknown",
        r"repository name not known",
        _status("404"),
        r"404 \(?not found",
        r"no descriptor found",
        r"reference .* not found",
        r"does not resolve to an image",
        r"identifier is not an image",
        r"image not known",
        r"no such image",
        r"no image with",
        r"failed to find image",
        r"tag .* not found",
        r"(?:open|stat|opening file|reading) \S+: no such file or directory",
        r"archive file not found",
        hint="Check the name, the tag and the transport, and that it was pushed.",
    ),
    _means(
        UsageError,
        "{subject} is not the name of an image.",
        r"invalid image name",
        r"invalid reference format",
        r"unknown transport",
        r"must be lowercase",
    ),
    _means(
        TransientError,
        "{subject} cannot be reached at the moment.",
        r"connection (?:refused|reset|aborted|timed out)",
        r"broken pipe",
        r"interrupted system call",
        r"resource temporarily unavailable",
        r"device or resource busy",
        r"network is (?:down|unreachable)",
        r"network dropped connection",
        r"no route to host",
        r"host is (?:down|unreachable)",
        r"i/o timeout",
        r"handshake timeout",
        r"timeout exceeded",
        r"deadline exceeded",
        r"timeout awaiting",
        r"unexpected EOF",
        r": EOF\b",
        r"^EOF$",
        r"no such host",
        r"name resolution",
        r"temporary failure",
        r"server misbehaving",
        r"server closed idle connection",
        r"use of closed network",
        r"http2: ",
        r"stream error",
        r"internal server error",
        r"service unavailable",
        r"cannot connect to the docker daemon",
        hint="Try again later.",
    ),
    _means(
        InvalidImageError,
        "{subject} is not an image that can be read.",
        r"invalid character",
        r"unexpected end of JSON input",
        r"cannot unmarshal",
        r"unsupported (?:manifest|mime|schema|media|config|digest|docker)",
        r"unrecognized (?:image|manifest|mime|media)",
        r"unknown (?:manifest|media|mime)",
        r"unimplemented manifest",
        r"invalid (?:checksum )?digest",
        r"rejecting ambiguous manifest",
        r"no image found in (?:manifest list|image index)",
        r"treating .* as a non-oci",
        r"not a (?:docker|oci)",
        r"non-image",
        r"manifest list .* (?:nested|unsupported)",
        r"could not parse",
        r"parsing time",
        r"no FSLayers",
        # Not the words that both put before whatever failed while they were at it.
        r"parsing manifest(?! for image:)",
        r"parsing image(?! name| configuration: )",
        r"duplicate",
        r"mixed manifest",
        r"schema ?version",
        r"archive/tar",
        r"invalid (?:tar )?header",
    ),
)


def meaning_of(text: str) -> Meaning | None:
    """Return what the words *text* of skopeo or podman mean; None if nobody has seen them yet."""
    return next((one for one in MEANINGS if one.pattern.search(text)), None)
