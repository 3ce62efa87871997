"""Let an administrator edit the host's document, in an editor or from a file."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from orch_frame.errors import ToolError, UsageError

if TYPE_CHECKING:
    from bootc_orch.model.host.document import Host, HostSpec

MAX_BYTES = 1 << 20
EDITORS = ("VISUAL", "EDITOR")


def edited_spec(host: Host, filename: Path | None) -> HostSpec:
    """Return the specification in *filename*, or what an editor made of *host*.

    Raises:
        UsageError: the result is no host document.
        ToolError: no editor is configured, or there is no terminal for it.
    """
    import yaml

    from bootc_orch.model.host.document import parse_edited_host

    if filename is not None:
        text = _read(filename)
    else:
        text = _edit(yaml.safe_dump(host.to_json(), sort_keys=False, allow_unicode=True))
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError("The edited document is no YAML.", details=str(error)) from error
    return parse_edited_host(document)


def _edit(text: str) -> str:
    from bootc_orch.process import run_on_terminal

    editor = next((os.environ[name] for name in EDITORS if os.environ.get(name)), None)
    if editor is None or not sys.stdin.isatty():
        raise ToolError(
            "There is no editor to use.", hint="Set EDITOR, or give the document with --filename."
        )
    with tempfile.NamedTemporaryFile("w+", suffix=".yaml", prefix="bootc-orch-") as file:
        file.write(text)
        file.flush()
        with _terminal() as terminal:
            run_on_terminal([*shlex.split(editor), file.name], terminal)
        return _read(Path(file.name))


def _terminal() -> IO[bytes]:
    """Open the terminal of this process, wherever its streams go.

    Raises:
        ToolError: there is none.
    """
    try:
        return open("/dev/tty", "r+b", buffering=0)  # noqa: PTH123 - a device, not a path to handle
    except OSError as error:
        raise ToolError(
            "There is no terminal for an editor.", hint="Give the document with --filename."
        ) from error


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is longer than {MAX_BYTES} bytes.", path=str(path))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8.", path=str(path)) from error
