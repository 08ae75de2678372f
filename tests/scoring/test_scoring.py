from __future__ import annotations

import csv
import dataclasses
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from submit.archive import open_masks
from submit.data import Split, read_split
from submit.errors import MaskError, ScoringError, SubmitError
from submit.png.palette import write
from submit.scoring import (
    SplitScore,
    Totals,
    frames_csv,
    frames_to_score,
    metrics_json,
    objects_csv,
    percent,
    score_davis,
    score_split,
    scores_json,
    scores_txt,
    write_scores,
)
from tests.inline import Inline
from tests.splits import meta_of, write_masks, write_split

#: Height, width and number of frames. One is too short to have frames that count.
VIDEOS = {"car": (60, 80, 9), "dog": (48, 64, 6), "owl": (50, 90, 7), "two": (8, 8, 2)}


def labels_of(video: str, frame: int, *, predicted: bool) -> NDArray[np.uint8]:
    """Two boxes; one of `car` goes and returns, one of `owl` comes late."""
    height, width, _ = VIDEOS[video]
    labels = np.zeros((height, width), np.uint8)
    late = 2 if predicted else 0
    labels[5 : 20 + frame, 4 + frame + late : 25 + frame] = 1
    if video == "car" and (frame not in (3, 4) or (predicted and frame == 4)):
        labels[30:52, 10 + 3 * frame : 40 + 3 * frame + late] = 2
    if video == "owl" and frame > 1:
        labels[28 + late : 46, 50:88] = 2
    return labels


def shown(*, predicted: bool) -> dict[str, list[NDArray[np.uint8]]]:
    return {
        video: [labels_of(video, n, predicted=predicted) for n in range(length)]
        for video, (_, _, length) in VIDEOS.items()
    }


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """A split with full ground truth, no images, and a meta file."""
    meta = meta_of(shown(predicted=False))
    meta["owl"]["objects"] = ["1", "2"]
    root = tmp_path / "split"
    write_split(root, shown(predicted=False), pictures=False, meta=meta)
    return read_split(root)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A folder of predicted masks for `split`."""
    for video, maps in shown(predicted=True).items():
        write_masks(tmp_path / "masks" / video, maps)
    return tmp_path / "masks"


def score(split: Split, path: Path, *, as_server: bool = False) -> SplitScore:
    with open_masks(path) as masks:
        return score_split(split, masks, as_server=as_server)


def official(result: SplitScore) -> str:
    """The numbers as the official scorer would print them."""
    return scores_txt(result).splitlines()[-1].removeprefix("Copy-Paste: ")


# What may be wrong with a submission, by the name of the test case.


def as_it_is(masks: Path) -> None:
    pass


def without_a_video(masks: Path) -> None:
    for path in (masks / "owl").iterdir():
        path.unlink()
    (masks / "owl").rmdir()


def without_a_middle_frame(masks: Path) -> None:
    (masks / "car" / "00003.png").unlink()


def without_the_first_frame(masks: Path) -> None:
    (masks / "car" / "00000.png").unlink()


def without_the_last_frame(masks: Path) -> None:
    (masks / "car" / "00008.png").unlink()


def with_surplus_files(masks: Path) -> None:
    (masks / "team.json").write_text("{}")
    (masks / "car" / "notes.txt").write_text("")
    (masks / "car" / ".hidden.png").write_text("")
    write(masks / "car" / "00009.png", labels_of("car", 3, predicted=True))


def in_rgb(masks: Path) -> None:
    for path in (masks / "car").iterdir():
        Image.open(path).convert("RGB").save(path)


def in_grey(masks: Path) -> None:
    for path in (masks / "car").iterdir():
        Image.fromarray(np.array(Image.open(path))).save(path)


def in_a_row(masks: Path) -> None:
    write(masks / "car" / "00005.png", labels_of("car", 5, predicted=True)[35:36])


def in_a_wrapper(masks: Path) -> None:
    (masks / "out").mkdir()
    for path in list(masks.iterdir()):
        if path.name != "out":
            path.rename(masks / "out" / path.name)


def in_a_wrapper_beside_a_file(masks: Path) -> None:
    in_a_wrapper(masks)
    (masks / "team.json").write_text("{}")


def as_one_video(masks: Path) -> None:
    for video in ("car", "dog", "two"):
        for path in (masks / video).iterdir():
            path.unlink()
        (masks / video).rmdir()


#: The official `Copy-Paste` line for `masks` after each change, by MOSE-api@241977a.
OFFICIAL: dict[Callable[[Path], None], str] = {
    as_it_is: "67.5,74.0,61.1,50.0,81.4,61.1,67.5",
    without_a_video: "40.2,43.7,36.7,50.0,86.0,36.7,40.2",
    without_a_middle_frame: "67.2,73.8,60.5,0.1,81.4,60.5,67.2",
    without_the_first_frame: "67.5,74.0,61.0,50.0,81.4,61.0,67.5",
    without_the_last_frame: "67.5,74.0,61.1,50.0,81.4,61.1,67.5",
    with_surplus_files: "67.5,74.0,61.1,50.0,81.4,61.1,67.5",
    in_rgb: "46.0,50.2,41.8,100.0,38.4,41.8,46.0",
    in_grey: "67.5,74.0,61.1,50.0,81.4,61.1,67.5",
    in_a_row: "64.2,70.4,58.0,50.0,71.6,58.0,64.2",
    in_a_wrapper: "67.5,74.0,61.1,50.0,81.4,61.1,67.5",
    in_a_wrapper_beside_a_file: "0.0,0.0,0.0,nan,nan,0.0,0.0",
    as_one_video: "0.0,0.0,0.0,nan,nan,0.0,0.0",
}


@pytest.mark.parametrize("change", OFFICIAL, ids=lambda change: change.__name__)
def test_the_servers_numbers_are_reproduced(
    change: Callable[[Path], None], split: Split, masks: Path
) -> None:
    change(masks)
    assert official(score(split, masks, as_server=True)) == OFFICIAL[change]


#: The official `metrics.json` for `masks` without its times.
METRICS: dict[str, dict[str, float | None]] = {
    "two_1": {
        "J&F_new": 0.0,
        "J": 0,
        "F_new": 0,
        "disappear_J&F_new": None,
        "reappear_J&F_new": None,
        "F": 0,
        "J&F": 0.0,
    },
    "car_1": {
        "J&F_new": 82.46,
        "J": 90.5,
        "F_new": 74.42,
        "disappear_J&F_new": None,
        "reappear_J&F_new": None,
        "F": 74.42,
        "J&F": 82.46,
    },
    "car_2": {
        "J&F_new": 75.75,
        "J": 81.28,
        "F_new": 70.22,
        "disappear_J&F_new": 50.04,
        "reappear_J&F_new": 86.03,
        "F": 70.22,
        "J&F": 75.75,
    },
    "dog_1": {
        "J&F_new": 82.93,
        "J": 90.5,
        "F_new": 75.36,
        "disappear_J&F_new": None,
        "reappear_J&F_new": None,
        "F": 75.36,
        "J&F": 82.93,
    },
    "owl_1": {
        "J&F_new": 82.77,
        "J": 90.5,
        "F_new": 75.03,
        "disappear_J&F_new": None,
        "reappear_J&F_new": None,
        "F": 75.03,
        "J&F": 82.77,
    },
    "owl_2": {
        "J&F_new": 81.38,
        "J": 91.12,
        "F_new": 71.64,
        "disappear_J&F_new": None,
        "reappear_J&F_new": 76.73,
        "F": 71.64,
        "J&F": 81.38,
    },
}


def test_metrics_json_is_the_official_one(split: Split, masks: Path) -> None:
    text = metrics_json(score(split, masks))
    found = json.loads(text)
    assert found.pop("total_time") > 0
    assert found == METRICS
    assert '"two_1": {\n        "J&F_new": 0.0,\n        "J": 0,' in text


def test_scores_txt_is_the_official_one(split: Split, masks: Path) -> None:
    assert scores_txt(score(split, masks)) == (
        "J&F_new: 67.55\n"
        "J: 73.98\n"
        "F_new: 61.11\n"
        "disappear_J&F_new: 50.04\n"
        "reappear_J&F_new: 81.38\n"
        "F: 61.11\n"
        "J&F: 67.55\n"
        "Copy-Paste: 67.5,74.0,61.1,50.0,81.4,61.1,67.5\n"
    )


def test_real_masks_score_as_officially(shared_data: Path) -> None:
    root = shared_data / "scoring"
    expected = json.loads((root / "official.json").read_text())
    result = score(read_split(root), root / "predictions")
    found = json.loads(metrics_json(result))
    del found["total_time"]
    assert found == expected["per_object"]
    lines = dict(line.split(": ") for line in scores_txt(result).splitlines())
    assert lines == expected["overall"]


def test_percent_rounds_as_numpy_does() -> None:
    assert (percent(0.29145), percent(0.28845), percent(None)) == (29.14, 28.84, None)


HARMLESS = (
    as_it_is,
    in_grey,
    in_a_wrapper,
    with_surplus_files,
    without_the_last_frame,
    without_a_video,
)


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: change.__name__)
def test_what_the_server_scores_as_it_should_is_scored(
    change: Callable[[Path], None], split: Split, masks: Path
) -> None:
    change(masks)
    assert official(score(split, masks)) == OFFICIAL[change]


PUNISHED: dict[Callable[[Path], None], str] = {
    without_a_middle_frame: (
        "car: 00003.png: missing; the server would not notice, and score 00001.png to "
        "00008.png without it instead of 00001.png to 00007.png"
    ),
    without_the_first_frame: "score 00002.png to 00008.png without it instead of",
    in_rgb: "car/0000",
    in_a_row: "car/00005.png: expected 80×60 pixels, found 80×1; the server would fail",
    in_a_wrapper_beside_a_file: (
        "holds no video of {split}, and the server would score 0.0 for everything; "
        "expected folders such as car/ at its root, found out, team.json"
    ),
    as_one_video: "owl/ is the only folder at its root; the server treats it as a",
}


@pytest.mark.parametrize("change", PUNISHED, ids=lambda change: change.__name__)
def test_what_the_server_punishes_silently_is_an_error(
    change: Callable[[Path], None], split: Split, masks: Path
) -> None:
    change(masks)
    with pytest.raises(SubmitError) as caught:
        score(split, masks)
    assert PUNISHED[change].format(split=split.root) in str(caught.value)


def without_two_frames(masks: Path) -> None:
    (masks / "car" / "00003.png").unlink()
    (masks / "car" / "00005.png").unlink()


def with_an_empty_folder(masks: Path) -> None:
    for path in (masks / "dog").iterdir():
        path.unlink()


def with_words_as_names(masks: Path) -> None:
    (masks / "dog" / "00002.png").rename(masks / "dog" / "mask_00002.png")


def with_an_unknown_frame(masks: Path) -> None:
    (masks / "dog" / "00002.png").rename(masks / "dog" / "2.png")


def with_a_longer_name(masks: Path) -> None:
    (masks / "dog" / "00002.png").rename(masks / "dog" / "00002.old.png")


def with_a_wrong_size(masks: Path) -> None:
    write(masks / "owl" / "00003.png", np.zeros((50, 91), np.uint8))


def with_a_truncated_file(masks: Path) -> None:
    path = masks / "owl" / "00003.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


#: What makes the official scorer fail, and what is said of it.
FATAL: dict[Callable[[Path], None], str] = {
    without_two_frames: "car: 00003.png, 00005.png: 2 of 9 masks are missing",
    with_an_empty_folder: "dog: 00000.png, 00001.png, 00002.png and 3 more: 6 of 6",
    with_words_as_names: "dog: mask_00002.png: expected frame numbers as names",
    with_an_unknown_frame: "dog: 2.png: the truth has no such frame",
    with_a_longer_name: "dog: 00002.png: only a longer name begins so",
    with_a_wrong_size: "owl/00003.png: expected 90×50 pixels, found 91×50",
    with_a_truncated_file: "owl/00003.png: ",
}


@pytest.mark.parametrize("as_server", [False, True], ids=["default", "as_server"])
@pytest.mark.parametrize("change", FATAL, ids=lambda change: change.__name__)
def test_what_the_server_fails_at_is_an_error(
    change: Callable[[Path], None], as_server: bool, split: Split, masks: Path
) -> None:
    change(masks)
    with pytest.raises(SubmitError) as caught:
        score(split, masks, as_server=as_server)
    assert FATAL[change] in str(caught.value)
    if as_server:
        assert isinstance(caught.value, ScoringError)
        assert "the server would fail the whole submission" in str(caught.value)


def test_all_videos_with_problems_are_named_at_once(split: Split, masks: Path) -> None:
    without_two_frames(masks)
    with_words_as_names(masks)
    with pytest.raises(ScoringError) as caught:
        score(split, masks)
    first, second = str(caught.value).splitlines()
    assert first.startswith("car: ")
    assert second.startswith("dog: ")


def test_a_missing_video_scores_zero_and_is_noted(split: Split, masks: Path) -> None:
    without_a_video(masks)
    result = score(split, masks)
    owl = result.videos["owl"]
    assert owl.missing
    assert owl.objects[1].jf_dot == 0
    assert owl.objects[1].disappear is None
    assert result.notes == (
        "1 of 4 videos have no masks, such as owl: their objects score 0",
    )


def test_a_single_video_is_scored_with_a_note(split: Split, masks: Path) -> None:
    alone = Split(split.root, {"owl": split.videos["owl"]})
    for video in ("car", "dog", "two"):
        for path in (masks / video).iterdir():
            path.unlink()
        (masks / video).rmdir()
    result = score(alone, masks)
    assert result.totals.j > 0.5
    assert "treats a single folder as a wrapper" in result.notes[0]


def test_no_clip_gives_no_value(split: Split, masks: Path) -> None:
    alone = Split(split.root, {key: split.videos[key] for key in ("dog", "two")})
    result = score(alone, masks)
    assert (result.totals.disappear, result.totals.reappear) == (None, None)
    assert "disappear_J&F_new: nan\n" in scores_txt(result)
    assert json.loads(scores_json(result))["totals"]["reappear"] is None
    assert objects_csv(result).splitlines()[1].count(",,") == 1


def test_truth_of_first_frames_only_is_refused(split: Split, masks: Path) -> None:
    for video in split.videos.values():
        for path in list(video.masks.values())[1:]:
            path.unlink()
    with pytest.raises(ScoringError, match=r"first frames only.*submit holdout"):
        score(read_split(split.root), masks)


def test_a_gap_in_the_truth_is_refused(split: Split, masks: Path) -> None:
    split.videos["car"].masks["00004"].unlink()
    with pytest.raises(ScoringError, match=r"car has 9 frames, found 8"):
        score(read_split(split.root), masks)


def test_truth_that_lacks_frames_of_the_images_is_refused(
    split: Split, masks: Path
) -> None:
    (split.root / "meta.json").unlink()
    folder = split.root / "JPEGImages" / "car"
    folder.mkdir(parents=True)
    for frame in range(11):
        Image.new("RGB", (80, 60)).save(folder / f"{frame:05d}.jpg")
    with pytest.raises(ScoringError, match=r"car in 1 of 11 frames \(00009.png\)"):
        score(read_split(split.root), masks)


def test_truth_without_objects_is_refused(split: Split, masks: Path) -> None:
    (split.root / "meta.json").unlink()
    for name, video in split.videos.items():
        height, width, _ = VIDEOS[name]
        for path in video.masks.values():
            write(path, np.zeros((height, width), np.uint8))
    with pytest.raises(ScoringError, match="there is nothing to score"):
        score(read_split(split.root), masks)


def test_truth_of_another_size_than_the_meta_file_says_is_refused(
    split: Split, masks: Path
) -> None:
    path = split.videos["owl"].masks["00004"]
    write(path, np.zeros((90, 50), np.uint8))
    with pytest.raises(
        MaskError, match=r"expected the size of the video's frames, 90×50"
    ):
        score(split, masks)


def test_the_size_of_the_first_mask_counts_where_nothing_else_says_it(
    split: Split, masks: Path
) -> None:
    (split.root / "meta.json").unlink()
    result = score(read_split(split.root), masks)
    assert result.videos["car"] == score(split, masks).videos["car"]
    # Without the meta file the masks say which objects there are, late ones too.
    assert result.videos["owl"] == score(split, masks).videos["owl"]


def test_a_zip_scores_as_its_folder_does(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    path = tmp_path / "masks.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(masks.rglob("*.png")):
            archive.write(file, file.relative_to(masks))
    assert score(split, path).totals == score(split, masks).totals


def test_where_frames_are_scored_makes_no_difference(tmp_path: Path) -> None:
    # Long enough to be cut into several ranges of frames.
    root, masks = tmp_path / "split", tmp_path / "masks"
    random = np.random.default_rng(0)
    for folder in (root / "Annotations" / "long", masks / "long"):
        write_masks(folder, list((random.random((100, 9, 70)) < 0.5).astype(np.uint8)))
    split = read_split(root)
    results = []
    for workers, executor in ((1, None), (5, None), (1, Inline())):
        done: Counter[str] = Counter()

        def report(video: str, frames: int, done: Counter[str] = done) -> None:
            done[video] += frames

        with open_masks(masks) as source:
            scored = score_split(
                split, source, workers=workers, executor=executor, progress=report
            )
        results.append(scored)
        assert done == {"long": 98}
        assert frames_to_score(split) == 98
    for other in results[1:]:
        assert frames_csv(other) == frames_csv(results[0])
        assert other.totals == results[0].totals


def test_objects_and_frames_are_tables(split: Split, masks: Path) -> None:
    without_a_video(masks)
    result = score(split, masks)
    objects = list(csv.DictReader(io.StringIO(objects_csv(result))))
    assert [(row["video"], row["object"]) for row in objects] == [
        ("car", "1"),
        ("car", "2"),
        ("dog", "1"),
        ("owl", "1"),
        ("owl", "2"),
        ("two", "1"),
    ]
    assert objects[1]["empty_frames"] == "2"
    assert float(objects[1]["disappear"]) == result.videos["car"].objects[2].disappear
    assert (objects[3]["jf_dot"], objects[3]["disappear"]) == ("0.0", "")
    frames = list(csv.DictReader(io.StringIO(frames_csv(result))))
    gone = [row for row in frames if row["empty"] == "1"]
    assert [(row["object"], row["frame"]) for row in gone] == [
        ("2", "00003"),
        ("2", "00004"),
    ]
    assert float(gone[0]["j"]) == 1.0


def test_all_forms_are_written(split: Split, masks: Path, tmp_path: Path) -> None:
    result = score(split, masks)
    paths = write_scores(result, tmp_path / "scores")
    assert sorted(paths) == [
        "frames.csv",
        "metrics.json",
        "objects.csv",
        "scores.json",
        "scores.txt",
    ]
    assert paths["scores.txt"].read_text() == scores_txt(result)
    found = json.loads(paths["scores.json"].read_text())
    assert Totals(**found["totals"]) == result.totals
    assert found["videos"]["car"]["objects"]["2"]["j"] == (
        result.videos["car"].objects[2].j
    )


def test_the_davis_protocol_gives_its_seven_numbers(split: Split, masks: Path) -> None:
    chosen = Split(split.root, {key: split.videos[key] for key in ("car", "dog")})
    marked = split.videos["dog"].masks["00002"]
    labels = labels_of("dog", 2, predicted=False)
    labels[40:, :] = 255
    write(marked, labels)
    with open_masks(masks) as source:
        result = score_davis(chosen, source)
    # By davis2017-evaluation@ac7c43f, in its order.
    assert dataclasses.astuple(result.totals) == pytest.approx(
        (
            0.8146414277400575,
            0.8740079365079366,
            0.9523809523809524,
            0.006944444444444457,
            0.7552749189721784,
            0.9523809523809524,
            0.03728766040298718,
        ),
        abs=1e-12,
    )
    assert result.videos["car"].objects[2].j == pytest.approx(0.8125, abs=1e-12)


def test_the_davis_protocol_needs_every_mask(split: Split, masks: Path) -> None:
    without_a_middle_frame(masks)
    without_a_video(masks)
    with (
        open_masks(masks) as source,
        pytest.raises(ScoringError) as caught,
    ):
        score_davis(split, source)
    assert str(caught.value).splitlines() == [
        "car: 1 of 9 masks are missing, such as 00003.png; the DAVIS protocol needs "
        "them all",
        "owl: 5 of 7 masks are missing, such as 00001.png; the DAVIS protocol needs "
        "them all",
        "two: has 2 frames, too few for DAVIS",
    ]
