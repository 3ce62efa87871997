"""Numbers in the versions of packages: digits of any length."""

from __future__ import annotations


def number_key(digits: str) -> tuple[int, str]:
    """Return what sorts as the number that ASCII *digits* write; none of them are 0.

    They are not converted: Python refuses very long numbers, and a package may have any version.
    """
    significant = digits.lstrip("0")
    return len(significant), significant
