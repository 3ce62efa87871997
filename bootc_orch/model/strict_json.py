"""Read JSON so that no other reader can see something else in it, and write it canonically.

Go keeps the last of two equal keys and matches field names without regard to case; Python keeps the
last and matches exactly.  A document on which two readers could disagree is refused.
Source: RFC 8259 for the syntax, RFC 8785 for the canonical form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from orch_frame.errors import InvalidImageError, LimitError

MAX_DEPTH = 64
MAX_INTEGER = 2**63 - 1
_INTEGER_DIGITS = 20
_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# A whole string, its end optional, or one bracket: strings are skipped, brackets are counted.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def loads(data: bytes, *, what: str, limit: int) -> Any:  # noqa: ANN401 - JSON is any of its types
    """Parse *data*, at most *limit* bytes of UTF-8 without a byte order mark.

    Args:
        data: The document.
        what: What the document is, for errors, such as ``the manifest``.
        limit: The greatest accepted length in bytes.

    Raises:
        LimitError: *data* is longer than *limit*.
        InvalidImageError: it is not JSON, has a key twice in one object, is nested deeper than
            `MAX_DEPTH`, or has a number or a string that not every reader can hold.
    """
    if len(data) > limit:
        raise LimitError(f"{_sentence(what)} has {len(data)} bytes; at most {limit} are accepted.")
    if data.startswith(_BOM):
        raise InvalidImageError(f"{_sentence(what)} starts with a byte order mark.")
    _check_depth(data, what)
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
        if _SURROGATE.search(data):  # pairs are text, a lone half is not
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidImageError(f"{_sentence(what)} is not valid JSON: {error}.") from error
    return value


def check_names(value: Mapping[str, Any], names: Iterable[str], *, what: str) -> None:
    """Refuse keys of *value* that differ from one of *names* only by case.

    A reader that ignores case would take ``Layers`` for ``layers``.  Maps with free keys, such as
    labels, are exempt by not being passed here: there ``run`` and ``RUN`` are two things.

    Raises:
        InvalidImageError: there is such a key.
    """
    known = {name.casefold(): name for name in names}
    for key in value:
        name = known.get(key.casefold(), key)
        if name != key:
            raise InvalidImageError(
                f"{_sentence(what)} has the field {key!r} where the format has {name!r}."
            )


def canonical(value: Any) -> str:  # noqa: ANN401 - JSON is any of its types
    """Serialise *value* as RFC 8785 has it; numbers must be integers."""
    return json.dumps(_sort(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _sort(value: Any) -> Any:  # noqa: ANN401
    match value:
        case dict():
            keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
            return {key: _sort(value[key]) for key in keys}
        case list() | tuple():
            return [_sort(item) for item in value]
        case _:
            return value


def _check_depth(data: bytes, what: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(data):
        if token[0] in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidImageError(f"{_sentence(what)} is nested deeper than {MAX_DEPTH}.")
        elif token[0] in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return value


def _integer(text: str) -> int:
    if len(text) > _INTEGER_DIGITS or abs(value := int(text)) > MAX_INTEGER:
        raise ValueError(f"the number {text[:_INTEGER_DIGITS]}… is too large")
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _sentence(what: str) -> str:
    return what[:1].upper() + what[1:]
