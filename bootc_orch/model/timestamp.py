"""Dates as images write them.

Source: RFC 3339, section 5.6, read as leniently as ostree-rs-ext reads it.
"""

from __future__ import annotations

import calendar
import re
from datetime import date

from orch_frame.errors import InvalidImageError

_END_OF_9999 = calendar.timegm((9999, 12, 31, 23, 59, 59))
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.\d+)?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)


def parse_rfc3339(text: str) -> int | None:
    """Return *text* as seconds since 1970, fractions dropped, or None if it is not a date.

    Raises:
        InvalidImageError: it is before 1970 or after 9999.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if year == 0:
        raise _out_of_range(text)
    try:
        date(year, month, day)
    except ValueError:
        return None
    seconds = calendar.timegm((year, month, day, hour, minute, min(second, 59)))
    if match[7]:
        offset = (int(match[8]) * 60 + int(match[9])) * 60
        seconds -= offset if match[7] == "+" else -offset
    if not 0 <= seconds <= _END_OF_9999:
        raise _out_of_range(text)
    return seconds


def _out_of_range(text: str) -> InvalidImageError:
    return InvalidImageError(f"The image says it was created {text}, which is out of range.")
