"""Models whose state is restored elsewhere predict what they would have predicted."""

from __future__ import annotations

import dataclasses
import io
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from submit.predictors import (
    AnySession,
    Mask,
    Points,
    Prediction,
    Prompts,
    State,
    StaticOptions,
    StaticPredictor,
    Video,
    as_delayed,
    parse_options,
    read_state,
    restore_session,
    session_state,
    write_state,
)
from submit_classical import ClassicalOptions, ClassicalPredictor
from submit_hf import EdgeTamPredictor, Sam2HfPredictor, Sam3HfPredictor
from submit_sam2.memory import POLICIES
from submit_sam3 import Sam3Options, Sam3Predictor
from submit_sam3.config import MODELS
from submit_sam3.model import Sam3Network
from tests.models import hf_tiny, sam3_tiny
from tests.models.conftest import OpenSession, moving_discs
from tests.models.prompted import SIZE, disc, script

LENGTH = 16
#: Frames after which a state is taken: after the first, around prompts, the last but
#: one.
STOPS = (0, 3, 4, 8, 14)

Open = Callable[[], AnySession]


def copied(state: State) -> State:
    """A state as another process reads it."""
    stream = io.BytesIO()
    write_state(state, stream)
    return read_state(stream)


def run(
    session: AnySession,
    prompts: Mapping[int, Prompts],
    *,
    after: int = -1,
    length: int = LENGTH,
) -> tuple[list[Prediction], dict[int, tuple[int, State]]]:
    """Track the clip, from the frame after one on.

    Returns:
        The predictions; and by frame how many of them there were, and the state.
    """
    found: list[Prediction] = []
    states = {}
    delayed = as_delayed(session)
    for index, frame in enumerate(moving_discs(length).frames):
        if index <= after:
            continue
        found += delayed.step(frame, prompts.get(index, {}))
        if index in STOPS:
            states[index] = len(found), copied(session_state(session))
    found += delayed.finish()
    session.close()
    return found, states


def require_equal(one: list[Prediction], other: list[Prediction]) -> None:
    """Compare predictions bit by bit."""
    for first, second in zip(one, other, strict=True):
        assert first.objects == second.objects
        for name in ("logits", "presence", "iou"):
            mine, yours = getattr(first, name), getattr(second, name)
            assert (mine is None) == (yours is None)
            assert mine is None or mine.tobytes() == yours.tobytes()


def check(opened: Open, prompts: Mapping[int, Prompts]) -> None:
    whole, states = run(opened(), prompts)
    for stop, (count, state) in states.items():
        session = opened()
        restore_session(session, state)
        rest, _ = run(session, prompts, after=stop)
        require_equal(whole[count:], rest)


def masks(*keys: int) -> dict[int, Prompts]:
    return {0: {key: Mask(disc(key, 0)) for key in keys}}


def test_the_static_model_continues() -> None:
    def opened() -> AnySession:
        return StaticPredictor(StaticOptions()).session(Video("v", *SIZE, LENGTH))

    check(opened, masks(2, 1))


@pytest.mark.slow
def test_the_classical_model_continues() -> None:
    def opened() -> AnySession:
        predictor = ClassicalPredictor(ClassicalOptions(), device="cpu")
        return predictor.session(Video("v", *SIZE, LENGTH))

    taken = {
        frame: {key: one for key, one in here.items() if not isinstance(one, Points)}
        for frame, here in script().items()
    }
    check(opened, taken)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory", "selection"),
    [*((name, "object") for name in POLICIES), ("sam3", "shared")],
)
def test_sam2_continues_with_every_memory(
    memory: str, selection: str, open_session: OpenSession
) -> None:
    def opened() -> Any:
        # Few frames until each rule of a policy is used.
        return open_session(
            length=LENGTH,
            memory=memory,
            selection=selection,
            conditioning=2,
            quality=0.45,
            motion_frames=2,
            stride=2,
            distractor_iou=0.1,
            distractor_overlap=1.0,
            delay=4,
        )

    check(opened, script())


def test_sam2_continues(open_session: OpenSession) -> None:
    """In short; every memory is tried on longer clips."""
    whole, states = run(open_session(length=6), masks(1), length=6)
    count, state = states[3]
    session = open_session(length=6)
    restore_session(session, state)
    rest, _ = run(session, masks(1), after=3, length=6)
    assert len(rest) == 2
    require_equal(whole[count:], rest)


def plain(value: Any) -> Any:
    """All that an object holds, to compare it with another one."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple, deque)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value) or hasattr(value, "__dict__"):
        return {key: plain(one) for key, one in vars(value).items()}
    return value


@pytest.mark.slow
@pytest.mark.parametrize("memory", POLICIES)
def test_nothing_of_a_memory_is_forgotten(
    memory: str, open_session: OpenSession
) -> None:
    """A field that a policy gets later must be in its state as well."""
    session = open_session(length=LENGTH, memory=memory, delay=4, quality=0.45)
    for index, frame in enumerate(moving_discs(LENGTH).frames):
        session.step(frame, script().get(index, {}))
        other = open_session(length=LENGTH, memory=memory, delay=4, quality=0.45)
        restore_session(other, copied(session_state(session)))
        one, two = (getattr(each, "_inner", each)._open() for each in (session, other))
        assert [plain(track) for track in one._tracks.values()] == [
            plain(track) for track in two._tracks.values()
        ]
        assert plain(one._answers) == plain(two._answers)


@pytest.mark.slow
def test_a_state_does_not_depend_on_the_batch(open_session: OpenSession) -> None:
    """The second attempt of a video takes less memory."""
    whole, states = run(open_session(length=LENGTH), script())
    count, state = states[8]
    session = open_session(length=LENGTH, batch=1)
    restore_session(session, state)
    rest, _ = run(session, script(), after=8)
    for one, other in zip(whole[count:], rest, strict=True):
        # Products of another size are added up in another order.
        np.testing.assert_allclose(one.logits, other.logits, rtol=1e-3, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["sam3", "sam2long"])
def test_sam3_continues(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "sam3", sam3_tiny.NARROW)
    network = Sam3Network(sam3_tiny.NARROW)
    network.load_state_dict(sam3_tiny.draw(sam3_tiny.NARROW, gain=2.0))
    network.eval().requires_grad_(False)

    def opened() -> AnySession:
        settings = ["checkpoint=of no file", "image_size=56", f"memory={memory}"]
        options = parse_options("sam3", Sam3Options, [*settings, "delay=4"])
        predictor = Sam3Predictor.of(network, options, device="cpu")
        return predictor.session(Video("v", *SIZE, LENGTH))

    check(opened, script())


@pytest.mark.slow
@pytest.mark.parametrize("rules", ["official", "transformers"])
@pytest.mark.parametrize(
    "kind",
    [Sam2HfPredictor, Sam3HfPredictor, EdgeTamPredictor],
    ids=["sam2-hf", "sam3-hf", "edgetam"],
)
def test_models_of_transformers_continue(
    kind: hf_tiny.Models, rules: str, tmp_path: Path
) -> None:
    folder = hf_tiny.write_folder(kind, tmp_path)

    def opened() -> AnySession:
        return hf_tiny.open_session(
            kind, folder, size=SIZE, length=LENGTH, rules=rules, memory=None
        )

    check(opened, script())
