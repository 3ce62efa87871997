"""What podman and skopeo mean by a failure: one table from their words to our errors.

Podman's exit status is 125 for nearly everything, so only the message tells what happened, and
whether to try again.
Source: measured with podman 4.3.1 and 5.8.6, skopeo 1.9.3 and 1.22.
"""

from __future__ import annotations

import json
import re

from bound_images.errors import CommandError
from orch_frame.errors import (
    AuthError,
    ConfigError,
    InvalidImageError,
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
)

_LOGIN = "Check Creds=, AuthFile= or --authfile."
# The first match wins: a full disk also breaks connections, a proxy's 403 is also an answer.
TABLE: tuple[tuple[str, type[OrchError], str | None], ...] = (
    (r"no space left on device|disk quota exceeded", SpaceError, "Free some space."),
    (r"read-only file system", ReadOnlyError, "Make the store writable."),
    (r"input/output error", StorageIOError, "Check the disk."),
    (
        r"unauthorized|authentication required|invalid username/password|access to the resource is"
        r" denied|no basic auth credentials|40[13] \(?(?:Unauthorized|Forbidden)|access forbidden",
        AuthError,
        _LOGIN,
    ),
    (
        r"x509:|certificate signed by unknown authority|tls: (?!.*timeout)",
        AuthError,
        "Give the certificate authority with CertDir=, or install it on this machine.",
    ),
    (
        r"server gave HTTP response to HTTPS client",
        ConfigError,
        "Say TLSVerify=false, or configure the registry as insecure.",
    ),
    (
        r"reading JSON file|unmarshaling JSON at",
        ConfigError,
        "Repair the authentication file, or name another one with --authfile.",
    ),
    (
        r"source image rejected|signature .*(?:required|not found|invalid)|policy\.json",
        PolicyError,
        "See containers-policy.json(5).",
    ),
    (
        r"toomanyrequests|429 Too Many|too many requests|50[0-9] (?:Internal|Bad|Service|Gateway)"
        r"|received unexpected HTTP status: 5|status code 5\d\d|connection refused|connection reset"
        r"|broken pipe|i/o timeout|no route to host|network is unreachable|no such host|server"
        r" misbehaving|temporary failure|TLS handshake timeout|deadline exceeded|unexpected EOF"
        r"|: EOF\b|http2: |use of closed network",
        TransientError,
        "Try again later.",
    ),
    (
        r"digest did not match|does not match digest|digest mismatch|error verifying"
        r"|checksum failed|manifest does not match",
        MismatchError,
        None,
    ),
    (
        r"manifest unknown|name unknown|name_unknown|manifest_unknown|no image found in"
        r"|image not known|no such image|failed to find image|does not resolve to an image"
        r"|no image with|reference .* not found|no descriptor found|404 \(?Not Found",
        NotFoundError,
        "Check the name of the image, and that it was pushed.",
    ),
    (
        r"database configuration mismatch|does not match our (?:static|graph|run)",
        StoreDamagedError,
        "The store was used under another path; remove its libpod directory.",
    ),
    (
        r"unknown flag|unknown command|unrecognized command|unknown shorthand",
        ToolError,
        "A newer version of the program is needed.",
    ),
    (
        r"invalid character|unsupported (?:MIME|manifest|schema)|unrecognized (?:image|manifest)"
        r"|archive/tar|invalid (?:tar )?header|not a (?:docker|oci)",
        InvalidImageError,
        None,
    ),
)  # fmt: skip
_COMPILED = [(re.compile(pattern, re.IGNORECASE), kind, hint) for pattern, kind, hint in TABLE]
# How Go quotes the message of a log line; JSON's rules do for nearly all of it.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ERROR_LINE = re.compile(r"^Error:|level=fatal|^FATA")
_LOG_PREFIX = re.compile(r'^time="[^"]*" level=\w+ msg=')
MAX_EVIDENCE = 4096
UNMARKED_LINES = 5


def error_of(what: str, status: int, stderr: str, *, image: str | None = None) -> OrchError:
    """Return the error for a program that ended with *status* after writing *stderr*.

    Args:
        what: What was being done, to begin the summary with: "Pulling quay.io/a:1".
        status: The exit status; negative for a signal.
        stderr: The end of what the program wrote to standard error.
        image: The image concerned.
    """
    evidence = essence(stderr)
    for pattern, kind, hint in _COMPILED:
        if pattern.search(evidence):
            return kind(f"{what} failed.", details=evidence, hint=hint, image=image)
    how = f"signal {-status}" if status < 0 else f"status {status}"
    details = f"{evidence}\n({how})".lstrip()
    return CommandError(f"{what} failed.", details=details, image=image)


def essence(stderr: str) -> str:
    """Return the part of *stderr* that says what went wrong: from the first error line on.

    Warnings come before it in any number, and old versions of podman mix theirs about networks in.
    """
    lines = stderr.splitlines()
    marked = [number for number, line in enumerate(lines) if _ERROR_LINE.search(line)]
    kept = lines[marked[0] :] if marked else lines[-UNMARKED_LINES:]
    text = "\n".join(map(_message, kept)).replace("\t", "    ").strip("\n")
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)[
        :MAX_EVIDENCE
    ]


def _message(line: str) -> str:
    """Return what a line says, without the date, the level and the quotes of a log."""
    text = _LOG_PREFIX.sub("", line)
    if text == line or not _QUOTED.fullmatch(text):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
