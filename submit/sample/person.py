"""The astronaut: a person cut out of a photograph, with moving head and shoulders."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .materials import Array, cutout, outline, picture, resize, smoothstep
from .render import sample

__all__ = ["Astronaut"]

#: The outline on the photograph, clockwise from the left temple.
_OUTLINE = (
    (178, 122), (166, 112), (157, 95), (154, 76), (159, 60), (171, 47), (189, 38),
    (201, 28), (216, 19), (236, 17), (255, 20), (272, 27), (288, 43), (297, 62),
    (300, 85), (295, 105), (285, 120), (275, 130), (269, 135), (266, 131), (263, 148),
    (258, 166), (257, 173), (274, 183), (289, 199), (299, 216), (304, 232), (306, 241),
    (320, 247), (335, 259), (345, 275), (351, 295), (356, 318), (361, 334), (366, 347),
    (380, 345), (400, 344), (425, 347), (450, 357), (469, 373), (484, 396), (492, 425),
    (495, 453), (504, 457), (510, 470), (511, 520), (60, 520), (42, 497), (30, 472),
    (26, 440), (24, 420), (25, 400), (24, 385), (27, 350), (32, 320), (41, 290),
    (49, 268), (60, 254), (76, 241), (96, 223), (109, 211), (115, 205), (114, 197),
    (116, 188), (121, 181), (124, 171), (131, 161), (145, 153), (160, 149), (174, 150),
    (184, 153), (182, 140), (180, 131),
)  # fmt: skip
#: Pixels of the photograph from the crown of the head to its lower edge.
_UNIT = 495.0


@functools.lru_cache(maxsize=1)
def _cut() -> Array:
    """Cut the person from the photograph, 4×512×512."""
    return cutout(picture("astronaut.png"), outline(_OUTLINE, 512, 512), 1.6)


class Astronaut:
    """A person in a space suit from the waist up, one unit tall, cut off at v = 0.

    Args:
        density: Pixels per unit.
        tilt: Sideways tilt of the head at each time, about -1 to 1.
        breath: Height of the shoulders at each time, about -1 to 1.
    """

    box = (-0.56, -1.06, 0.6, 0.0)

    def __init__(
        self,
        density: float,
        tilt: Callable[[float], float],
        breath: Callable[[float], float],
    ) -> None:
        self._tilt, self._breath = tilt, breath
        self._zoom = density / _UNIT
        side = max(8, round(512 * self._zoom))
        small = np.clip(resize(_cut(), side, side), 0, 1)
        # Transparent at the sides but not at the lower edge, which is out of the frame.
        self._texture = np.pad(small, ((0, 0), (2, 0), (2, 2)))

    def look(self, u: Array, v: Array, time: float) -> Array:
        """Render the person in the pose of this time."""
        x = u * np.float32(_UNIT) + 250
        y = v * np.float32(_UNIT) + 512
        tilt, breath = np.float32(self._tilt(time)), np.float32(self._breath(time))
        up = np.clip((205 - y) / 190, 0, np.float32(1.2))
        x -= 14 * tilt * up * up * (3 - 2 * np.minimum(up, 1))
        y += np.float32(3.5) * breath * smoothstep(512, 230, y)
        y += 3 * tilt * up * (x - 228) / 60
        zoom, edge = np.float32(self._zoom), np.float32(1.5)
        return sample(self._texture, y * zoom + edge, x * zoom + edge)
