"""From pull options to command lines: what podman's version can do, and what must not be passed.

Retries and the policy are this program's own business on every version, so neither is passed.
Source: podman(1), podman-pull(1), skopeo-inspect(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bound_images.programs import Arg
from bound_images.rootfs import Root
from bound_images.units.options import PullOptions, argument_pairs
from orch_frame.errors import PolicyError, ToolError

MODULE_PODMAN = (4, 7)
DECRYPTION_PODMAN = (5, 0)
# Global options that would send the pull to another store or another machine.
_ELSEWHERE = frozenset(
    {"--root", "--runroot", "--imagestore", "--remote", "-r", "--url", "--connection", "-c",
     "--storage-driver", "--transient-store", "--volumepath", "--context", "--host", "-H"}
)  # fmt: skip
# Options that are handled here, with the values that they take.
_OURS = frozenset({"--creds", "--policy", "--retry", "--retry-delay", "--all-tags", "-a"})
# Options that become a `Platform`.
_PLATFORM = frozenset({"--platform", "--arch", "--os", "--variant"})
_SWITCHES = frozenset({"--all-tags", "-a"})


@dataclass(frozen=True, slots=True)
class Platform:
    """Which of the images for several platforms is wanted; empty where it is this machine's."""

    arch: str = ""
    os: str = ""
    variant: str = ""

    @classmethod
    def of(cls, options: PullOptions) -> Platform:
        """Read the keys, and ``--platform`` in ``PodmanArgs=`` over them."""
        arch, system, variant = options.arch, options.os, options.variant
        for option, value in argument_pairs(options.podman_args):
            match option, (value or "").split("/"):
                case "--platform", [system_, arch_, *rest]:
                    system, arch, variant = system_, arch_, rest[0] if rest else ""
                case "--arch", [arch_]:
                    arch = arch_
                case "--os", [system_]:
                    system = system_
                case "--variant", [variant_]:
                    variant = variant_
        return cls(arch, system, variant)

    @property
    def skopeo_arguments(self) -> list[str]:
        """The global options of skopeo that choose the platform."""
        return [
            *([f"--override-arch={self.arch}"] if self.arch else []),
            *([f"--override-os={self.os}"] if self.os else []),
            *([f"--override-variant={self.variant}"] if self.variant else []),
        ]


def global_arguments(
    options: PullOptions, version: tuple[int, int], *, root: Root | None
) -> list[Arg]:
    """Return what stands before ``image pull``.

    The argument that names this very store as an additional one is left out; quadlets share it
    between the pull and the run.

    Raises:
        ToolError: podman is too old for ``ContainersConfModule=``.
        PolicyError: an argument would send the pull to another store.
    """
    if options.modules and version < MODULE_PODMAN:
        raise _too_old("ContainersConfModule=", MODULE_PODMAN, version)
    for option, _ in argument_pairs(options.global_args):
        if option in _ELSEWHERE:
            raise PolicyError(
                f"GlobalArgs= has {option}, and the image would not come into the store.",
                hint="Leave it out of the bound unit.",
            )
    modules = [f"--module={_module(name, root)}" for name in options.modules]
    return [*modules, *_without_additional_stores(options.global_args)]


def pull_arguments(options: PullOptions, version: tuple[int, int]) -> list[Arg]:
    """Return what stands between ``image pull`` and the image, but for how to reach it.

    Raises:
        ToolError: podman is too old for ``DecryptionKey=``.
        PolicyError: the decryption key has its passphrase on the command line.
    """
    if options.decryption_key:
        if version < DECRYPTION_PODMAN:
            raise _too_old("DecryptionKey=", DECRYPTION_PODMAN, version)
        _check_key(options.decryption_key)
    return [
        *([f"--arch={options.arch}"] if options.arch else []),
        *([f"--os={options.os}"] if options.os else []),
        *([f"--variant={options.variant}"] if options.variant else []),
        *([f"--decryption-key={options.decryption_key}"] if options.decryption_key else []),
        *_without_ours(options.podman_args),
    ]


def is_plain(options: PullOptions) -> bool:
    """Say whether skopeo can be told all of *options* that concern the pull as well as podman."""
    if options.decryption_key or options.modules:
        return False
    if tuple(_without_additional_stores(options.global_args)):
        return False
    rest = argument_pairs(tuple(_without_ours(options.podman_args)))
    return all(option in _PLATFORM for option, _ in rest)


def _module(name: str, root: Root | None) -> str:
    if name.startswith("/") and root is not None and root.exists(name):
        return str(root.host_path(name))
    return name


def _without_additional_stores(words: tuple[str, ...]) -> Iterator[str]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if option != "--storage-opt":
            yield word
            continue
        setting = value if equals else (rest.pop(0) if rest else "")
        if not re.match(r"(overlay\.)?(additional)?imagestore=", setting):
            yield f"--storage-opt={setting}"


def _without_ours(words: tuple[str, ...]) -> Iterator[str]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, _ = word.partition("=")
        if option not in _OURS:
            yield word
        elif not equals and option not in _SWITCHES and rest:
            rest.pop(0)


def _check_key(key: str) -> None:
    _, colon, secret = key.partition(":")
    if colon and not secret.startswith("file="):
        raise PolicyError(
            "DecryptionKey= has its passphrase in the unit, and every process could read it.",
            hint="Put the passphrase into a file, and say DecryptionKey=KEY:file=PATH.",
        )


def _too_old(key: str, wanted: tuple[int, int], version: tuple[int, int]) -> ToolError:
    need, have = ".".join(map(str, wanted)), ".".join(map(str, version))
    return ToolError(f"{key} needs podman {need}, and this is {have}.", hint="Update podman.")
