"""Parts of a split, for jobs that know nothing of each other.

Part I of N has the same videos on every machine, since they depend on the numbers of
frames and on nothing else. Each part writes into its own folder, `part-I-of-N`, so that
no two jobs write into the same one, and no lock has to reach from machine to machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path

__all__ = ["Part"]

_FOLDER = re.compile(r"part-([1-9]\d*)-of-([1-9]\d*)")


@dataclass(frozen=True, order=True)
class Part:
    """One of several parts of the videos.

    Attributes:
        index: Its number, from 1.
        count: How many parts there are.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(
                f"expected I/N with I from 1 to N, such as 2/8, found {self}"
            )

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read `I/N`.

        Raises:
            ValueError: It is not the number of a part.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if found is None:
            raise ValueError(f"expected I/N, such as 2/8, found {text!r}")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of_slurm(cls, environment: Mapping[str, str]) -> Part | None:
        """The part of a task in a job array of Slurm; None outside of one.

        Raises:
            ValueError: The ids of the array have gaps, so that they do not say which
                part this is.
        """
        if "SLURM_ARRAY_TASK_ID" not in environment:
            return None
        try:
            task, count, least, step = (
                int(environment.get(f"SLURM_ARRAY_TASK_{name}", default))
                for name, default in (
                    ("ID", ""),
                    ("COUNT", ""),
                    ("MIN", "0"),
                    ("STEP", "1"),
                )
            )
            place, rest = divmod(task - least, step)
            if rest:
                raise ValueError
            return cls(place + 1, count)
        except (ValueError, ZeroDivisionError):
            ids = ", ".join(
                f"{name}={value}"
                for name, value in sorted(environment.items())
                if name.startswith("SLURM_ARRAY_TASK_")
            )
            raise ValueError(
                f"this task's place in the job array is not clear ({ids}); name it "
                "with --part I/N"
            ) from None

    def of(self, frames: Mapping[str, int]) -> tuple[str, ...]:
        """The videos of this part, in their given order.

        The longest video goes first, and each one to the part that has the fewest
        frames so far.

        Args:
            frames: The number of frames of each video.
        """
        sums = [0] * self.count
        mine = set()
        for name in sorted(frames, key=lambda name: (-frames[name], name)):
            least = sums.index(min(sums))
            sums[least] += frames[name]
            if least == self.index - 1:
                mine.add(name)
        return tuple(name for name in frames if name in mine)

    @property
    def folder(self) -> str:
        """The name of the folder that has what this part writes."""
        return f"part-{self.index}-of-{self.count}"

    def place(self, whole: Path) -> Path:
        """Where this part writes what belongs to a folder, such as that of a run."""
        if self.count == 1:
            return whole
        return whole.parent / self.folder / whole.name

    @classmethod
    def places(cls, whole: Path, inside: str) -> dict[Part, Path]:
        """The folders of all parts of a folder, in the order of the parts.

        Args:
            whole: The folder that they belong to.
            inside: A file that each of them has.
        """
        found = {}
        for path in whole.parent.glob(f"part-*-of-*/{escape(whole.name)}"):
            numbers = _FOLDER.fullmatch(path.parent.name)
            if numbers is None or not (path / inside).is_file():
                continue
            with suppress(ValueError):  # Such as part 9 of 8.
                found[cls(int(numbers[1]), int(numbers[2]))] = path
        return dict(sorted(found.items()))

    @classmethod
    def missing(cls, found: Collection[Part]) -> list[Part]:
        """The parts that lack for those of one division to be complete.

        Args:
            found: At least one part; all with one count.
        """
        count = next(iter(found)).count
        every = (cls(index, count) for index in range(1, count + 1))
        return [part for part in every if part not in found]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
