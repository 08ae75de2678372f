"""Marks on timelines: cuts, prompts, what a model remembers, findings of the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..checks import CheckResult, Finding
from ..data import SplitVideo

__all__ = ["Mark", "finding_rows", "marks_of", "summary_rows"]


@dataclass(frozen=True)
class Mark:
    """One thing that happened in a frame.

    Attributes:
        frame: Index of the frame.
        kind: `cut`, `prompt`, `memory` or `finding`.
        object: The object it is about; None for all.
        run: Number of the run it is about; None for all.
        text: What happened, in a few words.
    """

    frame: int
    kind: str
    object: int | None
    run: int | None
    text: str

    def to_row(self) -> list[Any]:
        """The mark as JSON."""
        return [self.frame, self.kind, self.object, self.run, self.text]


def marks_of(
    video: SplitVideo,
    cuts: Sequence[int],
    details: Sequence[Mapping[str, Any]],
    findings: Sequence[Sequence[Finding]],
) -> list[Mark]:
    """The marks of a video, in order of frames.

    Args:
        video: The video.
        cuts: Indices of frames in which a shot begins.
        details: What the manifest of each run says of the video; see `VideoRecord`.
        findings: What the check found in the masks of each run.
    """
    place = {frame: index for index, frame in enumerate(video.frames)}
    marks = [Mark(index, "cut", None, None, "cut") for index in cuts]
    # With all frames annotated only the first mask is a prompt.
    first = [0] if len(video.masks) > 1 else [place[frame] for frame in video.masks]
    marks += [Mark(index, "prompt", None, None, "first mask") for index in first]
    for run, known in enumerate(details):
        for frame, key, kind in known.get("prompts", ()):
            if frame in place:
                text = f"prompt: {kind}"
                marks.append(Mark(place[frame], "prompt", key, run, text))
        for frame, key, reason in known.get("memory", ()):
            if frame in place:
                marks.append(Mark(place[frame], "memory", key, run, reason))
    for run, found in enumerate(findings):
        for one in found:
            if one.frame in place:
                text = f"{one.code}: {one.what}"
                marks += [
                    Mark(place[one.frame], "finding", key, run, text)
                    for key in one.objects or (None,)
                ]
    return sorted(marks, key=lambda mark: mark.frame)


def finding_rows(key: int, findings: Sequence[Sequence[Finding]]) -> list[list[Any]]:
    """The findings about an object: number of the run, code, severity and text.

    Args:
        key: The object.
        findings: What the check found in the video's masks of each run.
    """
    return [
        [run, one.code, one.severity.value, one.what]
        for run, found in enumerate(findings)
        for one in found
        if not one.objects or key in one.objects
    ]


def summary_rows(checks: Mapping[str, CheckResult]) -> list[dict[str, Any]]:
    """What the check found in each run, worst first."""
    return [
        {
            "run": run,
            "groups": [
                {
                    "severity": group.severity.value,
                    "code": group.code,
                    "count": group.count,
                    "where": group.findings[0].where,
                    "what": group.findings[0].what,
                    "consequence": group.consequence,
                }
                for group in found.groups
            ],
        }
        for run, found in checks.items()
    ]
