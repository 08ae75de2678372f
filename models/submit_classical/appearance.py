"""Appearance model of an object: ridge regression on random features.

The model is trained on the first frame, whose statistics are kept, and on recent
frames, whose statistics decay. Both are matrices of fixed size, so memory does not
grow with the length of the video, and no frame is stored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from submit.predictors import State

from .features import CHANNELS, COLOURS, Floats

__all__ = ["REACH", "Appearance", "describe"]

#: Columns of a sample: the features, then the position in units of the object's size.
COLUMNS = CHANNELS + 2
#: Positions are clipped at this distance.
REACH = 4.0
#: Scores are clipped here; training targets are ±1.
_CLIP = 1.2
#: Rows computed together, so that intermediate values fit into the cache.
_CHUNK = 2048
_RIDGE = 0.003
_FADE = 0.9
#: Weights before anything was learned.
_NOTHING: Floats = np.zeros(0, np.float32)


def describe(features: Floats, positions: Floats) -> Floats:
    """Join features and positions of N pixels to samples, N×COLUMNS."""
    samples = np.empty((len(features), COLUMNS), np.float32)
    samples[:, :CHANNELS] = features
    np.clip(positions, -REACH, REACH, out=samples[:, CHANNELS:])
    return samples


class _Waves:
    """Random triangle waves of the samples: cheap features with a local kernel.

    There are four groups of equal size, each with other inputs: colour; colour and
    texture; colour and position; fine colour, texture and position at a small scale.
    Columns of the result: the groups without position, the features themselves, a
    constant, the groups with position.
    """

    def __init__(self, count: int) -> None:
        random = np.random.default_rng(0)
        group = count // 4
        self.count = 4 * group
        self.placeless = 2 * group + CHANNELS + 1
        self.columns = self.count + CHANNELS + 1
        scale = np.zeros((COLUMNS, 4, group), np.float32)
        scale[:COLOURS, 0] = 0.8
        scale[:CHANNELS, 1] = 0.5
        scale[:COLOURS, 2] = 0.8
        scale[CHANNELS:, 2] = 0.5
        scale[: COLOURS // 2, 3] = 0.8
        scale[COLOURS:CHANNELS, 3] = 0.3
        scale[CHANNELS:, 3] = 1.4
        drawn = random.standard_normal((COLUMNS, self.count))
        frequencies = drawn * scale.reshape(COLUMNS, -1) / (2 * np.pi)
        self._frequencies = frequencies.astype(np.float32)
        self._phases = random.uniform(0, 1, self.count).astype(np.float32)

    def fill(self, samples: Floats, out: Floats) -> None:
        """Write the waves of N×COLUMNS samples; `out` says whether place counts."""
        half = self.count // 2
        used = self.count if out.shape[1] == self.columns else half
        wave = samples @ self._frequencies[:, :used]
        wave += self._phases[:used]
        wave -= np.rint(wave)
        np.abs(wave, out=wave)
        wave *= 4
        wave -= 1
        out[:, :half] = wave[:, :half]
        out[:, half : half + CHANNELS] = samples[:, :CHANNELS] * 0.1
        out[:, half + CHANNELS] = 1
        out[:, self.placeless :] = wave[:, half:]


class Appearance:
    """Model that separates one object's pixels from background and other objects."""

    def __init__(self, waves: int, adapt: float) -> None:
        self._waves = _Waves(waves)
        self._adapt = adapt
        columns = self._waves.columns
        self._recent = np.zeros((columns, columns + 1), np.float32)
        self._amount = 0.0
        #: Of the given masks, their mean.
        self._first: Floats | None = None
        self._given = 0
        #: Weights by all frames, by the given masks, and by those without position.
        self._weights = self._first_weights = self._placeless_weights = _NOTHING

    def state(self) -> State:
        """Return what was learned, as plain data."""
        return {
            "recent": self._recent,
            "amount": self._amount,
            "first": self._first,
            "given": self._given,
            "weights": self._weights,
            "first_weights": self._first_weights,
            "placeless_weights": self._placeless_weights,
        }

    def restore(self, state: State) -> None:
        """Take what another model with the same options has learned."""
        self._recent, self._amount = state["recent"], state["amount"]
        self._first, self._given = state["first"], state["given"]
        self._weights = state["weights"]
        self._first_weights = state["first_weights"]
        self._placeless_weights = state["placeless_weights"]

    @property
    def trained(self) -> bool:
        """Whether it has learned from a frame."""
        return self._first is not None

    def learn(
        self, samples: Floats, targets: Floats, weights: Floats, *, given: bool
    ) -> None:
        """Learn from a frame.

        Args:
            samples: N×COLUMNS.
            targets: N, 1 for the object and -1 for what is not.
            weights: N weights that sum to 1.
            given: Whether the mask was given. It then has as much weight as the first
                mask, and what was learned from predicted masks is deleted.
        """
        moments = self._moments(samples, targets, weights)
        if given or self._first is None:
            self._given += 1
            first = np.zeros_like(moments) if self._first is None else self._first
            self._first = moments = first + (moments - first) / np.float32(self._given)
            self._first_weights = _solve(moments)
            self._placeless_weights = _solve(
                _without_position(moments, self._waves.placeless)
            )
            self._weights = self._first_weights
            self._recent, self._amount = np.zeros_like(moments), 0.0
            return
        self._recent = _FADE * self._recent + moments
        self._amount = _FADE * self._amount + 1
        mixed = (1 - self._adapt) * self._first
        mixed += (self._adapt / self._amount) * self._recent
        self._weights = _solve(mixed)

    def score(self, samples: Floats) -> tuple[Floats, Floats]:
        """Score N samples by the present and by the first frame's model, about ±1."""
        both = np.stack([self._weights, self._first_weights], -1)
        scores = self._apply(samples, both)
        return scores[:, 0], scores[:, 1]

    def match(self, samples: Floats) -> Floats:
        """Score N samples by the first frame's model alone."""
        return self._apply(samples, self._first_weights[:, None])[:, 0]

    def match_anywhere(self, features: Floats) -> Floats:
        """Score N×CHANNELS features by the first frame's model, without position."""
        samples = describe(features, np.zeros((len(features), 2), np.float32))
        return self._apply(samples, self._placeless_weights[:, None])[:, 0]

    def _apply(self, samples: Floats, weights: Floats) -> Floats:
        result = np.empty((len(samples), weights.shape[1]), np.float32)
        buffer = np.empty((min(_CHUNK, len(samples)), len(weights)), np.float32)
        for start in range(0, len(samples), _CHUNK):
            chunk = samples[start : start + _CHUNK]
            filled = buffer[: len(chunk)]
            self._waves.fill(chunk, filled)
            np.matmul(filled, weights, out=result[start : start + _CHUNK])
        return np.clip(result, -_CLIP, _CLIP, out=result)

    def _moments(self, samples: Floats, targets: Floats, weights: Floats) -> Floats:
        """Weighted second moments of the waves, then their moments with the target."""
        rows = np.empty((len(samples), self._waves.columns), np.float32)
        for start in range(0, len(samples), _CHUNK):
            part = slice(start, start + _CHUNK)
            self._waves.fill(samples[part], rows[part])
        weighted = rows * weights[:, None]
        moments: Floats = weighted.T @ np.column_stack([rows, targets])
        return moments


def _without_position(moments: Floats, columns: int) -> Floats:
    return np.column_stack([moments[:columns, :columns], moments[:columns, -1]])


def _solve(moments: Floats) -> NDArray[np.float32]:
    matrix = moments[:, :-1].copy()
    matrix[np.diag_indices(len(matrix))] += _RIDGE
    factor = cho_factor(matrix, overwrite_a=True, check_finite=False)
    weights: Floats = cho_solve(factor, moments[:, -1], check_finite=False)
    return weights.astype(np.float32)
