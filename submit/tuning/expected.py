"""Prediction of a run's score without ground truth.

A ridge regression from features of an object (agreement with other runs, object score,
predicted IoU, area, absence) to its score, fitted on the objects of a hold-out. It is
small on purpose: hold-outs have tens of videos. Its error is measured on held-out
videos, and is part of every interval.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError
from ..metrics.bootstrap import expanded_interval
from ..runs.identity import fingerprint
from ..system.files import read_json, write_json
from ..system.outputs import OutputKind
from .agreement import ObjectLook

__all__ = [
    "FEATURES",
    "MODEL_FILE",
    "TUNED",
    "Calibration",
    "Estimate",
    "ExpectedScore",
    "Row",
    "features_of",
    "maker_of",
]

#: The features of an object, in the order of the columns.
FEATURES = ("agreement", "presence", "iou", "area", "absence")

SCHEMA = 2

#: The name of the tuned masks among the runs that a model was fitted on.
TUNED = "tuned"

#: The file of `ExpectedScore.save`.
MODEL_FILE = OutputKind.of_file(
    "a model of the score",
    "submit tune",
    recognises=lambda beginning: (
        beginning.startswith(b'{\n  "schema":') and b'"penalty":' in beginning
    ),
)

#: Penalties that are tried; features are standardised and scores lie in [0, 1].
_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_RESAMPLES = 2000
#: Enough to test the intervals of single videos.
_FEW_RESAMPLES = 200
_CONFIDENCE = 0.9
#: The smallest share of the frame that differs from 0.
_SPECK = 1e-5
#: A smaller standard deviation counts as 0.
_FLAT = 1e-9
#: Features are logits, shares and counts, all far below.
_LARGEST = 1e9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One object in one run of the hold-out.

    Attributes:
        run: The run.
        video: The video.
        features: Values in the order of `FEATURES`; None for a missing one.
        score: Its score.
    """

    run: str
    video: str
    features: tuple[float | None, ...]
    score: float


@dataclass(frozen=True)
class Calibration:
    """The accuracy of the model on held-out videos.

    Attributes:
        videos: Number of videos.
        objects: Number of objects, in all runs together.
        error: Mean absolute error of an object's score.
        floor: The same of a model that always predicts the mean score.
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
    """The expected score of a run.

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


def maker_of(kind: str, settings: Mapping[str, Any]) -> str:
    """A digest of how a run was made, which does not depend on the split.

    Args:
        kind: The step that made it.
        settings: The settings that decide its masks.
    """
    return fingerprint([kind, settings])


def features_of(look: ObjectLook, runs: Sequence[str]) -> tuple[float | None, ...]:
    """The features of an object.

    Args:
        look: The object in a run.
        runs: The runs whose agreement is used.
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
        metric: The measure that it predicts, an attribute of `ObjectScore`.
        runs: The runs whose agreement is used.
        makers: For each run of the fit, how it was made; see `maker_of`. `TUNED` is the
            tuned result, if that is not one of the runs.
        penalty: The penalty of the ridge regression.
        rows: The data of the fit; intervals are drawn from them.
        calibration: Its accuracy on held-out videos.
    """

    metric: str
    runs: tuple[str, ...]
    makers: Mapping[str, str]
    penalty: float
    rows: tuple[Row, ...]
    calibration: Calibration

    @classmethod
    def fit(
        cls,
        metric: str,
        runs: Sequence[str],
        rows: Sequence[Row],
        *,
        makers: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> ExpectedScore:
        """Fit on the objects of a hold-out of at least three videos.

        The penalty is the one with the smallest error on held-out videos.
        """
        data = _Data.of(rows)
        errors = {p: data.left_out(p) - data.scores for p in _PENALTIES}
        penalty = min(_PENALTIES, key=lambda p: float(np.abs(errors[p]).mean()))
        expected = errors[penalty] + data.scores
        # With such a penalty the model predicts the mean.
        plain = data.left_out(1e12) - data.scores
        spread = expected.std() > _FLAT and data.scores.std() > _FLAT
        calibration = Calibration(
            videos=data.videos,
            objects=len(rows),
            error=float(np.abs(errors[penalty]).mean()),
            floor=float(np.abs(plain).mean()),
            correlation=float(np.corrcoef(expected, data.scores)[0, 1])
            if spread
            else None,
            coverage=_coverage(data, penalty, seed),
        )
        known = {**(makers or {})}
        return cls(metric, tuple(runs), known, penalty, tuple(rows), calibration)

    def why_not(self, name: str, maker: str) -> str | None:
        """Why the score of a run cannot be predicted; None if it can.

        Other methods make other errors, which the fit has not seen.

        Args:
            name: The run.
            maker: How it was made; see `maker_of`.
        """
        if maker in (self.makers.get(name), self.makers.get(TUNED)):
            return None
        if name in self.makers:
            return "the model was fitted on a run of this name with other settings"
        return f"the model was fitted on {', '.join(self.makers)} and not on it"

    def estimate(
        self,
        videos: Sequence[str],
        features: Sequence[tuple[float | None, ...]],
        *,
        seed: int = 0,
    ) -> Estimate:
        """Predict the scores of objects.

        Args:
            videos: The video of each object.
            features: The features of each object; see `features_of`.
            seed: Equal seeds give equal intervals.
        """
        data = _Data.of(self.rows)
        inputs = data.standardised(_table(features))
        return _estimate(
            data, self.penalty, videos, inputs, seed=seed, resamples=_RESAMPLES
        )

    def save(self, path: Path) -> None:
        """Write the model as JSON."""
        write_json(path, {"schema": SCHEMA, **dataclasses.asdict(self)})

    @classmethod
    def load(cls, path: Path) -> ExpectedScore:
        """Read a model.

        Raises:
            SettingsError: The file is missing, or is not such a model.
        """
        try:
            content: dict[str, Any] = read_json(path)
            if content.pop("schema") != SCHEMA:
                raise ValueError(f"expected schema {SCHEMA}")
            rows = tuple(map(_row, content.pop("rows")))
            if len({row.video for row in rows}) < 2:
                raise ValueError("expected rows of two videos or more")
            if not (_is_moderate(content["penalty"]) and content["penalty"] > 0):
                raise ValueError("expected a positive penalty")
            return cls(
                metric=content["metric"],
                runs=tuple(content["runs"]),
                makers={k: str(v) for k, v in content["makers"].items()},
                penalty=float(content["penalty"]),
                rows=rows,
                calibration=_calibration(content["calibration"]),
            )
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
        ) as error:
            raise SettingsError(
                f"{path}: is not a model of submit tune --expected-score ({error}); "
                "write it again"
            ) from error


def _row(entry: Mapping[str, Any]) -> Row:
    """A row of a file, which may be damaged or hostile.

    Raises:
        ValueError, KeyError, TypeError: It is not one that `save` wrote.
    """
    row = Row(**{**entry, "features": tuple(entry["features"])})
    numbers = [each for each in row.features if each is not None]
    if (
        len(row.features) != len(FEATURES)
        or not all(map(_is_moderate, (*numbers, row.score)))
        or not isinstance(row.run, str)
        or not isinstance(row.video, str)
    ):
        raise ValueError(
            f"expected rows of {len(FEATURES)} features, found {row!r:.60}"
        )
    return row


def _calibration(entry: Mapping[str, Any]) -> Calibration:
    """The accuracy in a file; see `_row`."""
    found = Calibration(**entry)
    numbers = [each for each in vars(found).values() if each is not None]
    if not all(map(_is_moderate, numbers)):
        raise ValueError("expected numbers in calibration")
    return found


def _is_moderate(value: Any) -> bool:
    """Whether it is a number whose square can be computed, too."""
    return type(value) in (int, float) and abs(value) < _LARGEST


@dataclass(frozen=True, eq=False)
class _Data:
    """Rows as arrays, and their sums by video, from which each fit is computed.

    Features are standardised over all rows. A missing value counts as the mean of its
    feature; a feature that is constant, or always missing, is ignored.

    Attributes:
        inputs: Objects × features, standardised.
        scores: One per object.
        video_of: Number of each object's video.
        groups: For each video and run, the places of its objects.
        means: Of each feature, before.
        inverse: One over its spread; 0 where it has none.
        sums: By video: of 1, the features, their products, the scores, and the products
            of features and score.
    """

    inputs: Floats
    scores: Floats
    video_of: NDArray[np.intp]
    groups: tuple[NDArray[np.intp], ...]
    means: Floats
    inverse: Floats
    sums: tuple[Floats, Floats, Floats, Floats, Floats]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Data:
        """Convert the rows of a hold-out."""
        table = _table([row.features for row in rows])
        known = ~np.isnan(table)
        counts = np.maximum(known.sum(axis=0), 1)
        means = np.where(known, table, 0).sum(axis=0) / counts
        spread = np.sqrt((np.where(known, table - means, 0) ** 2).sum(axis=0) / counts)
        inverse = np.where(spread > _FLAT, 1 / np.maximum(spread, _FLAT), 0)
        inputs = np.where(known, table - means, 0) * inverse
        scores = np.array([row.score for row in rows])
        names = sorted({row.video for row in rows})
        places: dict[tuple[str, str], list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault((row.video, row.run), []).append(place)
        video_of = np.array([names.index(row.video) for row in rows], np.intp)
        parts = [
            (inputs[video_of == n], scores[video_of == n]) for n in range(len(names))
        ]
        return cls(
            inputs=inputs,
            scores=scores,
            video_of=video_of,
            groups=tuple(np.array(group, np.intp) for group in places.values()),
            means=means,
            inverse=inverse,
            sums=(
                np.array([len(y) for _, y in parts], np.float64),
                np.array([x.sum(axis=0) for x, _ in parts]),
                np.array([x.T @ x for x, _ in parts]),
                np.array([y.sum() for _, y in parts]),
                np.array([x.T @ y for x, y in parts]),
            ),
        )

    @property
    def videos(self) -> int:
        """Number of videos."""
        return len(self.sums[0])

    def standardised(self, table: Floats) -> Floats:
        """Standardise features of other objects in the same way."""
        return np.where(np.isnan(table), 0, table - self.means) * self.inverse

    def predict(self, times: Floats, penalty: float, inputs: Floats) -> Floats:
        """Fit ridge regressions and predict, within [0, 1].

        Args:
            times: B×videos: how often each video counts in each of the B fits.
            penalty: Of the squared weights.
            inputs: M×features, standardised.

        Returns:
            B×M expected scores.
        """
        count, x, xx, y, xy = (np.tensordot(times, each, 1) for each in self.sums)
        x, y = x / count[:, None], y / count
        gram = xx - count[:, None, None] * x[:, :, None] * x[:, None, :]
        gram += penalty * np.eye(gram.shape[1])
        right = xy - (count * y)[:, None] * x
        weights = np.linalg.solve(gram, right[:, :, None])[:, :, 0]
        level = y - (weights * x).sum(axis=1)
        found: Floats = np.clip(level[:, None] + weights @ inputs.T, 0, 1)
        return found

    def left_out(self, penalty: float, without: int | None = None) -> Floats:
        """Predict each object by a fit without its video.

        Args:
            penalty: Of the squared weights.
            without: A video that is left out of all fits.
        """
        times = 1 - np.eye(self.videos)
        if without is not None:
            times[:, without] = 0
        expected = self.predict(times, penalty, self.inputs)
        found: Floats = expected[self.video_of, np.arange(len(self.scores))]
        return found


def _table(features: Sequence[tuple[float | None, ...]]) -> Floats:
    rows = [[np.nan if v is None else v for v in row] for row in features]
    return np.array(rows, np.float64).reshape(-1, len(FEATURES))


def _estimate(
    data: _Data,
    penalty: float,
    videos: Sequence[str],
    inputs: Floats,
    *,
    seed: int,
    resamples: int,
    without: int | None = None,
) -> Estimate:
    """Expected scores with an interval for their mean.

    Two things are drawn: the videos of the fit and, for each video to be scored, the
    model's error on a held-out video.
    """
    kept = np.ones(data.videos)
    if without is not None:
        kept[without] = 0
    expected = data.predict(kept[None], penalty, inputs)[0]
    errors = data.scores - data.left_out(penalty, without)
    wrong = np.array(
        [
            errors[group].mean()
            for group in data.groups
            if data.video_of[group[0]] != without
        ]
    )
    _, dense = np.unique(videos, return_inverse=True)
    shares = np.bincount(dense) / len(dense)
    random = np.random.default_rng(seed)
    count = int(kept.sum())
    times = random.multinomial(count, kept / count, resamples).astype(np.float64)
    means = data.predict(times, penalty, inputs).mean(axis=1)
    means += wrong[random.integers(0, len(wrong), (resamples, len(shares)))] @ shares
    low, high = expanded_interval(means, count, confidence=_CONFIDENCE)
    return Estimate(
        score=float(expected.mean()),
        low=float(np.clip(low, 0, 1)),
        high=float(np.clip(high, 0, 1)),
        objects=tuple(expected.tolist()),
    )


def _coverage(data: _Data, penalty: float, seed: int) -> float:
    """Share of the videos whose score is in the interval of a fit without them."""
    hits = []
    for group in data.groups:
        found = _estimate(
            data,
            penalty,
            [""] * len(group),
            data.inputs[group],
            seed=seed,
            resamples=_FEW_RESAMPLES,
            without=int(data.video_of[group[0]]),
        )
        hits.append(found.low <= data.scores[group].mean() <= found.high)
    return float(np.mean(hits))
