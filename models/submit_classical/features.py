"""Hand-made pixel features: colour, contrast and edge directions at three scales."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CHANNELS", "COLOURS", "Floats", "compute_features"]

Floats = NDArray[np.float32]

#: Channels of the whole descriptor.
CHANNELS = 18
#: How many of the first channels are colour alone: fine Lab, then middle Lab.
COLOURS = 6

#: CIE Lab is scaled so that a distance of 1 is a clear difference.
_LAB_SCALE = np.array([0.08, 0.12, 0.12], np.float32)
_FINE, _MIDDLE, _WIDE = 0.8, 2.5, 6.0


def blur(image: Floats, sigma: float) -> Floats:
    """Smooth an H×W or H×W×C image with a Gaussian of `sigma` pixels."""
    smoothed = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smoothed, np.float32)


def compute_features(frame: NDArray[np.uint8]) -> Floats:
    """Describe every pixel of an H×W×3 RGB frame; returns H×W×`CHANNELS`.

    Channels: Lab at the fine, middle and wide scale (3 each), local contrast (1), and
    the strength of edges in four directions at the middle and the wide scale (4 each).
    """
    lab = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) * _LAB_SCALE
    light = lab[..., 0]
    across = cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=0.25)
    down = cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=0.25)
    diagonal = np.float32(np.sqrt(0.5))
    edges = np.abs(
        np.stack(
            [across, down, (across + down) * diagonal, (across - down) * diagonal], -1
        )
    )
    middle = blur(lab, _MIDDLE)
    variance = blur(light * light, _MIDDLE) - middle[..., 0] ** 2
    features = np.empty((*light.shape, CHANNELS), np.float32)
    features[..., 0:3] = blur(lab, _FINE)
    features[..., 3:6] = middle
    features[..., 6:9] = blur(lab, _WIDE)
    features[..., 9] = np.sqrt(np.maximum(variance, 0))
    features[..., 10:14] = np.sqrt(blur(edges, _MIDDLE))
    features[..., 14:18] = np.sqrt(blur(edges, _WIDE))
    return features
