"""Give the files of a store the SELinux labels that the root's policy wants.

The policy knows no store but ``/var/lib/containers/storage``, so files are labelled as if they were
there.  The first time every label is set right: where SELinux is on, files have got that of the
directory in which the store was made.  From then on new files inherit the right one, and once is
enough; where SELinux is off, as on most build machines, nothing inherits, and every sync labels
what has no label yet.
Source: selabel_open(3), selabel_lookup(3); selinux(8) for ``/etc/selinux/config``.
"""

from __future__ import annotations

import ctypes
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bound_images.files import write_error
from bound_images.rootfs import Root
from bound_images.units.specifiers import parse_os_release
from orch_frame.errors import OrchError, StorageIOError
from orch_frame.file_contexts import MAX_BYTES, Budget, check_rules, is_text

logger = logging.getLogger(__name__)

CONFIGURATION = PurePosixPath("/etc/selinux/config")
AS_IF = "/var/lib/containers/storage"
ATTRIBUTE = "security.selinux"
# bootc's own mark, so that neither of us labels again what the other has labelled.
STAMP = ".bootc_labeled"
_ENFORCE = Path("/sys/fs/selinux/enforce")
_FILE_BACKEND = 0
_OPTION_PATH = 3


class _Option(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("value", ctypes.c_char_p))


def label_store(store: Path, root: Root | None) -> None:
    """Label what has to be labelled; nothing where *root* has no policy.

    Raises:
        StorageIOError: the policy cannot be read.
        SpaceError, ReadOnlyError: a label cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="bound-images-policy-") as directory:
        contexts = _file_contexts(root, Path(directory)) if root is not None else None
        if contexts is not None:
            _label_by(contexts, store)


def _label_by(contexts: Path, store: Path) -> None:
    stamp = store / STAMP
    labelled = os.path.lexists(stamp)
    if labelled and _ENFORCE.exists():
        return
    try:
        with _lookup(contexts) as look_up:

            def label(path: Path, mode: int) -> None:
                wanted = look_up(f"{AS_IF}{str(path)[len(str(store)) :]}", mode)
                if wanted is not None:
                    _label(path, wanted, replace=not labelled)

            for path, mode in _walk(store):
                label(path, mode)
            if not labelled:
                os.close(os.open(stamp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            label(stamp, stamp.lstat().st_mode)
    except OSError as error:
        raise write_error(error, store) from error


def _file_contexts(root: Root, directory: Path) -> Path | None:
    """Copy what maps paths to labels in the root's policy to *directory*, if SELinux is not off.

    Compiled files stay behind: libselinux would trust them, and the text says the same.

    Returns:
        The file; None where there is none.

    Raises:
        InvalidImageError: one is compiled although it is not called so.
        LimitError: the policy has more, or more costly, rules than any real one.
    """
    try:
        settings = parse_os_release(root.read_text(CONFIGURATION))
        if settings.get("SELINUX", "disabled") == "disabled":
            return None
        kind = settings.get("SELINUXTYPE", "targeted")
        place = PurePosixPath("/etc/selinux", kind, "contexts/files")
        files = {
            name: root.read_bytes(place / name, limit=MAX_BYTES)
            for name in filter(is_text, root.names(place))
        }
    except OrchError:
        return None
    for name, data in files.items():
        check_rules(name, data, policy=kind)
        (directory / name).write_bytes(data)
        os.utime(directory / name, (0, 0))
    return directory / "file_contexts" if "file_contexts" in files else None


def _walk(store: Path) -> Iterator[tuple[Path, int]]:
    yield store, store.lstat().st_mode
    for directory, directories, files in os.walk(store):
        for name in (*directories, *files):
            path = Path(directory) / name
            yield path, path.lstat().st_mode


def _label(path: Path, label: bytes, *, replace: bool) -> None:
    try:
        present = os.getxattr(path, ATTRIBUTE, follow_symlinks=False).rstrip(b"\0")
    except OSError:
        present = b""
    if present != label and (replace or not present):
        os.setxattr(path, ATTRIBUTE, label + b"\0", follow_symlinks=False)


class _LookUp:
    """Asks libselinux for the label of a path; None where the policy has none."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library = library
        self._handle = handle
        self._budget = Budget("of the root")

    def __call__(self, path: str, mode: int) -> bytes | None:
        found = ctypes.c_char_p()
        started = time.perf_counter()
        status = self._library.selabel_lookup_raw(
            self._handle, ctypes.byref(found), os.fsencode(path), stat.S_IFMT(mode)
        )
        self._budget.charge(started)
        if status != 0 or found.value is None:
            return None
        label = found.value
        self._library.freecon(found)
        return label


@contextmanager
def _lookup(contexts: Path) -> Iterator[_LookUp]:
    try:
        library = ctypes.CDLL("libselinux.so.1", use_errno=True)
    except OSError as error:
        raise StorageIOError(
            "The store has to be labelled for SELinux, and libselinux is not installed.",
            hint="Install libselinux.",
        ) from error
    library.selabel_open.restype = ctypes.c_void_p
    library.selabel_lookup_raw.argtypes = (
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int,
    )  # fmt: skip
    library.selabel_close.argtypes = (ctypes.c_void_p,)
    options = (_Option * 1)(_Option(_OPTION_PATH, os.fsencode(contexts)))
    handle = library.selabel_open(_FILE_BACKEND, options, 1)
    if not handle:
        raise StorageIOError(
            f"The SELinux policy {contexts} cannot be read: {os.strerror(ctypes.get_errno())}."
        )
    try:
        yield _LookUp(library, handle)
    finally:
        library.selabel_close(handle)
