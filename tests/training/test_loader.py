from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.errors import TrainingError
from submit.training.index import build_index
from submit.training.loader import load_clips
from submit.training.maker import ClipMaker, ClipSample
from submit.training.tables import AugmentTable, ClipTable, DataTable
from tests.training.conftest import WriteVideos

MakeMaker = Callable[..., ClipMaker]


@pytest.fixture
def make_maker(write_videos: WriteVideos) -> MakeMaker:
    def make(
        *, root: Path | None = None, seed: int = 0, clips: ClipTable | None = None
    ) -> ClipMaker:
        folder = root or write_videos((9, 12), absent={0: (4,)})
        clips = clips or ClipTable(length=3)
        sources = build_index([DataTable(folder)], clips)
        return ClipMaker(sources, clips, AugmentTable(), size=32, seed=seed)

    return make


def same(one: ClipSample, other: ClipSample) -> bool:
    return (
        one.name == other.name
        and one.objects == other.objects
        and np.array_equal(one.images, other.images)
        and np.array_equal(one.labels, other.labels)
    )


def test_a_clip_has_frames_and_the_labels_of_its_objects(make_maker: MakeMaker) -> None:
    maker = make_maker()
    for number in range(6):
        clip = maker[number]
        assert clip.images.shape == (3, 32, 32, 3)
        assert clip.images.dtype == np.uint8
        assert clip.labels.shape == (3, 32, 32)
        assert clip.labels.dtype == np.uint8
        assert set(np.unique(clip.labels[0])) == set(range(clip.objects + 1))
        assert clip.name.startswith("train: v")
        assert clip.problems == ()


def test_a_clip_depends_on_its_number_and_the_seed_only(make_maker: MakeMaker) -> None:
    maker = make_maker()
    first = [maker[number] for number in (5, 3, 5)]
    assert same(first[0], first[2])
    assert not same(first[0], first[1])


def test_an_unreadable_frame_costs_one_clip(
    make_maker: MakeMaker, write_videos: WriteVideos
) -> None:
    root = write_videos((3, 3), root="damaged")
    maker = make_maker(root=root)
    (root / "JPEGImages" / "v0" / "00001.jpg").write_bytes(b"no JPEG")
    clips = [maker[number] for number in range(8)]
    assert {clip.name.split(",")[0] for clip in clips} == {"damaged: v1"}
    problems = [clip.problems[0] for clip in clips if clip.problems]
    assert problems
    assert all("00001.jpg" in problem for problem in problems)
    (root / "JPEGImages" / "v1" / "00001.jpg").unlink()
    with pytest.raises(TrainingError, match="20 clips in a row cannot be read"):
        maker[0]


def test_a_frame_of_another_size_is_a_problem(
    make_maker: MakeMaker, write_videos: WriteVideos
) -> None:
    root = write_videos((3, 3), root="sizes")
    other = write_videos((3,), root="other", size=(40, 80))
    maker = make_maker(root=root)
    target = root / "JPEGImages" / "v0" / "00002.jpg"
    target.write_bytes((other / "JPEGImages" / "v0" / "00002.jpg").read_bytes())
    problems = [p for number in range(8) for p in maker[number].problems]
    assert any("expected 80×48 pixels" in problem for problem in problems)


@pytest.mark.slow
def test_clips_do_not_depend_on_the_number_of_workers(make_maker: MakeMaker) -> None:
    maker = make_maker()
    numbers = [4, 0, 1, 9, 2]
    alone = list(load_clips(maker, numbers, workers=0))
    shared = list(load_clips(maker, numbers, workers=2, clip_bytes=1))
    assert len(shared) == 5
    assert all(map(same, alone, shared))


@pytest.mark.slow
def test_a_killed_worker_is_replaced(make_maker: MakeMaker) -> None:
    maker = make_maker()
    clips = load_clips(maker, range(30), workers=1)
    found = [next(clips), next(clips)]
    (child,) = multiprocessing.active_children()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    # Outside the loader, a death raises nothing: a step of the training goes on.
    child.join()
    with pytest.warns(UserWarning, match="exited unexpectedly"):
        found += clips
    assert len(found) == 30
    assert all(same(maker[number], clip) for number, clip in enumerate(found))


class _Broken:
    """A maker with a bug."""

    def __getitem__(self, number: int) -> ClipSample:
        raise RuntimeError(f"clip {number} is wrong")

    def __len__(self) -> int:
        return 1


@pytest.mark.slow
def test_an_error_in_a_worker_is_no_death() -> None:
    broken: Any = _Broken()
    with pytest.raises(RuntimeError, match=r"(?s)Caught.*clip 0 is wrong"):
        list(load_clips(broken, [0], workers=1))


def test_workers_are_no_more_than_shared_memory_has_room_for(
    make_maker: MakeMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    usage = SimpleNamespace(free=64 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.warns(UserWarning, match="room for the clips of 0 of 8"):
        clips = list(load_clips(make_maker(), [0], workers=8, clip_bytes=32 << 20))
    assert len(clips) == 1
