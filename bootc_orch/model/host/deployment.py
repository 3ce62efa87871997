"""Deployments of a sysroot, as they are found on disk, and what each is to the others.

Source: libostree's layout of ``ostree/deploy`` and its order of deployments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bootc_orch.model.host.kargs import own_arguments
from bootc_orch.model.host.origin import Origin, OriginKind
from bootc_orch.model.image.reference import OstreeImageReference
from orch_frame.errors import OrchError, StoreDamagedError


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment.

    Attributes:
        index: Its place in the boot order: 0 boots next; what is staged counts.
        stateroot: The stateroot it belongs to.
        checksum: The commit that it is a checkout of, 64 hexadecimal digits.
        serial: Its number among deployments of that commit.
        path: Its root directory.
        origin: What it follows.
        options: The kernel's command line as its boot entry has it; empty when staged.
        bootcsum: The checksum of kernel and initramfs; empty when staged.
        booted: Whether the running system was booted from it.
        staged: Whether it is only written out at shutdown.
        locked: Whether a staged deployment waits for a release before it is written out.
        unlocked: ``development``, ``transient`` or ``hotfix`` where ``/usr`` was made writable.
    """

    index: int
    stateroot: str
    checksum: str
    serial: int
    path: Path
    origin: Origin
    options: str = ""
    bootcsum: str = ""
    booted: bool = False
    staged: bool = False
    locked: bool = False
    unlocked: str | None = None

    @property
    def name(self) -> str:
        """``CHECKSUM.SERIAL``, the name of its directory."""
        return f"{self.checksum}.{self.serial}"

    @property
    def origin_path(self) -> Path:
        """Where its origin is."""
        return self.path.with_name(f"{self.path.name}.origin")

    @property
    def pinned(self) -> bool:
        """Whether garbage collection must keep it."""
        return self.origin.pinned

    @property
    def kargs(self) -> tuple[str, ...]:
        """Its kernel arguments without libostree's own."""
        return own_arguments(self.options)

    @property
    def is_container(self) -> bool:
        """Whether it follows a container image and nothing but it."""
        return self.origin.kind is OriginKind.CONTAINER

    @property
    def image(self) -> OstreeImageReference | None:
        """The image that it follows; None for a plain or layered ostree system.

        Raises:
            StoreDamagedError: what its origin has in that place is no reference.
        """
        if not self.is_container or self.origin.container is None:
            return None
        try:
            return OstreeImageReference.parse(self.origin.container)
        except OrchError as error:
            raise StoreDamagedError(
                f"The origin of deployment {self.name} names no image: {error.summary}",
                hint="Correct container-image-reference= in that file.",
                path=str(self.origin_path),
            ) from error


@dataclass(frozen=True, slots=True)
class Deployments:
    """All deployments of a sysroot, by the part that each plays.

    Attributes:
        all: In boot order; a staged one is first.
    """

    all: tuple[Deployment, ...]

    @property
    def staged(self) -> Deployment | None:
        """What will be written out at shutdown."""
        return next((one for one in self.all if one.staged), None)

    @property
    def booted(self) -> Deployment | None:
        """What is running."""
        return next((one for one in self.all if one.booted), None)

    @property
    def pending(self) -> Deployment | None:
        """What is first in the boot order instead of what is running; it may be locked."""
        first = next(iter(self.all), None)
        return first if self.booted is not None and first is not self.booted else None

    @property
    def next_boot(self) -> Deployment | None:
        """What the next boot starts instead of what is running, if anything."""
        if self.booted is None:
            return None
        first = next((one for one in self.all if not one.locked), None)
        return first if first is not self.booted else None

    @property
    def current(self) -> Deployment | None:
        """What an operation starts from: the booted one, else the one that would boot next."""
        return self.booted or next((one for one in self.all if not one.staged), None)

    @property
    def rollback(self) -> Deployment | None:
        """What a rollback goes to: the first of the same stateroot beside the current one."""
        return next(iter(self._related), None)

    @property
    def others(self) -> tuple[Deployment, ...]:
        """Everything that is neither staged, current nor rollback."""
        named = [self.staged, self.current, self.rollback]
        return tuple(one for one in self.all if one not in named)

    @property
    def rollback_queued(self) -> bool:
        """Whether the rollback, not the booted deployment, boots next."""
        booted, rollback = self.booted, self.rollback
        return booted is not None and rollback is not None and rollback.index < booted.index

    @property
    def _related(self) -> Sequence[Deployment]:
        current = self.current
        if current is None:
            return ()
        return [
            one
            for one in self.all
            if one is not current and not one.staged and one.stateroot == current.stateroot
        ]
