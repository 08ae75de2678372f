"""Small file systems for tests of full and read-only disks."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["small_disk"]


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own in a new folder; skips if none may be mounted.

    Args:
        place: The folder, which is made.
        size: As `mount` takes it, such as `32k`.
    """
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk takes the rights of root")
    try:
        yield place
    finally:
        # What was killed may still have files open there.
        subprocess.run(["umount", "--lazy", place], check=True)
