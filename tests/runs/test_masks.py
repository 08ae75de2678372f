from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from submit.archive import pack
from submit.data import SplitVideo, read_split
from submit.errors import MaskError, RunError
from submit.masks import dequantise, to_labels
from submit.png.palette import encode
from submit.runs import HARD_CODE, HardVideo, KnownMasks, MaskWriter
from submit.runs.masks import read_digests
from submit.system.files import digest
from tests.conftest import WriteSplit
from tests.splits import write_masks

Random = np.random.Generator


@pytest.fixture
def random() -> Random:
    return np.random.default_rng(0)


def test_a_hard_mask_is_sure_of_every_pixel(tmp_path: Path) -> None:
    labels = np.array([[0, 3, 9], [9, 9, 4]], np.uint8)
    paths = write_masks(tmp_path / "v", {"00000": labels, "00001": labels})
    video = HardVideo(paths, objects=(9, 3), size=(2, 3))
    steps = video.codes(1)
    assert steps.dtype == np.int8
    assert dequantise(steps, video.values).tolist() == [
        [[-5, -5, 5], [5, 5, -5]],
        [[-5, 5, -5], [-5, -5, -5]],
    ]
    assert video.frames == ("00000", "00001")
    assert np.isnan(video.presence).all()
    assert video.presence.shape == video.iou.shape == (2, 2)
    np.testing.assert_array_equal(video.labels(0), labels)
    video.close()


def test_a_hard_mask_comes_back_from_its_logits(tmp_path: Path, random: Random) -> None:
    ids = np.array([0, 1, 2, 128, 254], np.uint8)
    labels = ids[random.integers(0, 5, (17, 23))]
    paths = write_masks(tmp_path / "v", {"00000": labels})
    objects = (254, 2, 128, 1)
    video = HardVideo(paths, objects=objects, size=(17, 23))
    np.testing.assert_array_equal(to_labels(video.codes(0), objects, (17, 23)), labels)


def test_a_hard_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    paths = write_masks(tmp_path / "v", {"00000": np.ones((2, 3), np.uint8)})
    video = HardVideo(paths, objects=(1,), size=(3, 3))
    with pytest.raises(MaskError, match=r"00000\.png: expected 3×3 pixels, found 3×2"):
        video.codes(0)


@pytest.fixture
def video(write_split: WriteSplit) -> SplitVideo:
    return read_split(write_split(("a",), frames=("2", "10", "11"))).videos["a"]


@pytest.fixture
def written(tmp_path: Path, video: SplitVideo) -> tuple[Path, MaskWriter]:
    """The masks of a video, in `masks/a`, and who wrote them."""
    folder = tmp_path / "masks" / "a"
    folder.mkdir(parents=True)
    writer = MaskWriter(folder, video)
    for number, frame in enumerate(video.frames):
        writer.write_labels(frame, np.full(video.size, number % 2, np.uint8))
    return folder, writer


def known(folder: Path, writer: MaskWriter) -> KnownMasks:
    return KnownMasks(folder.parent, {"a": writer.digests}, remedy="import it again")


def test_masks_are_known_by_what_was_written(
    written: tuple[Path, MaskWriter], video: SplitVideo, tmp_path: Path
) -> None:
    folder, writer = written
    assert writer.digest == digest(folder)
    assert read_digests(folder) == (writer.digest, writer.digests)
    masks = known(folder, writer)
    assert (masks.videos(), masks.frames("a")) == (["a"], ["2", "10", "11"])
    hard = masks.video("a", objects=(1,), size=video.size)
    assert hard.frames == ("2", "10", "11")
    assert (hard.codes(1) == HARD_CODE).all()
    assert (hard.codes(2) == -HARD_CODE).all()
    packed = pack(masks, tmp_path / "known.zip")
    assert packed.sha256 == pack(folder.parent, tmp_path / "plain.zip").sha256


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda folder: (folder / "10.png").write_bytes(
                encode(np.zeros((24, 32), np.uint8))
            ),
            "masks/a/10.png: is not the mask that was written there",
        ),
        (
            lambda folder: (folder / "10.png").write_bytes(b""),
            "masks/a/10.png: is not the mask that was written there",
        ),
        (lambda folder: (folder / "10.png").unlink(), "masks/a/10.png: is missing"),
        (
            lambda folder: [path.unlink() for path in folder.iterdir()],
            "masks/a: is missing",
        ),
        (
            lambda folder: (folder / "12.png").write_bytes(b"x"),
            "masks/a/12.png: was not written there",
        ),
        (
            lambda folder: (folder / "2.png").replace(folder / "10.png"),
            "masks/a/2.png: is missing",
        ),
    ],
    ids=["changed", "emptied", "removed", "all removed", "added", "moved"],
)
def test_other_masks_are_named_with_a_way_out(
    written: tuple[Path, MaskWriter],
    tmp_path: Path,
    damage: Callable[[Path], object],
    said: str,
) -> None:
    folder, writer = written
    damage(folder)
    with pytest.raises(RunError, match=rf"{said}; import it again"):
        pack(known(folder, writer), tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_what_lies_beside_known_masks_does_not_count(
    written: tuple[Path, MaskWriter], tmp_path: Path
) -> None:
    folder, writer = written
    (folder / "Thumbs.db").touch()
    (folder / ".x.png").touch()
    (folder.parent / "b").mkdir()
    masks = known(folder, writer)
    assert pack(masks, tmp_path / "a.zip").frames == 3
    assert [entry.name for entry in masks.entries] == [
        "a/10.png",
        "a/11.png",
        "a/2.png",
    ]
