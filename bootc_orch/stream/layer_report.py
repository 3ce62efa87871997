"""What is worth telling of a derived layer once it is imported.

Source of the summary's words: ostree-rs-ext.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from orch_frame.text import printable

SHOWN_PATHS = 3


@dataclass(slots=True)
class LayerReport:
    """What is worth telling of a derived layer.

    Attributes:
        filtered: How many entries were left out, by kind.
        examples: The first `SHOWN_PATHS` paths of each kind.
        privileged: How many files have the setuid or setgid bit; they keep it.
        dropped_labels: How many entries brought a SELinux label; labels come from the policy.
        directories: Paths of the directories that the layer describes itself, absolute.
        moved_var: Whether anything went from ``/var`` to ``/usr/share/factory/var``.
    """

    filtered: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    privileged: int = 0
    dropped_labels: int = 0
    directories: set[bytes] = field(default_factory=set)
    moved_var: bool = False

    def count_filtered(self, kind: bytes, path: bytes) -> None:
        """Count an entry that is left out, and remember the first paths of its kind."""
        name = printable(kind)
        self.filtered[name] += 1
        examples = self.examples.setdefault(name, [])
        if len(examples) < SHOWN_PATHS:
            examples.append(printable(path))


def summarize_filtered(reports: Iterable[LayerReport]) -> str | None:
    """Say what was left out of all layers, in one line; None if nothing was."""
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report.filtered)
    if not total:
        return None
    counts = " ".join(f"{kind}: {total[kind]}" for kind in sorted(total))
    return f"Image contains non-ostree compatible file paths: {counts}"
