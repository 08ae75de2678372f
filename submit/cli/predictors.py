"""`submit predictors`: the installed models and their options."""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import click
from rich.console import RenderableType

from ..errors import PredictorError
from ..predictors import (
    SOURCES,
    Description,
    InputSizes,
    ModelFault,
    OptionInfo,
    PluginFile,
    Predictor,
    PublishedModel,
    build,
    installed,
    load,
    option_infos,
    published_for,
)
from ._completion import complete_predictors
from ._options import device_option, json_option, settings_option
from ._output import emit, escape, facts, number, stack, table
from ._progress import progress

if TYPE_CHECKING:
    from ..conformance import Conformance


@dataclass(frozen=True)
class _Listed:
    """A model in the list, which is not built for it."""

    name: str
    package: str | None
    target: str
    about: str
    problem: str | None


@dataclass(frozen=True)
class _Described:
    """A model in full; facts that need weights may be missing."""

    listed: _Listed
    licence: str | None
    options: tuple[OptionInfo, ...]
    description: Description | None


@click.command()
@click.argument("name", required=False, shell_complete=complete_predictors)
@click.option(
    "--check",
    is_flag=True,
    help="Try on a generated clip whether the model keeps to the interface.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=16),
    default=64,
    metavar="N",
    help="With --check: frames over which memory must not grow.",
)
@settings_option
@device_option
@json_option
def predictors(
    name: str | None,
    check: bool,
    frames: int,
    settings: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """List the installed models, or describe one.

    NAME is a model, or a file and a class such as model.py:MyPredictor: its options,
    its licence and the input sizes it allows are shown. Facts that depend on the
    weights need the options that name them, such as `-o checkpoint=FILE`.

    With --check the model predicts a small generated clip several times. What is wrong
    is listed with what to do about it: shapes and order of objects, probabilities in
    place of logits, prompts, results that are not repeatable, memory that grows. The
    exit status is 1 if something is wrong.

    \b
    Example:
      submit predictors static
      submit predictors --check model.py:MyPredictor
    """
    if name is None:
        if settings or check:
            raise click.UsageError(
                f"{'--check' if check else '-o'} needs the NAME of a model"
            )
        found = [_list(point) for point in installed().values()]
        emit(
            _list_view(found), [_list_data(listed) for listed in found], as_json=as_json
        )
    elif check:
        tried = _check(name, settings, device=device, frames=frames)
        emit(_check_view(tried), _check_data(tried), as_json=as_json)
        click.get_current_context().exit(not tried.passed)
    else:
        described = _describe(name, settings)
        emit(_page_view(described), _page_data(described), as_json=as_json)


def _check(
    name: str, settings: tuple[str, ...], *, device: str, frames: int
) -> Conformance:
    from ..conformance import REQUIREMENTS, examine
    from ..executors.devices import choose_devices

    usable = None
    with suppress(ModelFault):  # It is found again, and said in full.
        usable = build(name, settings, device="cpu").describe().devices
    with progress("check", total=len(REQUIREMENTS), unit="requirements") as bar:
        return examine(
            name,
            settings,
            device=choose_devices(device, usable, predictor=name)[0],
            frames=frames,
            progress=bar.advance,
        )


def _list(point: EntryPoint) -> _Listed:
    about, problem = "", None
    try:
        about = _first_sentence(load(point.name))
    except PredictorError as error:
        # A broken plugin does not hide the others.
        problem = _first_line(error)
    package = None if point.dist is None else f"{point.dist.name} {point.dist.version}"
    return _Listed(point.name, package, point.value, about, problem)


def _describe(name: str, settings: tuple[str, ...]) -> _Described:
    kind = load(name)
    if PluginFile.parse(name) is None:
        listed = _list(installed()[name])
    else:
        listed = _Listed(name, None, name, _first_sentence(kind), None)
    options = option_infos(kind.Options)
    description = None
    try:
        description = build(name, settings, device="cpu").describe()
    except PredictorError as error:
        if settings:
            raise
        # A model that needs weights can still show its options.
        listed = replace(listed, problem=_first_line(error))
    licence = getattr(kind, "licence", None)
    return _Described(
        listed, description.licence if description else licence, options, description
    )


def _first_line(error: PredictorError) -> str:
    """The first line of an error, without a traceback that may follow."""
    return str(error).partition("\n")[0]


def _first_sentence(kind: type[Predictor]) -> str:
    text = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".")


def _list_view(found: list[_Listed]) -> RenderableType:
    return table(
        ["predictor", "package", "about"],
        [[one.name, one.package, one.problem or one.about] for one in found],
    )


def _page_view(page: _Described) -> RenderableType:
    one, description = page.listed, page.description
    pairs: dict[str, str | None] = {
        "predictor": one.name,
        "about": one.about,
        "package": one.package,
    }
    if description is None:
        if page.licence is not None:
            pairs["licence"] = page.licence
        pairs["not built"] = one.problem
    else:
        pairs |= {
            "model": description.model,
            "licence": description.licence,
            "checkpoint": description.checkpoint or "none",
            "input sizes": _sizes_text(description.sizes),
            "prompts": str(description.prompts),
            "cores": str(description.cores),
            **description.details,
        }
        if description.delayed:
            pairs["predictions"] = "later than their frames"
    published = published_for(one.name)
    if all(one.score is None for one in published):
        for model in published:
            pairs["good for"] = model.strength
        published = ()
    if not page.options:
        return stack(facts(pairs), "It has no options.")
    rows = [
        [
            info.name,
            "|".join(info.choices) or f"{info.metavar}{info.range}",
            _default_text(info),
            info.help,
        ]
        for info in page.options
    ]
    options = table(["option", "value", number("default"), "help"], rows)
    return stack(facts(pairs), options, *([_scores(published)] if published else []))


def _scores(published: tuple[PublishedModel, ...]) -> RenderableType:
    """Published scores of the models that a predictor runs."""
    return table(
        [*("published", number("J&Ḟ"), number("d"), number("r")), "with", "good for"],
        [
            [
                one.model if one.commercial else f"{one.model} (non-commercial)",
                *map(_score, (one.score, one.disappearance, one.reappearance)),
                one.options,
                one.strength,
            ]
            for one in published
        ],
        title="MOSEv2, validation, as their authors print it (docs/models.md)",
    )


def _score(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _sizes_text(sizes: InputSizes) -> str:
    scales = f"scale {sizes.smallest:g} to {sizes.largest:g}"
    if sizes.base is None:
        return f"the frame's, {scales}"
    text = f"{sizes.base}×{sizes.base}, {scales}"
    return text if sizes.step == 1 else f"{text}, multiples of {sizes.step}"


def _default_text(info: OptionInfo) -> str:
    if info.default is None:
        return "none"
    if isinstance(info.default, bool):
        return str(info.default).lower()
    return str(info.default)


def _check_view(tried: Conformance) -> RenderableType:
    from ..conformance import REQUIREMENTS

    about = {
        name: (inspect.getdoc(requirement) or "").rstrip(".")
        for name, requirement in REQUIREMENTS.items()
    }
    rows = [
        [name, outcome.value, about[name]] for name, outcome in tried.outcomes.items()
    ]
    problems = [
        facts(
            {
                one.requirement: one.wrong,
                "what to do" if one.fails else "to know": one.remedy,
            }
        )
        for one in tried.deviations
    ]
    verdict = "keeps to the interface" if tried.passed else "does not keep to it"
    return stack(
        table(["requirement", "result", "what is tried"], rows),
        *problems,
        escape(f"{tried.predictor} {verdict}"),
    )


def _check_data(tried: Conformance) -> dict[str, object]:
    return {
        "predictor": tried.predictor,
        "passed": tried.passed,
        "description": tried.description,
        "requirements": {
            name: outcome.value for name, outcome in tried.outcomes.items()
        },
        "deviations": tried.deviations,
    }


def _list_data(one: _Listed) -> dict[str, object]:
    return {
        "name": one.name,
        "package": one.package,
        "class": one.target,
        "about": one.about,
        "problem": one.problem,
    }


def _page_data(page: _Described) -> dict[str, object]:
    return {
        **_list_data(page.listed),
        "licence": page.licence,
        "description": page.description,
        "published": [
            {**vars(one), "source": SOURCES.get(one.source or "")}
            for one in published_for(page.listed.name)
        ],
        "options": [
            {
                "name": info.name,
                "type": info.type.__name__,
                "optional": info.optional,
                "default": info.default,
                "choices": info.choices,
                "low": info.low,
                "high": info.high,
                "help": info.help,
            }
            for info in page.options
        ],
    }
