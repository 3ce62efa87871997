"""Databases of rpm: of SQLite, read here, and of older formats, which rpm lists."""

from __future__ import annotations

import gzip
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from support.rpm_bombs import BOMBS, PLAIN, database

from bootc_orch.model.packages import rpm
from bootc_orch.model.packages.package import Package
from bootc_orch.tools.rpm import LISTING_BYTES_MAX, list_packages
from bootc_orch.tools.rpm_sqlite import read_headers
from orch_frame.errors import InvalidImageError, LimitError, OrchError, ToolMissingError

FIXTURES = Path(__file__).parents[2] / "fixtures/packages"


@pytest.fixture
def stored(tmp_path):
    """Write bytes of a database, and return where."""

    def store(data):
        path = tmp_path / "rpmdb.sqlite"
        path.write_bytes(data)
        return path

    return store


def test_a_database_that_rpm_made_is_read_without_rpm(stored):
    """rpm 4.18 wrote it, with two versions of one package."""
    path = stored(gzip.decompress((FIXTURES / "rpmdb.sqlite.gz").read_bytes()))
    headers = read_headers(path, source="rpmdb.sqlite")
    assert sorted(rpm.parse_header(blob, source="rpmdb.sqlite") for blob in headers) == [
        Package("kernel", "noarch", "6.1-3.el9"),
        Package("kernel", "noarch", "6.2-3.el9"),
        Package("tool", "noarch", "2:1.0-3.el9"),
    ]


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(("CREATE TABLE Other (x)",), id="no-packages"),
        pytest.param(("CREATE VIEW Packages AS SELECT x'00' AS blob",), id="view"),
        pytest.param(("CREATE TABLE Packages (x)",), id="no-column"),
        pytest.param(
            ("CREATE TABLE Packages (blob)", "INSERT INTO Packages VALUES ('text')"), id="text"
        ),
    ],
)
def test_another_database_of_sqlite_is_none_of_rpm(stored, schema):
    with pytest.raises(InvalidImageError):
        tuple(read_headers(stored(database(*schema)), source="db"))


def test_what_is_no_database_at_all_is_none_of_rpm(stored):
    with pytest.raises(InvalidImageError, match="no database of rpm"):
        tuple(read_headers(stored(b"rubbish" * 1000), source="db"))


@pytest.mark.parametrize("name", BOMBS)
def test_a_database_that_computes_is_refused_before_it_does(stored, name):
    data, said = BOMBS[name]
    with pytest.raises(OrchError, match=said) as caught:
        for _ in read_headers(stored(data), source="db", seconds=1):
            pass
    assert isinstance(caught.value, InvalidImageError | LimitError)
    assert caught.value.path == "db"


def test_a_table_that_does_not_end_ends_at_the_deadline(stored):
    begin = time.monotonic()
    with pytest.raises(LimitError, match="db takes too long"):
        for _ in read_headers(stored(BOMBS["circle-of-pages"][0]), source="db", seconds=0.3):
            pass
    assert time.monotonic() - begin < 3


@pytest.fixture
def summing(monkeypatch):
    """Have SQLite run through all rows by itself before it gives one."""
    real = sqlite3.connect

    class Summing(sqlite3.Connection):
        def execute(self, sql, *rest):
            return super().execute(sql.replace("SELECT blob", "SELECT sum(length(blob))"), *rest)

    monkeypatch.setattr(sqlite3, "connect", lambda path: real(path, factory=Summing))


@pytest.mark.usefixtures("summing")
def test_what_sqlite_does_alone_ends_at_the_deadline_too(stored):
    with pytest.raises(LimitError, match="db takes too long"):
        tuple(read_headers(stored(BOMBS["circle-of-pages"][0]), source="db", seconds=0.3))


@pytest.mark.usefixtures("summing")
def test_a_signal_interrupts_sqlite(stored):
    class Told(KeyboardInterrupt):
        pass

    def handle(*_):
        raise Told

    before = signal.signal(signal.SIGTERM, handle)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    begin = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            tuple(read_headers(stored(BOMBS["circle-of-pages"][0]), source="db", seconds=30))
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - begin < 5


def test_the_longest_header_that_is_taken(stored):
    data = database(PLAIN, "INSERT INTO Packages VALUES (1, zeroblob(33554000))")
    assert [len(blob) for blob in read_headers(stored(data), source="db")] == [33554000]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Let a script stand for rpm."""

    def write(body):
        script = tmp_path / "bin/rpm"
        script.parent.mkdir()
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")

    return write


def test_rpm_lists_in_the_format_that_is_asked_for(program, tmp_path):
    program('printf "%s|" "$@"')
    listing = list_packages(tmp_path, "%{NAME}", source="Packages")
    assert listing == f"--dbpath|{tmp_path}|-qa|--queryformat|%{{NAME}}|"


def test_an_rpm_that_does_not_end_is_ended(program, tmp_path):
    program("exec sleep 60")
    begin = time.monotonic()
    with pytest.raises(LimitError, match="Packages takes too long"):
        list_packages(tmp_path, "x", source="Packages", seconds=0.2)
    assert time.monotonic() - begin < 10


def test_an_rpm_that_lists_without_end_is_ended(program, tmp_path):
    program(f"exec head -c {LISTING_BYTES_MAX + (1 << 20)} /dev/zero")
    with pytest.raises(LimitError, match="more packages than can be compared"):
        list_packages(tmp_path, "x", source="Packages")


def test_without_rpm_it_is_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="rpm is not installed"):
        list_packages(tmp_path, "x", source="Packages")
