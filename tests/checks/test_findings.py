from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.checks import RULES, CheckResult, Finding, Severity
from submit.cli import cli
from submit.data import Split
from tests.submissions import (
    A,
)


def test_a_report_is_grouped_and_counted_worst_first() -> None:
    report = CheckResult("a.zip", "split")
    report.add([Finding.of("junk", "x", "is hidden", count=3)])
    report.add(
        [
            Finding.of("absent-video", "v/", "is not there"),
            Finding.of("no-videos", "", "is empty"),
            Finding.of("absent-video", "u/", "is not there", count=4),
        ]
    )
    assert [(g.code, g.count) for g in report.groups] == [
        ("no-videos", 1),
        ("absent-video", 5),
        ("junk", 3),
    ]
    assert [report.count(severity) for severity in Severity] == [1, 2, 1]
    assert report.exit_code == 1
    assert CheckResult("a.zip", "split").exit_code == 0


@pytest.mark.parametrize("code", RULES)
def test_each_rule_says_what_happens_and_what_to_do(code: str) -> None:
    rule = RULES[code]
    assert rule.consequence.endswith(".")
    assert rule.consequence[0].isupper()
    assert rule.fix
    assert not rule.fix.endswith(".")


def test_the_command_shows_findings_and_fails(
    runner: CliRunner, split: Split, masks: Path
) -> None:
    for frame in (3, 4):
        (masks / A / f"{frame:05}.png").unlink()
    arguments = ["check", str(masks), "--split", str(split.root)]
    result = runner.invoke(cli, arguments)
    assert result.exit_code == 1
    assert "fatal frames, 2: The server fails the whole submission." in result.stdout
    assert "lacks 2 of 6 masks: 00003.png, 00004.png" in result.stdout
    assert "1 fatal, 0 costly, 0 note" in result.stdout
    result = runner.invoke(cli, [*arguments, "--json"])
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["severity"], finding["code"]) == ("fatal", "frames")


def test_the_command_passes_what_is_good(
    runner: CliRunner, split: Split, masks: Path
) -> None:
    result = runner.invoke(cli, ["check", str(masks), "--split", str(split.root)])
    assert result.exit_code == 0
    assert "findings  none" in result.stdout
