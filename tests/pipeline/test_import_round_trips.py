"""Masks in every layout, from a folder and a zip, become a run and the same masks."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from submit.data import read_split
from submit.formats import FORMATS
from submit.runs import Run, SoftVideo
from tests.pipeline.scores import RUN, exported, take
from tests.pipeline.writers import WRITERS
from tests.submissions import FRAMES, VIDEOS, labels_of, write_split, zip_up


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_round_trip(name: str, zipped: bool, tmp_path: Path) -> None:
    split = read_split(write_split(tmp_path / "split"))
    writer, source = WRITERS[name], tmp_path / "results"
    writer.write(source)
    if zipped:
        source = zip_up(source, tmp_path / "results.zip")
    assert not take(source, split).failed
    run = Run.open(tmp_path / RUN)
    assert run.is_soft == writer.soft
    for video in VIDEOS:
        found = exported(split, video)
        # The first mask is the split's.
        assert np.array_equal(found[0], labels_of(video, 0))
        for frame in range(1, FRAMES):
            assert np.array_equal(found[frame], writer.mask(video, frame)), frame


def test_each_layout_has_a_round_trip() -> None:
    assert {one.layout for one in WRITERS.values()} == set(FORMATS)
    assert {one.layout for one in WRITERS.values() if one.soft} == {
        name for name, one in FORMATS.items() if one.soft
    }


@pytest.mark.parametrize("name", [key for key, one in WRITERS.items() if one.soft])
def test_soft_masks_stay_soft(name: str, tmp_path: Path) -> None:
    split = read_split(write_split(tmp_path / "split"))
    WRITERS[name].write(tmp_path / "results")
    take(tmp_path / "results", split)
    run = Run.open(tmp_path / RUN)
    for video in VIDEOS:
        with closing(SoftVideo(run.soft_path(video))) as soft:
            codes = soft.codes(1)
        assert len(np.unique(codes)) > 20
