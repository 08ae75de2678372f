"""`submit logs`: the logs of an evaluation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import EvaluationError
from ..system.words import counted
from ._codabench import connect, url_option
from ._options import (
    OUTPUT,
    json_option,
)
from ._output import emit, escape, note, stack

if TYPE_CHECKING:
    from ..codabench import Client

#: Logs that `submit logs` prints without --all.
_TELLING = ("scoring_stdout", "scoring_stderr")


_NUMBER = click.IntRange(min=1)


@click.command()
@click.argument("submission", type=_NUMBER)
@click.option("--all", "every", is_flag=True, help="All logs, not only the scoring's.")
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="DIR",
    help="Write the logs here, as they are, instead of printing them.",
)
@click.option(
    "--lines",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the last lines of each.",
)
@url_option
@json_option
def logs(
    submission: int,
    every: bool,
    output: Path | None,
    lines: int | None,
    url: str,
    as_json: bool,
) -> None:
    """Show the logs of a submission's evaluation.

    SUBMISSION is its number. Without --all, the logs of the scoring are shown.

    \b
    Example:
      submit logs 734512 --lines 30
    """
    from ..system.files import write_bytes
    from ..system.outputs import OutputKind, claim

    if output is not None:
        # Several logs can have one name while an evaluation runs.
        claim(output, OutputKind.of_folder("logs", "submit logs"))
    with connect(url) as client:
        there = client.details(submission).logs
        names = (
            sorted(there) if every or output else [n for n in _TELLING if n in there]
        )
        texts = {
            name: client.transport.download(there[name], f"read {name}")
            for name in names
        }
        # The server makes an empty file for each log when the evaluation begins.
        written = {name: data for name, data in texts.items() if data}
        if not written:
            raise _nothing(client, submission, there=bool(there), every=every)
    if output is not None:
        for name, data in written.items():
            write_bytes(output / f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}.txt", data)
        note(f"{counted(len(written), 'log is', 'logs are')} in {output}")
    if empty := sorted(texts.keys() - written.keys()):
        note(f"empty so far: {', '.join(empty)}")
    shown = {name: _lines(data, lines) for name, data in written.items()}
    if output is None or as_json:
        from rich.text import Text

        views = [
            Text("\n".join([escape(name), *(f"  {escape(x)}" for x in some)]))
            for name, some in shown.items()
        ]
        emit(stack(*views), shown, as_json=as_json)


def _nothing(
    client: Client, number: int, *, there: bool, every: bool
) -> EvaluationError:
    """Say why there is no log, and where one may be."""
    seen = client.whole_submission(number)
    if seen.children:
        parts = [f"submit logs {child}" for child in seen.children]
        if seen.parts:
            parts = [
                f"submit logs {part.id} ({part.task.name if part.task else 'a task'}, "
                f"{part.status})"
                for part in seen.parts
            ]
        return EvaluationError(
            f"submission {number} has a part for each of its {len(seen.children)} "
            "tasks, and no logs of its own",
            f"do: {', '.join(parts)}",
        )
    if not seen.is_final:
        return EvaluationError(
            f"submission {number} is {seen.status}, and its logs are still empty",
            f"follow it with submit watch {number}",
        )
    reason = f" ({seen.details})" if seen.details else ""
    more = "" if every or not there else f"try submit logs {number} --all, or "
    return EvaluationError(
        f"submission {number} is {seen.status}{reason}, and the worker has written no "
        "logs",
        f"{more}ask on the competition's forum",
    )


def _lines(data: bytes, count: int | None) -> list[str]:
    """The lines of a log; of a progress bar only its last state."""
    text = data.decode("utf-8", "replace").rstrip("\n")
    found = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return found if count is None else found[-count:]
