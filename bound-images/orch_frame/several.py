"""More than one failure at a time: of several images, definitions or layers."""

from __future__ import annotations

import os

from orch_frame.errors import OrchError


class SeveralError(OrchError):
    """More than one image or definition failed.

    The class and the exit status are those of the first failure which will not pass by itself,
    else of the first.
    Hints that differ stand with the failures that they are for.

    Attributes:
        errors: The failures, in the order of the definitions.
    """

    def __init__(self, summary: str, errors: tuple[OrchError, ...]) -> None:
        lasting = [error for error in errors if error.exit_code != os.EX_TEMPFAIL]
        leader = (lasting or list(errors))[0]
        hints = {error.hint for error in errors if error.hint}
        super().__init__(
            summary,
            details="\n".join(
                line
                for error in errors
                for line in (
                    *describe(error),
                    *([f"    hint: {error.hint}"] if error.hint and len(hints) > 1 else []),
                )
            ),
            hint=hints.pop() if len(hints) == 1 else None,
            image=leader.image,
            path=leader.path,
        )
        self.errors = errors
        self.exit_code = leader.exit_code
        self.kind = leader.kind


def describe(error: OrchError) -> list[str]:
    """Return the summary of *error* and below it its evidence, indented, one line an element."""
    notes = getattr(error, "__notes__", ())
    evidence = [line for text in (error.details or "", *notes) for line in text.splitlines()]
    return [error.summary, *(f"    {line}" for line in evidence)]


def joined(errors: tuple[OrchError, ...], summary: str) -> OrchError:
    """Return the only one of *errors*, or a `SeveralError` with *summary* that holds them all."""
    return errors[0] if len(errors) == 1 else SeveralError(summary, errors)


def raise_all(errors: tuple[OrchError, ...], summary: str) -> None:
    """Raise *errors*, joined; nothing where there are none."""
    if errors:
        raise joined(errors, summary)
