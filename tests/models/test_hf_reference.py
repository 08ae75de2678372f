"""The same numbers as the library's own loop, and none of its faults.

Weights are random. With the library's rules its own loop is followed frame by frame;
with those of the authors, the predictors `sam2` and `sam3` with the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from submit.errors import PredictorError
from submit.predictors import Mask, Point, Points, Prediction, Prompts, Video
from submit_hf import EdgeTamPredictor, Sam2HfPredictor, Sam3HfPredictor
from submit_hf.network import HfNetwork
from submit_sam2 import Sam2Options, Sam2Predictor
from submit_sam2.base import TrackerPredictor
from submit_sam2.config import MODELS, Sam2Config, TrunkConfig
from submit_sam2.model import ABSENT
from submit_sam2.session import TrackerSession
from submit_sam3 import Sam3Options, Sam3Predictor
from tests.models import hf_tiny, prompted
from tests.models.hf_tiny import SIDES, Models
from tests.scripts import load_tool

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]

by_kind = pytest.mark.parametrize("kind", SIDES, ids=lambda kind: kind.family.name)

#: The tracker of a folder of the library, in one's own words.
SMALL = Sam2Config(TrunkConfig(16, 1, (1, 1, 2, 1), (3,)))


@pytest.fixture(scope="module")
def write_folder(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """Write the folder of a small model, each once."""
    known: dict[Any, Path] = {}

    def write(kind: Models, presence: float = 1.0) -> Path:
        key = kind, presence
        if key not in known:
            at = tmp_path_factory.mktemp("model")
            known[key] = hf_tiny.write_folder(kind, at, presence=presence)
        return known[key]

    return write


def open_session(
    kind: Models, folder: Path, *, length: int = 20, **options: Any
) -> TrackerSession:
    return hf_tiny.open_session(
        kind, folder, size=prompted.SIZE, length=length, **options
    )


def run(
    session: Any, clip: Any, given: Mapping[int, Prompts] | None = None
) -> list[Prediction]:
    """Track a clip; the masks of the first frame are given if nothing else is."""
    if given is None:
        given = {0: {key: Mask(mask) for key, mask in clip.masks.items()}}
    return [
        session.step(frame, given.get(number, {}))
        for number, frame in enumerate(clip.frames)
    ]


def distance(one: Any, other: Any) -> float:
    """The largest difference of two arrays of the same shape."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape
    return float(np.abs(one - other).max())


def assert_close(
    ours: list[Prediction], theirs: list[Prediction], *, limit: float
) -> None:
    """Compare logits, by a limit as a part of their deviation, and scores."""
    drawn = [one.logits[one.logits > ABSENT] for one in theirs]
    deviation = float(np.concatenate(drawn).std())
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        where = f"frame {number}"
        assert distance(one.logits, other.logits) <= limit * deviation, where
        assert distance(one.presence, other.presence) <= limit, where
        assert distance(one.iou, other.iou) <= limit, where


@by_kind
@pytest.mark.parametrize("presence", [1.0, -6.0], ids=["stays", "disappears"])
@pytest.mark.parametrize("objects", [1, 3])
def test_logits_are_those_of_the_librarys_own_loop(
    objects: int,
    presence: float,
    kind: Models,
    write_folder: Callable[..., Path],
    make_clip: Callable[..., Any],
) -> None:
    folder, clip = write_folder(kind, presence), make_clip(9, objects)
    session = open_session(kind, folder, rules="transformers", preprocessing="hf")
    library = hf_tiny.open_library(kind, folder)
    # SAM 3's memories are rounded to bfloat16 after sums in another order.
    limit = 5e-4 if kind is Sam3HfPredictor else 1e-4
    for number, frame in enumerate(clip.frames):
        masks = {} if number else clip.masks
        ours = session.step(frame, {key: Mask(mask) for key, mask in masks.items()})
        image = session._prepare(frame, SIDES[kind])
        logits, score = library.step(number, image, masks)
        assert distance(ours.logits, logits) <= limit, f"frame {number}"
        assert distance(ours.presence, score) <= limit, f"frame {number}"
        if number:
            assert distance(ours.iou, library.ious) <= limit, f"frame {number}"
            assert bool((score > 0).all()) == (presence > 0)


@pytest.mark.parametrize(
    "options",
    [
        {"memory": "sam2"},
        {"memory": "rcms"},
        {"memory": "dam4sam"},
        {"memory": "samurai"},
        {"memory": "sam2long", "delay": 0},
    ],
    ids=lambda options: options["memory"],
)
def test_sam2_hf_is_sam2(
    options: dict[str, Any],
    write_folder: Callable[..., Path],
    make_clip: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    official = make_official(write_folder, monkeypatch, tmp_path)
    clip = make_clip(20, 3)
    folder = write_folder(Sam2HfPredictor)
    session = open_session(Sam2HfPredictor, folder, **options)
    theirs = run(open_official(official, **options), clip)
    # As between the library and the official code: rounding of bfloat16 memories.
    assert_close(run(session, clip), theirs, limit=4e-4)


def make_official(
    write_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Path:
    """The weights of the folder for `sam2-hf` in an official file."""
    monkeypatch.setitem(MODELS, "small", SMALL)
    tool, path = load_tool("convert_sam2_checkpoint"), tmp_path / "official.pt"
    tool.convert(write_folder(Sam2HfPredictor), path)
    return path


def open_official(path: Path, **options: Any) -> TrackerSession:
    chosen = Sam2Options(
        model="small", checkpoint=str(path), image_size=64, dtype="float32", **options
    )
    predictor: TrackerPredictor[Any] = Sam2Predictor(chosen, device="cpu")
    session = predictor.session(Video("clip", *prompted.SIZE, 20))
    assert isinstance(session, TrackerSession)
    return session


def test_prompts_of_all_kinds_do_what_they_do_in_sam2(
    write_folder: Callable[..., Path],
    make_clip: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    official = make_official(write_folder, monkeypatch, tmp_path)
    clip, given = make_clip(16, 3), prompted.script()
    session = open_session(Sam2HfPredictor, write_folder(Sam2HfPredictor))
    theirs = run(open_official(official), clip, given)
    assert_close(run(session, clip, given), theirs, limit=4e-4)


@pytest.mark.parametrize("memory", ["sam2", "sam3"])
def test_sam3_hf_is_sam3(
    memory: str, write_folder: Callable[..., Path], make_clip: Callable[..., Any]
) -> None:
    folder, clip = write_folder(Sam3HfPredictor), make_clip(20, 3)
    chosen = Sam3Options(
        checkpoint=str(folder), image_size=112, dtype="float32", memory=memory
    )
    predictor: TrackerPredictor[Any] = Sam3Predictor(chosen, device="cpu")
    theirs = run(predictor.session(Video("clip", *prompted.SIZE, 20)), clip)
    ours = run(open_session(Sam3HfPredictor, folder, memory=memory), clip)
    assert_close(ours, theirs, limit=5e-4)


def test_of_many_points_sam3_takes_those_that_its_authors_take(
    write_folder: Callable[..., Path], make_clip: Callable[..., Any]
) -> None:
    folder, clip = write_folder(Sam3HfPredictor), make_clip(1, 1)
    points = [Point(20 + 2 * n, 10 + n, inside=n % 3 > 0) for n in range(20)]

    def found(chosen: list[Point], rules: str) -> Any:
        session = open_session(Sam3HfPredictor, folder, rules=rules)
        (seen,) = run(session, clip, {0: {1: Points(tuple(chosen))}})
        return seen.logits

    ends = points[:8] + points[-8:]
    assert np.array_equal(found(points, "official"), found(ends, "official"))
    assert not np.array_equal(
        found(points, "transformers"), found(ends, "transformers")
    )


@by_kind
@pytest.mark.parametrize("rules", ["official", "transformers"])
def test_a_late_object_changes_nothing_for_the_others(
    rules: str,
    kind: Models,
    write_folder: Callable[..., Path],
    make_clip: Callable[..., Any],
) -> None:
    # The library remembers all objects of that frame by their binary masks, and fails
    # with EdgeTAM.
    folder, clip = write_folder(kind), make_clip(8, 2)
    first, late = Mask(clip.masks[1]), Mask(prompted.disc(2, 3))
    alone = run(open_session(kind, folder, rules=rules), clip, {0: {1: first}})
    both = run(
        open_session(kind, folder, rules=rules), clip, {0: {1: first}, 3: {2: late}}
    )
    assert [len(one.objects) for one in both] == [1, 1, 1, 2, 2, 2, 2, 2]
    for one, other in zip(alone, both, strict=True):
        assert distance(other.logits[:1], one.logits) <= 2e-4


@by_kind
def test_no_prompt_is_lost_and_frames_are_counted_by_the_session(
    kind: Models, write_folder: Callable[..., Path], make_clip: Callable[..., Any]
) -> None:
    # With the library, prompts that are added one by one replace each other, and a
    # frame without a number is the first one again once frames are deleted.
    folder, clip = write_folder(kind), make_clip(6, 3)
    one_by_one: dict[int, Prompts] = {
        number: {number + 1: Mask(prompted.disc(number + 1, number))}
        for number in range(3)
    }
    found = run(open_session(kind, folder), clip, one_by_one)
    assert [one.objects for one in found[:4]] == [(1,), (1, 2), (1, 2, 3), (1, 2, 3)]
    given = np.sign(found[0].logits[0])
    assert np.abs(found[0].logits[0]).max() in (8.0, 10.0)
    for one in found[1:]:
        assert np.abs(one.logits[0]).max() != np.abs(found[0].logits[0]).max()
        assert (np.sign(one.logits[0]) != given).any()


@by_kind
def test_only_what_is_looked_back_to_is_kept(
    kind: Models, write_folder: Callable[..., Path], make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(24, 1)
    session = open_session(kind, write_folder(kind), length=24)
    run(session, clip)
    tracker = session._tracker
    assert tracker is not None
    (track,) = tracker._tracks.values()
    # As long as the library reads them: maps for six frames, pointers for fifteen.
    assert sorted(track.maps) == [0, *range(18, 24)]
    assert sorted(track.pointers) == [0, *range(9, 24)]
    cells, tokens = (SIDES[kind] // kind.family.stride) ** 2, 512
    length = tokens if kind is EdgeTamPredictor else cells
    assert {one.shape for one in track.maps.values()} == {(length, 64)}


@pytest.mark.parametrize(
    ("kind", "scale"), [(Sam2HfPredictor, 1.5), (Sam3HfPredictor, 1.25)]
)
def test_another_side_shares_the_weights(
    kind: Models,
    scale: float,
    write_folder: Callable[..., Path],
    make_clip: Callable[..., Any],
) -> None:
    folder, clip = write_folder(kind), make_clip(3, 1)
    chosen = {"checkpoint": str(folder), "dtype": "float32"}
    small = kind(kind.Options(**chosen, image_size=SIDES[kind]), device="cpu")
    side = round(SIDES[kind] * scale)
    large = kind(kind.Options(**chosen, image_size=side), device="cpu")
    video = Video("clip", *prompted.SIZE, 3)
    found = run(small.session(video, scale=scale), clip)
    for one, other in zip(found, run(large.session(video), clip), strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)
    network = small._network
    assert isinstance(network, HfNetwork)
    first, second = network.models.values()
    places = [
        [one.data_ptr() for one in model.parameters()] for model in (first, second)
    ]
    assert places[0] == places[1]


def test_the_tracker_is_found_beside_a_detector(
    write_folder: Callable[..., Path], make_clip: Callable[..., Any], tmp_path: Path
) -> None:
    # As huggingface.co/facebook/sam3 has them.
    safetensors = pytest.importorskip("safetensors.torch")
    alone = write_folder(Sam3HfPredictor)
    config = json.loads((alone / "config.json").read_text())
    both = {"model_type": "sam3_video", "tracker_config": config}
    (tmp_path / "config.json").write_text(json.dumps(both))
    starts = {
        "vision_encoder.backbone.": "detector_model.vision_encoder.backbone.",
        "vision_encoder.neck.": "tracker_neck.",
        "": "tracker_model.",
    }
    state = {"detector_model.text_projection.weight": torch.ones(4, 4)}
    for name, one in safetensors.load_file(alone / "model.safetensors").items():
        start = next(start for start in starts if name.startswith(start))
        state[starts[start] + name.removeprefix(start)] = one
    safetensors.save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    clip = make_clip(3, 1)
    found = run(open_session(Sam3HfPredictor, tmp_path), clip)
    for one, other in zip(
        found, run(open_session(Sam3HfPredictor, alone), clip), strict=True
    ):
        np.testing.assert_array_equal(one.logits, other.logits)


@by_kind
def test_bfloat16_runs(
    kind: Models, write_folder: Callable[..., Path], make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(3, 2)
    found = run(open_session(kind, write_folder(kind), dtype="bfloat16"), clip)
    assert all(np.isfinite(one.logits).all() for one in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("no_object_pointer"), "1 missing (no_object_pointer)"),
        (
            lambda state: state.update(extra=torch.zeros(1)),
            "1 unexpected (extra)",
        ),
        (
            lambda state: state.update({"mask_downsample.bias": torch.zeros(3)}),
            "1 of another shape (mask_downsample.bias)",
        ),
        (
            lambda state: state["mask_downsample.bias"].fill_(float("nan")),
            "1 not finite (mask_downsample.bias)",
        ),
    ],
    ids=["missing", "unexpected", "shape", "not finite"],
)
def test_weights_that_do_not_fit_are_named(
    change: Callable[[dict[str, torch.Tensor]], object],
    message: str,
    write_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    origin = write_folder(Sam2HfPredictor)
    (tmp_path / "config.json").write_bytes((origin / "config.json").read_bytes())
    state = safetensors.load_file(origin / "model.safetensors")
    change(state)
    safetensors.save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(PredictorError) as caught:
        open_session(Sam2HfPredictor, tmp_path)
    assert message in str(caught.value)


def test_a_damaged_file_is_an_error_with_a_remedy(
    write_folder: Callable[..., Path], tmp_path: Path
) -> None:
    origin = write_folder(Sam2HfPredictor)
    (tmp_path / "config.json").write_bytes((origin / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(PredictorError, match=r"cannot load it .*; download it again"):
        open_session(Sam2HfPredictor, tmp_path)
