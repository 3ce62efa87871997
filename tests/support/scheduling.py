"""Spread tests over the workers of pytest-xdist."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# What kills at random instants of a pull that was timed before.
KILLS = ("::test_killed_at_any_instant_", "::test_killed_again_and_again_")
# Its parameters name an image and a mode, and all tests of both look at one pull.
GOLDEN = "/test_golden.py::"


class Groups(LoadScopeScheduling):
    """Give each test to whoever is free, but these together to one worker.

    - What kills at random instants: two at once would have each other's instants fall too early.
    - What looks at one pull, so that it is pulled once.

    The largest group is given away first.
    ``--dist=loadgroup`` does as much, but not with every version of pytest.
    """

    def _split_scope(self, nodeid: str) -> str:
        if any(name in nodeid for name in KILLS):
            return KILLS[0]
        if GOLDEN in nodeid:
            return GOLDEN + nodeid.partition("[")[2]
        return nodeid
