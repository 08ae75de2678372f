"""Simulate lens, sensor and colour grading of a rendered frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .materials import Array, Colour, rgb

__all__ = ["Film", "Grade"]

#: Rows and columns by which the array of noise is larger than a frame.
_SLACK = 96


def _steady(time: float) -> float:
    """Constant brightness."""
    del time
    return 1.0


@dataclass(frozen=True)
class Grade:
    """The look of a shot.

    Attributes:
        gain: Factor for each colour channel.
        gamma: Exponent of the values; above 1 darkens the shadows.
        lift: Added to dark values, as by haze.
        saturation: Factor of the saturation; 1 changes nothing.
        vignette: Darkening in the corners.
        blur: Blur of the lens, in pixels at 270 rows.
        noise: Standard deviation of the sensor's noise in bright areas.
        grain: Size of a grain of the noise, in pixels.
        flicker: Brightness of the light at each time.
    """

    gain: Colour = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    lift: float = 0.0
    saturation: float = 1.0
    vignette: float = 0.15
    blur: float = 0.32
    noise: float = 0.010
    grain: float = 0.5
    flicker: Callable[[float], float] = _steady


class Film:
    """Turns the rendered colours of one shot into frames.

    Args:
        grade: The look.
        height: Rows of a frame.
        width: Columns of a frame.
        rng: Source of the noise.
    """

    def __init__(
        self, grade: Grade, height: int, width: int, rng: np.random.Generator
    ) -> None:
        self._grade, self._rng = grade, rng
        self._blur = grade.blur * (height / 270) ** 0.5
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)
        corner = (0.35 * y * y + 0.65 * x * x) ** 1.5
        light = 1 - np.float32(grade.vignette) * corner
        self._light = np.asarray(light * rgb(*grade.gain), np.float32)
        # Each frame takes another part of one large array of noise, which is much
        # faster than new noise.
        self._sheet = _grain(height + _SLACK, width + _SLACK, grade.grain, rng)

    def finish(self, picture: Array, time: float) -> NDArray[np.uint8]:
        """Turn rendered colours, 3×H×W, into the H×W×3 frame at `time`."""
        grade = self._grade
        image = ndimage.gaussian_filter(
            picture, (0, self._blur, self._blur), truncate=2.5
        )
        np.clip(image, 0, 1, out=image)
        if grade.gamma != 1:
            image **= np.float32(grade.gamma)
        if grade.saturation != 1:
            grey = image.mean(0)
            image -= grey
            image *= np.float32(grade.saturation)
            image += grey
        image *= self._light * np.float32(grade.flicker(time))
        image *= np.float32(1 - grade.lift)
        image += np.float32(grade.lift)
        image += self._noise(image)
        image *= 255
        image += 0.5
        np.clip(image, 0, 255, out=image)
        return np.ascontiguousarray(np.moveaxis(image.astype(np.uint8), 0, 2))

    def _noise(self, image: Array) -> Array:
        """Noise for a 3×H×W image; its strength grows with the brightness."""
        height, width = image.shape[1:]
        top, left = self._rng.integers(0, _SLACK + 1, 2)
        part = self._sheet[:, top : top + height, left : left + width]
        part = part[:, :: self._rng.choice((-1, 1)), :: self._rng.choice((-1, 1))]
        strength = np.sqrt(np.clip(image[1], 0, 1))
        strength *= np.float32(0.55 * self._grade.noise)
        strength += np.float32(0.45 * self._grade.noise)
        return np.asarray(strength * part)


def _grain(height: int, width: int, size: float, rng: np.random.Generator) -> Array:
    """Make 3×H×W noise that is coarser in colour than in luminance."""
    luma = rng.standard_normal((height, width), np.float32)
    luma = ndimage.gaussian_filter(luma, size, truncate=2.5)
    luma /= luma.std()
    half = ((height + 1) // 2, (width + 1) // 2)
    chroma = rng.standard_normal((3, *half), np.float32)
    chroma = chroma.repeat(2, 1).repeat(2, 2)[:, :height, :width]
    return np.asarray(luma + np.float32(0.4) * chroma)
