from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from submit.conformance import examine
from submit.errors import OptionError, PredictorError
from submit.predictors import (
    Mask,
    Predictor,
    Session,
    Video,
    immediate,
    parse_options,
)
from submit_sam2 import Sam2Options, Sam2Predictor
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS, NARROW
from submit_sam2.model import Sam2Network
from submit_sam2.tracker import Tracker

Open = Callable[..., Any]
VIDEO = Video("discs", 48, 80, 20)


@pytest.fixture
def checkpoint(
    tiny: str, tiny_state: Any, write_checkpoint: Callable[..., Path]
) -> Path:
    return write_checkpoint(tiny_state)


def test_it_is_a_predictor_with_sessions(checkpoint: Path) -> None:
    options = Sam2Options(model="test_tiny", checkpoint=str(checkpoint), image_size=64)
    predictor = Sam2Predictor(options, device="cpu")
    assert isinstance(predictor, Predictor)
    session: Session = immediate(predictor.session(VIDEO))
    session.close()
    session.close()


@pytest.mark.slow
def test_it_keeps_to_the_interface(write_checkpoint: Callable[..., Path]) -> None:
    checkpoint = write_checkpoint(random_weights(MODELS[NARROW]))
    settings = [f"model={NARROW}", f"checkpoint={checkpoint}", "image_size=64"]
    found = examine("sam2", settings, frames=40, only=("prompts", "scale", "memory"))
    assert found.passed, found.deviations


def test_the_manifest_says_what_decides_the_masks(checkpoint: Path) -> None:
    options = parse_options(
        "sam2", Sam2Options, [f"checkpoint={checkpoint}", "preset=rcms", "promote=3"]
    )
    described = Sam2Predictor(options, device="cpu").describe()
    # Read from the checkpoint.
    assert described.model == "test_tiny"
    assert described.checkpoint == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert described.licence == "Apache-2.0"
    details = dict(described.details)
    assert details.pop("dtype") in ("float32", "bfloat16")
    assert details == {
        "device": "cpu",
        "image_size": "1024",
        "memory": "rcms",
        "promote": "3",
        "quality": "0.6",
        "mask_scale": "7.5",
        "mask_bias": "-4",
        "tf32": "false",
        "compile": "false",
        "deterministic": "false",
    }


def test_scales_are_legal_where_32_divides_the_input(checkpoint: Path) -> None:
    options = Sam2Options(model="test_tiny", checkpoint=str(checkpoint), image_size=128)
    predictor = Sam2Predictor(options, device="cpu")
    sizes = predictor.describe().sizes
    assert [s for s in (0.5, 0.75, 0.8, 1.0, 1.25, 1.5, 2.0) if sizes.allows(s)] == [
        *(0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
    ]
    session = immediate(predictor.session(VIDEO, scale=0.5))
    frame = np.zeros((48, 80, 3), np.uint8)
    found = session.step(frame, {1: Mask(np.ones((48, 80), bool))})
    assert found.logits.shape == (1, 16, 16)
    with pytest.raises(OptionError, match=r"expected a multiple of 32, found 102\.4"):
        predictor.session(VIDEO, scale=0.8)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("image_size=1000", "image_size=1000: expected a multiple of 32"),
        ("image_size=32", "at least 64"),
        ("batch=0", "batch=0: expected a whole number of at least 1"),
        ("promote=-1", "promote=-1: expected a whole number of at least 0"),
        ("model=sam3", "expected one of"),
        ("dtype=float16", "expected one of auto, float32, bfloat16"),
        ("quality=good", "quality=good: expected a number from 0 to 1"),
    ],
)
def test_an_illegal_option_is_named(setting: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_options("sam2", Sam2Options, [setting])


def test_without_a_checkpoint_it_says_how_to_get_one() -> None:
    predictor = Sam2Predictor(Sam2Options(), device="cpu")
    for call in (predictor.describe, lambda: predictor.session(VIDEO)):
        with pytest.raises(OptionError, match=r"submit weights fetch sam2\.1_hiera_l"):
            call()


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:99", "is not there"), ("tpu9", "expected auto, cpu, cuda or cuda:N")],
)
def test_a_device_that_is_not_there_is_an_error(
    device: str, message: str, checkpoint: Path
) -> None:
    options = Sam2Options(model="test_tiny", checkpoint=str(checkpoint))
    predictor = Sam2Predictor(options, device=device)
    for call in (predictor.describe, lambda: predictor.session(VIDEO)):
        with pytest.raises(PredictorError, match=message):
            call()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 12 bytes"),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_when_memory_runs_out_it_says_what_to_change(
    error: Exception,
    open_session: Open,
    clip: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise error

    session = open_session()
    monkeypatch.setattr(Tracker, "advance", fail)
    with pytest.raises(PredictorError, match=r"smaller -o batch .*image_size"):
        session.step(clip.frames[0], {1: Mask(clip.masks[1])})


def test_other_failures_are_not_taken_for_a_lack_of_memory(
    open_session: Open, clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a bug")

    session = open_session()
    monkeypatch.setattr(Tracker, "advance", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        session.step(clip.frames[0], {1: Mask(clip.masks[1])})


def test_a_closed_session_says_so(open_session: Open, clip: Any) -> None:
    session = open_session()
    session.close()
    with pytest.raises(PredictorError, match="the session is closed"):
        session.step(clip.frames[0], {1: Mask(clip.masks[1])})


@pytest.mark.parametrize("name", ["sam2.1_hiera_tiny", "sam2_hiera_small", NARROW])
def test_the_size_of_the_network_is_read_from_the_checkpoint(
    name: str, write_checkpoint: Callable[..., Path]
) -> None:
    with torch.device("meta"):
        shapes = Sam2Network(MODELS[name]).state_dict()
    # Only these show which network it is; the other weights are a few bytes.
    state = {
        key: torch.zeros(value.shape if key.endswith("pos_embed") else 1)
        for key, value in shapes.items()
    }
    path = write_checkpoint(state)
    options = parse_options("sam2", Sam2Options, [f"checkpoint={path}"])
    assert options.model == name
    settings = [f"checkpoint={path}", "model=sam2.1_hiera_large"]
    assert parse_options("sam2", Sam2Options, settings).model == "sam2.1_hiera_large"


def test_a_file_that_cannot_be_read_is_reported_later(tmp_path: Path) -> None:
    path = tmp_path / "none.pt"
    options = parse_options("sam2", Sam2Options, [f"checkpoint={path}"])
    assert options.model == "sam2.1_hiera_large"
    with pytest.raises(PredictorError, match="cannot be read"):
        Sam2Predictor(options, device="cpu").describe()


@pytest.mark.slow
def test_a_session_says_which_frames_it_keeps(open_session: Open, clip: Any) -> None:
    # The object disappears in the middle, by its presence score.
    session = open_session(memory="rcms", quality=0.0, promote=2)
    prompts = {key: Mask(mask) for key, mask in clip.masks.items()}
    gone = False
    for number, frame in enumerate(clip.frames):
        found = session.step(frame, {} if number else prompts)
        gone = gone or bool((found.presence <= 0).any())
    kept = session.events
    session.close()
    assert gone
    assert {one.object for one in kept} <= set(clip.masks)
    assert kept
    assert all(0 < one.frame < len(clip.frames) for one in kept)
    assert kept[0].reason == "rcms keeps it: the object disappeared"
