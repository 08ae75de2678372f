"""The findings of a check, grouped and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..archive import shown
from .rules import RULES, Severity

__all__ = ["CheckResult", "Finding", "Group"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth a look.

    Attributes:
        severity: How bad it is.
        code: Which rule it is about; a key of `RULES`.
        where: The file, folder or video.
        what: What was found there.
        consequence: What the server does about it, in one sentence.
        fix: What to do.
        count: How many files or objects it is about.
        objects: Ids of the objects of a video that it is about; empty for all, or
            where it is about files.
        video: The video that its masks are of; empty for none.
        frame: Stem of the frame where it begins; empty for none.
    """

    severity: Severity
    code: str
    where: str
    what: str
    consequence: str
    fix: str
    count: int = 1
    objects: tuple[int, ...] = ()
    video: str = ""
    frame: str = ""

    @classmethod
    def of(
        cls,
        code: str,
        where: str,
        what: str,
        *,
        count: int = 1,
        objects: tuple[int, ...] = (),
        frame: str = "",
        severity: Severity | None = None,
        consequence: str | None = None,
    ) -> Finding:
        """Make a finding of a rule. Default: the rule's own texts."""
        rule = RULES[code]
        return cls(
            severity=rule.severity if severity is None else severity,
            code=code,
            where=shown(where),
            what=what,
            consequence=rule.consequence if consequence is None else consequence,
            fix=rule.fix,
            count=count,
            objects=objects,
            frame=frame,
        )


@dataclass(frozen=True)
class Group:
    """The findings of one rule with one severity and consequence."""

    severity: Severity
    code: str
    consequence: str
    fix: str
    findings: tuple[Finding, ...]

    @property
    def count(self) -> int:
        """How many files or objects they are about."""
        return sum(finding.count for finding in self.findings)


@dataclass
class CheckResult:
    """All findings about one submission.

    Attributes:
        path: The zip or folder.
        split: Folder of the split.
        videos: Videos of the split that were found in it.
        expected_videos: Videos of the split.
        subset: What is looked at where it is not all videos of the split; else None.
        frames: Masks that were read.
        size: Bytes of the zip, or of all files in the folder.
        findings: What was found, worst first.
    """

    path: str
    split: str
    videos: int = 0
    expected_videos: int = 0
    subset: str | None = None
    frames: int = 0
    size: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, findings: Sequence[Finding]) -> None:
        """Add findings and keep all sorted by severity, rule and place."""
        order = {code: place for place, code in enumerate(RULES)}
        self.findings = sorted(
            [*self.findings, *findings],
            key=lambda f: (f.severity.rank, order[f.code], f.where, f.what),
        )

    def count(self, severity: Severity) -> int:
        """Number of findings of a severity."""
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The findings by rule, severity and consequence, worst first."""
        groups: dict[tuple[Severity, str, str], list[Finding]] = {}
        for finding in self.findings:
            key = finding.severity, finding.code, finding.consequence
            groups.setdefault(key, []).append(finding)
        return tuple(
            Group(severity, code, consequence, found[0].fix, tuple(found))
            for (severity, code, consequence), found in groups.items()
        )

    @property
    def exit_code(self) -> int:
        """1 if something is fatal or costs points, otherwise 0."""
        return int(any(f.severity is not Severity.NOTE for f in self.findings))
