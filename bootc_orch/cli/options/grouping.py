"""Options that belong together, as one parameter of every command that has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Show Typer the fields of *command*'s parameters that are dataclasses as options of its own.

    The fields are annotated as parameters of commands are.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    @wraps(command)
    def spread(**given: object) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    parameters = list(_parameters(command, hints))
    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect
    spread.__annotations__ = {one.name: one.annotation for one in parameters}
    return spread


def _parameters(command: Callable[..., None], hints: dict[str, Any]) -> Iterator[inspect.Parameter]:
    for name, parameter in inspect.signature(command).parameters.items():
        if not is_dataclass(hints[name]):
            yield parameter.replace(annotation=hints[name])
            continue
        own = get_type_hints(hints[name], include_extras=True)
        for field in fields(hints[name]):
            yield inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=own[field.name],
            )
