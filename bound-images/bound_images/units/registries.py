"""Which registry a short name means in a root, by its ``registries.conf``.

Podman takes an alias first, then the registries of ``unqualified-search-registries`` in order.
Where several are configured it tries one after another; here the first one counts, so that the
same definition always means the same image, and lint asks for full names.
Source: containers-registries.conf(5).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bound_images.reference import docker_hub
from bound_images.rootfs import Root
from orch_frame.errors import ConfigError, OrchError

FILES = ("/usr/share/containers/registries.conf", "/etc/containers/registries.conf")
DIRECTORIES = ("/usr/share/containers/registries.conf.d", "/etc/containers/registries.conf.d")
MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Registries:
    """What short names mean.

    Attributes:
        aliases: Full repository for each aliased short name.
        search: Registries to look in for other short names, in order.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    search: tuple[str, ...] = ()

    def qualify(self, short_name: str) -> str:
        """Return the repository, with its registry, that *short_name* means."""
        if alias := self.aliases.get(short_name):
            return alias
        return f"{self.search[0]}/{short_name}" if self.search else docker_hub(short_name)


def parse(text: str, *, source: str) -> Registries:
    """Read one ``registries.conf``; tables that do not concern short names are ignored.

    Raises:
        ConfigError: *text* is not TOML, or a value has the wrong type.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{source} is not TOML: {error}.", path=source) from error
    aliases, search = data.get("aliases", {}), data.get("unqualified-search-registries", [])
    if not _are_strings(aliases, dict) or not _are_strings(search, list):
        raise ConfigError(f"{source}: aliases or search registries are not strings.", path=source)
    return Registries({k: v for k, v in aliases.items() if v}, tuple(search))


def read(root: Root) -> Registries:
    """Read the configuration of *root*: the last main file, then each drop-in over it.

    Raises:
        ConfigError: a file cannot be read or is not TOML.
    """
    aliases: dict[str, str] = {}
    search: tuple[str, ...] = ()
    for path in _files(root):
        try:
            text = root.read_text(path, limit=MAX_BYTES)
        except OrchError as error:
            raise ConfigError(f"{path} cannot be read.", details=error.summary) from error
        layer = parse(text, source=path)
        aliases |= layer.aliases
        search = layer.search or search
    return Registries(aliases, search)


def _files(root: Root) -> Iterator[str]:
    yield from [path for path in FILES if root.exists(path)][-1:]
    named = {
        name: f"{directory}/{name}" for directory in DIRECTORIES for name in root.names(directory)
    }
    yield from (path for name, path in sorted(named.items()) if name.endswith(".conf"))


def _are_strings(value: Any, kind: type) -> bool:  # noqa: ANN401 - whatever TOML holds
    items = value.values() if isinstance(value, dict) else value
    return isinstance(value, kind) and all(isinstance(item, str) for item in items)
