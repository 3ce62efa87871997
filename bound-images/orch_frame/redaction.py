"""Keep secrets out of what is shown: the one filter that every error and log line passes."""

from __future__ import annotations

import re

MASK = "***"

_KEYS = "auth|password|identitytoken|registrytoken|access_token|refresh_token|secret"
_PATTERNS = (
    # USER:PASSWORD@ in an address
    re.compile(r"(?P<keep>\w+://[^/\s:@]+:)[^/\s@]+(?=@)"),
    # a header, and the token alone
    re.compile(r"(?P<keep>\bauthorization\b['\"]?\s*[:=]\s*['\"]?)(?:\w+\s+)?[^\s'\",]+", re.I),
    re.compile(r"(?P<keep>\bbearer\s+)[A-Za-z0-9+/=._~-]{12,}", re.I),
    # the keys of auth.json and of a token server's answer
    re.compile(rf"(?P<keep>\"(?:{_KEYS})\"\s*:\s*\")[^\"]+", re.I),
    # the same keys, and those of signed addresses, as parameters
    re.compile(
        rf"(?P<keep>\b(?:{_KEYS}|token|sig|signature|x-amz-signature|x-amz-credential)=)[^&\s'\"]+",
        re.I,
    ),
)


def redact(text: str) -> str:
    """Return *text* with what looks like a credential masked."""
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: match["keep"] + MASK, text)
    return text
