"""What lens, sensor and colourist do to a rendered picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .materials import Array, Colour, rgb

__all__ = ["Grade"]


def _steady(time: float) -> float:
    """Light that does not change."""
    del time
    return 1.0


@dataclass(frozen=True)
class Grade:
    """The look of a shot.

    Attributes:
        gain: Colour that every pixel is multiplied by.
        gamma: Exponent of the tones; above 1 darkens the shadows.
        lift: Added to the blacks, as haze does.
        saturation: 1 leaves colours alone.
        vignette: Darkening in the corners.
        blur: Softness of the lens, in pixels at 270 rows.
        noise: Standard deviation of the sensor's noise in the lights.
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

    def finish(
        self, picture: Array, time: float, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Turn rendered colours, 3×H×W, into a frame, H×W×3.

        Args:
            picture: The colours; not changed.
            time: The frame's time, for flicker.
            rng: Source of the noise.
        """
        height, width = picture.shape[1:]
        sigma = self.blur * (height / 270) ** 0.5
        image = ndimage.gaussian_filter(picture, (0, sigma, sigma), truncate=2.5)
        np.clip(image, 0, 1, out=image)
        if self.gamma != 1:
            image **= np.float32(self.gamma)
        if self.saturation != 1:
            grey = image.mean(0)
            image = grey + (image - grey) * np.float32(self.saturation)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)
        corner = (0.35 * y * y + 0.65 * x * x) ** 1.5
        light = (1 - np.float32(self.vignette) * corner) * np.float32(
            self.flicker(time)
        )
        image *= light
        image *= rgb(*self.gain)
        image += np.float32(self.lift) * (1 - image)
        image += self._noise(image, rng)
        image *= 255
        image += 0.5
        np.clip(image, 0, 255, out=image)
        return np.ascontiguousarray(np.moveaxis(image.astype(np.uint8), 0, 2))

    def _noise(self, image: Array, rng: np.random.Generator) -> Array:
        """Make noise that grows with the light, coarser in colour than in luminance."""
        height, width = image.shape[1:]
        luma = rng.standard_normal((height, width), np.float32)
        luma = ndimage.gaussian_filter(luma, self.grain, truncate=2.5)
        luma /= luma.std()
        half = ((height + 1) // 2, (width + 1) // 2)
        chroma = rng.standard_normal((3, *half), np.float32)
        chroma = chroma.repeat(2, 1).repeat(2, 2)[:, :height, :width]
        light = np.sqrt(np.clip(image.mean(0), 0, 1))
        strength = np.float32(self.noise) * (
            np.float32(0.45) + np.float32(0.55) * light
        )
        return np.asarray(strength * (luma + np.float32(0.4) * chroma))
