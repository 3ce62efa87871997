"""Package databases, the orders of versions, and what differs between two sets of packages."""

from __future__ import annotations

import itertools
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from bootc_orch.model.packages import apk, dpkg, rpm
from bootc_orch.model.packages.package import (
    PACKAGES_MAX,
    TEXT_MAX,
    Package,
    PackageChange,
    PackageDifference,
    bounded,
)
from orch_frame.errors import InvalidImageError, LimitError

ORDERS = {
    "dpkg": dpkg.compare_versions,
    "rpm": rpm.compare_versions,
    "apk": apk.compare_versions,
}
STATUS = """\
Package: bash
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 5.2.37-2+b5
Conffiles:
 /etc/skel/.bashrc 1f98b8f3f3c8f8927eca945d59dcc1c6
Description: GNU Bourne Again SHell
 Bash is an sh-compatible command language interpreter.
 .
 Version: 1

Package: gone
Status: deinstall ok config-files
Version: 1

Package: held
Status: hold ok half-configured
Architecture: all
Version: 1:2~rc1
"""
INSTALLED = """\
C:Q1abc=
P:musl
V:1.2.5-r9
A:x86_64
T:the musl c library
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1def=

P:busybox
V:1.37.0-r12
A:x86_64

"""


def lines(text):
    """The lines of *text* as a file has them."""
    return text.splitlines(keepends=True)


def test_what_dpkg_has_installed_is_read_with_what_is_half_so():
    assert [*dpkg.parse_status(lines(STATUS), source="status")] == [
        Package("bash", "amd64", "5.2.37-2+b5"),
        Package("held", "all", "1:2~rc1"),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("Package: a\nVersion: 1\n", "a has no field Status", id="no-state"),
        pytest.param("Package: a\nStatus: x\nVersion: 1\n", "not the state", id="bad-state"),
        pytest.param("Package: a\nStatus: install ok installed\n", "Version", id="no-version"),
        pytest.param("Status: install ok installed\nVersion: 1\n", "without a name", id="no-name"),
        pytest.param("\x00\xff rubbish", "has no field Status", id="rubbish"),
    ],
)
def test_a_status_of_dpkg_that_lacks_something_is_refused(text, complaint):
    with pytest.raises(InvalidImageError, match=complaint):
        tuple(dpkg.parse_status(lines(text), source="status"))


def test_what_apk_has_installed_is_read_without_its_files():
    assert [*apk.parse_installed(lines(INSTALLED), source="installed")] == [
        Package("musl", "x86_64", "1.2.5-r9"),
        Package("busybox", "x86_64", "1.37.0-r12"),
    ]
    assert [*apk.parse_installed((), source="installed")] == []
    with pytest.raises(InvalidImageError, match="musl has no name or no version"):
        tuple(apk.parse_installed(lines("P:musl\nA:x86_64\n"), source="installed"))


def header(entries: dict[int, bytes]) -> bytes:
    """An rpm header of strings."""
    index, data = b"", b""
    for tag, text in entries.items():
        index += struct.pack(">IIII", tag, 6, len(data), 1)
        data += text + b"\0"
    return struct.pack(">II", len(entries), len(data)) + index + data


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"", id="empty"),
        pytest.param(header({1000: b"a", 1001: b"1", 1002: b"1"})[:-1], id="cut-off"),
        pytest.param(header({1000: b"a", 1001: b"1"}), id="no-release"),
        pytest.param(struct.pack(">II", 1 << 31, 0), id="huge-count"),
        pytest.param(struct.pack(">II", 65536, 0) + bytes(16 * 65536), id="more-tags-than-of-rpm"),
        pytest.param(header({1000: b"a" * 256, 1001: b"1", 1002: b"1"}), id="long-name"),
        pytest.param(
            struct.pack(">II", 1, 1) + struct.pack(">IIII", 1000, 6, 9, 1) + b"a", id="offset"
        ),
    ],
)
def test_a_malformed_header_of_rpm_is_refused(blob):
    with pytest.raises(InvalidImageError):
        rpm.parse_header(blob, source="rpmdb.sqlite")


def test_no_bytes_make_the_parser_of_headers_fail_otherwise():
    good = header({1000: b"name", 1001: b"1", 1002: b"2", 1022: b"noarch"})
    chance = random.Random(7)
    for _ in range(2000):
        blob = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            blob[chance.randrange(len(blob))] = chance.randrange(256)
        try:
            rpm.parse_header(bytes(blob), source="x")
        except InvalidImageError:
            continue


def test_what_rpm_lists_is_read():
    text = "tool\t2\t1.0\t3\tnoarch\ngpg-pubkey\t\tabc\tdef\t\n"
    assert [*rpm.parse_listing(text, source="Packages")] == [
        Package("tool", "noarch", "2:1.0-3"),
        Package("gpg-pubkey", "", "abc-def"),
    ]
    with pytest.raises(InvalidImageError, match="rpm lists"):
        tuple(rpm.parse_listing("warning: something\n", source="Packages"))


def test_no_more_packages_are_kept_than_any_system_has():
    package = Package("a", "", "1")
    kept = bounded(itertools.repeat(package, PACKAGES_MAX), source="status")
    assert len(kept) == PACKAGES_MAX
    with pytest.raises(LimitError, match="status has more than 65536 packages"):
        bounded(itertools.repeat(package), source="status")


@pytest.mark.parametrize("field", ["name", "architecture", "version"])
def test_no_longer_names_and_versions_are_kept_than_files_can_have(field):
    fields = {"name": "a", "architecture": "b", "version": "1"}
    longest = Package(**{**fields, field: "x" * TEXT_MAX})
    assert bounded([longest], source="status") == (longest,)
    with pytest.raises(LimitError, match="256 characters"):
        bounded([Package(**{**fields, field: "x" * (TEXT_MAX + 1)})], source="status")


@pytest.mark.parametrize(
    ("kind", "ordered"),
    [
        pytest.param("dpkg", "1.0~rc1 1.0 1.0-1~bpo1 1.0-1 1.0-1+b1 1.0+a 1.0.1 1.9 1.10 1:0.1",
                     id="dpkg"),
        pytest.param("rpm", "1.0~rc1-1 1.0-1 1.0^git1-1 1.0a-1 1.0.1-1 1.9-1 1.10-1 1.10-2 1:0-1",
                     id="rpm"),
        pytest.param("apk", "1.0_alpha 1.0_alpha2 1.0_rc1 1.0 1.0-r0 1.0-r1 1.0_p1 1.0a 1.01 1.1 "
                     "1.1.1 1.2 1.10 2.0", id="apk"),
    ],
)  # fmt: skip
def test_versions_have_the_order_of_their_package_manager(kind, ordered):
    versions = ordered.split()
    compare = ORDERS[kind]
    for (i, one), (j, other) in itertools.product(enumerate(versions), repeat=2):
        assert compare(one, other) == (i > j) - (i < j), (one, other)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        pytest.param("dpkg", "1.0", "0:1.0-0", id="dpkg-epoch-and-revision"),
        pytest.param("dpkg", "1.007", "1.7", id="dpkg-zeros"),
        pytest.param("rpm", "1.0-1", "0:1_0-01", id="rpm-separators"),
        pytest.param("dpkg", "9" * 5000, "9" * 5000, id="very-long"),
    ],
)
def test_versions_that_are_written_differently_may_be_equal(kind, one, other):
    assert ORDERS[kind](one, other) == ORDERS[kind](other, one) == 0


def random_version(chance: random.Random, alphabet: str) -> str:
    epoch = chance.choice(["", "", "0:", "1:"])
    revision = chance.choice(["", "-0", "-1", "-1~a", "-0a"])
    rest = "".join(chance.choice(alphabet) for _ in range(chance.randint(0, 5)))
    return f"{epoch}{chance.choice('0123')}{rest}{revision}"


@pytest.mark.parametrize("kind", ORDERS)
def test_an_order_is_an_order(kind):
    """Antisymmetric and transitive, whatever the versions."""
    chance = random.Random(3)
    versions = [random_version(chance, "0019aZ~^.+_") for _ in range(40)]
    compare = ORDERS[kind]
    for one, two, three in itertools.product(versions, repeat=3):
        assert compare(one, two) == -compare(two, one)
        if compare(one, two) <= 0 and compare(two, three) <= 0:
            assert compare(one, three) <= 0, (one, two, three)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
def test_dpkg_orders_versions_alike():
    chance = random.Random(5)
    for _ in range(200):
        one, other = (random_version(chance, "0019aZ~.+") for _ in range(2))
        result = {-1: "lt", 0: "eq", 1: "gt"}[dpkg.compare_versions(one, other)]
        done = subprocess.run(["dpkg", "--compare-versions", one, result, other], check=False)
        assert done.returncode == 0, (one, result, other)


@pytest.mark.skipif(not Path("/var/lib/dpkg/status").exists(), reason="needs a Debian system")
def test_dpkg_lists_the_same_packages_of_this_system():
    form = "${Package}\t${Architecture}\t${Version}\t${db:Status-Status}\n"
    listed = subprocess.check_output(["dpkg-query", "-W", "-f", form], text=True).splitlines()
    wanted = {
        Package(*line.split("\t")[:3])
        for line in listed
        if line.split("\t")[3] not in ("not-installed", "config-files")
    }
    text = Path("/var/lib/dpkg/status").read_text()
    assert set(dpkg.parse_status(lines(text), source="status")) == wanted


def test_packages_are_added_removed_upgraded_and_downgraded():
    old = [Package("a", "x", "1"), Package("b", "x", "2"), Package("c", "x", "1"),
           Package("same", "x", "1")]  # fmt: skip
    new = [Package("a", "x", "2"), Package("b", "x", "1"), Package("d", "x", "1"),
           Package("same", "x", "1")]  # fmt: skip
    assert PackageDifference.between(old, new, dpkg.compare_versions) == PackageDifference(
        added=(Package("d", "x", "1"),),
        removed=(Package("c", "x", "1"),),
        upgraded=(PackageChange(Package("a", "x", "1"), Package("a", "x", "2")),),
        downgraded=(PackageChange(Package("b", "x", "2"), Package("b", "x", "1")),),
    )


def test_a_package_that_changes_its_architecture_is_still_the_same():
    old, new = Package("a", "all", "1"), Package("a", "amd64", "2")
    found = PackageDifference.between([old], [new], dpkg.compare_versions)
    assert found == PackageDifference(upgraded=(PackageChange(old, new),))


def test_architectures_of_one_package_are_compared_each_with_its_own():
    old = [Package("libc6", arch, "1") for arch in ("amd64", "i386")]
    new = [Package("libc6", arch, "2") for arch in ("amd64", "i386")]
    found = PackageDifference.between(old, new, dpkg.compare_versions)
    assert found == PackageDifference(upgraded=tuple(map(PackageChange, old, new)))


def test_of_a_package_with_several_versions_these_come_and_go():
    one, two, three = (Package("kernel", "x", f"6.{n}-1") for n in range(3))
    found = PackageDifference.between([one, two], [two, three], rpm.compare_versions)
    assert found == PackageDifference(upgraded=(PackageChange(one, three),))
    found = PackageDifference.between([one], [two, three], rpm.compare_versions)
    assert found == PackageDifference(added=(two, three), removed=(one,))
