"""Which words of a unit count for a pull: those that say how its image is transported, no others.

A unit comes with an image of an operating system, and its words would reach podman as root on the
machine that fetches, before that system was ever booted: a word that overwrites a file or switches
off the policy of signatures would be obeyed there.
Source: podman-pull(1) and podman(1) of podman 5.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from bound_images.errors import DefinitionError

# Option -> what it is among the options of a pull.
_VALUES = {
    "--arch": "arch", "--authfile": "auth_file", "--cert-dir": "cert_dir", "--creds": "creds",
    "--decryption-key": "decryption_key", "--os": "os", "--policy": "policy", "--retry": "retry",
    "--retry-delay": "retry_delay", "--variant": "variant",
}  # fmt: skip
_SWITCHES = {"--all-tags": "all_tags", "-a": "all_tags", "--tls-verify": "tls_verify"}
_PLATFORM = "--platform"
# What changes nothing but what podman prints; the second kind has a value.
_SILENT = frozenset({"--quiet", "-q", "--disable-content-trust", "--syslog", "--noout"})
_SILENT_VALUES = frozenset({"--log-level"})
_WITH_VALUE = frozenset({*_VALUES, _PLATFORM, *_SILENT_VALUES, "--storage-opt"})
# Words of ``podman image pull`` that do not belong to other commands with the same meaning.
_OF_PULL_ALONE = frozenset({"--policy", "--retry", "--retry-delay", "--all-tags", "-a"})
_THIS_STORE = re.compile(r"(overlay\.)?(additional)?imagestore=.*")
HINT = "Of a bound unit only words count that say how its image is fetched, such as --arch."


def words_of_pull(words: Sequence[str]) -> dict[str, Any]:
    """Return, by the names of `PullOptions`, what ``PodmanArgs=`` of an ``.image`` says.

    Raises:
        DefinitionError: a word is none that concerns the transport of the image.
    """
    found: dict[str, Any] = {}
    for option, value in _strict_pairs(words):
        if (known := _understood(option, value)) is None and not _is_silent(option):
            raise _refused("PodmanArgs", option)
        found |= known or {}
    return found


def words_about_pull(words: Sequence[str]) -> dict[str, Any]:
    """Return the same of another type of unit, whose other words matter when it runs."""
    found: dict[str, Any] = {}
    for option, value in argument_pairs(tuple(words)):
        if option not in _OF_PULL_ALONE:
            found |= _understood(option, value) or {}
    return found


def check_global(words: Sequence[str]) -> None:
    """Refuse words of ``GlobalArgs=`` of an ``.image`` that could mean something to its pull.

    The one that names this very store as an additional one is let pass, and has no effect;
    quadlets share it between the pull and the run.

    Raises:
        DefinitionError: there is one.
    """
    for option, value in _strict_pairs(words):
        own = option == "--storage-opt" and _THIS_STORE.fullmatch(value or "")
        if not own and not _is_silent(option):
            raise _refused("GlobalArgs", option)


def argument_pairs(words: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Yield ``(option, value)``; the value of ``--option value`` is the next word without a dash.

    Words that belong to no option are left out; an option without a value has None.
    """
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if not option.startswith("-"):
            continue
        if equals:
            yield option, value
        else:
            yield option, rest.pop(0) if rest and not rest[0].startswith("-") else None


def _strict_pairs(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield ``(option, value)`` as podman reads them; a word that is no option stands for one."""
    rest = list(words)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if equals or option not in _WITH_VALUE:
            yield option, value if equals else None
        else:
            yield option, rest.pop(0) if rest else None


def _understood(option: str, value: str | None) -> dict[str, Any] | None:
    """Return what a word says of a pull, None if it is no such word."""
    if option in _VALUES:
        return {} if value is None else {_VALUES[option]: value}
    if option in _SWITCHES:
        on = value is None or value.lower() in ("1", "t", "true")
        return {_SWITCHES[option]: on}
    if option == _PLATFORM:
        return dict(zip(("os", "arch", "variant"), (value or "").split("/"), strict=False))
    return None


def _is_silent(option: str) -> bool:
    return option in _SILENT or option in _SILENT_VALUES


def _refused(key: str, option: str) -> DefinitionError:
    """Name *option* as far as it can be told to be one: the rest of a word may be secret."""
    name = option if option.startswith("--") else option[:2]
    what = name if option.startswith("-") else "a word that is no option"
    return DefinitionError(f"{key}= has {what}, which is not for a bound image.", hint=HINT)
