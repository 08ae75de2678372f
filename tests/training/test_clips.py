from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from submit.training.clips import choose_clip, video_factors
from submit.training.index import IndexedVideo
from submit.training.tables import ClipTable, DataTable
from submit.training.videos import FolderVideo

TABLE = DataTable("train")  # type: ignore[arg-type]


def indexed(areas: list[list[int]], size: tuple[int, int] = (10, 10)) -> IndexedVideo:
    frames = tuple(f"{time:05d}" for time in range(len(areas)))
    video = FolderVideo("v", frames, "", frames, "", frames)
    objects = tuple(range(1, len(areas[0]) + 1))
    return IndexedVideo(video, size, objects, np.array(areas, np.int32))


def draws(
    video: IndexedVideo, clips: ClipTable, table: DataTable = TABLE, count: int = 300
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    found = []
    for seed in range(count):
        choice = choose_clip(video, table, clips, np.random.default_rng(seed))
        found.append((choice.places, choice.objects))
    return found


def test_a_clip_begins_where_an_object_is_visible() -> None:
    video = indexed([[0, 0], [0, 0], [9, 0], [9, 5], [0, 5], [0, 0], [0, 0]])
    found = draws(video, ClipTable(length=3))
    assert Counter(places for places, _ in found).keys() == {
        (2, 3, 4),
        (3, 4, 5),
        (4, 5, 6),
    }
    for places, objects in found:
        visible = {key + 1 for key in range(2) if video.areas[places[0], key]}
        assert set(objects) == visible


def test_no_more_objects_than_asked_for_and_each_is_drawn() -> None:
    video = indexed([[5, 5, 5, 5]] * 4)
    found = draws(video, ClipTable(length=2, objects=2))
    assert {len(objects) for _, objects in found} == {2}
    assert {key for _, objects in found for key in objects} == {1, 2, 3, 4}


def test_frame_steps_are_drawn_and_reduced_for_short_videos() -> None:
    table = DataTable("train", steps=(1, 3))  # type: ignore[arg-type]
    found = draws(indexed([[5]] * 12), ClipTable(length=4), table)
    assert {places[1] - places[0] for places, _ in found} == {1, 3}
    found = draws(indexed([[5]] * 8), ClipTable(length=4), table)
    assert {places[1] - places[0] for places, _ in found} == {1, 2}


def test_a_clip_may_run_backward() -> None:
    found = draws(indexed([[5]] * 6), ClipTable(length=3, reverse=0.5))
    steps = Counter(places[1] - places[0] for places, _ in found)
    assert 0.35 < steps[-1] / 300 < 0.65
    # Its first frame, in which objects are given, is the last one in time.
    found = draws(indexed([[0], [0], [5]]), ClipTable(length=3, reverse=1))
    assert {places for places, _ in found} == {(2, 1, 0)}


def test_a_short_video_bounces() -> None:
    found = draws(indexed([[5], [5], [5]]), ClipTable(length=6, short="bounce"))
    assert (0, 1, 2, 1, 0, 1) in {places for places, _ in found}
    found = draws(indexed([[5]]), ClipTable(length=3, short="bounce"), count=3)
    assert {places for places, _ in found} == {(0, 0, 0)}


def test_a_clip_is_found_where_the_object_is_visible_at_the_end_only() -> None:
    found = draws(indexed([[0], [0], [0], [5]]), ClipTable(length=3), count=5)
    assert {places for places, _ in found} == {(3, 2, 1)}


def test_disappearance_and_small_objects_are_drawn_more_often() -> None:
    table = DataTable("train", disappearing=4, small=3)  # type: ignore[arg-type]
    stays, leaves = indexed([[50]] * 6), indexed([[50]] * 4 + [[0]] * 2)
    small = indexed([[1]] * 6, size=(20, 20))
    assert video_factors((stays, leaves, small), table).tolist() == [1, 4, 3]
    found = draws(indexed([[50]] * 6 + [[0]]), ClipTable(length=3), table, 600)
    starts = Counter(places[0] for places, _ in found)
    # Clips that begin at 4 and hold the disappearance are four times as likely.
    assert starts[4] / 600 == pytest.approx(4 / 8, abs=0.07)
    mixed = indexed([[50, 1]] * 4, size=(20, 20))
    found = draws(mixed, ClipTable(length=2, objects=1), table, 600)
    keys = Counter(objects[0] for _, objects in found)
    assert keys[2] / 600 == pytest.approx(3 / 4, abs=0.07)


def test_a_clip_has_a_name_for_messages() -> None:
    choice = choose_clip(
        indexed([[5, 5]] * 2), TABLE, ClipTable(length=2), np.random.default_rng(0)
    )
    name = choice.describe(indexed([[5, 5]] * 2))
    assert name == "v, frames 00000 to 00001, objects 1, 2"
