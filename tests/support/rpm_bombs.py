"""Databases of SQLite that call themselves rpm's and would hold up whoever reads them."""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, x'00' FROM c"
PAGE = 4096


def database(*statements: str, forged: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a database after *statements*.

    *forged* maps names to the statement that the schema gives for them in the end.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "db"
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        for name, sql in (forged or {}).items():
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))
        connection.commit()
        connection.close()
        return path.read_bytes()


def _circle() -> bytes:
    """A table whose root page lists the same leaf again and again, through pages of such pages."""
    data = bytearray(
        database("CREATE TABLE Packages (blob)", "INSERT INTO Packages VALUES (x'00')")
    )
    root = len(data) // PAGE
    leaf = bytes(data[(root - 1) * PAGE : root * PAGE])
    levels = 8
    for level in range(levels):
        # The root stays where the schema has it; each page names the one behind it 300 times.
        child = root + level + 1
        cell = struct.pack(">I", child) + b"\1"
        cells = 300
        offsets = b"".join(struct.pack(">H", PAGE - 5) for _ in range(cells))
        page = struct.pack(">BHHHBI", 5, 0, cells, PAGE - 5, 0, child) + offsets
        page = page.ljust(PAGE - len(cell), b"\0") + cell
        place = (root + level - 1) * PAGE
        data[place : place + PAGE] = page
    data += leaf
    data[28:32] = struct.pack(">I", len(data) // PAGE)
    return bytes(data)


PLAIN = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)"
COMPUTED = "(hnum INTEGER PRIMARY KEY, blob BLOB AS (zeroblob(100000000)))"
ROWS = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1000)"
    " INSERT INTO Packages(hnum) SELECT x FROM c"
)
# The bytes, and a part of what is said of them.
BOMBS = {
    "generated": (database(f"CREATE TABLE Packages {COMPUTED}", ROWS), "computed, not stored"),
    "generated-stored": (
        database(
            "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob AS (zeroblob(1000)) STORED)",
            ROWS,
        ),
        "computed, not stored",
    ),
    "generated-unseen": (
        database(PLAIN, ROWS, forged={"Packages": f"CREATE  TABLE Packages {COMPUTED}"}),
        "more than plain tables",
    ),
    "virtual": (
        database(
            f"CREATE VIEW v(rowid, blob) AS {ENDLESS}",
            "CREATE VIRTUAL TABLE Packages USING fts5(blob, content='v', content_rowid='rowid')",
        ),
        "more than plain tables",
    ),
    "virtual-in-disguise": (
        database(
            PLAIN, forged={"Packages": "CREATE/**/VIRTUAL TABLE Packages USING fts5(blob)"}
        ),
        "more than plain tables",
    ),
    "view-beside-it": (
        database(PLAIN, f"CREATE VIEW other(x, y) AS {ENDLESS}"), "more than plain tables"
    ),
    "trigger": (
        database(PLAIN, "CREATE TRIGGER t AFTER INSERT ON Packages BEGIN SELECT 1; END"),
        "more than plain tables",
    ),
    "many-tables": (
        database(PLAIN, *(f"CREATE TABLE t{number} (x)" for number in range(300))),
        "more than 256 tables",
    ),
    "long-header": (
        database(PLAIN, f"INSERT INTO Packages VALUES (1, zeroblob({33 << 20}))"),
        "a header of more than",
    ),
    "circle-of-pages": (_circle(), "takes too long"),
}  # fmt: skip
