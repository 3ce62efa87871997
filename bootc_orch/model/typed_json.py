"""Read JSON objects by a table of their fields: known ones checked, unknown ones dropped.

A table maps field names to checks; a check takes a value and where it stands, and returns the value
reduced to what the format knows.  ``null`` is the same as an absent field.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from bootc_orch.model import strict_json
from bootc_orch.model.digest import Digest
from orch_frame.errors import InvalidImageError, LimitError

Check = Callable[[Any, str], Any]
Fields = Mapping[str, Check]

MAX_MAP_ENTRIES = 10_000


def reduce(
    value: Any,  # noqa: ANN401 - a parser's entry
    fields: Fields,
    required: Collection[str],
    where: str,
) -> dict[str, Any]:
    """Check the object *value* against *fields*.

    Raises:
        InvalidImageError: it is no object, lacks a *required* field, or a field has a wrong type.
        LimitError: a map or list is longer than is accepted.
    """
    if not isinstance(value, dict):
        raise InvalidImageError(f"{where} is not a JSON object.")
    strict_json.check_names(value, fields, what=where)
    known = {
        name: check(value[name], f"{where}, {name}")
        for name, check in fields.items()
        if value.get(name) is not None
    }
    if missing := sorted(set(required) - set(known)):
        raise InvalidImageError(f"{where} lacks {' and '.join(missing)}.")
    return known


def record(fields: Fields, required: Collection[str] = ()) -> Check:
    """Make a check for an object with *fields*."""
    return lambda value, where: reduce(value, fields, required, where)


def sequence(check: Check, limit: int = MAX_MAP_ENTRIES) -> Check:
    """Make a check for an array of at most *limit* elements, each passing *check*."""

    def check_all(value: Any, where: str) -> list[Any]:  # noqa: ANN401
        if not isinstance(value, list):
            raise InvalidImageError(f"{where} is not an array.")
        if len(value) > limit:
            raise LimitError(f"{where} has {len(value)} elements; at most {limit} are accepted.")
        return [check(item, f"{where}[{index}]") for index, item in enumerate(value)]

    return check_all


def mapping(check: Check) -> Check:
    """Make a check for a map with free keys, each value passing *check*."""

    def check_all(value: Any, where: str) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, dict):
            raise InvalidImageError(f"{where} is not a JSON object.")
        if len(value) > MAX_MAP_ENTRIES:
            raise LimitError(
                f"{where} has {len(value)} entries; at most {MAX_MAP_ENTRIES} are accepted."
            )
        return {key: check(item, f"{where}, {key[:80]!r}") for key, item in value.items()}

    return check_all


def text(value: Any, where: str) -> str:  # noqa: ANN401
    """Check for a string."""
    if not isinstance(value, str):
        raise InvalidImageError(f"{where} is not a string.")
    return value


def boolean(value: Any, where: str) -> bool:  # noqa: ANN401
    """Check for true or false."""
    if not isinstance(value, bool):
        raise InvalidImageError(f"{where} is neither true nor false.")
    return value


def natural(value: Any, where: str) -> int:  # noqa: ANN401
    """Check for an integer that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidImageError(f"{where} is not a natural number.")
    return value


def digest(value: Any, where: str) -> str:  # noqa: ANN401
    """Check for a digest; it stays text, for the document."""
    try:
        return str(Digest.parse(text(value, where)))
    except InvalidImageError as error:
        raise InvalidImageError(f"{where}: {error.summary}", hint=error.hint) from error


def empty_record(value: Any, where: str) -> dict[str, Any]:  # noqa: ANN401
    """Check for ``{}``, the value in what Go calls a set; what it holds is dropped."""
    return reduce(value, {}, (), where)
