"""What of an SELinux policy that came with an image may be read, and for how long it may be asked.

libselinux takes a compiled file for one whatever its name is, and runs it through the
deserialiser of its regex library; so compiled ones are never shown to it.  A match gives up after
ten million steps, about a second, but a policy can have many that do not quite get there.
Source: selabel_file(5); ``fcontext_is_binary()`` of libselinux; pcre2api(3), "match limit".
"""

from __future__ import annotations

import re
import threading
import time

from orch_frame.errors import InvalidImageError, LimitError

# The beginning of a compiled file, in the byte order of any machine.
_MAGIC = (b"\x8a\xff\x7c\xf9", b"\xf9\x7c\xff\x8a")
# The policies of Debian and Fedora have some 6000 rules, half a megabyte; of Debian's 36 rules
# repeat a repetition, 37 others have three or more.
MAX_BYTES = 16 << 20
MAX_RULES = 100_000
MAX_HEAVY_RULES = 512
HEAVY_REPETITIONS = 3
_TOKEN = re.compile(rb"\\.|[()*+{]")
# What is quicker is not counted: an ordinary answer takes some 20 microseconds, and a busy machine
# now and then holds one up.
SLOW_SECONDS = 0.005
BASE_SECONDS = 60.0
SECONDS_PER_LOOKUP = 0.0005


def is_text(name: str) -> bool:
    """Say whether the file *name* of a policy holds rules as text: not compiled ones."""
    return name.startswith("file_contexts") and not name.endswith(".bin")


def check_rules(name: str, data: bytes, *, policy: str) -> None:
    """Make sure that *data*, the file *name* of *policy*, can be given to libselinux.

    Raises:
        InvalidImageError: it is compiled.
        LimitError: it has more, or more costly, rules than any real policy.
    """
    what = f"{name} of the SELinux policy {policy}"
    if data.startswith(_MAGIC):
        raise InvalidImageError(f"{what} is compiled, and only text is read.", path=name)
    if len(data) > MAX_BYTES or data.count(b"\n") > MAX_RULES:
        raise LimitError(f"{what} has more than {MAX_RULES} rules or {MAX_BYTES} bytes.", path=name)
    heavy = sum(map(_is_heavy, data.splitlines()))
    if heavy > MAX_HEAVY_RULES:
        raise LimitError(
            f"{what} has {heavy} rules that repeat repetitions; more than {MAX_HEAVY_RULES} could "
            "take for ever.",
            path=name,
        )


def _is_heavy(line: bytes) -> bool:
    """Say whether a rule repeats something that repeats, or has three repetitions."""
    if not line.startswith(b"/") or sum(map(line.count, (b"*", b"+", b"{"))) < 2:
        return False
    repetitions, closed = 0, False
    end = 0
    inside = [False]  # for each open group, whether something in it repeats
    for match in _TOKEN.finditer(line.split(maxsplit=1)[0]):
        token, adjacent = match[0], closed and match.start() == end
        closed = False
        if token == b"(":
            inside.append(False)
        elif token == b")" and len(inside) > 1:
            repeats = inside.pop()
            inside[-1] |= repeats
            closed = repeats
        elif token in (b"*", b"+", b"{"):
            repetitions += token != b"{"
            if adjacent or repetitions == HEAVY_REPETITIONS:
                return True
            inside[-1] = True
        end = match.end()
    return False


class Budget:
    """The time that a policy may take for all its answers, in proportion to their number.

    Args:
        policy: What it is called in the error.
    """

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._left = BASE_SECONDS
        self.lookups = 0

    def charge(self, started: float) -> None:
        """Count an answer that was asked for at *started*, by `time.perf_counter`.

        Raises:
            LimitError: the answers have taken too long.
        """
        self.lookups += 1
        taken = time.perf_counter() - started
        if taken < SLOW_SECONDS:
            return
        with self._lock:
            self._left -= taken
            if self._left + self.lookups * SECONDS_PER_LOOKUP < 0:
                raise LimitError(
                    f"The SELinux policy {self._policy} takes too long to label files.",
                    details=f"{self.lookups} labels took more than {BASE_SECONDS:g} seconds.",
                    hint="Its file_contexts has regular expressions that repeat repetitions.",
                )
