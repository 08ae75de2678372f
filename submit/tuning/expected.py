"""What a run will score, from what can be seen without ground truth.

A ridge regression from the looks of an object (agreement with other runs, object score,
predicted IoU, area, absence) to its score, fitted on the objects of a hold-out. It is
small on purpose: hold-outs have tens of videos. How far it can be trusted is measured
on videos that were left out of the fit, and goes into every interval.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._bootstrap import expanded_interval
from ..errors import SettingsError
from ..files import read_json, write_json
from .agreement import ObjectLook

__all__ = ["FEATURES", "Calibration", "Estimate", "ExpectedScore", "Row", "features_of"]

#: What the model sees of an object, in the order of the columns.
FEATURES = ("agreement", "presence", "iou", "area", "absence")

SCHEMA = 1

#: Penalties that are tried; features are standardised and scores lie in [0, 1].
_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_RESAMPLES = 2000
#: Enough to tell whether an interval of one of many videos holds.
_FEW_RESAMPLES = 200
_CONFIDENCE = 0.9
#: The smallest share of the frame that is told apart from nothing.
_SPECK = 1e-5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One object in one run of the hold-out.

    Attributes:
        run: The run.
        video: The video.
        features: In the order of `FEATURES`; None where there is no value.
        score: What it scored.
    """

    run: str
    video: str
    features: tuple[float | None, ...]
    score: float


@dataclass(frozen=True)
class Calibration:
    """How the model did on videos that were left out of its fit.

    Attributes:
        videos: Number of videos.
        objects: Number of objects, in all runs together.
        error: Mean absolute error of an object's score.
        floor: The same of a model that knows the mean score only.
        correlation: Between expected and true scores of objects; None without spread.
        coverage: Share of single videos whose true score was in its 90 % interval.
    """

    videos: int
    objects: int
    error: float
    floor: float
    correlation: float | None
    coverage: float


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to score.

    Attributes:
        score: Mean over all objects, in [0, 1].
        low: Lower end of the interval at 90 %.
        high: Upper end.
        objects: Expected score of each object, in the order they were given.
    """

    score: float
    low: float
    high: float
    objects: tuple[float, ...]


def features_of(look: ObjectLook, runs: Sequence[str]) -> tuple[float | None, ...]:
    """What the model sees of an object.

    Args:
        look: The object in a run.
        runs: The runs whose agreement counts.
    """
    others = [value for name, value in look.agreement.items() if name in runs]
    return (
        float(np.mean(others)) if others else None,
        look.presence,
        look.iou,
        math.log10(max(look.area, _SPECK)),
        look.absence,
    )


@dataclass(frozen=True)
class ExpectedScore:
    """A fitted model.

    Attributes:
        metric: What it predicts, an attribute of `ObjectScore`.
        runs: The runs whose agreement counts.
        penalty: Of the ridge regression.
        rows: What it was fitted on; intervals are drawn from them.
        calibration: How it did on videos left out.
    """

    metric: str
    runs: tuple[str, ...]
    penalty: float
    rows: tuple[Row, ...]
    calibration: Calibration

    @classmethod
    def fit(
        cls, metric: str, runs: Sequence[str], rows: Sequence[Row], *, seed: int = 0
    ) -> ExpectedScore:
        """Fit on the objects of a hold-out of at least three videos.

        The penalty is the one with the least error on videos left out.
        """
        data = _Data.of(rows)
        errors = {p: _left_out(data, p) - data.scores for p in _PENALTIES}
        penalty = min(_PENALTIES, key=lambda p: float(np.abs(errors[p]).mean()))
        expected = errors[penalty] + data.scores
        plain = _left_out(dataclasses.replace(data, table=data.table * np.nan), 1.0)
        spread = expected.std() > 0 and data.scores.std() > 0
        calibration = Calibration(
            videos=len(data.videos),
            objects=len(rows),
            error=float(np.abs(errors[penalty]).mean()),
            floor=float(np.abs(plain - data.scores).mean()),
            correlation=float(np.corrcoef(expected, data.scores)[0, 1])
            if spread
            else None,
            coverage=_coverage(data, penalty, seed),
        )
        return cls(metric, tuple(runs), penalty, tuple(rows), calibration)

    def estimate(
        self,
        videos: Sequence[str],
        features: Sequence[tuple[float | None, ...]],
        *,
        seed: int = 0,
    ) -> Estimate:
        """What objects are expected to score.

        Args:
            videos: The video of each object.
            features: Of each object; see `features_of`.
            seed: Equal seeds give equal intervals.
        """
        return _estimate(
            _Data.of(self.rows),
            self.penalty,
            videos,
            _table(features),
            seed=seed,
            resamples=_RESAMPLES,
        )

    def save(self, path: Path) -> None:
        """Write the model as JSON."""
        write_json(path, {"schema": SCHEMA, **dataclasses.asdict(self)})

    @classmethod
    def load(cls, path: Path) -> ExpectedScore:
        """Read a model.

        Raises:
            SettingsError: The file is not there, or is no such model.
        """
        try:
            content: dict[str, Any] = read_json(path)
            if content.pop("schema") != SCHEMA:
                raise ValueError(f"expected schema {SCHEMA}")
            rows = tuple(
                Row(**{**row, "features": tuple(row["features"])})
                for row in content.pop("rows")
            )
            if any(len(row.features) != len(FEATURES) for row in rows) or not rows:
                raise ValueError(f"expected rows of {len(FEATURES)} features")
            return cls(
                metric=content["metric"],
                runs=tuple(content["runs"]),
                penalty=float(content["penalty"]),
                rows=rows,
                calibration=Calibration(**content["calibration"]),
            )
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsError(
                f"{path}: is not a model of submit tune --expected-score ({error}); "
                "write it anew"
            ) from error


@dataclass(frozen=True, eq=False)
class _Data:
    """Rows as arrays.

    Attributes:
        table: Objects × features, NaN where there is no value.
        scores: One per object.
        videos: The videos, once each.
        video_of: Number of each object's video.
        groups: For each video and run, the places of its objects.
    """

    table: Floats
    scores: Floats
    videos: tuple[str, ...]
    video_of: NDArray[np.intp]
    groups: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Data:
        videos = tuple(sorted({row.video for row in rows}))
        places: dict[tuple[str, str], list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault((row.video, row.run), []).append(place)
        return cls(
            table=_table([row.features for row in rows]),
            scores=np.array([row.score for row in rows]),
            videos=videos,
            video_of=np.array([videos.index(row.video) for row in rows], np.intp),
            groups=tuple(np.array(group, np.intp) for group in places.values()),
        )

    def of_rows(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> _Data:
        """Some of the objects, without groups."""
        return dataclasses.replace(
            self,
            table=self.table[chosen],
            scores=self.scores[chosen],
            video_of=self.video_of[chosen],
            groups=(),
        )


def _table(features: Sequence[tuple[float | None, ...]]) -> Floats:
    rows = [[np.nan if v is None else v for v in row] for row in features]
    return np.array(rows, np.float64).reshape(-1, len(FEATURES))


def _predict(data: _Data, penalty: float, table: Floats) -> Floats:
    """Fit a ridge regression and predict, within [0, 1].

    A missing value counts as the mean of its feature; a feature that is the same
    everywhere, or nowhere, has no say.
    """
    known = ~np.isnan(data.table)
    counts = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, data.table, 0)
    means = filled.sum(axis=0) / counts
    centred = np.where(known, data.table - means, 0)
    scales = np.sqrt((centred**2).sum(axis=0) / counts)
    usable = scales > 1e-9
    inverse = np.where(usable, 1 / np.where(usable, scales, 1), 0)
    inputs = centred * inverse
    mean = data.scores.mean()
    gram = inputs.T @ inputs + penalty * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs.T @ (data.scores - mean))
    shifted = np.where(np.isnan(table), 0, table - means) * inverse
    predicted: Floats = np.clip(mean + shifted @ weights, 0, 1)
    return predicted


def _left_out(data: _Data, penalty: float) -> Floats:
    """What is expected of each object by a fit without its video."""
    expected = np.empty(len(data.scores))
    for number in range(len(data.videos)):
        out = data.video_of == number
        expected[out] = _predict(data.of_rows(~out), penalty, data.table[out])
    return expected


def _estimate(
    data: _Data,
    penalty: float,
    videos: Sequence[str],
    table: Floats,
    *,
    seed: int,
    resamples: int,
) -> Estimate:
    """Expected scores with an interval for their mean.

    Two things are drawn: the videos that the model is fitted on, and, for each video to
    be scored, by how much the model was wrong about a video that it had not seen.
    """
    expected = _predict(data, penalty, table)
    errors = data.scores - _left_out(data, penalty)
    wrong = np.array([errors[group].mean() for group in data.groups])
    members = [np.flatnonzero(data.video_of == n) for n in range(len(data.videos))]
    _, dense = np.unique(videos, return_inverse=True)
    shares = np.bincount(dense) / len(dense)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for index in range(resamples):
        drawn = random.integers(0, len(members), len(members))
        again = data.of_rows(np.concatenate([members[number] for number in drawn]))
        noise = shares @ wrong[random.integers(0, len(wrong), len(shares))]
        means[index] = _predict(again, penalty, table).mean() + noise
    low, high = expanded_interval(means, len(data.videos), confidence=_CONFIDENCE)
    return Estimate(
        score=float(expected.mean()),
        low=float(np.clip(low, 0, 1)),
        high=float(np.clip(high, 0, 1)),
        objects=tuple(expected.tolist()),
    )


def _coverage(data: _Data, penalty: float, seed: int) -> float:
    """Share of the videos, in each run, whose score is in the interval without them."""
    hits = []
    for group in data.groups:
        number = data.video_of[group[0]]
        rest = np.flatnonzero(data.video_of != number)
        places = {place: index for index, place in enumerate(rest.tolist())}
        fitted = dataclasses.replace(
            data.of_rows(rest),
            videos=tuple(v for n, v in enumerate(data.videos) if n != number),
            video_of=data.video_of[rest] - (data.video_of[rest] > number),
            groups=tuple(
                np.array([places[place] for place in other.tolist()])
                for other in data.groups
                if data.video_of[other[0]] != number
            ),
        )
        videos = [data.videos[number]] * len(group)
        found = _estimate(
            fitted,
            penalty,
            videos,
            data.table[group],
            seed=seed,
            resamples=_FEW_RESAMPLES,
        )
        hits.append(found.low <= data.scores[group].mean() <= found.high)
    return float(np.mean(hits))
