"""Checking a submission, a part of it, and parts that become whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ._dividing import digest_of_file, require_unchanged, split_of_request
from ._progress import progress
from ._runs import masks_of, reading_executor

if TYPE_CHECKING:
    from ..checks import CheckResult, VideoCheck
    from ..data import Split
    from ..system.parts import Part

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

    asked, known = read_checked_parts(folder)
    claim(folder, CHECK_FOLDER, inputs=(asked.source, asked.split))
    split = split_of_request(asked)
    require_unchanged(asked, split, CHECKED_PARTS)
    sample = (
        None if asked.settings["sample"] is None else Path(asked.settings["sample"])
    )
    if sample and digest_of_file(sample) != asked.settings["sample_digest"]:
        raise CHECKED_PARTS.error(
            f"{sample}: has changed since the parts were checked; check them again"
        )
    found = checked(
        asked.source,
        split,
        runs=runs_folder(asked.runs),
        sample=sample,
        team=asked.settings["team"],
        known=known,
    )
    write_check(found, folder)
    return list(asked.videos), found


def checked(
    source: str,
    split: Split,
    *,
    runs: Path,
    sample: Path | None,
    team: bool,
    executor: str = "local",
    workers: int | None = None,
    known: Mapping[str, VideoCheck] | None = None,
) -> CheckResult:
    """Check masks, but those of known videos; see `submit check` for the arguments."""
    from ..checks import check_masks, masks_to_check

    left = split.only(split.videos.keys() - (known or {}).keys())
    with (
        masks_of(runs, source, split, workers=workers, kind=executor) as masks,
        progress("check", total=masks_to_check(left), unit="masks") as bar,
    ):
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
    source: str,
    split: Split,
    part: Part,
    *,
    runs: Path,
    sample: Path | None,
    executor: str,
    workers: int | None,
) -> dict[str, VideoCheck | None]:
    """Check the masks of a part; see `submit check` for the other arguments.

    Args:
        source: The masks.
        split: The videos of all parts.
        part: The part.
        runs: Where runs are kept.
        sample: The sample submission.
        executor: `local` or `ray`.
        workers: How many; None for one for each core.

    Returns:
        What was found in each video; None where it has no masks.
    """
    from ..checks import check_videos, masks_to_check
    from ..pipeline.parts import split_of_part

    mine = split_of_part(split, part)
    if not mine.videos:
        return {}  # There are more parts than videos.
    with (
        masks_of(runs, source, mine, workers=workers, kind=executor) as masks,
        progress("check", total=masks_to_check(mine), unit="masks") as bar,
    ):
        found = check_videos(
            masks,
            split,
            mine.videos,
            sample=sample,
            workers=workers,
            executor=reading_executor(executor, workers),
            progress=bar.advance,
        )
    return {name: found.get(name) for name in mine.videos}
