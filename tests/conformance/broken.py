"""Models with one fault each, as files for `--predictor broken.py:Class`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from submit.errors import OptionError
from submit.predictors import (
    Absent,
    AcceptedPrompts,
    Box,
    Description,
    Mask,
    Prediction,
    StaticOptions,
    option,
)

ALL = AcceptedPrompts(boxes=True, points=True, absences=True, corrections=True)


class Good:
    """Repeats what was given, a little softer near the left edge."""

    Options: ClassVar[type[Any]] = StaticOptions
    description: ClassVar[Description] = Description("good", "MIT", prompts=ALL)

    def __init__(self, options: Any, *, device: str = "auto") -> None:
        self.device = device

    def describe(self) -> Any:
        return self.description

    def session(self, video: Any, *, scale: float = 1.0) -> Any:
        return Session(self, scale)


class Session:
    """Tracks one video; its parts are replaced by the faulty models."""

    def __init__(self, model: Any, scale: float) -> None:
        self.model, self.scale, self.count = model, scale, 0
        self.masks: dict[int, np.ndarray[Any, Any]] = {}

    def step(self, frame: Any, prompts: Mapping[int, Any]) -> Any:
        self.count += 1
        for key, prompt in prompts.items():
            self.masks[key] = self.pixels(prompt, *frame.shape[:2])
        return self.changed(self.prediction(frame))

    def pixels(self, prompt: Any, height: int, width: int) -> Any:
        if isinstance(prompt, Mask):
            return prompt.pixels
        if isinstance(prompt, Box):
            return prompt.to_mask(height, width).pixels
        found = np.zeros((height, width), bool)
        if not isinstance(prompt, Absent):
            x, y, _ = prompt.points[0]
            found[int(y) - 4 : int(y) + 4, int(x) - 4 : int(x) + 4] = True
        return found

    def prediction(self, frame: Any) -> Prediction:
        stack = np.stack(list(self.masks.values()))
        near = np.linspace(0, 1, frame.shape[1])
        logits = np.where(stack, 5.0, -5.0) - near
        presence = np.where(stack.any((1, 2)), 4.0, -4.0)
        return Prediction(
            tuple(self.masks), logits.astype(np.float32), presence.astype(np.float32)
        )

    def changed(self, prediction: Prediction) -> Any:
        return prediction

    def close(self) -> None:
        pass


class _With(Good):
    """A model with another session."""

    kind: ClassVar[type[Session]] = Session

    def session(self, video: Any, *, scale: float = 1.0) -> Any:
        return self.kind(self, scale)


class NoDataclass(Good):
    class Options:
        pass


@dataclass
class _Changeable:
    radius: float = option(1.0, "Radius.")


@dataclass(frozen=True)
class _Helpless:
    radius: float = 1.0


class Changeable(Good):
    Options = _Changeable


class Helpless(Good):
    Options = _Helpless


class NoLicence(Good):
    description = Description("m", "")


class WrongDigest(Good):
    description = Description("m", "MIT", checkpoint="weights.pt")


class NoCores(Good):
    description = Description("m", "MIT", cores=0)


class WrongDetails(Good):
    description = Description("m", "MIT", details={"size": 3})  # type: ignore[dict-item]


class Fickle(Good):
    def describe(self) -> Any:
        return replace(self.description, details={"self": str(id(object()) + id(self))})


class NoDescription(Good):
    def describe(self) -> Any:
        return None


class Raising(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            raise KeyError("memory")


class Sorted(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, objects=tuple(sorted(prediction.objects)))


class Forgetful(_With):
    class kind(Session):
        """Takes no object that joins later."""

        def step(self, frame: Any, prompts: Mapping[int, Any]) -> Any:
            return super().step(frame, {} if self.count else prompts)


class WrongShape(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, logits=prediction.logits[0])


class NoNumber(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, iou=prediction.presence)


class WritesFrame(_With):
    class kind(Session):
        def step(self, frame: Any, prompts: Mapping[int, Any]) -> Any:
            frame -= 1
            return super().step(frame, prompts)


class WritesFrameUnseen(_With):
    class kind(Session):
        def step(self, frame: Any, prompts: Mapping[int, Any]) -> Any:
            pointer = frame.__array_interface__["data"][0]
            import ctypes

            ctypes.memset(pointer, 0, 12)
            return super().step(frame, prompts)


class WritesMaskUnseen(_With):
    class kind(Session):
        def step(self, frame: Any, prompts: Mapping[int, Any]) -> Any:
            import ctypes

            found = super().step(frame, prompts)
            for prompt in prompts.values():
                pointer = prompt.pixels.__array_interface__["data"][0]
                ctypes.memset(pointer, 1, 12)
            return found


class Doubles(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, logits=prediction.logits.astype(float))


class Booleans(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            seen: Any = prediction.logits > 0
            return replace(prediction, logits=seen)


class Infinite(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            seen = prediction.logits > 0
            logits = np.where(seen, prediction.logits, np.float32(-np.inf))
            return replace(prediction, logits=logits)


class Sometimes(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return prediction if self.count % 2 else replace(prediction, presence=None)


class Probabilities(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            found = 1 / (1 + np.exp(-prediction.logits))
            return replace(prediction, logits=found.astype(np.float32))


class NeverNegative(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, logits=np.maximum(prediction.logits, 0))


class Hard(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, logits=np.sign(prediction.logits))


class PresenceInRange(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            assert prediction.presence is not None
            return replace(
                prediction, presence=(prediction.presence > 0) + np.float32()
            )


class Transposed(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, logits=prediction.logits.transpose(0, 2, 1))


class Mirrored(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, logits=prediction.logits[:, :, ::-1])


class Blind(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            return replace(prediction, logits=prediction.logits - 10)


class Shrinking(_With):
    class kind(Session):
        def pixels(self, prompt: Any, height: int, width: int) -> Any:
            found = super().pixels(prompt, height, width).copy()
            found[:, ::2] = found[::2] = False
            return found


class SaysAbsent(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            assert prediction.presence is not None
            return replace(prediction, presence=-prediction.presence)


class Random(_With):
    random = np.random.default_rng(1)

    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            noise = Random.random.normal(0, 9, prediction.logits.shape)
            noise[prediction.logits > 0] = 0
            logits = prediction.logits + noise.astype(np.float32)
            return replace(prediction, logits=logits)


class LastBits(_With):
    random = np.random.default_rng(1)

    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            noise = LastBits.random.normal(0, 1e-6, prediction.logits.shape)
            logits = prediction.logits + noise.astype(np.float32)
            return replace(prediction, logits=logits)


class OneState(Good):
    """Keeps the number of frames in the predictor."""

    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            self.model.frames += 1
            shift = self.model.frames // 10
            return replace(prediction, logits=np.roll(prediction.logits, shift, 2))

    def session(self, video: Any, *, scale: float = 1.0) -> Any:
        self.frames = 0
        return self.kind(self, scale)


class NoPoints(_With):
    class kind(Session):
        def pixels(self, prompt: Any, height: int, width: int) -> Any:
            if isinstance(prompt, (Mask, Box, Absent)):
                return super().pixels(prompt, height, width)
            raise NotImplementedError("points")


class SwapsAxes(_With):
    class kind(Session):
        def pixels(self, prompt: Any, height: int, width: int) -> Any:
            if isinstance(prompt, Box):
                prompt = Box(prompt.top, prompt.left, prompt.bottom, prompt.right)
            return super().pixels(prompt, height, width)


class NoCorrections(_With):
    class kind(Session):
        def step(self, frame: Any, prompts: Mapping[int, Any]) -> Any:
            # Moved, and not replaced.
            new = {key: one for key, one in prompts.items() if key not in self.masks}
            for key in prompts.keys() - new.keys():
                self.masks[key] = np.roll(self.masks[key], 30, 0)
            return super().step(frame, new)


class NoScale(Good):
    def session(self, video: Any, *, scale: float = 1.0) -> Any:
        if scale != 1:
            raise OptionError(f"scale {scale:g}: expected 1")
        return super().session(video)


class ClosesOnce(_With):
    class kind(Session):
        def close(self) -> None:
            del self.scale


class ClosesAtTheEnd(_With):
    class kind(Session):
        def close(self) -> None:
            if self.count < 4:
                raise RuntimeError("no tracker yet")


class KeepsFrames(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            self.__dict__.setdefault("kept", []).append(prediction.logits.copy())
            return prediction


class KeepsTensors(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            self.__dict__.setdefault("kept", []).append(torch.zeros(999))
            return prediction


class KeepsGradients(_With):
    weight = torch.ones(1, requires_grad=True)

    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            self.memory = KeepsGradients.weight * self.count
            return prediction


class KeepsSessions(Good):
    def session(self, video: Any, *, scale: float = 1.0) -> Any:
        found = super().session(video, scale=scale)
        found.big = np.zeros(99_999)
        self.__dict__.setdefault("kept", []).append(found)
        return found


class Amnesiac(_With):
    class kind(Session):
        def changed(self, prediction: Prediction) -> Any:
            logits = prediction.logits + np.float32(9 * (self.count > 1))
            return replace(prediction, logits=logits)

        def state(self) -> Any:
            return {"masks": self.masks}

        def restore(self, state: Any) -> None:
            self.masks = state["masks"]


class Opaque(_With):
    class kind(Session):
        def state(self) -> Any:
            return {"masks": set(self.masks)}

        def restore(self, state: Any) -> None:
            pass


class Unrestored(_With):
    class kind(Session):
        def state(self) -> Any:
            return {"masks": self.masks}

        def restore(self, state: Any) -> None:
            self.masks = state["mask"]
