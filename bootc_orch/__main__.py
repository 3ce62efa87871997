"""Run the program as ``python -m bootc_orch``."""

from __future__ import annotations

from bootc_orch.cli.app import main

if __name__ == "__main__":
    main()
