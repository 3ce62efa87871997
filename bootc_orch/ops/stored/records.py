"""What this program knows by itself, in files that no image and no other repository writes.

They lie in ``extensions/bootc-orch`` of the repository, which ostree leaves to others, a file a
fact.  Each has a line of fields and the digest of that line; what does not fit is no record, so
damage costs the work of finding out again, and never a refusal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bootc_orch.tools.ostree.files import write_atomically

PLACE = Path("extensions/bootc-orch")
MAX_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one subject in a repository.

    Attributes:
        repo: The directory of the repository, which may be a staging one.
        subject: Their directory's name.
    """

    repo: Path
    subject: str

    @property
    def directory(self) -> Path:
        """Where they are; it need not exist."""
        return self.repo / PLACE / self.subject

    def path(self, key: str) -> Path:
        """Return where the record *key* is; *key* is a file name."""
        return self.directory / key

    def read(self, key: str) -> tuple[str, ...] | None:
        """Return the fields of the record *key*, or None if there is none that is whole."""
        try:
            descriptor = os.open(self.path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return parse_record(os.read(descriptor, MAX_BYTES + 1))
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def keys(self) -> Iterator[str]:
        """Yield the key of every record, whole or not, sorted."""
        try:
            yield from sorted(path.name for path in self.directory.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return

    def write(self, key: str, fields: Sequence[str]) -> None:
        """Record *fields*, none of which has a space, under *key*; atomic, not flushed.

        Whoever publishes flushes the file system before a ref relies on it; a record that a power
        cut spoils is none.
        """
        if self.read(key) == tuple(fields):
            return
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomically(self.path(key), render_record(fields), self.repo / "tmp", flush=False)

    def remove(self, key: str) -> None:
        """Forget the record *key*, if there is one."""
        self.path(key).unlink(missing_ok=True)


def render_record(fields: Sequence[str]) -> bytes:
    """Write *fields* as a record."""
    line = " ".join(fields).encode()
    return line + b"\n" + sha256(line).hexdigest().encode() + b"\n"


def parse_record(data: bytes) -> tuple[str, ...] | None:
    """Return the fields of a record, or None where it is not whole."""
    line, _, seal = data.partition(b"\n")
    if len(data) > MAX_BYTES or seal != sha256(line).hexdigest().encode() + b"\n":
        return None
    return tuple(line.decode(errors="backslashreplace").split(" "))
