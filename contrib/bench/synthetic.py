"""Large images made for measuring: one in ostree layers, one in a single plain layer.

Each stands in a layout of its own, under the tag ``base``; under ``app`` stands the same image with
two small layers more, for an update.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from content import File, Pool, plan_files
from encapsulate import (
    build_tree,
    content_checksum,
    write_commit_layer,
    write_content,
    write_repository,
)
from layout import Layer, Layout
from tarstream import TarStream

WORKERS = 2
APP_FILES = 20
APP_FILE_BYTES = 8192
LABELS = {"containers.bootc": "1", "ostree.bootable": "true"}


@dataclass(frozen=True, slots=True)
class Synthetic:
    """What a synthetic image consists of.

    Attributes:
        kind: ``chunked`` (ostree layers) or ``plain`` (one layer, no ostree).
        files: Number of regular files.
        layers: Number of layers, the commit layer included; 1 for ``plain``.
        megabytes: Size of all files together, in units of 10^6 bytes.
    """

    kind: str
    files: int
    layers: int
    megabytes: int

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read ``chunked-FILES-LAYERS-MEGABYTES`` or ``plain-FILES-MEGABYTES``.

        Raises:
            ValueError: *name* has another form.
        """
        if match := re.fullmatch(r"chunked-(\d+)-([1-9]\d*)-(\d+)", name):
            return cls("chunked", int(match[1]), int(match[2]), int(match[3]))
        if match := re.fullmatch(r"plain-(\d+)-(\d+)", name):
            return cls("plain", int(match[1]), 1, int(match[2]))
        raise ValueError(f"{name!r} is neither chunked-FILES-LAYERS-MB nor plain-FILES-MB")

    @property
    def name(self) -> str:
        """The name that `parse` reads."""
        layers = (self.layers,) if self.kind == "chunked" else ()
        return "-".join(map(str, (self.kind, self.files, *layers, self.megabytes)))


def ensure(directory: Path, image: Synthetic) -> Path:
    """Return the layout of *image* below *directory*; write it unless it is there."""
    path = directory / image.name
    if not (path / "index.json").exists():
        write(Layout(path), image)
    return path


def write(layout: Layout, image: Synthetic) -> None:
    """Write the tags ``base`` and ``app`` of *image*."""
    pool = Pool()
    files = plan_files(image.files, image.megabytes * 10**6)
    if image.kind == "plain":
        layers, labels = [layout.layer("plain", lambda tar: _write_plain(tar, files, pool))], LABELS
    else:
        layers, labels = _write_chunked(layout, files, pool, image.layers)
    layout.image("base", layers, labels)
    layout.image("app", [*layers, *_write_app(layout, files)], labels)


def split(files: Sequence[File], parts: int) -> list[Sequence[File]]:
    """Cut *files* into *parts* runs of about the same number of bytes."""
    runs: list[list[File]] = [[] for _ in range(parts)]
    total = sum(file.size for file in files)
    done = 0
    for file in files:
        runs[min(done * parts // max(total, 1), parts - 1)].append(file)
        done += file.size
    return [run for run in runs if run]


def _write_chunked(
    layout: Layout, files: Sequence[File], pool: Pool, count: int
) -> tuple[list[Layer], dict[str, str]]:
    named = [(file, content_checksum(file.mode, pool.content(file))) for file in files]
    checksums = dict(named)
    commit: list[str] = []

    def write_commit(tar: TarStream) -> None:
        commit.append(write_commit_layer(tar, build_tree(named)))
        if count == 1:
            write_content(tar, named, pool)

    def write_chunk(chunk: Iterable[File]) -> Layer:
        def fill(tar: TarStream) -> None:
            write_repository(tar)
            write_content(tar, ((file, checksums[file]) for file in chunk), pool)

        first = next(iter(chunk)).path.split("/")[3]
        return layout.layer(first, fill)

    layers = [layout.layer("commit", write_commit)]
    if count > 1:
        with ThreadPoolExecutor(WORKERS) as executor:
            layers += executor.map(write_chunk, split(files, count - 1))
    final = {"ostree.commit": commit[0], "ostree.final-diffid": layers[-1].diff_id}
    return layers, {**LABELS, **final}


def _write_plain(tar: TarStream, files: Sequence[File], pool: Pool) -> None:
    known = {""}
    for file in files:
        parts = file.path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            directory = "/".join(parts[:depth])
            if directory not in known:
                known.add(directory)
                tar.directory(f"{directory}/")
        tar.file(file.path, pool.content(file), file.mode)


def _write_app(layout: Layout, files: Sequence[File]) -> list[Layer]:
    """Write two small layers: new files, one replaced, one deleted."""

    def fill_program(tar: TarStream) -> None:
        for path in ("usr/", "usr/share/", "usr/share/app/"):
            tar.directory(path)
        for number in range(APP_FILES):
            data = f"{number}\n".encode() * (APP_FILE_BYTES // 2)
            tar.file(f"usr/share/app/part-{number:02}", data[:APP_FILE_BYTES])
        directory, name = files[0].path.rsplit("/", 1)
        tar.file(f"{directory}/.wh.{name}", b"")

    def fill_settings(tar: TarStream) -> None:
        for path in ("etc/", "etc/app/"):
            tar.directory(path)
        tar.file("etc/app/app.conf", b"[app]\nenabled = yes\n")
        tar.file(files[-1].path, b"replaced by the app\n", files[-1].mode)

    return [layout.layer("program", fill_program), layout.layer("settings", fill_settings)]
