"""The configuration file of the command at hand, and how options combine with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootc_orch.config import Config


@dataclass(slots=True)
class _Choice:
    path: Path | None = None
    config: Config | None = None


_choice = _Choice()


def choose_config(path: str | None) -> None:
    """Remember the configuration file that the command line names; it is read when needed."""
    _choice.path = Path(path) if path else None
    _choice.config = None


def config() -> Config:
    """Return the configuration, read at most once a command.

    Raises:
        ConfigError: the file cannot be read or understood.
    """
    if _choice.config is None:
        from bootc_orch.config import load_config

        _choice.config = load_config(_choice.path)
    return _choice.config


def lock_timeout(given: float | None) -> float:
    """Return how many seconds to wait for a lock."""
    return config().transfer.lock_timeout if given is None else given
