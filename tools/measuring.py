"""Run a program in its own process and measure its time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

__all__ = ["Usage", "measure", "show_table"]


@dataclass(frozen=True)
class Usage:
    """Time and memory of a program.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Processor seconds on all cores, including child processes.
        memory: Largest total memory of its processes in bytes; None if the system does
            not report it.
    """

    wall: float
    cpu: float
    memory: int | None

    def __add__(self, other: Usage) -> Usage:
        """The usage of two programs that run one after the other."""
        known = [m for m in (self.memory, other.memory) if m is not None]
        return Usage(
            self.wall + other.wall, self.cpu + other.cpu, max(known, default=None)
        )


def measure(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Usage:
    """Run a program to its end and measure it; its output is not shown.

    Args:
        command: The program and its arguments.
        cwd: Its working folder.
        environment: Variables to add to the environment of this process.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        if status:
            errors.seek(0)
            sys.exit(f"Error: {command[0]} …: {errors.read().decode()[-2000:]}")
    watcher.join()
    return Usage(wall, usage.ru_utime + usage.ru_stime, peak[0] or None)


def _watch(pid: int, peak: list[int]) -> None:
    """Add up the memory of a process and its descendants until it ends."""
    while Path(f"/proc/{pid}/smaps_rollup").exists():
        total, waiting = 0, [pid]
        while waiting:
            each = Path("/proc") / str(waiting.pop())
            try:
                for line in (each / "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
                for task in (each / "task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
            except (OSError, ValueError):
                continue  # The process has just ended.
        peak[0] = max(peak[0], total)
        time.sleep(0.1)


def show_table(title: str, usages: Mapping[str, Usage]) -> None:
    """Print a table of usages, with their ratios to the first one."""
    ours = next(iter(usages.values()))
    click.echo(f"\n{title}")
    width = max(map(len, usages))
    click.echo(f"{'':{width}}  {'wall':>9}  {'processor':>9}  {'memory':>8}  ratio")
    for name, usage in usages.items():
        memory = "–" if usage.memory is None else f"{usage.memory / 1e6:.0f} MB"
        ratio = f"{usage.wall / ours.wall:.1f}× wall, {usage.cpu / ours.cpu:.1f}× cpu"
        click.echo(
            f"{name:{width}}  {usage.wall:7.2f} s  {usage.cpu:7.2f} s  {memory:>8}  "
            f"{'' if usage is ours else ratio}"
        )
