"""What the shell completes: runs, videos, models, their options and variants.

The values are looked up on each press of the key, so nothing here imports a library
that takes long to load, and every error means that there is nothing to complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from click import Context, Parameter
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)

from ..system.homes import user_path
from ..system.urls import StorageUrl

if TYPE_CHECKING:
    from ..predictors import OptionInfo

__all__ = [
    "Completer",
    "complete_predictors",
    "complete_prompter_settings",
    "complete_runs",
    "complete_settings",
    "complete_sources",
    "complete_trainers",
    "complete_trainings",
    "complete_variants",
    "complete_videos",
    "complete_weights",
    "prepare_shells",
]

#: Parameters that name runs of a command, in their order.
_RUNS = ("names", "name", "run", "source", "members", "baseline", "video")

Completer: TypeAlias = Callable[[Context, Parameter, str], list[CompletionItem]]


def _completer(
    found: Callable[[Context, str], Iterable[str | CompletionItem]],
) -> Completer:
    """Make a completer of a function that lists all values.

    Args:
        found: Gets the context and what was typed; values that do not begin with that
            are left out.
    """

    def complete(
        ctx: Context, param: Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del param
        values: list[str | CompletionItem] = []
        # A shell has no place for an error; it completes nothing then.
        with contextlib.suppress(Exception):
            values += found(ctx, incomplete)
        items = [CompletionItem(one) if isinstance(one, str) else one for one in values]
        return [
            one
            for one in items
            if one.type != "plain" or str(one.value).startswith(incomplete)
        ]

    return complete


def _folder(ctx: Context) -> Path:
    """The folder of the runs, as far as the line is typed."""
    from ._options import usual_runs  # It has options that complete by this module.

    given = ctx.params.get("runs")
    return user_path(given) if given else usual_runs()


def _runs(ctx: Context, incomplete: str) -> list[str | CompletionItem]:
    del incomplete
    manifests = sorted(_folder(ctx).glob("*/manifest.json"))
    return [path.parent.name for path in manifests]


def _trainings(ctx: Context, incomplete: str) -> list[str]:
    del incomplete
    folder = user_path(ctx.params.get("trainings") or "trainings")
    return sorted(path.parent.name for path in folder.glob("*/log.jsonl"))


def _sources(ctx: Context, incomplete: str) -> list[str | CompletionItem]:
    # Bash forgets what comes before a file.
    found = [CompletionItem(incomplete, type="file"), *_runs(ctx, incomplete)]
    # Behind runs there may be a video.
    if any(one.name == "video" for one in ctx.command.params):
        found += _videos(ctx, incomplete)
    return found


def _videos(ctx: Context, incomplete: str) -> Iterable[str]:
    """The videos of the split that is named, else those of the first run."""
    del incomplete
    split = ctx.params.get("split")
    if split and not isinstance(split, StorageUrl):
        for kind in ("JPEGImages", "Annotations"):
            folder = user_path(split) / kind
            if folder.is_dir():
                return sorted(one.name for one in folder.iterdir() if one.is_dir())
    return _videos_of_run(ctx)


def _videos_of_run(ctx: Context) -> Iterable[str]:
    given: list[str] = []
    for parameter in _RUNS:
        value = ctx.params.get(parameter) or ()
        given += (value,) if isinstance(value, str) else value
    # Click reads no arguments of a line that ends with an option.
    for name in [*given, *ctx.args]:
        run = _folder(ctx) / name
        if run.is_dir():
            soft = sorted((run / "soft").glob("*.npz"))
            return [one.stem for one in soft] or sorted(
                one.name for one in (run / "masks").iterdir()
            )
    return ()


def _predictors(ctx: Context, incomplete: str) -> Iterable[str | CompletionItem]:
    from ..predictors import installed

    del ctx
    return [CompletionItem(incomplete, type="file"), *installed()]


def _trainers(ctx: Context, incomplete: str) -> Iterable[str]:
    from ..training.registry import installed

    del ctx, incomplete
    return installed()


def _settings(ctx: Context, incomplete: str) -> Iterator[str | CompletionItem]:
    model = ctx.params.get("predictor")
    if ctx.info_name == "predictors":
        # Click reads no arguments of a line that ends with an option.
        model = ctx.params.get("name") or next(iter(ctx.args), None)
    return _settings_of(model, incomplete)


def _prompter_settings(ctx: Context, incomplete: str) -> Iterator[str | CompletionItem]:
    return _settings_of(ctx.params.get("prompter"), incomplete)


def _settings_of(model: str | None, incomplete: str) -> Iterator[str | CompletionItem]:
    """The options of the model that is named, then the values of one."""
    from ..predictors import load, option_infos

    if not model:
        return
    key, equals, _ = incomplete.partition("=")
    for one in option_infos(load(model).Options):
        if not equals:
            yield CompletionItem(f"{one.name}=", help=one.help)
        elif one.name == key.replace("-", "_"):
            yield from (f"{key}={value}" for value in _values(one))


def _values(one: OptionInfo) -> Iterable[str]:
    if one.type is bool:
        return ("true", "false")
    return map(str, one.choices)


def _variants(ctx: Context, incomplete: str) -> Iterable[str]:
    """Augmentations, also after others that are joined by +."""
    from ..augment import AUGMENTATIONS
    from ..system.schema import settings_of

    del ctx
    before, plus, _ = incomplete.rpartition("+")
    for name, kind in AUGMENTATIONS.items():
        yield f"{before}{plus}{name}{'=' if settings_of(kind) else ''}"


def _weights(ctx: Context, incomplete: str) -> Iterable[str]:
    from ..weights import KNOWN

    del ctx, incomplete
    return KNOWN


complete_predictors = _completer(_predictors)
complete_prompter_settings = _completer(_prompter_settings)
complete_runs = _completer(_runs)
complete_settings = _completer(_settings)
complete_sources = _completer(_sources)
complete_trainers = _completer(_trainers)
complete_trainings = _completer(_trainings)
complete_variants = _completer(_variants)
complete_videos = _completer(_videos)
complete_weights = _completer(_weights)


#: Where Bash cuts words.
_GLUE = ("=", ":")


class _Bash(BashComplete):
    """Bash cuts words at `=` and `:`; here they are put together again."""

    #: No space follows `key=`.
    source_template: ClassVar[str] = BashComplete.source_template.replace(
        "    return 0\n",
        "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n    return 0\n",
    )
    _whole = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Read what was typed: the words before, and the beginning of the last one."""
        words, last = super().get_completion_args()
        joined: list[str] = []
        glued = False
        for word in [*words, last]:
            if joined and (word in _GLUE or glued):
                joined[-1] += word
            else:
                joined.append(word)
            glued = word in _GLUE
        *words, self._whole = joined
        return words, self._whole

    def format_completion(self, item: CompletionItem) -> str:
        """Write a value as Bash needs it: only what follows the last `=`."""
        value = str(item.value)
        cut = max(self._whole.rfind(mark) for mark in _GLUE) + 1
        if item.type == "plain" and cut:
            value = value[cut:]
        return f"{item.type},{value}"


class _Zsh(ZshComplete):
    """Zsh completes what follows `--option=`, and adds no space after `key=`."""

    source_template: ClassVar[str] = (
        ZshComplete.source_template.replace(
            "    for type key descr",
            "    [[ ${words[CURRENT]} == --*=* ]] && compset -P 1 '*='\n"
            "    local -a open\n\n"
            "    for type key descr",
        )
        .replace(
            '            if [[ "$descr" == "_" ]]; then',
            '            if [[ "$key" == *= ]]; then\n'
            '                open+=("$key")\n'
            '            elif [[ "$descr" == "_" ]]; then',
        )
        .replace(
            '    if [ -n "$completions" ]; then',
            '    if [ -n "$open" ]; then\n'
            '        compadd -U -i "$IPREFIX" '
            "-S '' -V unsorted -a open\n"
            "    fi\n\n"
            '    if [ -n "$completions" ]; then',
        )
        .replace("compadd -U -V", 'compadd -U -i "$IPREFIX" -V')
    )


class _Fish(FishComplete):
    """Fish completes what follows `--option=`, and shows commas in descriptions."""

    source_template: ClassVar[str] = (
        FishComplete.source_template.replace(
            "    for completion in",
            "    set -l before (string match -r -- '^--[^=]+=' (commandline -ct));\n\n"
            "    for completion in",
        )
        .replace('string split ","', 'string split --max 1 ","')
        .replace(
            "__fish_complete_path $metadata[2];",
            "for path in (__fish_complete_path $metadata[2]);\n"
            '                echo "$before$path";\n'
            "            end;",
        )
        .replace("echo $metadata[2];", 'echo "$before$metadata[2]";')
    )


def prepare_shells() -> None:
    """Use what differs from Click's own completion."""
    for kind in (_Bash, _Zsh, _Fish):
        add_completion_class(kind)
