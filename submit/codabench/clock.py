"""The clock of the network code, which tests replace."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Protocol

__all__ = ["Clock", "SystemClock", "format_time", "next_midnight", "parse_time", "utc"]


class Clock(Protocol):
    """Gives the time and waits."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Monotonic seconds, to measure durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


#: Runs on while a laptop sleeps, as far as the system has such a clock.
_RUNNING_ON = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Monotonic seconds."""
        return time.clock_gettime(_RUNNING_ON)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def utc(seconds: float) -> datetime:
    """The date and time of seconds since 1970."""
    return datetime.fromtimestamp(seconds, timezone.utc)


def parse_time(text: object) -> datetime | None:
    """Read a time as the server writes it, in UTC; None where there is none.

    The answer to a creation has `2026-11-22 02:24`, all others ISO 8601 with a `Z`.

    >>> parse_time("2026-11-22 02:24")
    datetime.datetime(2026, 11, 22, 2, 24, tzinfo=datetime.timezone.utc)
    """
    if not isinstance(text, str):
        return None
    # Python 3.10 knows neither the Z nor fractions of other than 3 or 6 digits.
    plain = text.strip().replace("Z", "+00:00")
    try:
        parsed = datetime.fromisoformat(plain)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        return parsed.replace(tzinfo=timezone.utc)
    return parsed.astimezone(timezone.utc)


def format_time(moment: datetime | None) -> str | None:
    """Write a time in UTC, to the second; None stays None."""
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def next_midnight(moment: datetime) -> datetime:
    """When the day's attempts are reset: the next 00:00 UTC."""
    day = moment.astimezone(timezone.utc).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return day + timedelta(days=1)
