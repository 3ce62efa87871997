"""Print which part of each folder's statements ran, from the data of ``coverage combine``.

usage: python contrib/coverage_by_folder.py        in the checkout
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from coverage import Coverage

PACKAGES = (Path("bootc_orch"), Path("bound-images/bound_images"), Path("bound-images/orch_frame"))


def main() -> None:
    """Print a line for each folder, with what is below it, and one for all."""
    coverage = Coverage()
    coverage.load()
    statements: Counter[Path] = Counter()
    ran: Counter[Path] = Counter()
    # Not only what was measured: a module that nobody imported counts as well.
    for path in (path for package in PACKAGES for path in package.rglob("*.py")):
        _, all_lines, _, missing, _ = coverage.analysis2(str(path))
        for folder in path.parents:
            statements[folder] += len(all_lines)
            ran[folder] += len(all_lines) - len(missing)
    print("statements       ran   part  folder")
    for folder in sorted(statements):
        part = ran[folder] / max(statements[folder], 1)
        print(f"{statements[folder]:10} {ran[folder]:9} {part:6.1%}  {folder}/")


if __name__ == "__main__":
    main()
