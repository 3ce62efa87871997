"""Which variables external programs inherit: ours, without those that would change what they do."""

from __future__ import annotations

import os

# Variables that change what a child does or prints, behind the back of the argument list.
HOSTILE_PREFIXES = ("LD_", "PYTHON", "OSTREE_")
HOSTILE_NAMES = ("G_MESSAGES_DEBUG", "TAR_OPTIONS")
# The same for a child whose store and configuration are chosen by its arguments.
STORE_PREFIXES = ("STORAGE_", "CONTAINER_")


def child_environment(*, store_is_given: bool = False) -> dict[str, str]:
    """Return the environment for an external program.

    Args:
        store_is_given: Whether the arguments say which containers/storage is meant; otherwise the
            variables that choose one are the user's own choice, and stay.
    """
    hostile = (*HOSTILE_PREFIXES, *(STORE_PREFIXES if store_is_given else ()))
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(hostile) and name not in HOSTILE_NAMES
    }
    return {**kept, "LC_ALL": "C.UTF-8"}
