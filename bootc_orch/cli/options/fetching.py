"""How the command line and the configuration together say how images are fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootc_orch.cli.options.configured import config

if TYPE_CHECKING:
    from bootc_orch.ops.opening.pull_plan import PullOptions
    from orch_frame.options.fetching import Fetching


def pull_options(
    fetching: Fetching,
    *,
    var_content: str = "auto",
    unprivileged: bool = False,
    allow_ima: bool = False,
) -> PullOptions:
    """Combine the options of the command line with the configuration and the defaults."""
    from bootc_orch.ops.opening.pull_plan import PullOptions, VarContent

    return PullOptions(
        fetching.transfer_options(config().transfer),
        unprivileged=unprivileged,
        var_content=VarContent(var_content),
        allow_ima=allow_ima,
    )
