from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from submit.errors import MaskError, SplitError, TrainingError
from submit.masks import encode_rle
from submit.training.index import build_index, count_labels
from submit.training.sources import list_source
from submit.training.tables import ClipTable, DataTable
from submit.training.videos import jpeg_size, read_reduced
from tests.training.conftest import WriteVideos, discs

CLIPS = ClipTable(length=4)


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_folder_is_read_with_objects_and_areas(write_videos: WriteVideos) -> None:
    root = write_videos((6, 5), absent={0: (3,)})
    (source,) = build_index([DataTable(root)], CLIPS)
    assert [one.video.name for one in source.videos] == ["v0", "v1"]
    first, second = source.videos
    assert (first.size, first.objects, first.length) == ((48, 80), (1, 2), 6)
    assert (first.areas[:, 0] > 0).tolist() == [True, True, True, False, True, True]
    assert first.disappears
    assert not second.disappears
    _, labels = discs(6, 2, (48, 80), absent=(3,))
    assert first.areas[0].tolist() == np.bincount(labels[0].ravel())[1:].tolist()
    assert first.is_small(0.5)
    assert not first.is_small(0.001)


def test_only_frames_with_a_mask_are_used(write_videos: WriteVideos) -> None:
    root = write_videos((6,))
    (root / "Annotations" / "v0" / "00002.png").unlink()
    (video,), _ = list_source(DataTable(root))
    assert video.frames == ("00000", "00001", "00003", "00004", "00005")


def test_void_pixels_are_background(write_videos: WriteVideos) -> None:
    from submit.png.palette import encode

    root = write_videos((4,))
    labels = np.full((48, 80), 255, np.uint8)
    labels[:9] = 3
    (root / "Annotations" / "v0" / "00001.png").write_bytes(encode(labels))
    (video,), _ = list_source(DataTable(root))
    assert set(np.unique(video.labels(1, (48, 80)))) == {0, 3}


def test_videos_of_the_hold_out_and_of_a_list_are_left_out(
    write_videos: WriteVideos, tmp_path: Path
) -> None:
    root = write_videos((4, 4, 4, 4))
    names = tmp_path / "names.txt"
    names.write_text("# remark\nv2\n")
    table = DataTable(root, exclude=("v0", str(names)))
    (source,) = build_index([table], CLIPS, held_out=frozenset({"v3"}))
    assert [one.video.name for one in source.videos] == ["v1"]
    assert source.notes == (
        "train: 2 videos left out (exclude)",
        "train: 1 video of the hold-out left out",
    )


def test_a_source_of_which_nothing_remains_is_an_error(
    write_videos: WriteVideos,
) -> None:
    root = write_videos((4,))
    with pytest.raises(TrainingError, match="no video to train on"):
        list_source(DataTable(root), held_out=frozenset({"v0"}))
    with pytest.raises(TrainingError, match="no video matches 'x"):
        list_source(DataTable(root, videos=("x*",)))
    with pytest.raises(TrainingError, match=r"longest has 4; set \[clips\] length"):
        build_index([DataTable(root)], ClipTable(length=5))
    with pytest.raises(TrainingError, match="at least one"):
        build_index([], CLIPS)


def test_short_and_damaged_videos_are_left_out_with_a_remark(
    write_videos: WriteVideos,
) -> None:
    root = write_videos((3, 4, 4, 5))
    (root / "Annotations" / "v1" / "00002.png").write_bytes(b"no PNG")
    (root / "JPEGImages" / "v2" / "00000.jpg").write_bytes(b"no JPEG")
    (source,) = build_index([DataTable(root, name="mine")], CLIPS)
    assert [one.video.name for one in source.videos] == ["v3"]
    short, mask, image = source.notes
    assert short == "mine: 1 video has fewer than 4 frames and is left out"
    assert mask.startswith("mine: v1 is left out: ")
    assert "00002.png" in mask
    assert "00000.jpg" in image


def test_short_videos_may_bounce(write_videos: WriteVideos) -> None:
    root = write_videos((3,))
    (source,) = build_index([DataTable(root)], ClipTable(length=5, short="bounce"))
    assert len(source.videos) == 1


def test_masks_of_another_folder_can_be_trained_on(
    write_videos: WriteVideos, tmp_path: Path
) -> None:
    root = write_videos((4,))
    masks = tmp_path / "exported"
    (root / "Annotations").rename(masks)
    (root / "Annotations" / "v0").mkdir(parents=True)
    (video,), _ = list_source(DataTable(root, masks=masks))
    assert count_labels(video.labels(0, (48, 80)))[1] > 0


@pytest.mark.parametrize("counts", ["text", "list"])
def test_youtube_vis_is_read(
    write_videos: WriteVideos, tmp_path: Path, counts: str
) -> None:
    root = write_videos((4,), absent={0: (2,)})
    _, labels = discs(4, 2, (48, 80), absent=(2,))

    def rle(mask: np.ndarray[Any, Any]) -> dict[str, Any] | None:
        if not mask.any():
            return None
        found = encode_rle(mask)
        if counts == "list":
            flat = mask.T.ravel()
            edges = np.flatnonzero(np.diff(flat.astype(int))) + 1
            found["counts"] = np.diff([0, *edges, flat.size]).tolist()
        return found

    path = write_json(
        tmp_path / "train.json",
        {
            "videos": [
                {"id": 7, "file_names": [f"v0/{t:05d}.jpg" for t in range(4)]},
                {"id": 8, "file_names": ["gone/00000.jpg"]},
            ],
            "annotations": [
                *(
                    {
                        "id": key,
                        "video_id": 7,
                        "segmentations": [rle(each == key) for each in labels],
                    }
                    for key in (1, 2)
                ),
                {"id": 3, "video_id": 8, "segmentations": [rle(labels[0] == 1)]},
            ],
        },
    )
    table = DataTable(root / "JPEGImages", annotations=path)
    (source,) = build_index([table], CLIPS)
    (one,) = source.videos
    assert one.video.name == "v0"
    for time in range(4):
        assert np.array_equal(one.video.labels(time, one.size), labels[time])
    assert source.notes == ("train: 1 video has no images, such as gone",)


def test_burst_is_read(write_videos: WriteVideos, tmp_path: Path) -> None:
    root = write_videos((4,), absent={0: (2,)})
    _, labels = discs(4, 2, (48, 80), absent=(2,))
    (tmp_path / "frames" / "YFCC").mkdir(parents=True)
    (root / "JPEGImages" / "v0").rename(tmp_path / "frames" / "YFCC" / "v0")
    path = write_json(
        tmp_path / "burst.json",
        {
            "sequences": [
                {
                    "id": 1,
                    "dataset": "YFCC",
                    "seq_name": "v0",
                    "height": 48,
                    "width": 80,
                    "annotated_image_paths": [f"{t:05d}.jpg" for t in range(4)],
                    "segmentations": [
                        {
                            str(key): {
                                "rle": encode_rle(each == key)["counts"],
                                "is_gt": True,
                            }
                            for key in (1, 2)
                            if (each == key).any()
                        }
                        for each in labels
                    ],
                }
            ]
        },
    )
    table = DataTable(tmp_path / "frames", annotations=path)
    (source,) = build_index([table], CLIPS)
    (one,) = source.videos
    assert one.video.name == "YFCC/v0"
    assert np.array_equal(one.video.labels(2, one.size), labels[2])


def test_where_objects_overlap_the_smaller_one_is_seen(tmp_path: Path) -> None:
    from submit.training.videos import RleVideo

    large, small = np.ones((4, 6), bool), np.zeros((4, 6), bool)
    small[1:3, 2:4] = True
    tracks = ({0: encode_rle(small)}, {0: encode_rle(large)})
    labels = RleVideo("v", ("0",), ("0.jpg",), tracks).labels(0, (4, 6))
    assert np.array_equal(labels, np.where(small, 1, 2))
    broken = RleVideo("v", ("0",), ("0.jpg",), ({0: {"size": [4, 6]}},))
    with pytest.raises(MaskError, match="video v, frame 0, object 1"):
        broken.labels(0, (4, 6))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"images": []}, "expected a JSON file of YouTube-VIS"),
        ([], "found a list"),
        ({"sequences": [{}]}, "KeyError"),
        (
            {
                "videos": [],
                "annotations": [
                    {"id": 4, "video_id": 1, "segmentations": [[[1, 2, 3, 4]]]}
                ],
            },
            "annotation 4: expected masks as COCO RLE, found polygons",
        ),
    ],
    ids=["other", "list", "malformed", "polygons"],
)
def test_other_json_is_an_error(tmp_path: Path, content: Any, words: str) -> None:
    path = write_json(tmp_path / "a.json", content)
    with pytest.raises(TrainingError, match=words):
        list_source(DataTable(tmp_path, annotations=path))


def test_a_missing_image_folder_of_json_is_an_error(tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "a.json",
        {
            "videos": [{"id": 1, "file_names": ["a/0.jpg"]}],
            "annotations": [
                {"video_id": 1, "segmentations": [encode_rle(np.ones((2, 2), bool))]}
            ],
        },
    )
    with pytest.raises(TrainingError, match="found none of them"):
        list_source(DataTable(tmp_path / "frames", annotations=path))


def test_frames_are_decoded_as_elsewhere_and_smaller_where_allowed(
    write_videos: WriteVideos,
) -> None:
    from submit.data import read_frame

    root = write_videos((1,), size=(96, 160))
    path = root / "JPEGImages" / "v0" / "00000.jpg"
    pixels, size = read_reduced(str(path))
    assert size == (96, 160)
    off = np.abs(pixels[:, :, ::-1].astype(int) - read_frame(path))
    assert off.max() <= 1
    smaller, size = read_reduced(str(path), 3.9)
    assert (smaller.shape, size) == ((48, 80, 3), (96, 160))
    assert jpeg_size(path.read_bytes()) == (96, 160)


def test_a_truncated_frame_is_refused(write_videos: WriteVideos) -> None:
    root = write_videos((1,))
    path = root / "JPEGImages" / "v0" / "00000.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(SplitError, match=r"00000\.jpg"):
        read_reduced(str(path))
    with pytest.raises(SplitError, match="cannot be read"):
        read_reduced(str(path) + "x")
