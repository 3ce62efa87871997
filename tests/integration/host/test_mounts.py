"""A read-only sysroot becomes writable for who changes it, and for nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

# Makes ROOT/sysroot and ROOT/boot what the parameters say, then runs the program on ROOT there.
WORLD = """
for point in sysroot boot; do
    mount -t tmpfs tmpfs "$ROOT/$point"
    mount --bind "$ROOT/$point" "$ROOT/$point"
    mount -o "remount,bind,$1" "$ROOT/$point"
    shift
done
"$PYTHON" -c "$PROGRAM" "$ROOT"
for point in sysroot boot; do
    if touch "$ROOT/$point/after" 2>/dev/null; then echo "outside $point writable"
    else echo "outside $point read-only"; fi
done
"""
PROGRAM = """
import os, sys
from pathlib import Path
from bootc_orch.tools.mounts import writable_sysroot
root = Path(sys.argv[1])
before = os.readlink("/proc/thread-self/ns/mnt")
writable_sysroot(root)
for point in ("sysroot", "boot"):
    (root / point / "inside").touch()
print("same namespace" if os.readlink("/proc/thread-self/ns/mnt") == before else "own namespace")
"""


def in_a_world(root: Path, sysroot: str, boot: str, program: str = PROGRAM) -> list[str]:
    """Run *program* where the mounts below *root* have these options; return what was printed."""
    for point in ("sysroot", "boot"):
        (root / point).mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private",
         "sh", "-euc", WORLD, "sh", sysroot, boot],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": ":".join(sys.path),
             "PYTHON": sys.executable, "PROGRAM": program, "ROOT": str(root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("sysroot", "boot", "seen"),
    [
        pytest.param("ro", "ro", ("own", "read-only", "read-only"), id="both"),
        pytest.param("ro", "rw", ("own", "read-only", "writable"), id="sysroot"),
        pytest.param("rw", "ro", ("own", "writable", "read-only"), id="boot"),
        pytest.param("rw", "rw", ("same", "writable", "writable"), id="none"),
    ],
)
def test_a_read_only_sysroot_is_writable_for_the_caller_alone(tmp_path, sysroot, boot, seen):
    namespace, *outside = seen
    assert in_a_world(tmp_path, sysroot, boot) == [
        f"{namespace} namespace",
        f"outside sysroot {outside[0]}",
        f"outside boot {outside[1]}",
    ]


def test_without_privileges_a_read_only_sysroot_is_an_error_that_says_so(tmp_path):
    program = """
import os, sys
from pathlib import Path
from orch_frame.errors import ReadOnlyError
from bootc_orch.tools.mounts import writable_sysroot
os.setresuid(65534, 65534, 65534)
try:
    writable_sysroot(Path(sys.argv[1]))
except ReadOnlyError as error:
    print(error.summary, error.hint)
"""
    tmp_path.chmod(0o755)
    assert in_a_world(tmp_path, "ro", "ro", program)[0] == (
        "A private mount namespace is refused: Operation not permitted. Run the command as root."
    )


def test_a_medium_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    """An overlay without an upper layer stands for a disc: it cannot be made writable."""
    program = """
import sys
from pathlib import Path
from bootc_orch.tools.mounts import writable_sysroot
from orch_frame.errors import ReadOnlyError
try:
    writable_sysroot(Path(sys.argv[1]))
except ReadOnlyError as error:
    print(error.summary, error.path)
"""
    for name in ("lower", "other", "sysroot"):
        (tmp_path / name).mkdir()
    script = """
mount -t overlay overlay -o "lowerdir=$ROOT/lower:$ROOT/other" "$ROOT/sysroot"
"$PYTHON" -c "$PROGRAM" "$ROOT"
"""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": ":".join(sys.path),
             "PYTHON": sys.executable, "PROGRAM": program, "ROOT": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    place = tmp_path / "sysroot"
    assert done.stdout == f"{place} cannot be made writable: Read-only file system. {place}\n"
