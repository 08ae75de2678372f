"""Masks whose numbers differ from those of the frames."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.archive import pack
from submit.checks import check_masks
from submit.checks.numbering import number_frames
from submit.checks.repair import repair
from submit.cli import cli
from submit.data import Split
from submit.errors import ArchiveError
from submit.png.palette import encode, write
from tests.submissions import FRAMES, A, labels_of, write_masks

STEMS = [f"{i:05}" for i in range(FRAMES)]


def renamed(masks: Path, names: Sequence[str]) -> Path:
    """Rename the masks of every video in their order."""
    for folder in masks.iterdir():
        old = sorted(folder.iterdir())
        moved = [path.rename(folder / f"{i}.tmp") for i, path in enumerate(old)]
        for path, name in zip(moved, names, strict=True):
            path.rename(folder / f"{name}.png")
    return masks


def perfect(tmp_path: Path) -> bytes:
    ok = write_masks(tmp_path / "ok")
    return pack(ok, tmp_path / "ok.zip").path.read_bytes()


@pytest.mark.parametrize(
    "names",
    [
        [f"{i:05}" for i in range(1, FRAMES + 1)],
        [f"{i}" for i in range(1, FRAMES + 1)],
        [f"frame_{i}" for i in range(7, FRAMES + 7)],
        [f"{5 * i:05}" for i in range(FRAMES)],
        [f"{100 + 2 * i}" for i in range(FRAMES)],
    ],
)
def test_masks_from_another_start_are_shifted_where_the_first_is_the_annotation(
    masks: Path, split: Split, tmp_path: Path, names: list[str]
) -> None:
    done = repair(renamed(masks, names), tmp_path / "repaired.zip", split)
    assert done.packed.path.read_bytes() == perfect(tmp_path)
    (one,) = done.corrections
    assert one.what == "number changed to that of the frame, by the order"
    assert one.where.startswith(f"{A}/{names[0]}")


def test_masks_from_another_start_are_refused_where_the_first_is_not_the_annotation(
    runner: CliRunner, masks: Path, split: Split, tmp_path: Path
) -> None:
    renamed(masks, [f"{i:05}" for i in range(1, FRAMES + 1)])
    write(masks / A / "00001.png", labels_of(A, 1))
    with pytest.raises(ArchiveError) as caught:
        repair(masks, tmp_path / "repaired.zip", split)
    assert str(caught.value) == (
        f"{masks}: {A}: the masks are 00001 to 00006, the frames 00000 to 00005, and "
        "which mask belongs to which frame is not certain, since 00001.png is not the "
        "annotation of frame 00000; name each mask as its frame is named"
    )
    arguments = ["repair", str(masks), "--split", str(split.root)]
    result = runner.invoke(cli, [*arguments, "-o", str(tmp_path / "repaired.zip")])
    assert result.exit_code == 1
    assert not (tmp_path / "repaired.zip").exists()


def test_another_number_of_masks_is_refused(
    masks: Path, split: Split, tmp_path: Path
) -> None:
    renamed(masks, [f"{i:05}" for i in range(1, FRAMES + 1)])
    (masks / A / "00001.png").unlink()
    with pytest.raises(ArchiveError, match="there are 5 masks for 6 frames"):
        repair(masks, tmp_path / "repaired.zip", split)


def test_a_missing_first_mask_is_no_shift(
    masks: Path, split: Split, tmp_path: Path
) -> None:
    # Nothing moves at first: the second mask equals the annotation.
    (masks / A / "00000.png").unlink()
    (masks / A / "00001.png").write_bytes(encode(labels_of(A, 0)))
    done = repair(masks, tmp_path / "repaired.zip", split)
    assert [one.what for one in done.corrections] == [
        "annotation put in as the first mask"
    ]


def test_a_stranger_beside_the_masks_moves_nothing(
    masks: Path, split: Split, tmp_path: Path
) -> None:
    shutil.copy(masks / A / "00001.png", masks / A / "00099.png")
    shutil.copy(masks / A / "00003.png", masks / A / "-0001.png")
    done = repair(masks, tmp_path / "repaired.zip", split)
    assert done.packed.path.read_bytes() == perfect(tmp_path)


@pytest.mark.parametrize(
    ("stems", "expected", "shifted"),
    [
        (["0", "1", "2"], ["0", "1", "2"], False),
        (["00000", "00005", "00010"], ["00000", "00005", "00010"], True),
        (["mask2", "mask0", "mask1"], ["mask0", "mask1", "mask2"], False),
        (["3", "1", "2", "notes"], ["1", "2", "3"], True),
        # The first mask has its place, so that 7 is a stranger.
        (["0", "1", "7"], ["0", "1", None], False),
        (["1", "2"], [None, "1", "2"], False),
        ([], [None, None, None], False),
    ],
)
def test_numbers_and_order_decide(
    stems: list[str], expected: list[str | None], shifted: bool
) -> None:
    frames = ["00000", "00001", "00002"]
    found = number_frames(frames, stems, video="v", is_first=lambda stem: True)
    assert [found.stems.get(frame) for frame in frames] == expected
    assert found.shifted is shifted


def test_frames_in_steps_take_masks_that_are_counted() -> None:
    found = number_frames(
        ["00000", "00005", "00010"],
        ["0", "1", "2"],
        video="v",
        is_first=lambda stem: stem == "0",
    )
    assert list(found.stems.values()) == ["0", "1", "2"]
    assert found.shifted


def test_frames_without_numbers_are_found_by_their_names() -> None:
    found = number_frames(
        ["left", "right"], ["right", "left"], video="v", is_first=lambda stem: False
    )
    assert found.stems == {"left": "left", "right": "right"}


def test_two_masks_of_one_frame_are_refused() -> None:
    with pytest.raises(ArchiveError, match=r"0\.png and 00000\.png could both be"):
        number_frames(["00000"], ["0", "00000"], video="v", is_first=lambda s: True)


def test_masks_in_folders_of_objects_are_known_as_what_they_are(
    masks: Path, split: Split, tmp_path: Path
) -> None:
    for video in list(masks.iterdir()):
        for path in list(video.iterdir()):
            (video / "001").mkdir(exist_ok=True)
            path.rename(video / "001" / path.name)
    findings = check_masks(masks, split).findings
    assert {finding.code for finding in findings} == {"empty-video"}
    assert findings[0].what == (
        "has no masks, but folders with masks, such as 001/; submit import takes one "
        "folder for each object"
    )
    with pytest.raises(ArchiveError, match="submit import takes one folder for each"):
        repair(masks, tmp_path / "repaired.zip", split)
