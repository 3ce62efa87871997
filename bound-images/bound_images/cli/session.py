"""What all commands of one process share: where output goes, and who runs programs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bound_images.cli.output import Output

if TYPE_CHECKING:
    from bound_images.programs import Runner


class Session:
    """What all commands share.

    Attributes:
        output: Where results and messages go.
    """

    def __init__(self) -> None:
        self.output = Output()

    @cached_property
    def runner(self) -> Runner:
        """Starts programs; loaded by the commands that start any."""
        from bound_images.programs import Runner

        return Runner()

    def cancel(self) -> None:
        """End the programs that are running, and start no further ones."""
        if "runner" in vars(self):
            self.runner.cancel()


SESSION = Session()
