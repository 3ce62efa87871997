"""Bring one resolved image into the store."""

from __future__ import annotations

import re
from collections.abc import Callable

from bound_images.events import Event, Progress, State
from bound_images.ops.plan import Action, PlannedImage
from bound_images.reference import DOCKER
from bound_images.rootfs import Root
from bound_images.settings import SyncOptions
from bound_images.sources.pullargs import Platform, is_plain, pull_arguments
from bound_images.sources.resolve import ResolvedImage
from bound_images.sources.retrying import with_retries
from bound_images.storage.store import ImageStore
from orch_frame.errors import MismatchError, NotFoundError, OrchError

# Under this name an image is kept that another one has taken the name of.
KEPT = "localhost/bound-images/kept"
KEPT_LENGTH = 12
_BLOB_LINE = re.compile(r"Copying blob (?:sha256:)?([0-9a-f]{12,64})")


class Fetcher:
    """Carries out what was planned for single images; safe to use from several threads.

    Args:
        store: Where the images go.
        root: The root whose files the definitions name; None where there is none.
        progress: Told of every step.
        settings: How often and how long to try.
    """

    def __init__(
        self,
        store: ImageStore,
        root: Root | None,
        progress: Progress,
        settings: SyncOptions,
    ) -> None:
        self._store = store
        self._root = root
        self._progress = progress
        self._settings = settings

    def apply(self, planned: PlannedImage) -> None:
        """Do what was planned for one image.

        Raises:
            OrchError: it failed, after the retries that its class allows.
        """
        image = planned.resolved
        try:
            self._apply(planned)
        except OrchError as error:
            error.locate(image=image.image.reference, path=image.image.sources[0])
            self._progress(Event(image.canonical, State.FAILED, detail=error.summary))
            raise
        kept = planned.action is Action.KEEP
        self._progress(Event(image.canonical, State.PRESENT if kept else State.DONE))

    def _apply(self, planned: PlannedImage) -> None:
        if planned.action is Action.KEEP:
            return
        if planned.replaces is not None:
            # Other roots may still need the image that loses its name.
            self._store.tag(planned.replaces, f"{KEPT}:{planned.replaces[:KEPT_LENGTH]}")
        if planned.action is Action.FETCH:
            self._fetch(planned)
        else:
            self._name(planned)

    def _name(self, planned: PlannedImage) -> None:
        """Have the canonical name stand for the image; podman gives digests only by a pull."""
        image = planned.resolved
        if "@" not in image.canonical:
            self._store.tag(image.image_id, image.canonical)
        elif image.canonical not in {n for i in self._store.images() for n in i.names}:
            self._fetch(planned)

    def _fetch(self, planned: PlannedImage) -> None:
        image = planned.resolved
        if self._settings.transfer.offline and image.place.startswith(f"{DOCKER}://"):
            raise NotFoundError(
                f"{image.canonical} is not whole in the store, and no registry may be asked.",
                hint="Run sync without --offline.",
            )
        report = self._reporter(planned)
        with_retries(
            lambda: self._transfer(image, report),
            image.image.options,
            self._settings.transfer,
            sleep=self._store.runner.sleep,
        )

    def _transfer(self, image: ResolvedImage, on_line: Callable[[str], None]) -> None:
        if not image.place.startswith(f"{DOCKER}://"):
            self._copy(image, on_line)
            return
        if image.current and self._pull(image, image.canonical, on_line) == image.image_id:
            return
        # The name has moved meanwhile, or a lock file says what it is to stand for.
        found = self._pull(image, image.place.removeprefix(f"{DOCKER}://"), on_line)
        if found != image.image_id:
            raise MismatchError(
                f"podman pulled another image than {image.canonical} stands for.",
                details=f"expected: {image.image_id}\npulled:   {found}",
            )
        if "@" not in image.canonical:
            self._store.tag(image.image_id, image.canonical)

    def _pull(self, image: ResolvedImage, name: str, on_line: Callable[[str], None]) -> str:
        options = image.image.options
        version = self._store.podman_version
        own = pull_arguments(options, version)
        if is_plain(options):
            # podman starts itself anew to unpack a layer, and nothing else can then be written to
            # the store; skopeo does so in half the time.  podman then finds the layers there.
            self._store.copy_in(
                f"{DOCKER}://{name}",
                name,
                options=image.access.copy_arguments,
                global_options=Platform.of(options).skopeo_arguments,
                on_line=on_line,
                stall=self._settings.stall_seconds,
            )
        return self._store.pull(
            name,
            options=[*image.access.pull_arguments, *own],
            on_line=on_line,
            stall=self._settings.stall_seconds,
        )

    def _copy(self, image: ResolvedImage, on_line: Callable[[str], None]) -> None:
        self._store.copy_in(
            image.place,
            image.canonical,
            options=["--remove-signatures"],
            global_options=Platform.of(image.image.options).skopeo_arguments,
            on_line=on_line,
            stall=self._settings.stall_seconds,
        )
        if not self._store.has(image.image_id):
            raise MismatchError(f"The copy of {image.canonical} is not the image that was read.")

    def _reporter(self, planned: PlannedImage) -> Callable[[str], None]:
        """Return what turns the programs' lines into events: one for each layer that is begun."""
        sizes = {blob.digest.removeprefix("sha256:"): blob.size for blob in planned.fetch}
        name = planned.resolved.canonical
        begun: set[str] = set()
        self._progress(Event(name, State.PULLING, 0, planned.bytes))

        def report(line: str) -> None:
            match = _BLOB_LINE.search(line)
            for digest in sizes if match else ():
                if digest.startswith(match[1]) and digest not in begun:  # type: ignore[index]  # not None here
                    begun.add(digest)
                    done = sum(sizes[d] for d in begun)
                    self._progress(Event(name, State.PULLING, done, planned.bytes))

        return report
