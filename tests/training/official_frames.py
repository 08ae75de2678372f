"""Frames that the official transforms and ours change in the same way.

`python -m tests.training.official_frames` writes `official_frames.npz`, where
torchvision and the package `training` of facebookresearch/sam2 are installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from submit.training.augmentation import ClipWarp, ColourChange, _affine, warp

__all__ = ["CASES", "FROZEN", "Case"]

#: The outputs of the official transforms: `NAME pixels` and `NAME labels`.
FROZEN = Path(__file__).parent / "official_frames.npz"
#: Side of the outputs, and the colour outside of the frame.
_SIDE, _FILL = 48, (123, 116, 103)
_Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """One frame and its changes.

    Attributes:
        size: Height and width of the frame.
        mirror: Whether it is mirrored.
        angle: Degrees of the rotation; None without an affine map.
        shear: Degrees of the shear along x.
        colours: Changes of colours in order.
        mosaic: The tile that holds the objects, and which tiles are mirrored.
    """

    size: tuple[int, int] = (108, 192)
    mirror: bool = False
    angle: float | None = None
    shear: float = 0.0
    colours: tuple[tuple[str, float], ...] = ()
    mosaic: tuple[int, tuple[bool, bool, bool, bool]] | None = None

    def picture(self) -> tuple[_Array, _Array]:
        """A frame with soft stripes, H×W×3, and two objects."""
        height, width = self.size
        y, x = np.mgrid[:height, :width]
        bands = [
            120 + 60 * np.sin(x / 7 + y / 11) + 40 * (y > height / 2),
            60 + 120 * x / width + 20 * np.cos(y / 5),
            90 + 90 * y / height + 30 * np.sin((x - y) / 6),
        ]
        pixels = np.stack(bands, 2).astype(np.uint8)
        labels = np.zeros(self.size, np.uint8)
        labels[height // 4 : height // 2, width // 4 : width // 2] = 1
        radius = np.hypot(y - 0.6 * height, x - 0.7 * width)
        labels[radius < 0.2 * height] = 2
        pixels[labels > 0] = 255 - pixels[labels > 0]
        return pixels, labels

    def ours(self) -> tuple[_Array, _Array]:
        """What our single pass makes of it."""
        pixels, labels = self.picture()
        matrix = np.diag([-1.0 if self.mirror else 1.0, 1.0, 1.0])
        matrix[0, 2] = float(self.mirror)
        if self.angle is not None:
            aspect = self.size[1] / self.size[0]
            matrix = matrix @ _affine(self.angle, self.shear, 1.0, aspect)
        return warp(
            np.ascontiguousarray(pixels[:, :, ::-1]),
            labels,
            ClipWarp(matrix, self.mosaic),
            ColourChange(self.colours),
            size=_SIDE,
            fill=_FILL,
        )

    def official(self) -> tuple[_Array, _Array]:
        """What the official transforms make of it, one after the other."""
        import torch
        from training.dataset import transforms as T
        from training.utils.data_utils import Frame, Object, VideoDatapoint

        pixels, labels = self.picture()
        segments = [
            torch.from_numpy((labels == key).astype(np.uint8)) for key in (1, 2)
        ]
        clip: Any = VideoDatapoint(
            frames=[
                Frame(
                    data=Image.fromarray(pixels),
                    objects=[Object(key, 0, each) for key, each in enumerate(segments)],
                )
            ],
            video_id=0,
            size=self.size,
        )
        clip = T.RandomHorizontalFlip(True, p=float(self.mirror))(clip)
        if self.angle is not None:
            clip = T.RandomAffine(
                [self.angle, self.angle],
                True,
                shear=[self.shear, self.shear],
                image_interpolation="bilinear",
            )(clip)
        if self.mosaic is not None:
            target, mirrored = self.mosaic
            flips = torch.tensor(mirrored).reshape(2, 2)
            clip = T.random_mosaic_frame(clip, 0, 2, 2, *divmod(target, 2), flips)
        clip = T.RandomResizeAPI(_SIDE, True, square=True)(clip)
        for kind, factor in self.colours:
            if (kind, factor) == ("saturation", 0.0):
                clip = T.RandomGrayscale(True, p=1.0)(clip)
                continue
            # One after the other, since the official order is random.
            only = {each: [1.0, 1.0] for each in ("brightness", "contrast")}
            only = {**only, "saturation": [1.0, 1.0], kind: [factor, factor]}
            clip = T.ColorJitter(True, hue=None, **only)(clip)
        frame = clip.frames[0]
        found = np.zeros((_SIDE, _SIDE), np.uint8)
        for key, each in enumerate(frame.objects, 1):
            found[each.segment.bool().numpy()] = key
        return np.asarray(frame.data), found


_JITTER = (("contrast", 0.97), ("brightness", 1.08), ("saturation", 1.03))
CASES = {
    "smaller": Case(),
    "larger": Case(size=(27, 36)),
    "mirror": Case(mirror=True),
    "turned": Case(angle=17.0, shear=-12.0),
    "turned back": Case(angle=-25.0, shear=20.0, mirror=True),
    "colours of the clip": Case(colours=_JITTER),
    "colours of the frame": Case(colours=(*_JITTER, ("saturation", 0.95))),
    "grey": Case(colours=(("saturation", 0.0),)),
    "mosaic": Case(mosaic=(2, (False, True, True, False))),
    "all": Case(
        size=(72, 128),
        mirror=True,
        angle=8.0,
        shear=15.0,
        colours=(*_JITTER, ("saturation", 0.0), ("brightness", 0.95)),
    ),
}


if __name__ == "__main__":
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        found[f"{name} pixels"], found[f"{name} labels"] = case.official()
    np.savez_compressed(FROZEN, **found)
