"""Spread tests over the workers of pytest-xdist."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

KILLS = "/test_kills.py::"


class KillsApart(LoadScopeScheduling):
    """Give each test to whoever is free, but all that kill at random instants to one worker.

    Two of those at once would have each other's instants fall too early.  The largest group is
    given away first, and it is that one, which takes longest.  ``--dist=loadgroup`` does as much,
    but not with every version of pytest.
    """

    def _split_scope(self, nodeid: str) -> str:
        return KILLS if KILLS in nodeid else nodeid
