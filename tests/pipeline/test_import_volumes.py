"""The scores that Cutie and XMem save become soft runs.

The files are written with h5py in the layout of hickle 5.0.3, as `tests.masks` says.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.archive import open_masks
from submit.data import Split, read_split
from submit.errors import ArchiveError
from submit.formats.foreign import ForeignFiles
from submit.png.palette import write
from submit.runs import Run, SoftVideo
from tests.pipeline.scores import RUN, channels_of, exported, take
from tests.pipeline.writers import (
    SHUFFLED,
    by_cutie,
    volume_of,
    write_hickle,
    write_scores,
)
from tests.submissions import FRAMES, VIDEOS, A, B, C, labels_of, write_split, zip_up

h5py: Any = pytest.importorskip("h5py")


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return read_split(write_split(tmp_path / "split"))


def is_right(split: Split) -> None:
    """Every exported mask is that of the program."""
    for video in VIDEOS:
        found = exported(split, video)
        assert np.array_equal(found[0], labels_of(video, 0))
        for frame in range(1, FRAMES):
            assert np.array_equal(found[frame], volume_of(video, frame).argmax(0))


@pytest.mark.parametrize("zipped", [False, True])
def test_scores_of_xmem_are_read_by_its_table(
    split: Split, tmp_path: Path, zipped: bool
) -> None:
    source = write_scores(tmp_path / "out" / "Scores", SHUFFLED, table=True)
    if zipped:
        source = zip_up(tmp_path / "out", tmp_path / "out.zip")
    assert not take(source, split).failed
    assert Run.open(tmp_path / RUN).is_soft
    is_right(split)


def test_the_output_of_cutie_is_read_with_the_mask_of_its_last_frame(
    split: Split, tmp_path: Path
) -> None:
    outcome = take(by_cutie(tmp_path / "out"), split)
    assert not outcome.failed
    assert outcome.details["remarks"] == {
        "scores missing in the last frame, its mask taken": 3
    }
    is_right(split)
    soft = SoftVideo(tmp_path / RUN / "soft" / f"{C}.npz")
    last = soft.values[soft.codes(FRAMES - 1).astype(int) + 128]
    assert set(np.unique(last)) == {-5, 5}
    soft.close()


def test_scores_of_cutie_alone_say_where_the_last_frame_is(
    split: Split, tmp_path: Path
) -> None:
    outcome = take(by_cutie(tmp_path / "out") / "Scores", split)
    assert (
        "lacks 00005.hkl, as Cutie never writes the scores of the" in outcome.failed[A]
    )
    assert "import the folder that has Scores/ and Annotations/" in outcome.failed[A]


def test_complete_scores_in_the_order_of_the_objects_are_cuties(
    split: Split, tmp_path: Path
) -> None:
    assert not take(write_scores(tmp_path / "in", VIDEOS, table=False), split).failed
    is_right(split)


def test_scores_in_another_order_are_refused_without_the_table(
    split: Split, tmp_path: Path
) -> None:
    source = write_scores(tmp_path / "in", SHUFFLED, table=False)
    for hints in ({}, {"format": "cutie"}):
        outcome = take(source, split, **hints)
        assert outcome.done + outcome.skipped == [B]
        assert outcome.failed[C] == (
            f"{source}: {C}: its channels are the objects 3, 1, 2 in the first frame "
            "and not 1, 2, 3, as XMem's may be; add backward.hkl, which says which "
            "channel is which object (XMem writes it after the last frame)"
        )
        shutil.rmtree(tmp_path / RUN)


def test_without_the_first_frame_the_user_says_who_wrote_the_scores(
    split: Split, tmp_path: Path
) -> None:
    source = write_scores(tmp_path / "in", VIDEOS, table=False)
    for video in VIDEOS:
        (source / video / "00000.hkl").unlink()
    outcome = take(source, split)
    assert outcome.done == [B]
    assert "without which the order of XMem's channels is not" in outcome.failed[A]
    assert "say that Cutie wrote the scores: --format cutie" in outcome.failed[A]
    assert not take(source, split, format="cutie").failed
    is_right(split)


def test_objects_that_appear_later_get_the_next_channels(tmp_path: Path) -> None:
    root = write_split(tmp_path / "split")
    (root / "meta.json").unlink()
    first, later = labels_of(C, 0), labels_of(C, 2)
    first[first != 2] = 0
    write(root / "Annotations" / C / "00000.png", first)
    write(root / "Annotations" / C / "00002.png", later)
    for frame in range(FRAMES):
        rows = [0, 2] if frame < 2 else [0, 2, 1, 3]
        volume = volume_of(C, frame)[rows]
        if frame < 2:
            volume[0] = 255 - volume[1]
        write_hickle(tmp_path / "in" / C / f"{frame:05}.hkl", volume)
    split = read_split(root, videos=[C])
    assert not take(tmp_path / "in", split).failed
    soft = SoftVideo(tmp_path / RUN / "soft" / f"{C}.npz")
    assert soft.objects == (2, 1, 3)
    assert [len(soft.codes(frame)) for frame in range(FRAMES)] == [1, 1, 3, 3, 3, 3]
    soft.close()
    found = exported(split, C)
    assert np.array_equal(found[4], volume_of(C, 4).argmax(0))


def remove_a_frame(root: Path) -> None:
    (root / A / "00003.hkl").unlink()


def write_only_every_fifth(root: Path) -> None:
    for frame in (1, 3, 5):
        (root / A / f"{frame:05}.hkl").unlink()


def write_a_wrong_size(root: Path) -> None:
    write_hickle(root / A / "00003.hkl", volume_of(A, 3)[:, :20])


def write_no_bytes(root: Path) -> None:
    write_hickle(root / A / "00003.hkl", channels_of(A, 3))


def add_a_channel(root: Path) -> None:
    write_hickle(root / A / "00003.hkl", volume_of(C, 3))


def write_a_wrong_sum(root: Path) -> None:
    write_hickle(root / A / "00003.hkl", volume_of(A, 3) // 2)


def cut_a_file(root: Path) -> None:
    path = root / A / "00003.hkl"
    path.write_bytes(path.read_bytes()[:200])


def name_another_object(root: Path) -> None:
    write_hickle(root / A / "backward.hkl", {1: 1, 7: 2})


def forget_an_object(root: Path) -> None:
    write_hickle(root / A / "backward.hkl", {2: 1})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove_a_frame, ": lacks 1 of 6 masks, such as 00003.hkl"),
        (write_only_every_fifth, "it has one frame in 2 only, as YouTube-VOS"),
        (write_a_wrong_size, "00003.hkl: expected scores of the video's size, 32×24,"),
        (write_no_bytes, "00003.hkl: expected the dataset data, uint8 of the shape"),
        (add_a_channel, "expected a background and 2 objects, found 4 channels"),
        (write_a_wrong_sum, "00003.hkl: expected a background and objects whose"),
        (cut_a_file, "00003.hkl: cannot be read"),
        (name_another_object, "names the object 7; the video has 1, 2"),
        (forget_an_object, "names no channel of object 1; found {2: 1}"),
    ],
)
def test_scores_that_cannot_be_right_are_refused_with_their_file(
    split: Split, tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    source = write_scores(tmp_path / "in", SHUFFLED, table=True)
    change(source)
    outcome = take(source, split)
    assert sorted(outcome.done) == [B, C]
    assert words in outcome.failed[A]
    assert outcome.failed[A].startswith(f"{source}: {A}")


def test_without_h5py_the_extra_is_named_before_any_work(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_scores(tmp_path / "in", SHUFFLED, table=True)
    monkeypatch.setattr("submit.formats.reading.find_spec", lambda name: None)
    with pytest.raises(ArchiveError, match=r"pip install 'mose-submit\[volumes\]'"):
        take(source, split)


def test_a_video_called_scores_is_a_video(tmp_path: Path) -> None:
    write_scores(tmp_path / "in", {A: VIDEOS[A]}, table=False)
    (tmp_path / "in" / A).rename(tmp_path / "in" / "Scores")
    write(tmp_path / "in" / "x.png", labels_of(A, 0))
    with ForeignFiles(open_masks(tmp_path / "in"), ["Scores", "Annotations"]) as source:
        assert source.videos == {"Scores"}
