"""Where an object's box should be by how it moved: a Kalman filter.

Matches sam2/utils/kalman_filter.py (yangchris11/samurai @ 76ba195): a box is its centre
x and y, its width divided by its height, and its height, each with a constant velocity.
There the four are one state of eight numbers; but nothing relates one of them to
another, so here each is a filter of its own.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from submit.predictors import State

from .policy import PixelBox

__all__ = ["BoxMotion"]

#: Standard deviations of a place and of its velocity in one step, as shares of the
#: box's height.
_PLACE, _VELOCITY = 1 / 20, 1 / 160
#: Those of the shape, of its velocity, and of a shape that is measured.
_SHAPE, _SHAPE_VELOCITY, _SHAPE_MEASURED = 1e-2, 1e-5, 1e-1
#: At the start places and velocities are so much less certain.
_FIRST_PLACE, _FIRST_VELOCITY = 2, 10
#: Stands for the box of an empty mask.
_NOWHERE = (0, 0, 0, 0)


@dataclass
class _Value:
    """A number with a velocity, and their variances and covariance."""

    value: float
    variance: float
    velocity_variance: float
    velocity: float = 0.0
    covariance: float = 0.0

    def predict(self, noise: float, velocity_noise: float) -> None:
        """Go one step on; the noise is that of a step, as standard deviations."""
        self.value += self.velocity
        self.variance += 2 * self.covariance + self.velocity_variance + noise**2
        self.covariance += self.velocity_variance
        self.velocity_variance += velocity_noise**2

    def correct(self, measured: float, noise: float) -> None:
        """Take a measurement with a standard deviation of `noise`."""
        total = self.variance + noise**2
        gain, velocity_gain = self.variance / total, self.covariance / total
        surprise = measured - self.value
        self.value += gain * surprise
        self.velocity += velocity_gain * surprise
        self.variance -= gain * gain * total
        self.velocity_variance -= velocity_gain * velocity_gain * total
        self.covariance -= gain * velocity_gain * total


class BoxMotion:
    """The motion of one box, in pixels and frames."""

    def __init__(self, box: PixelBox | None) -> None:
        """Start where a box is; None for that of an empty mask."""
        x, y, shape, height = _measure(box)
        place, velocity = _FIRST_PLACE * _PLACE, _FIRST_VELOCITY * _VELOCITY
        by_height = (place * height) ** 2, (velocity * height) ** 2
        self._x, self._y = _Value(x, *by_height), _Value(y, *by_height)
        self._shape = _Value(shape, _SHAPE**2, _SHAPE_VELOCITY**2)
        self._height = _Value(height, *by_height)

    def predict(self) -> None:
        """Go to the next frame."""
        height = self._height.value
        for value in (self._x, self._y, self._height):
            value.predict(_PLACE * height, _VELOCITY * height)
        self._shape.predict(_SHAPE, _SHAPE_VELOCITY)

    def correct(self, box: PixelBox | None) -> None:
        """Take the box that the object has in this frame."""
        x, y, shape, height = _measure(box)
        noise = _PLACE * self._height.value
        self._x.correct(x, noise)
        self._y.correct(y, noise)
        self._shape.correct(shape, _SHAPE_MEASURED)
        self._height.correct(height, noise)

    def overlap(self, box: PixelBox | None) -> float:
        """IoU of a box and the predicted one; 0 for the box of an empty mask."""
        if box is None or box == _NOWHERE:
            return 0.0
        left, top, right, bottom = box
        height = self._height.value
        width = self._shape.value * height
        first, last = self._x.value - width / 2, self._x.value + width / 2
        upper, lower = self._y.value - height / 2, self._y.value + height / 2
        across = max(0.0, min(right, last) - max(left, first))
        common = across * max(0.0, min(bottom, lower) - max(top, upper))
        united = (last - first) * (lower - upper)
        united += (right - left) * (bottom - top) - common
        return common / united if united else 0.0

    def state(self) -> State:
        """Return all numbers of the filter, as plain data."""
        return [astuple(one) for one in (self._x, self._y, self._shape, self._height)]

    def restore(self, state: State) -> None:
        """Take the numbers of another one."""
        self._x, self._y, self._shape, self._height = (_Value(*one) for one in state)


def _measure(box: PixelBox | None) -> tuple[float, float, float, float]:
    """Centre, width by height, and height of a box, from its first pixels to its last.

    The last do not count, as in the reference.
    """
    left, top, right, bottom = box or _NOWHERE
    height = bottom - top or 1
    return (left + right) / 2, (top + bottom) / 2, (right - left) / height, height
