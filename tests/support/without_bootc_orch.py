"""A pytest plugin: from here on ``import bootc_orch`` fails, as if the package did not exist."""

from __future__ import annotations

import sys

sys.modules["bootc_orch"] = None  # type: ignore[assignment]
