"""Rows of `score`, `compare`, `tune` and `preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.commands.rows import Done, Row, put

__all__ = ["ROWS"]

_GONE = "few.json: lists 1 video that has no folder, such as gone"
_COMPARE = "compare one true --split split"
_TUNE = "tune one true --split split --budget 2"
_PREVIEW = "preview one true --split valid"


def _interval(done: Done) -> list[Any]:
    found: dict[str, Any] = done.at("0.measures.jf_dot")
    return [found["low"], found["high"]]


ROWS = (
    Row(
        "score one --split split --part 2/3 -o out --json",
        check=lambda done: len(done.at("videos")) == 1,
        files=["part-2-of-3/out/part.json"],
    ),
    Row("score one --split split --part 2/3", code=2, stderr=["--part needs -o DIR"]),
    Row(
        "score one.zip --split split --executor ray",
        stdout=["one.zip"],
        check=lambda done: done.opened.devices == ["ray cpu"],
    ),
    Row(
        "score one --split split --videos similar --workers 1 --json",
        check=lambda done: list(done.at("videos")) == ["similar"],
        data={"videos.similar.frames": 4},
        workers=1,
    ),
    Row(
        "score one --split split --meta few.json --objects",
        stdout=["similar       2   7.87"],
        stderr=[_GONE],
    ),
    Row(
        "score one --split split -o out",
        files=["out/metrics.json", "out/scores.txt", "out/frames.csv"],
    ),
    Row(
        "score one --split split --protocol davis --output out --force",
        prepare=lambda stage: put("out/objects.csv"),
        stdout=["J decay"],
        check=lambda done: "j_decay" in Path("out/objects.csv").read_text(),
    ),
    Row("score bare.zip --split split", code=1, stderr=["00002.png: missing"]),
    Row(
        "score bare.zip --split split --as-server",
        stdout=["bare.zip     4.91"],
        stderr=["Warning: vanish: 00002.png: missing"],
    ),
    Row("score one --split split --runs mine", code=1, stderr=["mine/one: no such"]),
    Row(
        f"{_COMPARE} --videos s* --workers 1 --json",
        data={"0.baseline": "one", "0.measures.jf_dot.other": 1.0},
        check=lambda done: done.at("0.measures.jf_dot.objects") == 6,
        workers=1,
    ),
    Row(
        f"{_COMPARE} --resamples 100 --meta few.json --json",
        stderr=[_GONE],
        # Of 10,000 resamples, as by default, the interval is another one.
        check=lambda done: _interval(done) == [0.9117283821826959, 0.9607369395864694],
    ),
    Row(f"{_COMPARE} --runs mine", code=1, stderr=["mine/one: no such run"]),
    Row(
        f"{_TUNE} -o t.toml --metric j --every 2 --seed 3 --workers 1 --json",
        data={"metric": "j", "videos": 3, "singles.true": 1.0},
        check=lambda done: (
            "for J on split" in (text := Path("t.toml").read_text())
            and "one frame in 2" in text
            and "seed 3" in text
        ),
        workers=1,
    ),
    Row(
        f"{_TUNE} --output notes.txt --expected-score e.json --force",
        files=["e.json"],
        stdout=["expected score  mean absolute error"],
        check=lambda done: "[ensemble]" in Path("notes.txt").read_text(),
    ),
    Row(
        f"{_TUNE} -o t.toml --videos s* --meta few.json",
        code=1,
        stderr=["has 2 videos, and tuning needs 3"],
    ),
    Row(f"{_TUNE} -o t.toml --runs mine", code=1, stderr=["mine/one: no such run"]),
    Row(
        f"{_PREVIEW} --videos similar --workers 1 --json",
        data={"runs.0.run": "one", "videos.0.video": "similar"},
        workers=1,
    ),
    Row(
        f"{_PREVIEW} --limit 1 --meta few.json",
        stderr=[_GONE],
        check=lambda done: done.stdout.count("one: all 6 masks are the same") == 1,
    ),
    Row(
        f"{_PREVIEW} --expected-score e.json --seed 5 --json",
        before=[f"{_TUNE} -o t.toml --expected-score e.json"],
        check=lambda done: done.at("runs.0.expected.score") > 0,
    ),
    Row(f"{_PREVIEW} --runs mine", code=1, stderr=["mine/one: no such run"]),
)
