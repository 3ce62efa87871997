"""The configuration file: YAML becomes a frozen `Config`; an unknown key is an error.

Options on the command line win over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from orch_frame.errors import ConfigError
from orch_frame.transfer import TransferOptions

PATHS = (Path("/etc/bootc-orch/config.yaml"), Path("/usr/lib/bootc-orch/config.yaml"))
MAX_BYTES = 1024 * 1024
MAX_JOBS = 64
MAX_RETRIES = 100
MAX_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Config:
    """What may be configured; None leaves the choice to the program.

    Attributes:
        jobs: How many layers or app images are fetched at once.
        retries: How often a request is tried again that may pass later.
        retry_delay: Seconds before the first of these; it doubles each time.
        timeout: Seconds without a byte after which a transfer counts as stalled.
        lock_timeout: Seconds to wait for another process that holds a lock.
        authfile: Credentials for registries.
        store: Where the bound app images are kept.
        bound_host_files: Whether bound units may name credentials and certificates of this machine.
        policy: What the update timer may do: ``check``, ``stage`` or ``apply``.
    """

    jobs: int | None = None
    retries: int | None = None
    retry_delay: float | None = None
    timeout: float | None = None
    lock_timeout: float | None = None
    authfile: Path | None = None
    store: Path | None = None
    bound_host_files: bool | None = None
    policy: str | None = None

    @property
    def transfer(self) -> TransferOptions:
        """How images are fetched unless the command line says otherwise."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        names = {field.name for field in fields(TransferOptions)}
        return TransferOptions(
            **{name: value for name, value in said.items() if name in names and value is not None}
        )

    @classmethod
    def parse(cls, text: str, *, source: str) -> Self:
        """Read the YAML document *text*.

        Raises:
            ConfigError: it is not a mapping, or a key or a value is not one that is known.
        """
        values = _load(text, source)
        known = {field.name for field in fields(cls)}
        if unknown := sorted(str(key) for key in values if key not in known):
            raise ConfigError(
                f"{source} has the unknown key {unknown[0]!r}.",
                hint=f"Known keys: {', '.join(sorted(known))}.",
                path=source,
            )
        return cls(**{key: _check(key, value, source) for key, value in values.items()})


def load_config(path: Path | None = None) -> Config:
    """Read *path*, or the first of `PATHS` that exists, or return the defaults.

    Raises:
        ConfigError: a file that was named does not exist, or one cannot be read or understood.
    """
    for candidate in (path,) if path else PATHS:
        try:
            with candidate.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(
                f"{candidate} cannot be read: {error.strerror}.", path=str(candidate)
            ) from error
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{candidate} has more than {MAX_BYTES} bytes.", path=str(candidate))
        return Config.parse(data.decode(errors="replace"), source=str(candidate))
    if path is not None:
        raise ConfigError(f"{path} does not exist.", path=str(path))
    return Config()


def _load(text: str, source: str) -> Mapping[Any, Any]:
    import yaml

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ConfigError(f"{source} uses an alias, which is not supported.", path=source)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(
            f"{source} is not valid YAML.", details=str(error), path=source
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{source} is not a mapping of keys to values.", path=source)
    return values


def _check(key: str, value: Any, source: str) -> Any:  # noqa: ANN401 - a parser's entry
    wanted, convert = _CHECKS[key]
    try:
        return convert(value)
    except ValueError as error:
        raise ConfigError(
            f"{source}: {key} must be {wanted}, not {str(value)[:80]!r}.", path=source
        ) from error


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:  # noqa: ANN401
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return convert


def _seconds(value: Any) -> float:  # noqa: ANN401
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError
    if not 0 <= value <= MAX_SECONDS:  # nan is not in any range either
        raise ValueError
    return float(value)


def _path(value: Any) -> Path:  # noqa: ANN401
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError
    return Path(value)


def _flag(value: Any) -> bool:  # noqa: ANN401
    if not isinstance(value, bool):
        raise ValueError
    return value


def _policy(value: Any) -> str:  # noqa: ANN401
    if value not in ("check", "stage", "apply"):
        raise ValueError
    return str(value)


_CHECKS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "jobs": (f"a number from 1 to {MAX_JOBS}", _integer(1, MAX_JOBS)),
    "retries": (f"a number from 0 to {MAX_RETRIES}", _integer(0, MAX_RETRIES)),
    "retry_delay": ("a number of seconds", _seconds),
    "timeout": ("a number of seconds", _seconds),
    "lock_timeout": ("a number of seconds", _seconds),
    "authfile": ("an absolute path", _path),
    "store": ("an absolute path", _path),
    "bound_host_files": ("true or false", _flag),
    "policy": ("check, stage or apply", _policy),
}
