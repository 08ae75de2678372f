"""Checking a submission, a part of it, and parts that become whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ._dividing import (
    digest_of_file,
    join_masks,
    require_same_masks,
    require_same_split,
    split_of_request,
)
from ._progress import progress
from ._runs import masks_of, reading_executor

if TYPE_CHECKING:
    from ..archive import Masks
    from ..checks import CheckResult, VideoCheck
    from ..data import Split

__all__ = ["check_part", "checked", "join_checks"]


def join_checks(folder: Path) -> tuple[list[str], CheckResult]:
    """Write the result of all parts of a check into one folder.

    Returns:
        The videos, and the result.

    Raises:
        ArchiveError: A part is missing, or the masks, the split or the sample have
            changed.
    """
    from ..checks import CHECK_FOLDER, CHECKED_PARTS, read_checked_parts, write_check
    from ..runs.kept import runs_folder
    from ..system.outputs import claim

    parts = read_checked_parts(folder)
    asked, runs = parts.request, runs_folder(parts.request.runs)
    claim(folder, CHECK_FOLDER, inputs=(asked.source, asked.split))
    split = split_of_request(asked)
    require_same_split(asked, split, CHECKED_PARTS)
    named = asked.settings["sample"]
    sample = None if named is None else Path(named)
    if sample and digest_of_file(sample) != asked.settings["sample_digest"]:
        raise CHECKED_PARTS.error(
            f"{sample}: has changed since the parts were checked; check them again"
        )
    join_masks(runs, asked.source)
    with masks_of(runs, asked.source, split) as masks:
        require_same_masks(masks, parts.masks, asked.source, CHECKED_PARTS)
        found = checked(
            masks,
            split,
            sample=sample,
            team=asked.settings["team"],
            known=parts.videos,
        )
    write_check(found, folder)
    return list(asked.videos), found


def checked(
    masks: Masks,
    split: Split,
    *,
    sample: Path | None,
    team: bool,
    executor: str = "local",
    workers: int | None = None,
    known: Mapping[str, VideoCheck] | None = None,
) -> CheckResult:
    """Check masks, but those of known videos; see `submit check` for the arguments."""
    from ..checks import check_masks, masks_to_check

    left = split.only(split.videos.keys() - (known or {}).keys())
    with progress("check", total=masks_to_check(left), unit="masks") as bar:
        return check_masks(
            masks,
            split,
            sample=sample,
            team=team,
            workers=workers,
            executor=reading_executor(executor, workers),
            known=known,
            progress=bar.advance,
        )


def check_part(
    masks: Masks,
    split: Split,
    mine: Split,
    *,
    sample: Path | None,
    executor: str,
    workers: int | None,
) -> dict[str, VideoCheck]:
    """Check the masks of a part; see `submit check` for the other arguments.

    Args:
        masks: The masks.
        split: The videos of all parts.
        mine: Those of this part.
        sample: The sample submission.
        executor: `local` or `ray`.
        workers: How many; None for one for each core.

    Returns:
        What was found in each video that has masks.
    """
    from ..checks import check_videos, masks_to_check

    with progress("check", total=masks_to_check(mine), unit="masks") as bar:
        return check_videos(
            masks,
            split,
            mine.videos,
            sample=sample,
            workers=workers,
            executor=reading_executor(executor, workers),
            progress=bar.advance,
        )
