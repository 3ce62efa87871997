"""The store: a containers/storage root that podman fills and additional-store users read."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from bound_images.errors import CommandError
from bound_images.files import write_error
from bound_images.namespace import ALIAS, RUNROOT, entrance, sync_file_system
from bound_images.programs import PLAIN, Arg, Execution, Runner, processors
from bound_images.sources.source import STORAGE
from bound_images.storage.storeimages import StoredImage, parse_images, parse_layers
from bound_images.where import state_directory
from orch_frame.errors import (
    NotFoundError,
    OrchError,
    ReadOnlyError,
    SpaceError,
    StorageIOError,
    StoreDamagedError,
    ToolError,
)

logger = logging.getLogger(__name__)

STORE_MODE = 0o755
QUICK_SECONDS = 300.0
# The oldest podman that this was tried with, and the one from which `pull` takes --retry.
OLDEST_PODMAN = (4, 3)
PULL_RETRY_PODMAN = (5, 5)
STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{graphroot}"
runroot = "{runroot}"
"""


class ImageStore:
    """One store, open for podman; make one with `open_store`.

    Args:
        path: Where the store is outside the namespace.
        work: A private directory on a tmpfs: run root, configuration, authentication files.
        spool: Where podman keeps blobs while it pulls, on the file system of the store.
        runner: Starts the programs.

    Attributes:
        share: How many transfers share the processors; whoever starts them sets it.
        creation: The making of a store that was not there, and so is empty; None if it was.
    """

    share: int = 1
    creation: Future[None] | None = None

    def __init__(self, path: Path, work: Path, spool: Path, runner: Runner) -> None:
        self.path = path
        self.work = work
        self.spool = spool
        self.runner = runner
        self._runroot = work / "run"
        self._configuration = work / "storage.conf"

    def wait(self) -> None:
        """Wait until the store is there.

        Raises:
            OrchError: it could not be made.
        """
        if self.creation is not None:
            self.creation.result()

    @cached_property
    def podman_version(self) -> tuple[int, int]:
        """Major and minor version of podman.

        Raises:
            ToolError: podman is missing or older than `OLDEST_PODMAN`.
        """
        _, text = self.runner.run("podman", ["--version"], what="Asking podman for its version")
        word = text.split()[-1] if text.split() else ""
        parts = word.split(".")
        if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
            raise ToolError(f"podman answers {text.strip()!r} when asked for its version.")
        version = int(parts[0]), int(parts[1])
        if version < OLDEST_PODMAN:
            wanted = ".".join(map(str, OLDEST_PODMAN))
            raise ToolError(f"podman is {word}, and {wanted} is needed.", hint="Update podman.")
        return version

    def images(self) -> tuple[StoredImage, ...]:
        """Return the images in the store, those without a name included.

        Raises:
            StoreDamagedError: podman cannot read the store.
        """
        arguments = ["images", "--all", "--no-trunc", "--format=json"]
        return parse_images(self._ask(arguments, what="Listing the store"))

    def has(self, image_id: str) -> bool:
        """Say whether the image is in the store, without looking at any other.

        A list of all fails while another one is being written: podman 4 wants its manifest at once.
        """
        arguments = ["image", "inspect", "--format={{.Id}}", image_id]
        try:
            return self._podman(arguments, what=f"Looking for image {image_id}").strip() == image_id
        except NotFoundError:
            return False

    def pull(
        self,
        source: str,
        *,
        options: Sequence[Arg] = (),
        on_line: Callable[[str], None] | None = None,
        stall: float | None = None,
    ) -> str:
        """Pull *source* once and return the id of the image.

        Raises:
            OrchError: podman failed; the class says whether to try again.
        """
        retry = ["--retry=0"] if self.podman_version >= PULL_RETRY_PODMAN else []
        output = self._podman(
            ["image", "pull", *retry, *options, "--", source],
            what=f"Pulling {source}",
            image=source,
            execution=Execution(env=processors(self.share), on_line=on_line, stall=stall),
            timeout=None,
        )
        words = output.split()
        if not words:
            raise StoreDamagedError(f"podman pulled {source} and named no image.", image=source)
        return words[-1].removeprefix("sha256:")

    def copy_in(
        self,
        source: str,
        name: str,
        *,
        options: Sequence[Arg] = (),
        global_options: Sequence[Arg] = (),
        on_line: Callable[[str], None] | None = None,
        stall: float | None = None,
    ) -> None:
        """Copy an image from *source*, ``transport:…``, and store it as *name*.

        Raises:
            OrchError: skopeo failed; the class says whether to try again.
        """
        self._skopeo(
            [*global_options, "copy", *options, source, f"{STORAGE}:{name}"],
            what=f"Copying {name}",
            image=name,
            on_line=on_line,
            stall=stall,
        )

    def tag(self, image_id: str, name: str) -> None:
        """Have *name* stand for the image *image_id*, whatever it stood for before."""
        self._podman(["image", "tag", image_id, name], what=f"Naming {name}", image=name)

    def remove(self, image_id: str) -> None:
        """Remove an image with all its names; one that has already gone is no error."""
        self._podman(
            ["image", "rm", "--force", image_id],
            what=f"Removing the image {image_id}",
            execution=Execution(allow=(0, 1)),
        )

    def layers(self, image_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return the diff_ids of each image's layers, ``sha256:…``, the lowest first.

        Raises:
            StoreDamagedError: podman cannot read the store.
        """
        if not image_ids:
            return {}
        arguments = ["image", "inspect", "--format=json", *image_ids]
        return parse_layers(self._ask(arguments, what="Inspecting the store"))

    def read_back(self, image_id: str) -> None:
        """Read every layer of an image and compare its content with its digest.

        Raises:
            StoreDamagedError: a layer is missing or is not what its digest says.
        """
        with tempfile.TemporaryDirectory(prefix="verify-", dir=self.spool) as directory:
            try:
                self._skopeo(
                    [
                        "copy",
                        "--quiet",
                        "--remove-signatures",
                        f"{STORAGE}:@{image_id}",
                        f"dir:{directory}",
                    ],
                    what=f"Reading the image {image_id} back",
                )
            except (SpaceError, ToolError, ReadOnlyError):
                raise
            except OrchError as error:
                raise StoreDamagedError(
                    f"The image {image_id} in the store is damaged.", details=error.details
                ) from error

    def flush(self) -> None:
        """Write the store to the disk, so that what is recorded next is true after a power cut."""
        try:
            sync_file_system(self.path)
        except OSError as error:
            raise StorageIOError(f"{self.path} cannot be flushed: {error.strerror}.") from error

    def _ask(self, arguments: Sequence[Arg], *, what: str) -> str:
        """Return what podman says of the store; what it cannot read is damaged."""
        try:
            return self._podman(arguments, what=what)
        except (CommandError, NotFoundError) as error:
            hint = "Run sync: it removes and fetches again what a power cut has damaged."
            raise StoreDamagedError(error.summary, details=error.details, hint=hint) from error

    def _podman(
        self,
        arguments: Sequence[Arg],
        *,
        what: str,
        image: str | None = None,
        execution: Execution = PLAIN,
        timeout: float | None = QUICK_SECONDS,
    ) -> str:
        with self._enter(execution) as entered:
            _, output = self.runner.run(
                "podman",
                [f"--root={ALIAS}", f"--runroot={RUNROOT}", *arguments],
                what=what,
                image=image,
                execution=entered,
                timeout=timeout,
            )
        return output

    def _skopeo(
        self,
        arguments: Sequence[Arg],
        *,
        what: str,
        image: str | None = None,
        on_line: Callable[[str], None] | None = None,
        stall: float | None = None,
    ) -> None:
        execution = Execution(env=processors(self.share), on_line=on_line, stall=stall)
        with self._enter(execution) as entered:
            self.runner.run(
                "skopeo",
                [f"--tmpdir={self.spool}", *arguments],
                what=what,
                image=image,
                execution=entered,
            )

    @contextmanager
    def _enter(self, execution: Execution) -> Iterator[Execution]:
        """Have a program run where the store is the only one that it knows."""
        self.wait()
        # The host's own storage.conf may name this very store as an additional one.
        env = {"CONTAINERS_STORAGE_CONF": str(self._configuration), "TMPDIR": str(self.spool)}
        runroot = os.open(self._runroot, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            enter = entrance(self.path, runroot)
            yield replace(execution, env={**env, **execution.env}, enter=enter)
        finally:
            os.close(runroot)


@contextmanager
def open_store(
    path: Path, *, work: Path, runner: Runner, create: bool = False
) -> Iterator[ImageStore]:
    """Open the store at *path*; with *create*, make it where there is none.

    The caller holds the lock of the store.  What is to be written to it can be found out while
    podman makes the store and tells its version.

    Args:
        path: The store.
        work: A private directory, on a tmpfs.
        runner: Starts the programs.
        create: Whether to make a store that is missing.

    Raises:
        NotFoundError: there is no store, and *create* was not said.
        SpaceError, ReadOnlyError: something cannot be made.
    """
    if not create and not path.is_dir():
        raise NotFoundError(f"There is no store at {path}.", path=str(path), hint="Run sync first.")
    try:
        ALIAS.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="spool-", dir=state_directory(path)) as spool,
            ThreadPoolExecutor() as beside,
        ):
            store = _prepare(path, work / "store", Path(spool), runner)
            if create:
                beside.submit(lambda: store.podman_version)
                if not path.is_dir():
                    store.creation = beside.submit(
                        _create, path, work / "create", Path(spool), runner
                    )
            yield store
    except OSError as error:
        raise write_error(error, path) from error


def _prepare(path: Path, work: Path, spool: Path, runner: Runner) -> ImageStore:
    (work / "run").mkdir(mode=0o700, parents=True)
    text = STORAGE_CONF.format(graphroot=ALIAS, runroot=RUNROOT)
    (work / "storage.conf").write_text(text, encoding="utf-8")
    return ImageStore(path, work, spool, runner)


def sweep_spool(state: Path) -> None:
    """Remove what killed runs left beside the store; the caller holds its lock alone."""
    for leftover in state.glob("spool-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _create(path: Path, work: Path, spool: Path, runner: Runner) -> None:
    """Have podman make a store beside *path*, and move it into place once it is whole."""
    new = path.with_name(f"{path.name}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    new.chmod(STORE_MODE)
    made = _prepare(new, work, spool, runner)
    made.images()
    made.flush()
    new.rename(path)
    logger.info("Made the store %s.", path)
