"""The classical tracker as a predictor.

For each frame and object:

1. Optical flow moves the mask of the previous frame.
2. An appearance model scores every pixel near the object. It is learned from the first
   frame and, with less weight, from later frames.
3. Pixels that move differently from the background and are near the expected shape get
   a higher score.
4. An edge-aware smoother decides the boundary.
5. The pose is tracked also while the object is hidden. If the object is lost, the pose
   is searched for in the frame.
6. Whether the object is visible is decided explicitly.

The defaults were chosen on the videos blackswan, libby, dogs_jump and soccerball of
DAVIS. They were confirmed on bmx-trees, car-shadow, scooter-gray, surf and a video of a
chair's reflection, whose failures, however, were inspected during development.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from submit.errors import OptionError, PredictorError
from submit.predictors import (
    AcceptedPrompts,
    Box,
    Description,
    Frame,
    InputSizes,
    Mask,
    Prediction,
    Prompt,
    Prompts,
    Session,
    State,
    Video,
)

from .cut import cut_out
from .features import Floats
from .motion import PixelBox
from .options import ClassicalOptions
from .scene import SceneReader, WorkingFrame, resize, single_thread
from .track import ObjectTrack

__all__ = ["ClassicalPredictor", "ClassicalSession"]

#: Logits are clipped here: larger ones mean the same, and a soft file clips them too.
_LIMIT = 12.0
#: Shortest side of the working resolution, in pixels.
_SHORTEST = 8


class ClassicalPredictor:
    """Tracks objects without pretrained weights, on one processor core."""

    Options: ClassVar[type[Any]] = ClassicalOptions

    def __init__(self, options: ClassicalOptions, *, device: str = "auto") -> None:
        del device  # It does not use a GPU.
        self._options = options

    def describe(self) -> Description:
        """Describe the model, for the manifest."""
        return Description(
            model="classical",
            licence="Apache-2.0",
            sizes=InputSizes(),
            devices=("cpu",),
            prompts=AcceptedPrompts(boxes=True, absences=True, corrections=True),
        )

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        """Open a video at `scale` times the usual working resolution.

        Raises:
            OptionError: The scale is not legal.
        """
        sizes = self.describe().sizes
        if not sizes.allows(scale):
            raise OptionError(
                f"predictor classical: scale must be between {sizes.smallest} and "
                f"{sizes.largest}, found {scale}"
            )
        return ClassicalSession(video, self._options, scale)


class ClassicalSession:
    """Tracks the objects of one video; keeps one frame and fixed memory per object."""

    def __init__(self, video: Video, options: ClassicalOptions, scale: float) -> None:
        self._video = video
        self._options = options
        pixels = video.height * video.width
        shrink = scale * min(1.0, math.sqrt(options.pixels / pixels))
        self._height = max(_SHORTEST, round(video.height * shrink))
        self._width = max(_SHORTEST, round(video.width * shrink))
        self._reader: SceneReader | None = SceneReader(self._height, self._width)
        self._tracks: dict[int, ObjectTrack] = {}

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        """Predict the next frame, then start to track the new objects in `prompts`.

        A mask prompt of a known object replaces its predicted mask; the appearance
        model then gives it as much weight as the first mask. A box prompt limits the
        search for a known object. A new object, or one that the search does not find,
        is segmented inside its box by colour.

        Raises:
            PredictorError: The frame is not of the video's size, or the session is
                closed.
        """
        new = [key for key in prompts if key not in self._tracks]
        with single_thread():
            scene = self._advance(frame, prompts)
            for key in new:
                mask = self._mask(frame, prompts[key])
                self._tracks[key] = ObjectTrack(scene, mask, self._options)
            for key in new:
                self._tracks[key].learn(scene, self._rivals(key))
        return self._prediction()

    def state(self) -> State:
        """Return what later frames depend on, as plain data.

        Raises:
            PredictorError: The session is closed.
        """
        tracks = {key: track.state() for key, track in self._tracks.items()}
        return {"previous": self._open().previous, "tracks": tracks}

    def restore(self, state: State) -> None:
        """Continue where another session of the same video and options stood.

        Raises:
            PredictorError: The session is closed.
        """
        self._open().previous = state["previous"]
        self._tracks = {
            key: ObjectTrack.of(one, self._options)
            for key, one in state["tracks"].items()
        }

    def close(self) -> None:
        """Free the memory of the session. It may be called twice."""
        self._reader = None
        self._tracks.clear()

    def _advance(self, frame: Frame, prompts: Prompts) -> WorkingFrame:
        """Read a frame and predict every known object in it."""
        expected = (self._video.height, self._video.width, 3)
        if frame.shape != expected:
            raise PredictorError(
                f"{self._video.name}: a frame must be {expected}, found {frame.shape}"
            )
        tracks = list(self._tracks.values())
        scene = self._open().read(frame, [track.probability for track in tracks])
        if scene.change is None:
            return scene
        boxes = {
            key: self._region(prompt)
            for key, prompt in prompts.items()
            if isinstance(prompt, Box)
        }
        predicted = [key for key in self._tracks if key not in prompts or key in boxes]
        for key, track in self._tracks.items():
            if key in predicted:
                track.predict(scene, scene.change, boxes.get(key))
            elif (mask := self._mask(frame, prompts[key])).any():
                track.give(scene, mask)
            else:
                track.hide()
        logits = [track.logits for track in tracks]
        for i, (key, track) in enumerate(self._tracks.items()):
            if key in predicted:
                track.settle(_highest(logits[:i] + logits[i + 1 :]))
            if key in boxes and not track.presence.visible:
                track.give(scene, self._mask(frame, prompts[key]))
        for key, track in self._tracks.items():
            track.learn(scene, self._rivals(key))
        return scene

    def _open(self) -> SceneReader:
        """The reader of frames, if the session is not closed."""
        if self._reader is None:
            raise PredictorError(
                f"video {self._video.name}: the session is closed; open another one"
            )
        return self._reader

    def _mask(self, frame: Frame, prompt: Prompt) -> NDArray[np.bool_]:
        """Return the mask that a prompt gives; empty for an absence."""
        if isinstance(prompt, Mask):
            return prompt.pixels
        if isinstance(prompt, Box):
            image = resize(frame, self._height, self._width)
            return cut_out(image, self._region(prompt))
        return np.zeros((self._height, self._width), np.bool_)

    def _region(self, box: Box) -> PixelBox:
        """The pixels at the working resolution that a box touches."""
        y, x = self._height / self._video.height, self._width / self._video.width
        top = min(int(box.top * y), self._height - 1)
        left = min(int(box.left * x), self._width - 1)
        return PixelBox(
            top=top,
            bottom=min(max(math.ceil(box.bottom * y), top + 1), self._height),
            left=left,
            right=min(max(math.ceil(box.right * x), left + 1), self._width),
        )

    def _rivals(self, key: int) -> Floats | None:
        """Highest probability of any object but one, H×W; None without others."""
        return _highest(
            [track.probability for k, track in self._tracks.items() if k != key]
        )

    def _prediction(self) -> Prediction:
        tracks = self._tracks.values()
        logits = np.zeros((len(tracks), self._height, self._width), np.float32)
        for layer, track in zip(logits, tracks, strict=True):
            np.clip(track.logits, -_LIMIT, _LIMIT, out=layer)
        return Prediction(
            objects=tuple(self._tracks),
            logits=logits,
            presence=np.array([t.presence.logit for t in tracks], np.float32),
        )


def _highest(maps: list[Floats]) -> Floats | None:
    return np.maximum.reduce(maps) if maps else None
