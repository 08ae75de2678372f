from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from submit.data import SplitVideo, read_split
from submit.errors import MaskError, RunError
from submit.masks import quantise, to_labels
from submit.pipeline.export import export_video
from submit.pipeline.exported import ExportRecord
from submit.png.palette import DAVIS_PALETTE, encode
from submit.runs import HardVideo, MaskWriter, SoftVideo, SoftWriter, VideoMasks
from submit.system.files import locked
from tests.runs.making import make_run

WriteSplit = Callable[..., Path]


@pytest.fixture
def video(write_split: WriteSplit) -> SplitVideo:
    root = write_split(("a",), objects=(3, 200), size=(24, 32))
    return read_split(root).videos["a"]


@pytest.fixture
def logits() -> NDArray[np.float32]:
    """Logits of three frames and two objects, at another resolution, near 0 too."""
    random = np.random.default_rng(0)
    return random.normal(0, 1, (3, 2, 7, 9)).astype(np.float32)


@pytest.fixture
def soft(tmp_path: Path, video: SplitVideo, logits: NDArray[np.float32]) -> SoftVideo:
    with SoftWriter(tmp_path / "a.npz", size=video.size) as writer:
        for frame, planes in zip(video.frames, logits, strict=True):
            writer.write(frame, (3, 200), planes, None, None)
    return SoftVideo(tmp_path / "a.npz")


def export(masks: VideoMasks, video: SplitVideo, folder: Path) -> dict[str, bytes]:
    """Export into a new folder and read what is there."""
    folder.mkdir()
    try:
        writer = MaskWriter(folder, video)
        count = export_video(masks, video, writer, lambda frames: None)
    finally:
        masks.close()
    found = {path.stem: path.read_bytes() for path in sorted(folder.iterdir())}
    assert count == len(found)
    return found


def test_masks_are_palette_pngs_of_ids_in_the_size_of_the_frame(
    tmp_path: Path,
    video: SplitVideo,
    soft: SoftVideo,
    logits: NDArray[np.float32],
) -> None:
    export(soft, video, tmp_path / "out")
    for frame, planes in zip(video.frames[1:], logits[1:], strict=True):
        with Image.open(tmp_path / "out" / f"{frame}.png") as image:
            assert image.mode == "P"
            assert image.size == (32, 24)
            palette = image.getpalette()
            labels = np.asarray(image)
        assert palette is not None
        assert palette[:12] == DAVIS_PALETTE[:4].ravel().tolist()
        assert set(np.unique(labels)) == {0, 3, 200}
        wanted = to_labels(quantise(planes), (3, 200), (24, 32))
        np.testing.assert_array_equal(labels, wanted)


def test_the_first_mask_is_the_annotation_whatever_the_run_says(
    tmp_path: Path, video: SplitVideo, soft: SoftVideo
) -> None:
    masks = export(soft, video, tmp_path / "out")
    assert masks["00000"] == encode(video.first_mask())
    assert list(masks) == ["00000", "00001", "00002"]


def test_finished_frames_are_reported(
    tmp_path: Path, video: SplitVideo, soft: SoftVideo
) -> None:
    reported: list[int] = []
    (tmp_path / "out").mkdir()
    writer = MaskWriter(tmp_path / "out", video)
    export_video(soft, video, writer, reported.append)
    assert reported == [1, 1, 1]
    soft.close()


def test_masks_of_a_run_of_masks_are_exported_as_they_are(
    tmp_path: Path, video: SplitVideo
) -> None:
    random = np.random.default_rng(0)
    ids = np.array([0, 3, 200], np.uint8)
    masks = {"00000": encode(video.first_mask())}
    for frame in video.frames[1:]:
        masks[frame] = encode(ids[random.integers(0, 3, video.size)])
    paths = {}
    (tmp_path / "in").mkdir()
    for frame, data in masks.items():
        paths[frame] = tmp_path / "in" / f"{frame}.png"
        paths[frame].write_bytes(data)
    hard = HardVideo(paths, objects=(3, 200), size=video.size)
    assert export(hard, video, tmp_path / "out") == masks


def test_masks_written_at_once_equal_those_exported_later(
    tmp_path: Path,
    video: SplitVideo,
    soft: SoftVideo,
    logits: NDArray[np.float32],
) -> None:
    later = export(soft, video, tmp_path / "later")
    (tmp_path / "now").mkdir()
    writer = MaskWriter(tmp_path / "now", video)
    for frame, planes in zip(video.frames, logits, strict=True):
        writer.write(frame, (3, 200), quantise(planes))
    now = {path.stem: path.read_bytes() for path in (tmp_path / "now").iterdir()}
    assert now == later


def test_objects_that_join_later_are_background_before(
    tmp_path: Path, video: SplitVideo
) -> None:
    plane = np.full((1, 2, 2), 4, np.float32)
    with SoftWriter(tmp_path / "v.npz", size=video.size) as writer:
        writer.write("00000", (), plane[:0], None, None)
        writer.write("00001", (3,), plane, None, None)
        both = np.concatenate([plane, 2 * plane])
        writer.write("00002", (3, 200), both, None, None)
    masks = export(SoftVideo(tmp_path / "v.npz"), video, tmp_path / "out")
    assert masks["00001"] == encode(np.full(video.size, 3, np.uint8))
    assert masks["00002"] == encode(np.full(video.size, 200, np.uint8))


class Changed:
    """A video of a run that says something else of itself."""

    def __init__(self, masks: SoftVideo, **changes: Any) -> None:
        self._masks = masks
        vars(self).update(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._masks, name)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (
            {"frames": ("00000", "00001")},
            RunError,
            "video a: the run has 2 frames, the split 3, or their names differ",
        ),
        (
            {"frames": ("00000", "00001", "00003")},
            RunError,
            "video a: the run has 3 frames, the split 3, or their names differ",
        ),
        (
            {"size": (32, 24)},
            MaskError,
            "video a: the run has frames of 24×32, the split 32×24",
        ),
    ],
    ids=["fewer", "other names", "size"],
)
def test_another_split_than_the_run_was_made_from_is_refused(
    tmp_path: Path,
    video: SplitVideo,
    soft: SoftVideo,
    change: dict[str, Any],
    kind: type[Exception],
    said: str,
) -> None:
    masks: Any = Changed(soft, **change)
    with pytest.raises(kind, match=said):
        export(masks, video, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_video_without_first_mask_is_not_exported(
    tmp_path: Path, video: SplitVideo, soft: SoftVideo
) -> None:
    video.masks["00000"].unlink()
    with pytest.raises(MaskError, match=r"Annotations/a/00000\.png: cannot be read"):
        export(soft, video, tmp_path / "out")


@pytest.mark.parametrize("name", ["../thesis", "/tmp/thesis", ".."])
def test_a_record_cannot_have_another_folder_deleted(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "r", "v")
    folder = tmp_path / "masks"
    folder.mkdir()
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    entry = {"source": "a", "masks": "b", "files": {"00000": "c"}}
    record = {"run": "r", "expected": 2, "videos": {name: entry, "w": entry}}
    (folder / ".export.json").write_text(json.dumps(record))
    # A video that the run lacks is deleted from an export of it.
    with locked(folder / ".lock") as lock:
        found = ExportRecord.open(folder)
        with found.writing(run, None, lock, renew=True):
            pass
    assert thesis.is_dir()
    assert folder.is_dir()
    assert found.videos == {}


def test_a_video_that_is_no_longer_there_is_said(tmp_path: Path) -> None:
    record = ExportRecord.open(tmp_path / "masks")
    said = r"masks: has no video alpha; export the run again"
    with pytest.raises(RunError, match=said):
        record.masks(["alpha"], remedy="export the run again")
