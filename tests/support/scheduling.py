"""Spread tests over the workers of pytest-xdist."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

KILLS = "/test_kills.py::"
# Its parameters name an image and a mode, and all tests of both look at one pull.
GOLDEN = "/test_golden.py::"


class Groups(LoadScopeScheduling):
    """Give each test to whoever is free, but these together to one worker.

    - What kills at random instants: two at once would have each other's instants fall too early.
    - What looks at one pull, so that it is pulled once.

    The largest group is given away first, and the kills are that, and what takes longest.
    ``--dist=loadgroup`` does as much, but not with every version of pytest.
    """

    def _split_scope(self, nodeid: str) -> str:
        if KILLS in nodeid:
            return KILLS
        if GOLDEN in nodeid:
            return GOLDEN + nodeid.partition("[")[2]
        return nodeid
