"""The settings file of tuning, with the measured results in comments."""

from __future__ import annotations

from collections.abc import Iterator

from ..metrics.measures import MEASURES
from ..system.outputs import OutputKind
from ..system.tables import to_toml
from ..system.words import counted
from .search import Gain, StageResult, Tuned

__all__ = ["SETTINGS_FILE", "changes_of", "settings_toml"]

#: The first words of every settings file.
_BEGINNING = "# Tuned by submit tune"

#: The output of `settings_toml`.
SETTINGS_FILE = OutputKind.of_file(
    "a settings file",
    "submit tune",
    recognises=lambda beginning: beginning.startswith(_BEGINNING.encode()),
)


def settings_toml(tuned: Tuned, *, source: str = "") -> str:
    """The settings file for `submit ensemble`, `export` and `build`.

    Args:
        tuned: The result of the search.
        source: The name of the hold-out.
    """
    lines = [f"# {line}".rstrip() for line in _remarks(tuned, source)]
    assert lines[0].startswith(_BEGINNING)
    post = tuned.candidate.post.to_table()
    tables = {"ensemble": tuned.candidate.merge.to_table(), "postprocess": post}
    lines += ["", to_toml(tables).rstrip()]
    if not post:
        lines.append("# No setting was significantly better.")
    return "\n".join(lines) + "\n"


def changes_of(result: StageResult) -> str:
    """The result of a stage, in words.

    Only changes are named, such as `+flip` for a member or `threshold 0.5`.
    """
    before, after = result.before, result.after
    if before == after:
        return "nothing better"
    merge, post = after.merge, after.post
    parts = [f"+{name}" for name in merge.members if name not in before.members]
    if result.stage == "second pass":
        out = [name for name in before.members if name not in merge.members]
        parts = [f"{' '.join(parts)} in place of {' '.join(out)}"]
    if merge.method != before.merge.method:
        parts.append(merge.method)
    if merge.weights != before.merge.weights and merge.weights:
        parts += [f"{name} {weight:g}" for name, weight in merge.weights.items()]
    if merge.gate != before.merge.gate:
        gate = merge.gate
        parts.append(
            "no gate" if gate is None else f"{gate.evidence} {gate.threshold:g}"
        )
    table, old = post.to_table(), before.post.to_table()
    parts += [f"{k} {v:g}" for k, v in table.items() if old.get(k) != v]
    return ", ".join(parts)


def _remarks(tuned: Tuned, source: str) -> Iterator[str]:
    """The measured results, as comments."""
    measure = MEASURES[tuned.metric]
    frames = "all frames" if tuned.every == 1 else f"one frame in {tuned.every}"
    yield f"Tuned by submit tune for {measure}{f' on {source}' if source else ''}:"
    yield (
        f"{counted(tuned.videos, 'video')}, {counted(tuned.objects, 'object')}, "
        f"{frames}, {tuned.evaluations:.1f} evaluations, seed {tuned.seed}."
    )
    if not tuned.is_complete:
        yield "The budget was spent before everything was tried."
    yield ""
    width = max(map(len, tuned.singles))
    for name, score in tuned.singles.items():
        yield f"  {name:{width}}  {100 * score:6.2f}"
    yield f"  {'tuned':{width}}  {100 * tuned.score:6.2f}"
    yield ""
    if tuned.lead is not None:
        second = list(tuned.singles)[1]
        yield f"Best run, {tuned.best_single}, against {second}: {_gain(tuned.lead)}."
    yield f"Tuned against {tuned.best_single}: {_gain(tuned.gain)}."
    yield "Both on the videos that they were chosen on, so expect less."
    yield ""
    yield "By stage, on held-out videos:"
    yield ""
    for result in tuned.stages:
        judged = "" if result.left_out is None else _gain(result.left_out)
        yield (
            f"  {'kept' if result.kept else 'no':4}  {result.stage:11}  "
            f"{judged:31}  {changes_of(result)}"
        )
    if tuned.without:
        yield ""
        yield "Without a member:"
        for name, score in tuned.without.items():
            yield f"  {name:{width}}  {100 * (score - tuned.score):+6.2f}"


def _gain(gain: Gain) -> str:
    low, high = f"{100 * gain.low:+.2f}", f"{100 * gain.high:+.2f}"
    return f"{100 * gain.mean:+.2f} (95 %: {low} … {high})"
