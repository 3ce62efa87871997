"""Root runs nothing that somebody else can change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bootc_orch.tools.root_only import ForeignFileError, require_root_only

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files of two users need root")
OTHER = 1000


@pytest.fixture
def hook(tmp_path: Path) -> Path:
    """A hook in ``etc/hooks``, ``etc`` being a link to ``real``, and the hook one to ``bin/x``."""
    (tmp_path / "real/hooks").mkdir(parents=True)
    (tmp_path / "etc").symlink_to("real")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/x").touch(mode=0o755)
    hook = tmp_path / "etc/hooks/x"
    hook.symlink_to("../../bin/x")
    return hook


def owned(path: Path) -> None:
    os.chown(path, OTHER, 0, follow_symlinks=False)


def writable(mode: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(mode)


def test_what_belongs_to_root_alone_is_let_pass(hook):
    require_root_only(hook, what="hook")


@pytest.mark.parametrize(
    ("place", "spoil", "complaint"),
    [
        pytest.param("bin/x", owned, "belongs to the user 1000", id="its owner"),
        pytest.param("bin/x", writable(0o777), "(mode 0777)", id="its mode"),
        pytest.param("bin/x", writable(0o775), "(mode 0775)", id="its group"),
        pytest.param("bin", writable(0o777), "(mode 0777)", id="the directory of the target"),
        pytest.param("bin", owned, "belongs to the user 1000", id="the owner of that directory"),
        pytest.param("etc/hooks/x", owned, "belongs to the user 1000", id="the link"),
        pytest.param("real/hooks", writable(0o775), "(mode 0775)", id="its directory"),
        pytest.param("real", owned, "belongs to the user 1000", id="the directory above"),
        pytest.param("etc", owned, "belongs to the user 1000", id="a link above"),
        pytest.param(".", writable(0o757), "(mode 0757)", id="the directory above all"),
    ],
)
def test_what_somebody_else_can_change_is_refused(hook, tmp_path, place, spoil, complaint):
    spoil(tmp_path / place)
    with pytest.raises(ForeignFileError) as caught:
        require_root_only(hook, what="hook")
    assert caught.value.summary.startswith(f"The hook {hook} is not run: ")
    assert complaint in caught.value.summary
    assert caught.value.exit_code == os.EX_DATAERR


def test_others_may_make_files_of_their_own_beside_it(hook, tmp_path):
    (tmp_path / "bin").chmod(0o1777)
    require_root_only(hook, what="hook")


def test_links_that_go_round_in_circles_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ForeignFileError, match="more than 40 links"):
        require_root_only(tmp_path / "a", what="hook")
