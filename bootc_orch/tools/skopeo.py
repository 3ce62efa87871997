"""What the installed skopeo can do, and where it looks for its signature policy.

Source: skopeo(1), containers-policy.json(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bootc_orch.process import run
from orch_frame.errors import PolicyError, ToolError

# The first release with --user-agent-prefix.
USER_AGENT_VERSION = (1, 21)
_VERSION = re.compile(r"version (\d+)\.(\d+)")
_POLICY = Path("containers/policy.json")


@cache
def version() -> tuple[int, int]:
    """Return major and minor version of skopeo, asked once: asking takes 15 ms.

    Raises:
        ToolMissingError: there is no skopeo.
        ToolError: it does not say its version in any known way.
    """
    text = run(["skopeo", "--version"]).text
    match = _VERSION.search(text)
    if match is None:
        raise ToolError("skopeo does not say its version.", details=text[:200])
    return int(match[1]), int(match[2])


def policy_path() -> Path:
    """Return the signature policy that skopeo applies.

    Raises:
        PolicyError: there is none, or not where ``CONTAINERS_POLICY_JSON`` says it is.
    """
    if named := os.environ.get("CONTAINERS_POLICY_JSON"):
        if not Path(named).exists():
            raise PolicyError(f"There is no signature policy {named}.", path=named)
        return Path(named)
    for path in _policy_places():
        if path.exists():
            return path
    raise PolicyError(
        "There is no signature policy.", hint=f"Write /etc/{_POLICY}: containers-policy.json(5)."
    )


def _policy_places() -> Iterator[Path]:
    if config := os.environ.get("XDG_CONFIG_HOME"):
        yield Path(config, _POLICY)
    elif home := os.environ.get("HOME"):
        yield Path(home, ".config", _POLICY)
    yield Path("/etc", _POLICY)
    yield Path("/usr/share", _POLICY)
