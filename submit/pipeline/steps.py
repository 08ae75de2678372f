"""The steps of a recipe: one class for each table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..ensemble import MergeSettings, read_ensemble_table
from ..errors import SettingsError
from ..formats import ImportHints
from ..masks import ScoreKind
from ..system.homes import user_path
from ..system.schema import Scalar, WrongSettingError, check, setting
from .anchors import AnchorRules
from .conditions import Condition
from .direction import DIRECTIONS

__all__ = [
    "AnchorsStep",
    "EnsembleStep",
    "ImportStep",
    "PredictStep",
    "RouteStep",
    "SampleStep",
    "Step",
    "SubmissionStep",
]


@dataclass(frozen=True)
class SampleStep:
    """Write a synthetic split first; see `submit sample`."""

    videos: int = 6
    frames: int = 40
    size: tuple[int, int] = setting((480, 270), words="[width, height]")
    seed: int = 0


@dataclass(frozen=True)
class PredictStep:
    """Run a model over the split; see `submit predict`."""

    name: str
    predictor: str
    options: Mapping[str, Scalar] = setting(factory=dict)
    variant: str | None = None
    tta: tuple[str, ...] = ()
    late_objects: bool = False
    prompts: Path | None = None
    anchors: str | None = None
    direction: str = setting(DIRECTIONS[0], choices=DIRECTIONS)
    prompter: str | None = None
    prompter_options: Mapping[str, Scalar] = setting(factory=dict)

    def __post_init__(self) -> None:
        check(self)

    @property
    def needs(self) -> tuple[str, ...]:
        """What is made before."""
        return () if self.anchors is None else (self.anchors,)


@dataclass(frozen=True)
class ImportStep:
    """Import masks of another program; see `submit import`."""

    name: str
    path: Path
    format: str | None = None
    scores: str | None = setting(
        None, choices=tuple(kind.value for kind in ScoreKind), key="as"
    )
    object_key: str | None = None

    def __post_init__(self) -> None:
        check(self)

    @property
    def needs(self) -> tuple[str, ...]:
        """What is made before: nothing."""
        return ()

    @property
    def hints(self) -> ImportHints:
        """What is said of the files.

        Raises:
            SettingsError: There is no such layout.
        """
        scores = None if self.scores is None else ScoreKind(self.scores)
        return ImportHints(self.format, scores, self.object_key)


@dataclass(frozen=True)
class AnchorsStep:
    """Choose prompts for a second pass from runs; see `submit anchors`.

    They are written to `<name>.json` in the folder of the runs, and used by the steps
    that name them.
    """

    name: str
    runs: tuple[str, ...]
    per_object: int = setting(3, low=1)
    distance: int = setting(20, low=1)
    min_agreement: float = setting(0.85, low=0, high=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def needs(self) -> tuple[str, ...]:
        """What is made before."""
        return self.runs

    @property
    def rules(self) -> AnchorRules:
        """What makes a frame an anchor."""
        return AnchorRules(self.per_object, self.distance, self.min_agreement)


@dataclass(frozen=True)
class RouteStep:
    """Take some objects of a run from another one, which is predicted for them.

    The objects are those that fulfil `when` (see `conditions`) in the run. Their videos
    are predicted another way, as the run `<name>-way`; `name` has these objects from
    there, and all others from `run`. Without `predictor`, the way is that of the run's
    own predict step with the `options` given here besides.
    """

    name: str
    run: str
    when: str
    against: tuple[str, ...] = ()
    predictor: str | None = None
    options: Mapping[str, Scalar] = setting(factory=dict)
    variant: str | None = None
    tta: tuple[str, ...] = ()
    prompts: Path | None = None
    anchors: str | None = None
    direction: str = setting(DIRECTIONS[0], choices=DIRECTIONS)
    prompter: str | None = None
    prompter_options: Mapping[str, Scalar] = setting(factory=dict)

    def __post_init__(self) -> None:
        check(self)

    @property
    def needs(self) -> tuple[str, ...]:
        """What is made before."""
        anchors = () if self.anchors is None else (self.anchors,)
        return (self.run, *self.against, *anchors)

    @property
    def condition(self) -> Condition:
        """Which objects go the other way.

        Raises:
            SettingsError: `when` is not a condition.
        """
        return Condition.parse(self.when)

    def way(self, base: PredictStep | None) -> PredictStep:
        """How the objects are predicted, as a step of its own.

        Args:
            base: The step that predicts `run`; None if another kind of step makes it.

        Raises:
            SettingsError: There is no predictor.
        """
        predictor, options = self.predictor, self.options
        if predictor is None:
            if base is None:
                raise SettingsError(
                    f"run {self.run!r} is not made by [[predict]], so the route needs "
                    "a predictor of its own; add predictor"
                )
            predictor, options = base.predictor, {**base.options, **self.options}
        return PredictStep(
            name=f"{self.name}-way",
            predictor=predictor,
            options=options,
            variant=self.variant,
            tta=self.tta,
            late_objects=base is not None and base.late_objects,
            prompts=self.prompts,
            anchors=self.anchors,
            direction=self.direction,
            prompter=self.prompter,
            prompter_options=self.prompter_options,
        )


@dataclass(frozen=True)
class EnsembleStep:
    """Merge runs; see `submit ensemble`.

    In the recipe, `settings` is a settings file. All keys of its table `[ensemble]` may
    be given here too, and override the file: method, members, weights, gate, and the
    table of a method's settings, such as cascade.
    """

    name: str
    settings: MergeSettings = setting(key="")
    missing: str = setting("fail", choices=("fail", "reweight"))

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def prepare(cls, table: Mapping[str, Any]) -> dict[str, Any]:
        """Separate the keys of the merge settings, and add those of their file.

        Raises:
            SettingsError: The file cannot be read.
        """
        own = {key: table[key] for key in ("name", "missing") if key in table}
        rest = {key: value for key, value in table.items() if key not in own}
        file = rest.pop("settings", None)
        if file is not None:
            if not isinstance(file, str):
                raise WrongSettingError(("settings",), "expected a path", file)
            rest = {**read_ensemble_table(user_path(file)), **rest}
        return {**own, "settings": rest}

    @property
    def members(self) -> tuple[str, ...]:
        """The runs to merge."""
        return self.settings.members

    @property
    def needs(self) -> tuple[str, ...]:
        """What is made before."""
        return self.members


@dataclass(frozen=True)
class SubmissionStep:
    """The run to submit, its post-processing settings, and the zip."""

    run: str
    zip: Path | None = None
    team: Path | None = None
    settings: Path | None = None


#: A step between the split and the submission.
Step: TypeAlias = "PredictStep | ImportStep | AnchorsStep | RouteStep | EnsembleStep"
