"""Sizes, dates, tables and masked secrets."""

from __future__ import annotations

import re

import pytest

from bootc_orch.cli.terminal import render
from bootc_orch.cli.terminal.render import Column, say_table, size_text, timestamp_text
from orch_frame import output
from orch_frame.redaction import redact


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (813, "813 bytes"),
        (999, "999 bytes"),
        (1000, "1.0\u00a0kB"),
        (201076, "201.1\u00a0kB"),
        (999999, "1000.0\u00a0kB"),
        (70_300_000, "70.3\u00a0MB"),
        (2**63 - 1, "9.2\u00a0EB"),
    ],
)
def test_sizes_are_written_as_glib_writes_them(size, text):
    assert size_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(None, None), (1735689600, "2025-01-01T00:00:00Z")])
def test_dates_are_rfc_3339(seconds, text):
    assert timestamp_text(seconds) == text


COLUMNS = (Column("NAME", flexible=True), Column("SIZE", right=True))
ROWS = [("oci:/a-rather-long-name-for-a-narrow-terminal", "1 byte"), ("b\x1b[31m\n", "10 bytes")]


def test_off_a_terminal_nothing_is_shortened_and_controls_are_escaped_s34(capsys):
    output.reset()
    say_table(COLUMNS, ROWS)
    assert capsys.readouterr().out == (
        "NAME                                               SIZE\n"
        "oci:/a-rather-long-name-for-a-narrow-terminal    1 byte\n"
        "b\\x1b[31m\\n                                    10 bytes\n"
    )


def test_on_a_terminal_a_table_fits(capsys, monkeypatch):
    output.reset()
    monkeypatch.setattr(render, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    say_table(COLUMNS, ROWS)
    lines = re.sub("\x1b\\[[01]?m", "", capsys.readouterr().out).splitlines()
    assert {len(line) for line in lines} == {30}
    assert "".join(line[:20].strip() for line in lines[1:4]) == ROWS[0][0]
    assert lines[4].split() == ["b\\x1b[31m\\n", "10", "bytes"]


def test_warnings_are_escaped_and_masked_line_by_line_s21_s34(capsys):
    output.complain("warning: \x1b[31mred https://u:CANARY@h/\nsecond")
    assert capsys.readouterr().err == "warning: \\x1b[31mred https://u:***@h/\nsecond\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Get https://joe:CANARY@host/v2/: denied", id="address"),
        pytest.param("Authorization: Bearer CANARY", id="header"),
        pytest.param("'authorization': 'Basic CANARY'", id="header-in-a-dict"),
        pytest.param("sent bearer CANARYCANARY1", id="token"),
        pytest.param('{"auths": {"h": {"auth": "CANARY"}}}', id="auth.json"),
        pytest.param('{"access_token": "CANARY"}', id="token-answer"),
        pytest.param("https://cdn/x?X-Amz-Signature=CANARY&a=1", id="signed-address"),
        pytest.param("password=CANARY", id="parameter"),
    ],
)
def test_secrets_are_masked_s21(text):
    assert "CANARY" not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "Image contains non-ostree compatible file paths: secret: 1 token: 2",
        "docker://localhost:5000/a@sha256:0123",
        "basic configuration of the bearer of this message",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert redact(text) == text
