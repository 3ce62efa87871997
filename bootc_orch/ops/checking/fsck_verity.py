"""Check that every object has fs-verity, where the repository's configuration demands it.

Source: ostree's ``[ex-integrity] fsverity``: ``yes``, ``no`` or ``maybe``.
"""

from __future__ import annotations

from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigParserError

from bootc_orch.ops.checking.finding import Finding, Remedy, Severity
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.ostree.verity import has_verity

DEMANDED = ("yes", "true", "1")
SHOWN = 10


def check_verity(repo: Repo) -> Iterator[Finding]:
    """Find objects without fs-verity; nothing where it is not demanded."""
    if not _is_demanded(repo):
        return
    missing = []
    for name, _ in repo.stored():
        if not name.endswith(".file"):
            continue
        path = repo.object_path(name[:64], "file")
        if path.is_symlink():
            continue
        found = has_verity(path)
        if found is None:
            yield Finding(
                "no-verity",
                str(repo.path),
                "The repository demands fs-verity, which its filesystem does not have.",
                Remedy.VERITY,
                Severity.WARNING,
            )
            return
        if not found:
            missing.append(name)
    for name in missing[:SHOWN]:
        yield Finding(
            "missing-verity",
            name,
            f"Object {name} has no fs-verity ({len(missing)} in all).",
            Remedy.VERITY,
        )


def _is_demanded(repo: Repo) -> bool:
    config = ConfigParser(interpolation=None, strict=False)
    try:
        config.read_string((repo.path / "config").read_text())
    except (ConfigParserError, OSError, UnicodeDecodeError):
        return False
    return config.get("ex-integrity", "fsverity", fallback="no").lower() in DEMANDED
