"""NumPy's arrays of logits and probabilities become soft runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from submit.cli import cli
from submit.data import Split, read_split
from submit.ensemble import MergeSettings
from submit.errors import SettingsError
from submit.masks import ScoreKind, to_labels
from submit.pipeline import ensemble_runs
from submit.runs import Run, SoftVideo
from tests.inline import Inline
from tests.pipeline.scores import (
    RUN,
    above_half_of,
    argmax_of,
    channels_of,
    exported,
    logits_of,
    overlaid_of,
    sigmoid,
    take,
)
from tests.submissions import (
    FRAMES,
    SIZE,
    VIDEOS,
    A,
    B,
    C,
    labels_of,
    write_split,
    zip_up,
)

Array = NDArray[Any]

NAMES = [f"{frame:05}" for frame in range(FRAMES)]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return read_split(write_split(tmp_path / "split"))


def stack(video: str, scores: Callable[[str, int], Array]) -> Array:
    return np.stack([scores(video, frame) for frame in range(FRAMES)])


def plane(video: str, frame: int) -> Array:
    return sigmoid(logits_of(video, frame))


def in_bytes(video: str, frame: int) -> Array:
    return (channels_of(video, frame) * 255).astype(np.uint8)


def frame_files(root: Path, scores: Callable[[str, int], Array]) -> None:
    for video in VIDEOS:
        (root / video).mkdir(parents=True)
        for frame, name in enumerate(NAMES):
            np.save(root / video / f"{name}.npy", scores(video, frame))


def named_frame_files(root: Path, scores: Callable[[str, int], Array]) -> None:
    """With the objects in another order, and all that may stand beside the scores."""
    for video, objects in VIDEOS.items():
        (root / video).mkdir(parents=True)
        for frame, name in enumerate(NAMES):
            array = scores(video, frame)
            front = array[: len(array) - len(objects)]
            np.savez(
                root / video / f"{name}.npz",
                probabilities=np.concatenate([front, array[len(front) :][::-1]]),
                objects=np.array(objects[::-1]),
                presence=np.arange(len(objects), dtype=np.float32),
                iou=np.full(len(objects), 0.5, np.float64),
            )


def stacked_files(root: Path, scores: Callable[[str, int], Array]) -> None:
    root.mkdir()
    for video in VIDEOS:
        np.save(root / f"{video}.npy", stack(video, scores))


def packed_files(root: Path, scores: Callable[[str, int], Array]) -> None:
    """Compressed, and without the first frame."""
    root.mkdir()
    for video in VIDEOS:
        np.savez_compressed(
            root / f"{video}.npz",
            scores=stack(video, scores)[1:],
            frames=np.arange(1, FRAMES),
        )


def inner_files(root: Path, scores: Callable[[str, int], Array]) -> None:
    for video in VIDEOS:
        (root / "out" / video).mkdir(parents=True)
        np.save(root / "out" / video / "result.npy", stack(video, scores))


def member_files(root: Path, scores: Callable[[str, int], Array]) -> None:
    root.mkdir()
    for video in VIDEOS:
        frames = {name: scores(video, at) for at, name in enumerate(NAMES)}
        np.savez(root / f"{video}.npz", **frames)  # type: ignore[arg-type]


WRITERS = pytest.mark.parametrize(
    "write",
    [
        frame_files,
        named_frame_files,
        stacked_files,
        packed_files,
        inner_files,
        member_files,
    ],
)


@WRITERS
@pytest.mark.parametrize(
    ("scores", "expected"),
    [(plane, above_half_of), (channels_of, argmax_of)],
    ids=["objects", "with-background"],
)
def test_probabilities_give_the_masks_of_their_program(
    split: Split,
    tmp_path: Path,
    write: Callable[..., None],
    scores: Callable[[str, int], Array],
    expected: Callable[[str, int], Array],
) -> None:
    write(tmp_path / "in", scores)
    outcome = take(tmp_path / "in", split)
    assert not outcome.failed
    assert Run.open(tmp_path / RUN).is_soft
    for video in VIDEOS:
        found = exported(split, video)
        assert np.array_equal(found[0], labels_of(video, 0))
        for frame in range(1, FRAMES):
            assert np.array_equal(found[frame], expected(video, frame)), (video, frame)


@WRITERS
def test_logits_are_kept_to_the_precision_of_a_run(
    split: Split, tmp_path: Path, write: Callable[..., None]
) -> None:
    if write is named_frame_files:
        pytest.skip("it calls them probabilities")
    write(tmp_path / "in", logits_of)
    assert not take(tmp_path / "in", split).failed
    soft = SoftVideo(tmp_path / RUN / "soft" / f"{C}.npz")
    assert soft.objects == (1, 2, 3)
    for frame in range(1, FRAMES):
        logits = soft.values[soft.codes(frame).astype(int) + 128]
        assert np.allclose(logits, logits_of(C, frame), rtol=0.035, atol=1 / 128)
    soft.close()


@pytest.mark.parametrize("write", [frame_files, stacked_files, packed_files])
def test_a_zip_is_read_as_its_folder(
    split: Split, tmp_path: Path, write: Callable[..., None]
) -> None:
    write(tmp_path / "in", plane)
    take(tmp_path / "in", split)
    digests = {n: r.digest for n, r in Run.open(tmp_path / RUN).videos.items()}
    packed = zip_up(tmp_path / "in", tmp_path / "in.zip")
    assert take(packed, split).skipped == sorted(VIDEOS)
    shutil.rmtree(tmp_path / RUN)
    take(packed, split)
    assert {n: r.digest for n, r in Run.open(tmp_path / RUN).videos.items()} == digests


def test_scores_beside_the_planes_are_kept_in_the_order_of_the_ids(
    split: Split, tmp_path: Path
) -> None:
    named_frame_files(tmp_path / "in", plane)
    take(tmp_path / "in", split)
    soft = SoftVideo(tmp_path / RUN / "soft" / f"{C}.npz")
    assert soft.presence[3].tolist() == [2, 1, 0]
    assert soft.iou[3].tolist() == [0.5, 0.5, 0.5]
    soft.close()


def test_a_small_plane_covers_the_whole_frame(split: Split, tmp_path: Path) -> None:
    def small(video: str, frame: int) -> Array:
        return logits_of(video, frame)[:, ::4, ::4].astype(np.float16)

    frame_files(tmp_path / "in", small)
    assert not take(tmp_path / "in", split).failed
    soft = SoftVideo(tmp_path / RUN / "soft" / f"{A}.npz")
    assert soft.codes(1).shape == (2, 6, 8)
    found = to_labels(soft.codes(1), soft.objects, SIZE)
    soft.close()
    assert np.array_equal(exported(split, A)[1], found)


def test_a_single_object_needs_no_axis_of_its_own(split: Split, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / f"{B}.npy", stack(B, logits_of)[:, 0])
    assert take(tmp_path / "in", split).done == [B]
    assert np.array_equal(exported(split, B)[2], overlaid_of(B, 2))


def test_one_file_is_a_source(split: Split, tmp_path: Path) -> None:
    np.savez(tmp_path / f"{A}.npz", logits=stack(A, logits_of)[:, :, None])
    outcome = take(tmp_path / f"{A}.npz", split)
    assert (outcome.done, outcome.failed) == ([A], {})
    assert np.array_equal(exported(split, A)[4], overlaid_of(A, 4))


def test_the_soft_files_of_a_run_are_imported_to_the_bit(
    split: Split, tmp_path: Path
) -> None:
    frame_files(tmp_path / "in", logits_of)
    take(tmp_path / "in", split)
    shutil.move(tmp_path / RUN / "soft", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / RUN)
    assert not take(tmp_path / "elsewhere", split).failed
    for video in VIDEOS:
        before = (tmp_path / "elsewhere" / f"{video}.npz").read_bytes()
        assert (tmp_path / RUN / "soft" / f"{video}.npz").read_bytes() == before


@pytest.mark.slow
def test_an_ensemble_uses_the_scores(split: Split, tmp_path: Path) -> None:
    frame_files(tmp_path / "in", logits_of)
    take(tmp_path / "in", split)
    (tmp_path / RUN).rename(tmp_path / "first")
    shutil.rmtree(tmp_path / "in")
    # Weak scores: hard masks of them would outvote the others.
    frame_files(tmp_path / "in", lambda video, frame: -logits_of(video, frame) / 8)
    take(tmp_path / "in", split)
    done = ensemble_runs(
        [tmp_path / "first", tmp_path / RUN],
        tmp_path / "both",
        executor=Inline(),
        settings=MergeSettings(method="mean_logits"),
        split=split,
    )
    assert not done.failed
    soft = SoftVideo(tmp_path / "both" / "soft" / f"{A}.npz")
    found = to_labels(soft.codes(2), soft.objects, SIZE)
    soft.close()
    assert (found == overlaid_of(A, 2)).mean() > 0.99


def test_a_run_with_scores_of_one_video_is_soft_for_all(
    split: Split, tmp_path: Path
) -> None:
    from submit.png.palette import write

    frame_files(tmp_path / "in", logits_of)
    for path in (tmp_path / "in" / B).iterdir():
        path.unlink()
    for frame, name in enumerate(NAMES):
        write(tmp_path / "in" / B / f"{name}.png", labels_of(B, frame))
    assert not take(tmp_path / "in", split).failed
    assert all(record.soft for record in Run.open(tmp_path / RUN).videos.values())
    assert all(
        map(
            np.array_equal, exported(split, B), (labels_of(B, f) for f in range(FRAMES))
        )
    )


def test_what_is_said_of_the_numbers_decides_the_masks(
    split: Split, tmp_path: Path
) -> None:
    frame_files(tmp_path / "in", lambda v, f: 0.1 + 0.8 * plane(v, f))
    take(tmp_path / "in", split)
    # All logits from 0 to 1 are above the threshold.
    assert len(take(tmp_path / "in", split, scores=ScoreKind.LOGITS).done) == 3
    assert (exported(split, B)[1] == 1).all()
    assert len(take(tmp_path / "in", split, scores=ScoreKind.LOGITS).skipped) == 3


@pytest.mark.parametrize(
    ("scores", "hints", "words"),
    [
        (
            lambda v, f: np.full((len(VIDEOS[v]), 4, 4), 0.25),
            {},
            "lie in [0.25, 0.25]; say what they are: --as logits or --as prob",
        ),
        (
            in_bytes,
            {},
            "uint8, which may be object ids or probabilities · 255; if they",
        ),
        (lambda v, f: logits_of(v, f)[:, :0], {}, "has no pixels"),
        (
            lambda v, f: np.zeros((9, 4, 4)) - 1.0,
            {},
            "expected 2 × height × width (objects 1, 2), or one more "
            "plane with the background first; found the shape (9, 4, 4)",
        ),
        (
            lambda v, f: logits_of(v, f).transpose(0, 2, 1).copy(),
            {},
            "is 24×32 pixels (width × height), and the video 32×24; "
            "expected height before",
        ),
        (
            lambda v, f: logits_of(v, f)[:, : 8 + f],
            {},
            "expected 32×8 pixels, as in the earlier frames, found 32×9",
        ),
        (
            lambda v, f: plane(v, f) if f < 3 else logits_of(v, f),
            {},
            "00003.npy: expected probabilities from 0 to 1, found values from -",
        ),
        (
            lambda v, f: np.where(f == 4, np.nan, logits_of(v, f)),
            {},
            "00004.npy: logits hold NaN",
        ),
        (
            lambda v, f: np.concatenate([plane(v, f), plane(v, f)[:1]]),
            {},
            "whose probabilities add up to 1 at each pixel, found a sum of",
        ),
        (
            lambda v, f: logits_of(v, f).astype(complex),
            {},
            "floating-point, found complex128",
        ),
        (
            lambda v, f: np.asfortranarray(logits_of(v, f)),
            {},
            "00000.npy: is not a readable file of NumPy: it is in Fortran's order",
        ),
    ],
)
def test_scores_that_cannot_be_right_are_refused_with_their_file(
    split: Split,
    tmp_path: Path,
    scores: Callable[[str, int], Array],
    hints: dict[str, Any],
    words: str,
) -> None:
    frame_files(tmp_path / "in", scores)
    outcome = take(tmp_path / "in", split, **hints)
    assert words in outcome.failed[A]
    assert outcome.failed[A].startswith(f"{tmp_path / 'in'}: {A}")


def test_a_wrong_guess_says_how_it_was_made(split: Split, tmp_path: Path) -> None:
    frame_files(tmp_path / "in", lambda v, f: plane(v, f) if f < 3 else logits_of(v, f))
    failed = take(tmp_path / "in", split).failed[A]
    assert (
        "(taken as probabilities, since they lie in [1.07e-06, 1] there; else" in failed
    )
    assert "say what they are: --as logits or --as probabilities" in failed


def test_names_of_folders_say_what_numbers_are(split: Split, tmp_path: Path) -> None:
    frame_files(tmp_path / "logits", lambda v, f: np.full((len(VIDEOS[v]), 4, 4), 0.25))
    assert not take(tmp_path / "logits", split).failed
    assert (exported(split, B)[1] == 1).all()


def remove_a_frame(root: Path) -> None:
    (root / A / "00003.npy").unlink()


def remove_most_frames(root: Path) -> None:
    for frame in (1, 3, 5):
        (root / A / f"{frame:05}.npy").unlink()


def cut_a_file(root: Path) -> None:
    path = root / A / "00003.npy"
    path.write_bytes(path.read_bytes()[:-1])


def pickle_a_file(root: Path) -> None:
    np.save(root / A / "00003.npy", np.array([{}]), allow_pickle=True)


def write_twice(root: Path) -> None:
    shutil.copy(root / A / "00003.npy", root / A / "3.npy")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove_a_frame, "lacks 1 of 6 masks, such as 00003.npy"),
        (
            remove_most_frames,
            "lacks 3 of 6 masks: it has one frame in 2 only, as YouTube-"
            "VOS is evaluated (every 5th), and lacks 00001.npy and so on",
        ),
        (cut_a_file, "00003.npy: is not a readable file of NumPy: it is cut off"),
        (pickle_a_file, "00003.npy: is not a readable file of NumPy: it is not an"),
        (write_twice, "could both be the mask of frame 00003"),
    ],
)
def test_files_that_are_missing_or_damaged_are_named(
    split: Split, tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    frame_files(tmp_path / "in", logits_of)
    change(tmp_path / "in")
    outcome = take(tmp_path / "in", split)
    assert sorted(outcome.done) == [B, C]
    assert words in outcome.failed[A]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"logits": stack(A, logits_of)[1:]},
            "expected the 6 frames of the video as the first axis, found "
            "the shape (5, 2, 24, 32); where frames are missing, say "
            "which",
        ),
        (
            {"logits": stack(A, logits_of), "frames": np.arange(5)},
            "expected the numbers of 6 frames",
        ),
        (
            {"logits": stack(A, logits_of), "frames": np.arange(6) + 1},
            "which mask belongs to which frame is not certain",
        ),
        (
            {"a": stack(A, logits_of), "b": stack(A, logits_of)},
            "expected one array, called logits or probabilities",
        ),
        (
            {"logits": stack(A, logits_of), "objects": np.array([1, 5])},
            "objects: expected ids of the video, 1, 2, each once; found 1, 5",
        ),
        (
            {"logits": stack(A, logits_of), "objects": np.array([1.0, 2])},
            "objects: expected a list of ids, found float64",
        ),
        (
            {"logits": stack(A, logits_of), "iou": np.zeros((6, 3))},
            "iou: expected 2 floating-point numbers",
        ),
        (
            {"logits": stack(A, logits_of), "iou": np.zeros(6)},
            "iou: expected frames × objects",
        ),
        ({"logits": stack(A, logits_of), "iou": np.full((6, 2), 7.0)}, "iou"),
        (
            {"logits": stack(A, logits_of), "values": np.zeros(4)},
            "values: expected 256 floating-point numbers in ascending order",
        ),
    ],
)
def test_files_of_videos_that_do_not_fit_are_refused(
    split: Split, tmp_path: Path, arrays: dict[str, Array], words: str
) -> None:
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / f"{A}.npz", **arrays)  # type: ignore[arg-type]
    assert words in take(tmp_path / "in", split).failed[A]


def test_two_layouts_are_told_apart_by_the_option(split: Split, tmp_path: Path) -> None:
    from submit.png.palette import write

    frame_files(tmp_path / "in", logits_of)
    for frame, name in enumerate(NAMES):
        write(tmp_path / "in" / A / f"{name}.png", labels_of(A, frame))
    outcome = take(tmp_path / "in", split)
    assert "name it: --format frames or numpy-frames" in outcome.failed[A]
    outcome = take(tmp_path / "in", split, format="numpy-frames")
    assert not outcome.failed
    shutil.rmtree(tmp_path / RUN)
    outcome = take(tmp_path / "in", split, format="frames")
    assert outcome.done == [A]
    assert "has no files of the layout frames" in outcome.failed[B]
    with pytest.raises(SettingsError, match="there is no such layout; expected frames"):
        take(tmp_path / "in", split, format="nothing")


def test_the_command_takes_what_the_files_do_not_say(
    split: Split, tmp_path: Path, runner: CliRunner
) -> None:
    frame_files(tmp_path / "in", in_bytes)

    def submit(*more: str) -> Any:
        start = ["import", str(tmp_path / "in"), "--name", "n"]
        rest = ["--split", str(split.root), "--runs", str(tmp_path / "r"), *more]
        return runner.invoke(cli, [*start, *rest])

    result = submit()
    assert result.exit_code == 1
    assert "say it: --as probabilities" in result.stderr
    result = submit("--as", "probabilities", "--format", "numpy-frames")
    assert result.exit_code == 0, result.stderr
    assert Run.open(tmp_path / "r" / "n").is_soft
    result = submit("--format", "hdf5")
    assert result.exit_code == 1
    assert "Error: format 'hdf5': there is no such layout" in result.stderr
