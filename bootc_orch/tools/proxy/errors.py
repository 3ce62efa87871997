"""Turn what skopeo says went wrong into errors with a class: the one place that knows its wording.

Source: the texts of skopeo 1.9 to 1.22, of its registry client and of Go's network library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orch_frame.errors import (
    AuthError,
    InvalidImageError,
    LimitError,
    MismatchError,
    NotFoundError,
    OrchError,
    PolicyError,
    SpaceError,
    StorageIOError,
    TransientError,
    UsageError,
)

MAX_SHOWN = 2000
RETRYABLE = "retryable"
# What a subject that is no name begins with.
_WORDS = ("Layer ", "The ")


class ProxyError(OrchError):
    """skopeo failed in a way that has no class of its own, or does not keep to its protocol."""

    kind = "proxy"


@dataclass(frozen=True, slots=True)
class Rule:
    """One class of failures.

    Attributes:
        pattern: Matches anywhere in skopeo's words, whatever the case.
        error: The class to raise.
        summary: One sentence; ``{subject}`` is the image or the layer where it begins with that,
            ``{inner}`` where it does not.
        hint: What the reader can do about it, or None.
    """

    pattern: re.Pattern[str]
    error: type[OrchError]
    summary: str
    hint: str | None = None


def _rule(error: type[OrchError], summary: str, *patterns: str, hint: str | None = None) -> Rule:
    return Rule(re.compile("|".join(patterns), re.IGNORECASE), error, summary, hint)


def _status(codes: str) -> str:
    return rf'(?:status ?(?:code)?|http code)(?: from registry)?:? ?"?(?:{codes})\b'


# The first match decides, so the narrower rule stands first.
RULES = (
    _rule(
        PolicyError,
        "There is no signature policy to check {inner} against.",
        r"policy\.json: no such file",
        r"no policy\.json",
        hint="Write /etc/containers/policy.json: containers-policy.json(5).",
    ),
    _rule(
        PolicyError,
        "The signature policy forbids {inner}.",
        r"image rejected",
        r"rejected by policy",
        r"signature was required",
        r"signature for identity .* is not accepted",
        r"invalid signature",
        r"no signature exists",
    ),
    _rule(
        PolicyError,
        "The registry of {inner} is not trusted.",
        r"x509:",
        r"tls: (?!handshake timeout)",
        r"certificate (?:signed|has expired|is not valid|verify)",
        r"server gave HTTP response to HTTPS client",
        hint=(
            "Name the directory of its certificates with --cert-dir; "
            "--insecure-skip-tls-verification trusts whoever answers."
        ),
    ),
    _rule(
        PolicyError,
        "The registry of {inner} refers to a place that is not followed: it is neither http nor "
        "https.",
        r"unsupported protocol scheme",
        hint="Ask who runs the registry, or take the image from another.",
    ),
    _rule(
        MismatchError,
        "What was received for {inner} is not what was promised.",
        r"corrupted blob",
        r"expected -?\d+ bytes in blob, got",
        r"does not match (?:provided |expected |the )?(?:manifest |config )?digest",
        r"digest did not match",
        r"manifest digest .* does not match",
        r"blob with digest .* does not match",
    ),
    _rule(
        TransientError,
        "The registry of {inner} asks to be left alone for a while.",
        r"too ?many ?requests",
        _status("429"),
    ),
    _rule(
        AuthError,
        "The registry refuses access to {inner}.",
        r"unauthorized",
        r"authentication required",
        r"unable to retrieve auth token",
        r"invalid username/password",
        r"access to the resource is denied",
        r"(?:^|errors:\n|: )denied:",
        _status("40[13]"),
        r"40[13] \((?:unauthorized|forbidden)\)",
        r"unsupported scope",
        r"bearer token: .*\b[45]\d\d\b",
        r"decoding bearer token",
        # Of all documents only the token has this limit.
        r"maximum allowed size of 1048576 bytes",
        hint="Put credentials into /etc/ostree/auth.json, or name a file with --authfile.",
    ),
    _rule(
        LimitError,
        "A document of {inner} is too large.",
        r"exceeded maximum allowed size",
        r"exceeds? (?:the )?maximum",
    ),
    _rule(
        NotFoundError,
        "{subject} was not found.",
        r"manifest[ _]unknown",
        r"name[ _]unknown",
        r"blob[ _]unknown",
        r"repository name not known",
        _status("404"),
        r"404 \(not found\)",
        r"no descriptor found for reference",
        r"does not resolve to an image id",
        r"identifier is not an image",
        r"image not known",
        r"no such image",
        r"tag .* not found",
        r"no such file or directory",
        r"archive file not found",
        hint="Check the name, the tag and the transport.",
    ),
    _rule(
        UsageError,
        "{subject} is not the name of an image.",
        r"invalid image name",
        r"invalid reference format",
        r"unknown transport",
        r"must be lowercase",
    ),
    _rule(SpaceError, "There is no space to fetch {inner}.", r"no space left", r"quota exceeded"),
    _rule(StorageIOError, "Reading {inner} failed.", r"input/output error"),
    _rule(
        TransientError,
        "{subject} cannot be reached at the moment.",
        _status("50[0234]"),
        r"50[0234] \(?(?:internal server error|bad gateway|service unavailable|gateway time-?out)",
        r"connection (?:refused|reset|aborted|timed out)",
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
        r"server misbehaving",
        r"server closed idle connection",
        r"use of closed network connection",
        r"stopped after \d+ redirects",
        r"http2: ",
        r"stream error",
        r"internal server error",
        r"service unavailable",
        r"cannot connect to the docker daemon",
    ),
    _rule(
        InvalidImageError,
        "{subject} is not an image that can be read.",
        r"invalid character",
        r"unexpected end of JSON input",
        r"cannot unmarshal",
        r"unsupported (?:manifest|mime|schema|media|config|digest)",
        r"unrecognized (?:manifest|mime|media)",
        r"unknown (?:manifest|media|mime)",
        r"unimplemented manifest",
        r"invalid (?:checksum )?digest",
        r"rejecting ambiguous manifest",
        r"no image found in (?:manifest list|image index)",
        r"treating .* as a non-oci",
        r"non-image",
        r"manifest list .* (?:nested|unsupported)",
        r"could not parse",
        r"parsing time",
        r"no FSLayers",
        r"parsing (?:manifest|image)",
        r"duplicate",
        r"mixed manifest",
        r"schema ?version",
    ),
)


def classify(text: str, *, subject: str, code: str = "") -> OrchError:
    """Return the error that fits skopeo's words.

    Args:
        text: What skopeo said.
        subject: The image or layer that was asked for, to begin a sentence with.
        code: The ``error_code`` of protocol 0.2.8; empty in older ones.
    """
    details = text[:MAX_SHOWN]
    if code == RETRYABLE:
        return TransientError(f"{subject} cannot be reached at the moment.", details=details)
    for rule in RULES:
        if rule.pattern.search(text):
            return rule.error(
                rule.summary.format(subject=subject, inner=inner(subject)),
                details=details,
                hint=rule.hint,
            )
    return ProxyError(f"skopeo could not read {inner(subject)}.", details=details)


def inner(subject: str) -> str:
    """Return *subject*, fit to begin a sentence, as it stands within one; a name stays."""
    return subject[0].lower() + subject[1:] if subject.startswith(_WORDS) else subject
