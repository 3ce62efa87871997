"""JSON from elsewhere, read without the liberties that differ from reader to reader."""

from __future__ import annotations

import json
from typing import Any

from orch_frame.errors import InvalidImageError

MAX_BYTES = 4 * 1024 * 1024


def loads(data: bytes, *, what: str, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Return the object in *data*.

    Raises:
        InvalidImageError: *data* is longer than *limit*, no JSON object in UTF-8, or has a key
            twice, be it in another case: Go and Python would take different ones.
    """
    if len(data) > limit:
        raise InvalidImageError(f"{what} is longer than {limit} bytes.")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        detail = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise InvalidImageError(f"{what} is not valid JSON.", details=detail) from error
    if not isinstance(value, dict):
        raise InvalidImageError(f"{what} is no JSON object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key.lower() in seen:
            raise ValueError(f"the key {key!r} comes twice")
        seen.add(key.lower())
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
