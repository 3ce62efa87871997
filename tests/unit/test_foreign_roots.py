"""What is below a root, a sysroot or a deployment is reached in one way, which stays below it.

A path that is joined to one of these may be named, compared, mounted and handed to a program; to
read, list, write or look at it is for `orch_frame.below.Below`, or for `Root` of bound-images.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The rooms that have to do with foreign roots.
ROOMS = (
    "bootc_orch/ops/installing", "bootc_orch/ops/host", "bootc_orch/ops/checking",
    "bootc_orch/ops/deploying", "bootc_orch/ops/stored", "bootc_orch/tools/ostree/sysroot.py",
    "bootc_orch/tools/ostree/admin.py", "bootc_orch/tools/bootloaders",
    "bootc_orch/tools/filesystem.py", "bound-images/bound_images/units",
    "bound-images/bound_images/lint", "bound-images/bound_images/where.py",
    "bound-images/bound_images/sources",
)  # fmt: skip
# What holds the path of a root: a parameter of that name, or an attribute of such an object.
PARAMETERS = frozenset({"root", "boot", "esp", "deployment", "sysroot", "state"})
OWNERS = frozenset({"deployment", "deployed", "sysroot", "request", "plan", "root", "replaced"})
ATTRIBUTES = frozenset({"path", "root", "origin_path"})
METHODS = {
    "read_text", "read_bytes", "write_text", "write_bytes", "open", "touch", "unlink", "rename",
    "replace", "mkdir", "rmdir", "chmod", "symlink_to", "hardlink_to", "iterdir", "glob", "rglob",
    "walk", "exists", "is_file", "is_dir", "stat", "readlink",
}  # fmt: skip
FUNCTIONS = {
    "open", "listdir", "scandir", "walk", "stat", "readlink", "mkdir", "makedirs", "remove",
    "unlink", "rename", "replace", "link", "symlink", "chmod", "chown", "truncate", "listxattr",
    "getxattr", "setxattr", "removexattr", "rmtree", "copy", "copyfile", "copytree", "move",
}  # fmt: skip


class Function:
    """Finds, in one function, accesses to paths that are joined to a root."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self._node = node
        named = (*node.args.args, *node.args.kwonlyargs)
        self._roots = {a.arg for a in named if a.arg in PARAMETERS and _is_path(a.annotation)}
        self._joined: set[str] = set()
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and self._is_joined(inner.value):
                self._joined |= {t.id for t in inner.targets if isinstance(t, ast.Name)}

    def accesses(self) -> Iterator[ast.Call]:
        for inner in ast.walk(self._node):
            if isinstance(inner, ast.Call) and self._touches(inner):
                yield inner

    def _touches(self, call: ast.Call) -> bool:
        match call.func:
            case ast.Attribute(value=value, attr=attr) if self._is_joined(value):
                return attr in METHODS
            case ast.Attribute(value=value, attr="iterdir" | "glob" | "rglob"):
                return self._is_root(value)
            case ast.Attribute(value=ast.Name(id="os" | "shutil"), attr=attr) | ast.Name(id=attr):
                return attr in FUNCTIONS and any(map(self._is_joined, call.args))
        return False

    def _is_root(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self._roots
            case ast.Attribute(value=ast.Name(id=owner), attr=attr):
                return owner in OWNERS and attr in ATTRIBUTES
        return False

    def _is_joined(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self._joined
            case ast.BinOp(left=left, op=ast.Div()):
                return self._is_root(left) or self._is_joined(left)
            case ast.Call(func=ast.Attribute(value=value, attr="joinpath")):
                return self._is_root(value) or self._is_joined(value)
            case ast.Call(func=ast.Name(id="sorted" | "list"), args=[argument]):
                return self._is_joined(argument)
        return False


def _is_path(annotation: ast.expr | None) -> bool:
    return annotation is not None and "Path" in ast.unparse(annotation)


def accesses(text: str) -> list[str]:
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    return [f"{c.lineno}: {ast.unparse(c)}" for f in functions for c in Function(f).accesses()]


def modules() -> list[Path]:
    found = [ROOT / room for room in ROOMS]
    return [path for room in found for path in ([room] if room.is_file() else room.rglob("*.py"))]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_below_a_root_is_touched_but_through_the_way_that_stays_there(path):
    assert accesses(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        'def f(root: Path):\n (root / "x").read_text()',
        'def f(request):\n path = request.root / "a" / "b"\n if path.exists(): pass',
        'def f(deployed):\n fstab = deployed.path / "etc/fstab"\n fstab.write_text("")',
        'def f(deployment: Deployment):\n open(deployment.path / "x")',
        'def f(sysroot: Sysroot):\n os.scandir(sysroot.path / "x")',
        'def f(sysroot: Path):\n for x in sorted(sysroot.glob("*")): pass',
        'def f(state: Path):\n shutil.rmtree(state / "x")',
        'def f(root: Path):\n root.joinpath("x").unlink()',
    ],
)
def test_an_access_around_it_would_be_seen(text):
    assert accesses(text) != []


@pytest.mark.parametrize(
    "text",
    [
        'def f(repo: Repo):\n (repo.path / "config").read_text()',
        'def f(root: Path):\n is_mount_point(root / "boot")',
        'def f(root: Path):\n return root / "boot"',
        'def f(root: Path):\n Below(root).read("x")',
        "def f(path: Path):\n path.read_text()",
    ],
)
def test_names_and_other_files_are_let_pass(text):
    assert accesses(text) == []
