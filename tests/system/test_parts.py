from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submit.system.parts import Part


@pytest.mark.slow
@given(
    frames=st.dictionaries(st.text(max_size=3), st.integers(1, 8000), max_size=40),
    count=st.integers(1, 9),
)
def test_parts_are_disjoint_complete_and_balanced(
    frames: dict[str, int], count: int
) -> None:
    parts = [Part(index, count).of(frames) for index in range(1, count + 1)]
    assert sorted(name for part in parts for name in part) == sorted(frames)
    again = dict(reversed(frames.items()))
    assert [set(Part(n + 1, count).of(again)) for n in range(count)] == [
        set(part) for part in parts
    ]
    sums = [sum(frames[name] for name in part) for part in parts]
    assert max(sums) - min(sums) <= max(frames.values(), default=0)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/2", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected I/N"):
        Part.parse(text)


def _slurm(**values: int) -> dict[str, str]:
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


def test_a_task_of_an_array_is_a_part() -> None:
    assert Part.of_slurm({}) is None
    assert Part.of_slurm(_slurm(ID=0, COUNT=8, MIN=0, STEP=1)) == Part(1, 8)
    assert Part.of_slurm(_slurm(ID=8, COUNT=8, MIN=1)) == Part(8, 8)
    assert Part.of_slurm(_slurm(ID=14, COUNT=4, MIN=10, STEP=4)) == Part(2, 4)


def test_an_array_with_gaps_does_not_say_which_part_it_is() -> None:
    """As `sbatch --array=3,5` gives it, which repeats two tasks of eight."""
    for task in (_slurm(ID=5, COUNT=2, MIN=3), _slurm(ID=1), _slurm(ID=5, STEP=0)):
        with pytest.raises(ValueError, match=r"not clear .*ID=.*--part I/N"):
            Part.of_slurm(task)


def test_places_of_parts_are_found_by_their_names(tmp_path: Path) -> None:
    whole = tmp_path / "my [run]*"
    for folder in ("part-2-of-3", "part-10-of-12", "part-1-of-3", "part-4-of-3", "x"):
        place = tmp_path / folder / whole.name
        place.mkdir(parents=True)
        (place / "here").touch()
    (tmp_path / "part-3-of-3" / whole.name).mkdir(parents=True)
    found = Part.places(whole, "here")
    assert [str(part) for part in found] == ["1/3", "2/3", "10/12"]
    assert found == {part: part.place(whole) for part in found}
