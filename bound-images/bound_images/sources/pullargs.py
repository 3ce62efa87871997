"""From pull options to command lines: what podman's version can do, and what must not be passed.

Retries and the policy are this program's own business on every version, so neither is passed.
Source: podman-pull(1), skopeo-inspect(1).
"""

from __future__ import annotations

from dataclasses import dataclass

from bound_images.programs import Arg
from bound_images.units.options import PullOptions
from orch_frame.errors import PolicyError, ToolError

DECRYPTION_PODMAN = (5, 0)


@dataclass(frozen=True, slots=True)
class Platform:
    """Which of the images for several platforms is wanted; empty where it is this machine's."""

    arch: str = ""
    os: str = ""
    variant: str = ""

    @classmethod
    def of(cls, options: PullOptions) -> Platform:
        """Read the keys of *options*, which are settled."""
        return cls(options.arch, options.os, options.variant)

    @property
    def skopeo_arguments(self) -> list[str]:
        """The global options of skopeo that choose the platform."""
        return [
            *([f"--override-arch={self.arch}"] if self.arch else []),
            *([f"--override-os={self.os}"] if self.os else []),
            *([f"--override-variant={self.variant}"] if self.variant else []),
        ]


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
    ]


def is_plain(options: PullOptions) -> bool:
    """Say whether skopeo can be told all of *options* that concern the pull as well as podman."""
    return not options.decryption_key


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
