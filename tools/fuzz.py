"""Read damaged and hostile files of every kind, and count what becomes of them.

    python tools/fuzz.py --inputs 50000
    python tools/fuzz.py --kinds "zip*" --inputs 2000 --seed 7 --keep /tmp/faults

Each input is a sound file, damaged at random. It must be accepted, or refused by an
error of one line that names the file, without a warning, in a bounded time and memory.
All else is a fault: it is printed with the seed of its input, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import fnmatch
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzz_foreign import foreign_kinds, server_kinds, weights_kinds
from fuzz_kind import Kind, Places
from fuzz_ours import masks_kinds, runs_kinds, settings_kinds, training_kinds
from fuzz_parts import parts_kinds
from submit.errors import SubmitError

__all__ = ["Fault", "Outcome", "all_kinds", "examine", "fuzz"]

#: Seconds and bytes that one input may take.
MOST_SECONDS = 10.0
MOST_MEMORY = 1 << 29


#: What makes the kinds, in the order of the table.
_MAKERS = (
    *(settings_kinds, runs_kinds, masks_kinds, foreign_kinds),
    *(weights_kinds, server_kinds, training_kinds, parts_kinds),
)


def all_kinds(root: Path) -> dict[str, Kind]:
    """Make a sound example of each kind.

    Args:
        root: A folder for the split that files belong to, and for what is written.
    """
    places = Places(root)
    return {kind.name: kind for make in _MAKERS for kind in make(places)}


@dataclass(frozen=True)
class Fault:
    """An input that was neither accepted nor refused as it should be.

    Attributes:
        kind: The kind of file.
        seed: The seed of the input.
        what: What happened.
        data: The input.
    """

    kind: str
    seed: str
    what: str
    data: bytes


@dataclass
class Outcome:
    """What became of the inputs of one kind."""

    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: list[Fault] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.accepted + self.refused + len(self.faults)


def examine(kind: Kind, data: bytes, folder: Path) -> tuple[bool, str]:
    """Read one input.

    Args:
        kind: Its kind.
        data: The input.
        folder: Where the file is written; what is there is removed first.

    Returns:
        Whether it was treated as it should be; and why it was refused, empty if it was
        accepted, or what the fault is.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / (kind.file or "answer")
    path.write_bytes(data)
    before = _peak()
    began = time.process_time()
    refusal = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kind.read(path)
    except SubmitError as error:
        refusal = str(error)
    except Exception:
        return False, traceback.format_exc()
    taken = time.process_time() - began
    if taken > MOST_SECONDS:
        return False, f"took {taken:.0f} s"
    if _peak() - before > MOST_MEMORY:
        return False, f"took {(_peak() - before) / 1e6:.0f} MB"
    if "\n" in refusal:
        return False, f"several lines: {refusal}"
    # A manifest may be sound, and the soft file beside it another one.
    names = (Path(kind.file).stem, f"{folder}/")
    if refusal and not any(name in refusal for name in names):
        return False, f"does not name the file: {refusal}"
    return True, refusal


def _peak() -> int:
    """The largest memory of the process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(
    kinds: Iterable[Kind], inputs: int, folder: Path, *, seed: int = 0
) -> Mapping[str, Outcome]:
    """Read so many inputs of each kind.

    Args:
        kinds: The kinds.
        inputs: Number of inputs of each.
        folder: A folder for the files.
        seed: Seed of all of it.

    Returns:
        What became of them, by name of the kind.
    """
    found = {}
    for kind in kinds:
        outcome = found[kind.name] = Outcome()
        if (found_of := examine(kind, kind.sound, folder)) != (True, ""):
            raise AssertionError(f"{kind.name}: the sound example: {found_of[1]}")
        for number in range(inputs):
            name = f"{kind.name}/{seed}/{number}"
            data = kind.damage(Random(name), kind.sound)
            began = time.perf_counter()
            good, what = examine(kind, data, folder)
            outcome.slowest = max(outcome.slowest, time.perf_counter() - began)
            if not good:
                outcome.faults.append(Fault(kind.name, name, what, data))
            elif what:
                outcome.refused += 1
            else:
                outcome.accepted += 1
    return found


def main() -> None:
    """Print a table of the kinds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--inputs", type=int, default=50_000, help="of all kinds")
    parser.add_argument("--kinds", default="*", help="a pattern of names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for inputs with faults")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        kinds = [
            kind
            for name, kind in all_kinds(root).items()
            if fnmatch.fnmatch(name, args.kinds)
        ]
        each = -(-args.inputs // len(kinds))
        faults: list[Fault] = []
        total = Outcome()
        print(f"{'kind':22} {'inputs':>8} {'accepted':>9} {'refused':>8} {'faults':>7}")
        for kind in kinds:
            outcome = fuzz([kind], each, root / "case", seed=args.seed)[kind.name]
            _show(kind.name, outcome)
            faults += outcome.faults
            total.accepted += outcome.accepted
            total.refused += outcome.refused
        total.faults = faults
        _show("all", total)
        for number, fault in enumerate(faults):
            last = fault.what.strip().splitlines()
            print(f"\n{fault.kind}, seed {fault.seed}: {' | '.join(last[-3:])[:400]}")
            if args.keep is not None:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{number:04}.in").write_bytes(fault.data)
                (args.keep / f"{number:04}.txt").write_text(
                    f"{fault.kind} {fault.seed}\n{fault.what}", errors="replace"
                )
    sys.exit(1 if faults else 0)


def _show(name: str, outcome: Outcome) -> None:
    print(
        f"{name:22} {outcome.inputs:8,} {outcome.accepted:9,} {outcome.refused:8,} "
        f"{len(outcome.faults):7,}",
        flush=True,
    )


if __name__ == "__main__":
    main()
