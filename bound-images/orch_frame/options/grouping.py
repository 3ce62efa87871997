"""Options that belong together, as one parameter of every command that has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def grouped(
    command: Callable[..., None], *, everywhere: type[Any] | None = None
) -> Callable[..., None]:
    """Show Typer the fields of *command*'s parameters that are dataclasses as options of its own.

    The fields are annotated as parameters of commands are.

    Args:
        command: The function that carries the command out.
        everywhere: A group that comes last and that *command* does not get: callbacks of its
            options do all there is to do about them.  What *command* takes itself is left out.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = list(_parameters(command, hints))
    taken = {one.name for one in parameters}
    last = [one for one in _options(everywhere) if one.name not in taken] if everywhere else []

    @wraps(command)
    def spread(**given: object) -> None:
        for option in last:
            del given[option.name]
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    shown = [*parameters, *last]
    spread.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # read by inspect
    spread.__annotations__ = {one.name: one.annotation for one in shown}
    return spread


def _parameters(command: Callable[..., None], hints: dict[str, Any]) -> Iterator[inspect.Parameter]:
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            yield from _options(hints[name])
        else:
            yield parameter.replace(annotation=hints[name])


def _options(group: Any) -> Iterator[inspect.Parameter]:  # noqa: ANN401 - any dataclass
    own = get_type_hints(group, include_extras=True)
    for field in fields(group):
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=own[field.name],
        )


def _default(field: Field[Any]) -> Any:  # noqa: ANN401 - of the field's own type
    return inspect.Parameter.empty if field.default is MISSING else field.default
