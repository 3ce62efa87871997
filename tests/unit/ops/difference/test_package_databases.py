"""Package databases are found in the trees of two commits, read, and compared."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path

import pytest
from support.handmade import HandmadeRepo, Link

from bootc_orch.model.packages import rpm
from bootc_orch.model.packages.package import (
    Package,
    PackageChange,
    PackageDifference,
    PackageManager,
)
from bootc_orch.ops.difference import package_databases
from bootc_orch.ops.difference.package_databases import (
    ManagedPackages,
    compare_package_databases,
    find_database,
)
from bootc_orch.ops.stored.new_root import CommitTree
from orch_frame.errors import StoreDamagedError

FIXTURES = Path(__file__).parents[3] / "fixtures/packages"
STATUS = "var/lib/dpkg/status"
RPM = "usr/share/rpm/rpmdb.sqlite"
OLD_RPM = "usr/lib/sysimage/rpm/Packages"


@pytest.fixture
def made(tmp_path):
    return HandmadeRepo(tmp_path / "repo")


def at(path, data):
    """A tree with one file."""
    name, _, rest = path.partition("/")
    return {name: at(rest, data) if rest else data}


def merged(*trees):
    found = {}
    for tree in trees:
        for name, entry in tree.items():
            both = isinstance(entry, dict) and name in found
            found[name] = merged(found[name], entry) if both else entry
    return found


def status(*packages):
    """The database of dpkg with *packages*, each a name and a version."""
    lines = "Package: {}\nStatus: install ok installed\nArchitecture: all\nVersion: {}\n"
    return "\n".join(lines.format(*package.split()) for package in packages).encode()


def compare(made, old, new):
    trees = [CommitTree(made.repo, made.commit(tree)) for tree in (old, new) if tree is not None]
    found = compare_package_databases(made.repo, trees[0] if len(trees) > 1 else None, trees[-1])
    assert list((made.path / "tmp").iterdir()) == []
    return found


def test_systems_without_databases_have_nothing_to_compare(made):
    assert compare(made, {"usr": {}}, {"usr": {}}) == ()
    assert compare(made, None, {"usr": {}}) == ()


def test_packages_come_go_and_change_their_version(made):
    old = at(STATUS, status("gone 1", "newer 1.9", "older 2", "same 1"))
    new = at(STATUS, status("come 1", "newer 1.10", "older 1~rc1", "same 1"))
    newer = PackageChange(Package("newer", "all", "1.9"), Package("newer", "all", "1.10"))
    older = PackageChange(Package("older", "all", "2"), Package("older", "all", "1~rc1"))
    assert compare(made, old, new) == (
        ManagedPackages(
            PackageManager.DPKG,
            STATUS,
            STATUS,
            PackageDifference(
                added=(Package("come", "all", "1"),),
                removed=(Package("gone", "all", "1"),),
                upgraded=(newer,),
                downgraded=(older,),
            ),
        ),
    )


@pytest.mark.parametrize("side", ["old", "new", "no old tree"])
def test_where_one_side_has_no_database_all_packages_are_of_the_other(made, side):
    with_one = at(STATUS, status("one 1"))
    trees = {"old": (with_one, {}), "new": ({}, with_one), "no old tree": (None, with_one)}[side]
    [found] = compare(made, *trees)
    one = (Package("one", "all", "1"),)
    expected = PackageDifference(removed=one) if side == "old" else PackageDifference(added=one)
    assert found.difference == expected
    assert (found.old, found.new) == ((STATUS, None) if side == "old" else (None, STATUS))


def test_a_database_that_moved_is_still_compared(made):
    new = "usr/lib/sysimage/dpkg/status"
    found = compare(made, at(STATUS, status("one 1")), at(new, status("one 1", "two 1")))
    assert found == (
        ManagedPackages(
            PackageManager.DPKG,
            STATUS,
            new,
            PackageDifference(added=(Package("two", "all", "1"),)),
        ),
    )


@pytest.mark.parametrize(
    ("manager", "paths"),
    [
        (
            PackageManager.DPKG,
            [
                "usr/lib/sysimage/dpkg/status",
                "usr/share/factory/var/lib/dpkg/status",
                "var/lib/dpkg/status",
            ],
        ),
        (
            PackageManager.RPM,
            [
                "usr/share/rpm/rpmdb.sqlite",
                "usr/share/rpm/Packages.db",
                "usr/share/rpm/Packages",
                "usr/lib/sysimage/rpm/rpmdb.sqlite",
                "usr/share/factory/var/lib/rpm/rpmdb.sqlite",
                "var/lib/rpm/rpmdb.sqlite",
                "usr/lib/sysimage/rpm-ostree-base-db/rpmdb.sqlite",
            ],
        ),
        (PackageManager.APK, ["usr/lib/apk/db/installed", "lib/apk/db/installed"]),
    ],
)
def test_the_most_telling_place_comes_first(made, manager, paths):
    while paths:
        tree = CommitTree(made.repo, made.commit(merged(*(at(path, b"x") for path in paths))))
        assert find_database(tree, manager) == paths.pop(0)
    assert find_database(CommitTree(made.repo, made.commit({})), manager) is None


def test_each_package_manager_is_compared_by_its_own_order(made):
    apk = "lib/apk/db/installed"
    old = merged(at(STATUS, status("one 1")), at(apk, b"P:two\nV:1.0_p1\nA:x86_64\n"))
    new = merged(at(STATUS, status("one 1~a")), at(apk, b"P:two\nV:1.0\nA:x86_64\n"))
    first, second = compare(made, old, new)
    assert (first.manager, second.manager) == (PackageManager.DPKG, PackageManager.APK)
    assert [change.new.version for change in first.difference.downgraded] == ["1~a"]
    assert second.difference == PackageDifference(
        downgraded=(
            PackageChange(Package("two", "x86_64", "1.0_p1"), Package("two", "x86_64", "1.0")),
        )
    )


def test_one_that_is_the_same_file_is_not_read(made):
    tree = at(STATUS, b"nonsense")
    assert compare(made, tree, merged(tree, {"new": b""})) == (
        ManagedPackages(PackageManager.DPKG, STATUS, STATUS, PackageDifference()),
    )


def test_one_that_cannot_be_read_is_said_to_be_so(made):
    found = compare(made, at(STATUS, b"Package: one\n"), at(STATUS, status("one 1")))
    assert found == (
        ManagedPackages(
            PackageManager.DPKG, STATUS, STATUS, None, f"{STATUS}: one has no field Status."
        ),
    )


def test_one_that_is_too_long_or_no_file_is_said_to_be_so(made, monkeypatch):
    monkeypatch.setattr(package_databases, "DATABASE_LIMIT", 10)
    [long] = compare(made, {}, at(STATUS, status("one 1")))
    assert long.problem == f"{STATUS} in the image is longer than 10 bytes."
    [link] = compare(made, {}, at(STATUS, Link("elsewhere")))
    assert link.problem == f"{STATUS} in the image is no regular file."


def test_a_database_whose_content_is_gone_is_damage(made):
    data = status("one 1")
    new = made.commit(at(STATUS, data))
    made.object(f"{made.file(data)}.file").unlink()
    with pytest.raises(StoreDamagedError, match=f"The content of {STATUS}"):
        compare_package_databases(made.repo, None, CommitTree(made.repo, new))


@pytest.fixture
def database(tmp_path):
    """A database that rpm 4.18 made."""
    path = tmp_path / "rpmdb.sqlite"
    path.write_bytes(gzip.decompress((FIXTURES / "rpmdb.sqlite.gz").read_bytes()))
    return path


def test_a_database_of_rpm_is_read_from_a_copy(made, database):
    [found] = compare(made, {}, at(RPM, database.read_bytes()))
    assert (found.manager, found.old, found.new) == (PackageManager.RPM, None, RPM)
    assert len(found.difference.added) == len(rpm_packages(database)) > 1
    assert found.difference.added == tuple(sorted(rpm_packages(database)))


def rpm_packages(database):
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT blob FROM Packages").fetchall()
    return [rpm.parse_header(blob, source="x") for (blob,) in rows]


def test_what_was_written_last_may_be_in_the_log_beside_the_database(made, database):
    """The database itself is the same in both trees."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base = database.read_bytes()
    [(last,)] = connection.execute("SELECT max(hnum) FROM Packages").fetchall()
    [(blob,)] = connection.execute("SELECT blob FROM Packages WHERE hnum = ?", [last]).fetchall()
    connection.execute("DELETE FROM Packages WHERE hnum = ?", [last])
    connection.commit()
    log = database.with_name("rpmdb.sqlite-wal").read_bytes()
    connection.close()
    old = at(RPM, base)
    [found] = compare(made, old, merged(old, at(f"{RPM}-wal", log)))
    assert found.difference == PackageDifference(removed=(rpm.parse_header(blob, source="x"),))


def test_an_older_database_of_rpm_is_listed_by_rpm(made, programs):
    """Run for real in test_rpm_itself_takes_the_command_line_and_the_format."""
    programs.register(
        ["rpm", "--dbpath", programs.any(min=1, max=1), "-qa", "--queryformat", rpm.LISTING_FORMAT],
        stdout="bash\t\t5.2\t1\tx86_64\n",
    )
    [found] = compare(made, {}, at(OLD_RPM, b"a database"))
    assert found == ManagedPackages(
        PackageManager.RPM,
        None,
        OLD_RPM,
        PackageDifference(added=(Package("bash", "x86_64", "5.2-1"),)),
    )


def test_an_older_database_in_which_rpm_sees_nothing_is_not_called_empty(made, programs):
    programs.register(["rpm", programs.any()], stdout="")
    [found] = compare(made, {}, at(OLD_RPM, b"a database"))
    assert found.problem == (
        f"rpm lists no package in {OLD_RPM}; it may have been built without this format."
    )


def test_an_older_database_that_rpm_refuses_is_said_to_be_so(made, programs):
    programs.register(["rpm", programs.any()], stderr="error: no", returncode=1)
    [found] = compare(made, {}, at(OLD_RPM, b"a database"))
    assert found.difference is None
    assert found.problem == "rpm exited with status 1."
