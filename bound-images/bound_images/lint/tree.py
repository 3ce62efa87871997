"""Rules about the files of the root: what stops podman's generator, and what hides what."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath

from bound_images.errors import DefinitionError
from bound_images.lint.findings import Finding
from bound_images.rootfs import Root
from bound_images.units.library import SUFFIXES, Library
from bound_images.units.unitfile import BYTE_ORDER_MARK, parse
from bound_images.where import STORE_LINK
from orch_frame.errors import OrchError

STORAGE_CONFIGURATIONS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")


def findings_in_tree(library: Library) -> Iterator[Finding]:
    """Yield what is wrong with any quadlet of the root, bound or not.

    One file that cannot be loaded makes the generator drop all units of its directory.
    """
    for directory in library.directories:
        for name in library.root.names(directory):
            if PurePosixPath(name).suffix in SUFFIXES:
                yield from _findings_in_file(library.root, directory / name)


def findings_about_store(library: Library) -> Iterator[Finding]:
    """Yield what is wrong with how the root reaches the store of bound images."""
    link = library.root.resolve(STORE_LINK)
    if not link.exists and len(link.chain) == 1:
        yield Finding(
            "no-store-link",
            "Make it a link to ../../../sysroot/ostree/bootc/storage.",
            str(STORE_LINK),
        )
    if path := store_for_all(library.root):
        yield Finding("store-for-all", f"{path} names {STORE_LINK} as a store for all.", path)


def shadow(library: Library, path: PurePosixPath) -> Iterator[Finding]:
    """Yield a finding where the unit at *path* is bound, and another of its name is run."""
    winner = library.paths.get(path.name)
    if winner is not None and winner != path and path.parent in library.directories:
        yield Finding(
            "shadowed",
            f"{winner} is run instead, and may name another image.",
            str(path),
        )


def store_for_all(root: Root) -> str | None:
    """Return the ``storage.conf`` that names the store of bound images, if one does."""
    for path in STORAGE_CONFIGURATIONS:
        try:
            options = tomllib.loads(root.read_text(path)).get("storage", {}).get("options", {})
        except (OrchError, tomllib.TOMLDecodeError, AttributeError):
            continue
        stores = options.get("additionalimagestores") if isinstance(options, dict) else None
        return path if isinstance(stores, list) and str(STORE_LINK) in stores else None
    return None


def _findings_in_file(root: Root, path: PurePosixPath) -> Iterator[Finding]:
    try:
        resolved = root.resolve(path)
        if not resolved.exists:
            yield Finding("dangling-link", f"It leads to {resolved.path}.", str(path))
            return
        text = root.read_text(path)
        if text.startswith(BYTE_ORDER_MARK):
            yield Finding("byte-order-mark", "Save the file without one.", str(path), 1)
            return
        parse(text, source=str(path))
    except DefinitionError as error:
        yield Finding("unreadable-file", error.summary, str(path), _line_of(error.summary))
    except OrchError as error:
        yield Finding("unreadable-file", error.summary, str(path))


def _line_of(message: str) -> int:
    """Return the number that the parser puts behind the file's name."""
    number = message.partition(": ")[0].rpartition(":")[2]
    return int(number) if number.isdigit() else 0
