"""The host's document in an editor, on a terminal of its own."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

# Prints what became of the document of a host that does not run, or of an error.
PROGRAM = """
import sys
from pathlib import Path
from bootc_orch.cli.host.edit import edited_spec
from bootc_orch.ops.host.status import unbooted_host
from orch_frame.errors import OrchError
with open(sys.argv[1], "w") as result:
    try:
        print(edited_spec(unbooted_host(Path("/")), None).boot_order, file=result)
    except OrchError as error:
        print(f"{error.exit_code} {error.summary}", file=result)
"""


class Desk:
    """A terminal with someone who edits by a script.

    Attributes:
        result: What the program said, without what the editor drew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.result = path / "result"
        self.environment = {
            name: value for name, value in os.environ.items() if name not in ("VISUAL", "EDITOR")
        }

    def editor(self, name: str, *lines: str) -> str:
        """Write an editor that runs *lines* of shell on ``$FILE``, its last argument."""
        program = self.path / name
        text = "\n".join(["for FILE; do :; done", f"echo {name} >>{self.path}/used", *lines])
        program.write_text(f"#!/bin/sh -e\n{text}\n")
        program.chmod(0o755)
        return str(program)

    @property
    def used(self) -> list[str]:
        path = self.path / "used"
        return path.read_text().split() if path.exists() else []

    def edit(self, *, typed: bytes = b"", stdin: int | None = None, **editors: str) -> str:
        """Run the program on a new terminal on which *typed* is typed; return what it said."""
        argv = [sys.executable, "-c", PROGRAM, str(self.result)]
        child, terminal = pty.fork()
        if child == 0:
            if stdin is not None:
                os.dup2(stdin, 0)
            os.execve(argv[0], argv, {**self.environment, **editors})
        if typed:
            os.write(terminal, typed)
        self.drawn = b""
        try:
            while piece := os.read(terminal, 4096):
                self.drawn += piece
        except OSError:  # the last one on the terminal has ended
            pass
        os.waitpid(child, 0)
        os.close(terminal)
        return self.result.read_text().strip()


SWAP = 'sed -i "s/bootOrder: default/bootOrder: rollback/" "$FILE"'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_an_editor_made_of_the_document_is_taken(desk):
    assert desk.edit(EDITOR=desk.editor("editor", SWAP)) == "rollback"


def test_a_document_that_was_left_alone_is_the_same(desk):
    assert desk.edit(EDITOR=desk.editor("editor")) == "default"


def test_the_editor_draws_on_the_terminal_and_reads_what_is_typed(desk):
    lines = ("test -t 0 && test -t 1 && test -t 2", "echo drawn >/dev/tty", "read word")
    editor = desk.editor("editor", *lines, f'test "$word" = go && {SWAP}')
    assert desk.edit(typed=b"go\n", EDITOR=editor) == "rollback"
    assert b"drawn" in desk.drawn


def test_what_is_typed_to_interrupt_is_for_the_editor(desk):
    """As an editor that takes it for a key like others."""
    editor = desk.editor("editor", "trap 'echo heard' INT", "kill -INT 0", SWAP)
    assert desk.edit(EDITOR=editor) == "rollback"
    assert b"heard" in desk.drawn


def test_visual_comes_before_editor(desk):
    desk.edit(VISUAL=desk.editor("visual"), EDITOR=desk.editor("editor"))
    assert desk.used == ["visual"]


def test_an_empty_variable_is_none(desk):
    desk.edit(VISUAL="", EDITOR=desk.editor("editor"))
    assert desk.used == ["editor"]


def test_an_editor_may_have_arguments(desk):
    editor = desk.editor("editor", 'test "$1" = "two words"', SWAP)
    assert desk.edit(EDITOR=f"{editor} 'two words'") == "rollback"


def test_an_editor_that_fails_changes_nothing(desk):
    assert desk.edit(EDITOR=desk.editor("editor", SWAP, "exit 3")).endswith("exited with status 3.")


def test_an_editor_that_is_not_installed_is_named(desk):
    assert desk.edit(EDITOR="no-such-editor") == "69 no-such-editor is not installed."


def test_without_an_editor_nothing_is_edited(desk):
    assert desk.edit() == "69 There is no editor to use."


def test_without_a_terminal_nothing_is_edited(desk):
    null = os.open(os.devnull, os.O_RDONLY)
    assert desk.edit(stdin=null, EDITOR=desk.editor("editor")) == "69 There is no editor to use."
    os.close(null)
    assert desk.used == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        pytest.param('echo "a: [" >"$FILE"', "The edited document is no YAML.", id="yaml"),
        pytest.param("printf '\\377' >\"$FILE\"", "is not UTF-8.", id="bytes"),
        pytest.param('truncate --size=2M "$FILE"', "is longer than 1048576 bytes.", id="long"),
        pytest.param('sed -i "s/BootcHost/Other/" "$FILE"', "BootcHost", id="kind"),
    ],
)
def test_what_is_no_document_any_more_is_refused(desk, line, complaint):
    said = desk.edit(EDITOR=desk.editor("editor", line))
    assert said.startswith("2 ")
    assert complaint in said
