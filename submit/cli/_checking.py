"""Checking a submission, a part of it, and parts that become whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ._dividing import digest_of_file, digests_of, masks_of_parts, request_of
from ._progress import progress
from ._runs import masks_of, reading_executor

if TYPE_CHECKING:
    from ..archive import Masks
    from ..checks import CheckResult, VideoCheck
    from ..data import Split
    from ..system.parts import Part

__all__ = ["check_part", "checked", "join_checks", "write_part"]


def join_checks(folder: Path) -> tuple[list[str], CheckResult]:
    """Write the result of all parts of a check into one folder.

    Returns:
        The videos, and the result.

    Raises:
        ArchiveError: A part is missing, or the masks, the split or the sample have
            changed.
    """
    from ..checks import CHECK_FOLDER, CHECKED_PARTS, read_checked_parts, write_check
    from ..system.outputs import claim

    parts = read_checked_parts(folder)
    asked, settings = parts.request, parts.request.settings
    claim(folder, CHECK_FOLDER, inputs=(asked.source, asked.split))
    sample = None if settings["sample"] is None else Path(settings["sample"])
    if sample and digest_of_file(sample) != settings["sample_digest"]:
        raise CHECKED_PARTS.error(
            f"{sample}: has changed since the parts were checked; check them again"
        )
    with masks_of_parts(parts, CHECKED_PARTS) as (masks, split):
        found = checked(
            masks, split, sample=sample, team=settings["team"], known=parts.videos
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


def write_part(
    source: str,
    split: Split,
    part: Part,
    output: Path,
    *,
    runs: Path,
    sample: Path | None,
    team: bool,
    executor: str,
    workers: int | None,
) -> dict[str, VideoCheck]:
    """Check the masks of a part, and write what was found.

    Args:
        source: The masks, as they are named.
        split: The videos of all parts.
        part: The part.
        output: The folder of the part.
        runs: Where runs are kept.
        sample: The sample submission.
        team: Whether a `team.json` is required when the parts are joined.
        executor: `local` or `ray`.
        workers: How many; None for one for each core.

    Returns:
        What was found in each video of the part that has masks.

    Raises:
        SubmitError: The masks cannot be opened, or the disk refuses.
    """
    from ..checks import write_checked_part
    from ..pipeline.parts import split_of_part

    settings = {
        "sample": None if sample is None else str(sample),
        "sample_digest": None if sample is None else digest_of_file(sample),
        "team": team,
    }
    asked = request_of(source, split, runs=runs, settings=settings)
    mine = split_of_part(split, part)
    found: dict[str, VideoCheck] = {}
    digests: dict[str, str | None] = {}
    if mine.videos:  # Else there are more parts than videos.
        with masks_of(
            runs, source, mine, part=part, workers=workers, kind=executor
        ) as masks:
            # First: of masks that change meanwhile, nothing must count.
            digests = digests_of(masks, mine.videos)
            found = check_part(
                masks, split, mine, sample=sample, executor=executor, workers=workers
            )
    write_checked_part(output, asked, found, digests)
    return found


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
