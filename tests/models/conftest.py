from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from submit.predictors import AnySession, Mask, Prediction, Video, as_delayed
from submit_sam2 import Sam2Options, Sam2Predictor
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS, Sam2Config, TrunkConfig

State = dict[str, torch.Tensor]
WriteCheckpoint = Callable[[State], Path]

#: A network of the published shape with everything small; takes inputs of 64 pixels.
TINY = Sam2Config(
    TrunkConfig(8, 1, (1, 1, 2, 1), (3,)),
    channels=32,
    memory_channels=8,
    memory_hidden=64,
    memory_layers=2,
)

#: Bias of the last layer that scores an object's presence.
SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"


@dataclass(frozen=True)
class Clip:
    """A generated video with its objects."""

    frames: list[NDArray[np.uint8]]
    masks: dict[int, NDArray[np.bool_]]


def moving_discs(length: int = 20, objects: int = 2) -> Clip:
    """Discs that drift over a striped ground, 48×80 pixels."""
    height, width = 48, 80
    y, x = np.mgrid[:height, :width]
    ground = np.stack([(3 * x + 2 * y) % 97, (5 * y) % 113, (x * y) % 89], 2)
    frames, masks = [], {}
    for time in range(length):
        frame = ground.copy()
        for key in range(1, objects + 1):
            row, column = 8 + 9 * key + time // 3, 6 + 14 * key + 2 * time
            inside = (y - row) ** 2 + (x - column) ** 2 < (4 + key) ** 2
            frame[inside] = (70 * key, 250 - 60 * key, 40 * key)
            if not time:
                masks[key] = inside
        frames.append(frame.astype(np.uint8))
    return Clip(frames, masks)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which the small network stands beside the published ones."""
    monkeypatch.setitem(MODELS, "test_tiny", TINY)
    monkeypatch.setitem(MODELS, "test_tiny_2.0", replace(TINY, timed_pointers=False))
    return "test_tiny"


@pytest.fixture
def tiny_state() -> State:
    """Random weights with which the moving discs are present at first."""
    state = random_weights(TINY, gain=2.0)
    state[SCORE_BIAS] += 2.045
    return state


@pytest.fixture
def clip() -> Clip:
    return moving_discs()


@pytest.fixture
def make_clip() -> Callable[..., Clip]:
    return moving_discs


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> WriteCheckpoint:
    """Write weights as the official files have them."""

    def write(state: State) -> Path:
        path = tmp_path / "weights.pt"
        torch.save({"model": state}, path)
        return path

    return write


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute in double precision, also where a program says `float`."""
    plain_to, plain_arange = torch.Tensor.to, torch.arange

    def widened(value: Any) -> Any:
        return torch.float64 if value is torch.float32 else value

    def to(self: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        options = {key: widened(value) for key, value in options.items()}
        return plain_to(self, *map(widened, args), **options)

    def arange(*args: Any, **options: Any) -> torch.Tensor:
        return plain_arange(*args, **{k: widened(v) for k, v in options.items()})

    monkeypatch.setattr(torch.Tensor, "float", lambda self, **_: self.double())
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch, "arange", arange)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class OpenSession(Protocol):
    """Opens a session, of one kind or the other; see the fixture `open_session`."""

    def __call__(
        self, *, length: int = 20, score: float = 0.0, **options: Any
    ) -> Any: ...


@pytest.fixture
def open_session(
    tiny: str, tiny_state: State, write_checkpoint: WriteCheckpoint
) -> OpenSession:
    """Open a session of the small network.

    `score` is added to each presence score; other names are options.
    """

    def opened(*, length: int = 20, score: float = 0.0, **options: Any) -> Any:
        state = dict(tiny_state)
        state[SCORE_BIAS] = state[SCORE_BIAS] + score
        chosen = {
            "model": tiny,
            "checkpoint": str(write_checkpoint(state)),
            "image_size": 64,
            "dtype": "float32",
        }
        predictor = Sam2Predictor(Sam2Options(**{**chosen, **options}), device="cpu")
        return predictor.session(Video("discs", 48, 80, length))

    return opened


@pytest.fixture
def track() -> Callable[..., list[Prediction]]:
    """Run a session over a clip; `late` gives masks in later frames."""

    def run(
        session: AnySession,
        clip: Clip,
        late: dict[int, dict[int, NDArray[np.bool_]]] | None = None,
    ) -> list[Prediction]:
        given = {0: clip.masks, **(late or {})}
        delayed = as_delayed(session)
        found: list[Prediction] = []
        for index, frame in enumerate(clip.frames):
            masks = given.get(index, {}).items()
            found += delayed.step(frame, {key: Mask(mask) for key, mask in masks})
        return [*found, *delayed.finish()]

    return run


@pytest.fixture
def sam3_reference(monkeypatch: pytest.MonkeyPatch, repository: Path) -> Any:
    """The module of tools/ that builds SAM 3's tracker of others."""
    monkeypatch.syspath_prepend(repository / "tools")
    import sam3_reference

    return sam3_reference


@pytest.fixture
def compare_sam3(sam3_reference: Any) -> Any:
    """The tool that compares `sam3` with them."""
    import compare_sam3

    return compare_sam3
