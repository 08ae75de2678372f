"""The predictor `sam3`: its options, with a small network of random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from submit.errors import OptionError, PredictorError
from submit.predictors import (
    Mask,
    Point,
    Points,
    Prediction,
    Video,
    as_delayed,
    parse_options,
)
from submit_sam2.memory import POLICIES, Recall
from submit_sam2.tracker import Tracker
from submit_sam3 import Sam3Options, Sam3Predictor
from submit_sam3.config import MODELS
from submit_sam3.model import Sam3Network
from tests.models import prompted
from tests.models.conftest import Clip, moving_discs
from tests.models.sam3_tiny import NARROW, draw, write_official

VIDEO = Video("discs", 48, 80, 20)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network in the place of the published one."""
    monkeypatch.setitem(MODELS, "sam3", NARROW)


@pytest.fixture(scope="module")
def network() -> Sam3Network:
    """With weights that give a presence above zero in some frames only."""
    network = Sam3Network(NARROW)
    network.load_state_dict(draw(NARROW, gain=2.0))
    return network.eval().requires_grad_(False)


def parse(*settings: str) -> Sam3Options:
    options: Sam3Options = parse_options(
        "sam3", Sam3Options, ("dtype=float32", "image_size=56", *settings)
    )
    return options


def track(
    network: Sam3Network,
    *settings: str,
    clip: Clip | None = None,
    given: Any = None,
    scale: float = 1.0,
) -> list[Prediction]:
    """Track a clip of twelve frames, and return what is predicted in time order."""
    clip = clip or moving_discs(length=12, objects=3)
    given = given or {0: {key: Mask(mask) for key, mask in clip.masks.items()}}
    predictor = Sam3Predictor.of(network, parse(*settings), device="cpu")
    video = Video("discs", 48, 80, len(clip.frames))
    session = as_delayed(predictor.session(video, scale=scale))
    found: list[Prediction] = []
    for number, frame in enumerate(clip.frames):
        found += session.step(frame, given.get(number, {}))
    return [*found, *session.finish()]


def stack(found: list[Prediction]) -> NDArray[np.float32]:
    return np.stack([one.logits for one in found])


@pytest.mark.parametrize("memory", POLICIES)
def test_every_memory_policy_tracks(memory: str, network: Sam3Network) -> None:
    found = track(network, f"memory={memory}")
    logits = stack(found)
    assert logits.shape == (12, 3, 16, 16)
    assert np.isfinite(logits).all()
    assert [one.objects for one in found] == [(1, 2, 3)] * 12
    # After the given frame there are masks, and frames without the object.
    assert (logits[1:] > 0).any()


@pytest.mark.slow
def test_policies_and_scales_of_the_mask_differ(network: Sam3Network) -> None:
    usual = stack(track(network))
    assert np.array_equal(usual, stack(track(network, "memory=sam3")))
    for setting in ("memory=sam2", "mask_scale=7.5", "mask_bias=-4", "valid=0.9"):
        assert not np.array_equal(usual, stack(track(network, setting))), setting


def recalled(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Recall]]:
    """Note for each frame what the objects look back to."""
    seen: dict[int, list[Recall]] = {}
    tokens = Tracker._tokens

    def watch(self: Tracker, keys: Any, recalls: Any) -> Any:
        seen.setdefault(self._frame, []).extend(recalls)
        return tokens(self, keys, recalls)

    monkeypatch.setattr(Tracker, "_tokens", watch)
    return seen


@pytest.mark.parametrize(
    ("settings", "expected"),
    [((), {7, 6, 5, 3}), (("conditioning=none",), {7, 6, 5, 3, 1, 0})],
    ids=["the four nearest", "all"],
)
def test_conditioning_frames_are_the_nearest(
    settings: tuple[str, ...],
    expected: set[int],
    network: Sam3Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, clip = recalled(monkeypatch), moving_discs(length=10, objects=1)
    given = {time: {1: Mask(prompted.disc(1, time))} for time in (0, 1, 3, 5, 6, 7)}
    track(network, *settings, clip=clip, given=given)
    (recall,) = seen[9]
    assert {frame for frame, place in recall.maps if place == 6} == expected


def test_objects_may_be_judged_together(
    network: Sam3Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recalled(monkeypatch)
    track(network, "selection=shared")
    shared = {frame: {one.maps for one in recalls} for frame, recalls in seen.items()}
    assert all(len(kinds) == 1 for kinds in shared.values())


@pytest.mark.slow
def test_all_kinds_of_prompts_are_taken(network: Sam3Network) -> None:
    clip, script = moving_discs(length=14, objects=3), prompted.script()
    found = track(network, clip=clip, given=script)
    assert found[0].objects == (3, 1, 2)
    assert found[-1].objects == (3, 1, 2, 4)
    absent = found[9].logits[0]
    assert (absent < 0).all()
    # A given mask is used as it is.
    cells = np.array(Image.fromarray(prompted.disc(1, 9)).resize((16, 16)))
    assert (found[9].logits[1] > 0)[cells].mean() > 0.8


def test_of_many_points_the_first_and_the_last_eight_count(
    network: Sam3Network,
) -> None:
    clip = moving_discs(length=2, objects=1)
    points = [Point(20 + 2 * n, 10 + n, inside=n % 3 > 0) for n in range(20)]

    def found(chosen: list[Point]) -> NDArray[np.float32]:
        given = {0: {1: Points(tuple(chosen))}}
        return stack(track(network, clip=clip, given=given))

    many = found(points)
    assert np.array_equal(many, found(points[:8] + points[-8:]))
    assert not np.array_equal(many, found(points[:16]))


@pytest.mark.parametrize("way", ["official", "hf"])
def test_frames_are_resized_as_said(way: str) -> None:
    frame = moving_discs(length=1).frames[0]
    prepared = Sam3Predictor(parse(f"preprocessing={way}"), device="cpu").prepare(
        frame, 56
    )
    if way == "official":
        image = Image.fromarray(frame).resize((56, 56), Image.Resampling.BICUBIC)
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    else:
        pixels = torch.from_numpy(frame).permute(2, 0, 1)[None]
        expected = torch.nn.functional.interpolate(
            pixels, (56, 56), mode="bilinear", antialias=True
        )
        assert expected.dtype == torch.uint8
    torch.testing.assert_close(prepared, (expected / 255 - 0.5) / 0.5)


def test_official_resizing_is_the_default() -> None:
    assert Sam3Options().preprocessing == "official"
    frame = moving_discs(length=1).frames[0]
    official, other = (
        Sam3Predictor(parse(f"preprocessing={way}"), device="cpu").prepare(frame, 56)
        for way in ("official", "hf")
    )
    assert not torch.equal(official, other)


@pytest.mark.slow
def test_sides_are_multiples_of_14(network: Sam3Network) -> None:
    # 70 is a grid of 5×5, whose windows of 4×4 are padded.
    assert stack(track(network, "image_size=70")).shape[-2:] == (20, 20)
    # As an augmentation asks for other sizes.
    assert stack(track(network, "image_size=112", scale=0.5)).shape[-2:] == (16, 16)
    sizes = Sam3Predictor(parse("checkpoint=none"), device="cpu")._sizes
    assert [side for side in range(48, 90) if sizes.allows(side / 56)] == [56, 70, 84]
    with pytest.raises(OptionError, match=r"multiple of 14, found 61\.6"):
        track(network, scale=1.1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("image_size=1000", "image_size=1000: expected a multiple of 14, at least 56"),
        ("image_size=42", "at least 56"),
        ("preprocessing=pil", "expected one of official, hf"),
        ("selection=all", "expected one of object, shared"),
        ("memory=all", "expected one of"),
        ("conditioning=1", "conditioning=1: expected"),
        ("model=sam3.1", "expected one of sam3"),
    ],
)
def test_an_illegal_option_is_named(setting: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_options("sam3", Sam3Options, [setting])


def test_the_manifest_has_licence_and_what_decides(tmp_path: Path) -> None:
    path = write_official(draw(NARROW), tmp_path / "sam3.pt")
    options = parse_options(
        "sam3", Sam3Options, [f"checkpoint={path}", "selection=shared"]
    )
    described = Sam3Predictor(options, device="cpu").describe()
    assert described.model == "sam3"
    assert described.checkpoint == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "SAM License" in described.licence
    assert "military" in described.licence
    details = dict(described.details)
    assert details.pop("dtype") in ("float32", "bfloat16")
    assert details == {
        "device": "cpu",
        "image_size": "1008",
        "memory": "sam3",
        "valid": "0.01",
        "selection": "shared",
        "conditioning": "4",
        "preprocessing": "official",
        "mask_scale": "20",
        "mask_bias": "-10",
        "tf32": "false",
        "compile": "false",
        "deterministic": "false",
    }


def test_without_a_checkpoint_it_says_how_to_get_one(tmp_path: Path) -> None:
    calls: list[Callable[[Sam3Predictor], Any]] = [
        lambda predictor: predictor.describe(),
        lambda predictor: predictor.session(VIDEO),
    ]
    how = r"accept the SAM License at huggingface\.co/facebook/sam3.*weights fetch sam3"
    for call in calls:
        with pytest.raises(OptionError, match=f"found none; {how}"):
            call(Sam3Predictor(Sam3Options(), device="cpu"))
        missing = Sam3Options(checkpoint=str(tmp_path / "sam3.pt"))
        with pytest.raises(PredictorError, match=how):
            call(Sam3Predictor(missing, device="cpu"))
