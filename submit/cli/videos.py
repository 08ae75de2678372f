"""`submit videos`: list the videos of a split and their problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import SplitError
from ..system.words import counted, size_text
from ._options import json_option, split_argument, videos_option
from ._output import emit, note, number, stack, table
from ._progress import progress
from ._splits import open_split

if TYPE_CHECKING:
    from ..system.urls import Place


@click.command()
@split_argument
@videos_option
@click.option("--decode", is_flag=True, help="Decode every frame, not only headers.")
@json_option
def videos(split: Place, videos: tuple[str, ...], decode: bool, as_json: bool) -> None:
    """List the videos of a split and the problems found in them.

    SPLIT is a folder with JPEGImages and Annotations. Missing and surplus frames, two
    files for one frame, unreadable or truncated files, sizes that differ, objects that
    appear late, frames that are turned or not in RGB, and a meta file that disagrees
    are all listed. The exit status is 1 when a problem would make a prediction fail;
    docs/data.md explains what is read and how.

    \b
    Example:
      submit videos work/sample
    """
    from ..data import audit_split

    opened = open_split(split, videos, say_absent=False)
    with progress("videos", total=len(opened.videos), unit="videos") as bar:
        audits = []
        for audit in audit_split(opened, decode=decode):
            audits.append(audit)
            bar.advance(audit.name)
    problems = [(audit.name, p) for audit in audits for p in audit.problems]
    rows = [
        [
            audit.name,
            audit.frames,
            "–" if audit.size is None else size_text(audit.size),
            " ".join(map(str, audit.objects)),
            audit.annotated,
            len(audit.problems) or None,
        ]
        for audit in audits
    ]
    listing = table(
        [
            "video",
            number("frames"),
            number("size"),
            "objects",
            number("masks"),
            number("problems"),
        ],
        rows,
    )
    views = [listing]
    if problems:
        views.append(
            table(
                ["problem", "where", "what"],
                [[p.kind, p.where, p.what] for _, p in problems],
            )
        )
    emit(
        stack(*views),
        {
            "split": split,
            "meta": opened.meta_path,
            "notes": opened.notes,
            "videos": audits,
        },
        as_json=as_json,
    )
    frames = sum(audit.frames for audit in audits)
    note(f"{counted(len(audits), 'video')}, {counted(frames, 'frame')}")
    serious = [(name, p) for name, p in problems if p.serious]
    if serious:
        name, first = serious[0]
        raise SplitError(
            f"{split}: {counted(len(serious), 'problem')} in "
            f"{counted(len({n for n, _ in serious}), 'video')}, the first in {name}: "
            f"{first.kind}, {first.what}"
        )
