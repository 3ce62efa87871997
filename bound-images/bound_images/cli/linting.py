"""The command ``lint``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from bound_images.cli import options as o
from bound_images.cli.session import SESSION
from bound_images.errors import LintError
from bound_images.lint.findings import Finding, Severity
from bound_images.lint.run import lint as lint_root
from bound_images.lint.sarif import sarif
from bound_images.rootfs import Root
from orch_frame.errors import OrchError, UsageError
from orch_frame.options.printing import with_output

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Format(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


class FailOn(StrEnum):
    """From which severity on lint fails."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NEVER = "never"


@app.command("lint")
@with_output
def lint_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    form: Annotated[Format, typer.Option("--format", help="How to print findings.")] = Format.TEXT,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="The least severity that makes lint fail.")
    ] = FailOn.ERROR,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="RULE", help="Leave a rule out; repeat.")
    ] = None,
) -> None:
    """Find what goes wrong in practice; fail for errors."""
    if SESSION.output.as_json and form is Format.SARIF:
        raise UsageError("--json and --format=sarif exclude each other.", hint="Say one of them.")
    SESSION.output.as_json = SESSION.output.as_json or form is Format.JSON
    found = lint_root(Root(root), skip=skip or (), runner=SESSION.runner)
    errors = _failures(found, fail_on)
    if form is Format.SARIF:
        sys.stdout.write(json.dumps(sarif(found), indent=1) + "\n")
        if errors:
            raise errors[0]
        return
    lines = [_line(finding) for finding in found]
    SESSION.output.result_with_errors("findings", [f.to_json() for f in found], lines, errors)


def _failures(found: tuple[Finding, ...], fail_on: FailOn) -> tuple[OrchError, ...]:
    if fail_on is FailOn.NEVER:
        return ()
    bad = [f for f in found if f.severity.rank >= Severity(fail_on.value).rank]
    return (LintError(f"Findings to repair: {len(bad)}."),) if bad else ()


def _line(finding: Finding) -> str:
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path
    return f"{finding.severity}: {place}: {finding.message} [{finding.rule}]"
