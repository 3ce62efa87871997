"""SHA-256 digests as images write them.

Source: OCI image specification, ``descriptor.md``, section *Digests*.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from orch_frame.errors import InvalidImageError

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The SHA-256 of some bytes; only `parse` and `of` make one, so it is always well formed.

    Attributes:
        hex: 64 lower-case hexadecimal digits, safe in a path and in a ref.
    """

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sha256:`` and 64 lower-case hexadecimal digits; nothing else is accepted.

        Raises:
            InvalidImageError: *text* is anything else, another algorithm included.
        """
        match = _DIGEST.fullmatch(text)
        if match is None:
            raise InvalidImageError(
                f"{text[:_SHOWN_CHARACTERS]!r} is not a digest of the form sha256:<64 hex digits>.",
                hint="Only SHA-256 digests are supported.",
            )
        return cls(match[1])

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Compute the digest of *data*."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        """Return ``sha256:…``."""
        return f"sha256:{self.hex}"
