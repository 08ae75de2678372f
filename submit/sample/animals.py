"""Animated animals: carp that swim and horses that walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .materials import (
    Array,
    Colour,
    blend,
    fractal,
    grey,
    join,
    outline,
    picture,
    ramp,
    resize,
    rgb,
    smoothstep,
    spread,
)
from .render import sample
from .sprites import dome, raster

__all__ = ["Coat", "Horse", "Koi"]

#: Positions along a carp, and half of its width there, in units of its length.
_KOI_LENGTHS = (0.0, 0.03, 0.08, 0.16, 0.3, 0.45, 0.62, 0.76, 0.86, 0.93)
_KOI_WIDTHS = (0.018, 0.045, 0.068, 0.09, 0.108, 0.106, 0.083, 0.054, 0.031, 0.024)


class Koi:
    """A carp seen from above, one unit long, its head at u = 0.5.

    Args:
        density: Pixels per unit.
        rng: Source of randomness for its markings.
        belly: Colour of its body.
        marks: Colour of its markings.
        beat: Number of tail beats up to each time.
        bend: Curvature of the body at each time; positive turns towards v > 0.
    """

    box = (-0.72, -0.34, 0.55, 0.34)

    def __init__(
        self,
        density: float,
        rng: np.random.Generator,
        belly: Colour,
        marks: Colour,
        beat: Callable[[float], float],
        bend: Callable[[float], float],
    ) -> None:
        self._beat, self._bend = beat, bend
        self._density = density
        fine = 2
        u, v = raster(*self.box, density * fine)
        rows, columns = u.shape
        along = 0.5 - u
        edge = 1.2 / (density * fine)
        half = np.interp(along, _KOI_LENGTHS, _KOI_WIDTHS)
        half[(along < 0) | (along > 0.93)] = -1
        body = smoothstep(-edge, edge, half - np.abs(v))
        thin = np.maximum(_tail(along, v, edge), _fins(along, v, edge))
        spots = fractal(rows, columns, density * fine * 0.3, rng, octaves=3)
        spots = spots + 0.1 - 0.9 * smoothstep(0.05, 0.0, along)
        colour = blend(rgb(*belly), rgb(*marks), smoothstep(0.05, 0.3, spots))
        scales = np.cos(u * 210) * np.cos(v * 210) + np.cos((u + v) * 150)
        skin = spread(grey("gravel.png"), rows, columns, 0.2, rng)
        relief = 1 + 0.03 * scales * (along > 0.17) + 0.15 * (skin - 0.5)
        curved = np.sqrt(np.clip(1 - (v / np.maximum(half, 1e-3)) ** 2, 0, 1))
        ridge = 0.14 * np.exp(-(((v + 0.018) / 0.02) ** 2))
        colour = colour * (relief * (0.55 + 0.47 * curved + ridge))
        eyes = np.hypot(along - 0.075, np.abs(v) - 0.052) < 0.011
        colour = blend(colour, rgb(0.05, 0.05, 0.05), eyes)
        rays = 0.75 + 0.15 * np.cos(np.arctan2(v, (along - 0.74) / 0.3) * 60)
        membrane = (rgb(*belly) * 0.6 + rgb(*marks) * 0.35) * rays
        texture = join(blend(membrane, colour, body), np.maximum(body, 0.8 * thin))
        self._texture = resize(texture, rows // fine, columns // fine)

    def look(self, u: Array, v: Array, time: float) -> Array:
        """Render the fish at this time, bent by its swimming motion."""
        along = np.clip(np.float32(0.5) - u, 0, np.float32(1.2))
        beat = np.float32(2 * np.pi * (self._beat(time) % 1))
        wave = (np.float32(0.010) + np.float32(0.085) * along**2) * np.sin(
            np.float32(5.0) * along - beat
        )
        wave += np.float32(self._bend(time)) * (u - np.float32(0.1)) ** 2
        left, top = self.box[:2]
        density, half = np.float32(self._density), np.float32(0.5)
        row = (v - wave - np.float32(top)) * density - half
        return sample(self._texture, row, (u - np.float32(left)) * density - half)


def _tail(along: Array, v: Array, edge: float) -> Array:
    """Outline of the tail fan, which opens behind the body, with a notch."""
    fan = (along - 0.86) / 0.3
    spreading = 0.03 + 0.13 * np.clip(fan, 0, 1) ** 0.8
    notch = 1 - 0.28 * np.exp(-((v / 0.035) ** 2))
    sides = smoothstep(-edge, edge, spreading - np.abs(v))
    return np.asarray(sides * smoothstep(-edge, edge, (notch - fan) * 0.3) * (fan > 0))


def _fins(along: Array, v: Array, edge: float) -> Array:
    """Outline of the two pairs of fins at the sides."""
    fins = np.zeros_like(v)
    for start, reach, slant in ((0.24, 0.16, 0.75), (0.56, 0.08, 0.9)):
        root = np.interp(start, _KOI_LENGTHS, _KOI_WIDTHS) * 0.8
        x, y = along - start, np.abs(v) - root
        across = x * np.cos(slant) - y * np.sin(slant)
        out = x * np.sin(slant) + y * np.cos(slant)
        width = 0.42 * reach * np.sqrt(np.clip(out / reach, 0, 1))
        fin = smoothstep(-edge, edge, width - np.abs(across))
        fins = np.maximum(fins, fin * smoothstep(reach, reach * 0.93, out))
    return fins


# --- Horse -----------------------------------------------------------------------

Coat: TypeAlias = tuple[Colour, Colour, Colour]


@dataclass(frozen=True)
class _Leg:
    """One leg of the horse, in pixels of the photograph.

    Attributes:
        shape: Outline around the leg and the part of the body that moves with it.
        joint: Row of the shoulder or hip.
        knee: Row of the knee or hock.
        phase: Delay of the leg, as a fraction of a stride.
        far: Whether the leg is on the side away from the viewer.
    """

    shape: tuple[tuple[float, float], ...]
    joint: float
    knee: float
    phase: float
    far: bool


#: The legs from the back to the front, with the phases of a walk.
_LEGS = (
    _Leg(
        ((78, 160), (116, 160), (122, 195), (110, 250), (140, 300), (138, 318),
         (108, 318), (96, 280), (84, 215)),
        joint=165, knee=232, phase=0.5, far=True,
    ),
    _Leg(
        ((268, 170), (297, 170), (292, 200), (278, 260), (300, 310), (290, 320),
         (266, 318), (262, 290), (262, 240)),
        joint=178, knee=248, phase=0.75, far=True,
    ),
    _Leg(
        ((50, 140), (100, 140), (104, 170), (92, 208), (62, 245), (62, 285), (80, 306),
         (74, 320), (40, 320), (38, 280), (46, 215), (64, 190)),
        joint=160, knee=228, phase=0.0, far=False,
    ),
    _Leg(
        ((246, 165), (275, 165), (272, 215), (261, 250), (259, 285), (274, 308),
         (268, 318), (240, 318), (238, 280), (246, 200)),
        joint=178, knee=248, phase=0.25, far=False,
    ),
)  # fmt: skip
#: Pixels of the photograph per unit, and the point between the hooves.
_HORSE_UNIT = 304.0
_HORSE_FOOT = (175.0, 311.0)
_MARGIN = 8


class Horse:
    """A walking horse that faces right, one unit tall, with its hooves at v = 0.

    Args:
        density: Pixels per unit.
        rng: Source of randomness for its coat.
        coat: Colours of the coat from shadows to lights.
        points: Colour of mane, tail and legs.
        step: Number of strides up to each time.
        effort: How far the legs swing at each time: 0 stands still, 1 walks.
    """

    box = (-0.62, -1.06, 0.82, 0.04)

    def __init__(
        self,
        density: float,
        rng: np.random.Generator,
        coat: Coat,
        points: Colour,
        step: Callable[[float], float],
        effort: Callable[[float], float],
    ) -> None:
        self._step, self._effort = step, effort
        self._zoom = zoom = density / _HORSE_UNIT
        silhouette = np.pad(1 - grey("horse.png"), _MARGIN)
        rows = max(8, round(silhouette.shape[0] * zoom))
        columns = max(8, round(silhouette.shape[1] * zoom))
        alpha = np.clip(resize(silhouette, rows, columns), 0, 1)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        y, x = (y + 0.5) / zoom - _MARGIN, (x + 0.5) / zoom - _MARGIN
        colour = _paint(alpha, x, y, zoom, rng, coat, points)
        body = alpha.copy()
        legs = []
        for leg in _LEGS:
            shape = [(px + _MARGIN, py + _MARGIN) for px, py in leg.shape]
            mask = outline(shape, rows, columns, zoom)
            body *= 1 - mask * smoothstep(leg.joint + 25, leg.joint + 40, y)
            # The top of a leg fades out over the body, which has the same coat there.
            fade = smoothstep(leg.joint - 18, leg.joint + 6, y)
            light = 0.55 if leg.far else 1.0
            legs.append((join(colour * light, alpha * mask * fade), leg))
        self._parts: list[tuple[Array, _Leg | None]] = [
            *(item for item in legs if item[1].far),
            (join(colour, body), None),
            *(item for item in legs if not item[1].far),
        ]

    def look(self, u: Array, v: Array, time: float) -> Array:
        """Render body and legs in the pose of this time."""
        phase, effort = self._step(time), self._effort(time)
        x = u * np.float32(_HORSE_UNIT) + np.float32(_HORSE_FOOT[0])
        y = v * np.float32(_HORSE_UNIT) + np.float32(_HORSE_FOOT[1])
        y += np.float32(1.6 * effort * np.cos(4 * np.pi * phase))
        seen = np.zeros((4, *u.shape), np.float32)
        for texture, leg in self._parts:
            # A part covers only some of the rows: legs are below, the body above.
            chosen = y < 262 if leg is None else y > leg.joint - 20
            used = np.flatnonzero(chosen.any(1))
            if not used.size:
                continue
            rows = slice(int(used[0]), int(used[-1]) + 1)
            near_x, near_y = x[rows], y[rows]
            if leg is None:
                near_x, near_y = _nod(near_x, near_y, phase, effort)
            else:
                near_x, near_y = _swing(near_x, near_y, leg, phase, effort)
            zoom, half = np.float32(self._zoom), np.float32(0.5)
            row = (near_y + _MARGIN) * zoom - half
            over = sample(texture, row, (near_x + _MARGIN) * zoom - half)
            part = seen[:, rows]
            part *= 1 - over[3]
            part += over
        return seen


def _nod(x: Array, y: Array, phase: float, effort: float) -> tuple[Array, Array]:
    """Move head and tail: return the point of the photograph for each point."""
    turn = 2 * np.pi * phase
    nod = np.float32((3.5 * effort + 1.5) * np.sin(2 * turn + 0.6))
    sway = np.float32(5 * np.sin(1.3 * turn + 0.4) + 3)
    swayed = x + sway * smoothstep(62, 40, x) * (y - 90) / 100
    return swayed, y + nod * smoothstep(215, 370, x)


def _swing(
    x: Array, y: Array, leg: _Leg, phase: float, effort: float
) -> tuple[Array, Array]:
    """Swing and bend a leg: return the point of the photograph for each point."""
    turn = 2 * np.pi * (phase - leg.phase)
    hip = 0.30 * effort * np.sin(turn)
    lift = effort * max(0.0, np.cos(turn))
    below = np.maximum(y - np.float32(leg.joint), 0)
    lower = np.maximum(y - np.float32(leg.knee), 0)
    bent = x - np.float32(hip) * below + np.float32(0.38 * lift) * lower
    shorter = np.float32(0.16 * lift) * lower + np.float32(0.05 * abs(hip)) * below
    return bent, y + shorter


def _paint(
    alpha: Array,
    x: Array,
    y: Array,
    zoom: float,
    rng: np.random.Generator,
    coat: Coat,
    points: Colour,
) -> Array:
    """Colour the silhouette of the horse: hair from a photograph of a cat, and shading.

    `x` and `y` are points of the horse's photograph; the result is 3×H×W.
    """
    rows, columns = alpha.shape
    fur = picture("chelsea.png")[:, 4:76, 70:290].mean(0)
    hair = spread(fur, rows, columns, 0.5 + zoom * 0.5, rng)
    tone = 0.5 + 0.45 * (hair - hair.mean())
    tone += 0.05 * fractal(rows, columns, 80 * zoom, rng, octaves=3)
    shade = dome(alpha, 46 * zoom, (-0.25, -0.75, 0.75))
    muscles = fractal(rows, columns, 50 * zoom, rng, octaves=2)
    tone = np.clip(tone * (shade + 0.05 * muscles), 0, 1)
    colour = ramp(tone, *coat)
    crest = np.interp(x, (235, 258, 280, 300, 320, 345), (90, 70, 42, 28, 20, 17))
    mane = smoothstep(17, 9, y - crest) * smoothstep(236, 250, x)
    dark = np.max(
        [
            smoothstep(205, 262, y),
            smoothstep(56, 48, x) * smoothstep(84, 100, y),
            mane * smoothstep(352, 340, x),
            0.75 * smoothstep(362, 384, x + 0.3 * (y - 80)),
        ],
        axis=0,
    )
    colour = blend(colour, rgb(*points) * (0.55 + 0.75 * shade * tone), dark)
    eye = smoothstep(4.5, 3.0, np.hypot(x - 349, y - 51))
    return blend(colour, rgb(0.04, 0.03, 0.03), eye)
