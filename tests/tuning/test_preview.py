from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.data import Split
from submit.errors import RunError
from submit.metrics.frames import FrameScorer, FrameScores, object_score
from submit.pipeline import export_run
from submit.png.palette import encode, read
from submit.postprocess import Postprocess
from submit.runs import Run
from submit.tuning import preview
from submit.tuning.agreement import look_at
from tests.splits import write_masks


@pytest.fixture
def split(make_split: Any) -> Split:
    found: Split = make_split(3)
    return found


@pytest.fixture
def runs(split: Split, make_run: Any) -> dict[str, Run]:
    return {
        name: make_run(name, split, noise=2.0, seed=seed)
        for seed, name in enumerate(("left", "middle", "right"))
    }


def test_agreement_is_the_score_of_one_against_the_other(
    split: Split, runs: dict[str, Run], inline: Any
) -> None:
    video = split.videos["v1"]
    opened = {name: (run.read("v1"), Postprocess()) for name, run in runs.items()}
    found = look_at(video, opened)
    for masks, _ in opened.values():
        masks.close()
    for run in runs.values():
        export_run(run, split, executor=inline)
    scorer = FrameScorer(*video.size, video.objects)
    rows = [
        scorer.score(
            read(runs["left"].masks_folder / "v1" / f"{frame}.png"),
            read(runs["right"].masks_folder / "v1" / f"{frame}.png"),
        )
        for frame in video.frames[1:-1]
    ]
    scores = FrameScores.from_rows(np.stack(rows))
    for place, key in enumerate(video.objects):
        wanted = object_score(scores.of(place)).jf_dot
        assert found.objects["left"][key].agreement["right"] == wanted
        assert found.objects["right"][key].agreement["left"] == wanted


def test_an_object_is_described_by_what_is_seen_of_it(
    split: Split, make_run: Any
) -> None:
    run = make_run("sure", split, noise=0.0)
    masks = run.read("v0")
    look = look_at(split.videos["v0"], {"sure": (masks, Postprocess())})
    masks.close()
    gone = look.objects["sure"][1]
    assert gone.absence == pytest.approx(2 / 8)
    assert gone.presence == pytest.approx((6 * 0.982 + 2 * 0.018) / 8, abs=1e-3)
    assert gone.iou is None
    assert 0.01 < gone.area < 0.1
    assert gone.agreement == {}


def test_what_runs_disagree_about_comes_first(split: Split, make_run: Any) -> None:
    runs = {
        name: make_run(name, split, noise=0.7, seed=seed)
        for seed, name in enumerate(("left", "middle", "right"))
    }
    # Another run follows nothing in one video, and the rest as the others do.
    blind = make_run("blind", split, noise=0.7, seed=9, skip=["v1"])
    path = blind.soft_path("v1")
    lost = make_run("lost", split, noise=4.0, signal=0.0, seed=8)
    path.write_bytes(lost.soft_path("v1").read_bytes())
    with blind.writing():
        blind.add("v1", lost.videos["v1"])
    found = preview(split, {**runs, "blind": blind})
    assert {one.video for one in found.suspects[:2]} == {"v1"}
    assert found.suspects[0].doubt >= found.suspects[-1].doubt
    assert "blind" in found.suspects[0].reasons[0]
    assert len(found.suspects) == 6
    low = min(found.pairs, key=lambda pair: pair.agreement)
    assert "blind" in (low.one, low.other)
    assert len(found.pairs) == 6
    worst = min(found.videos, key=lambda one: one.agreement or 0)
    assert (worst.video, worst.objects, worst.frames) == ("v1", 2, 9)
    first = found.suspects[0]
    assert len(first.pairs) == 6
    assert first.agreement == np.mean([pair.agreement for pair in first.pairs])
    agreement = {one.run: one.agreement for one in found.runs}
    assert min(agreement, key=lambda name: agreement[name] or 0) == "blind"


def test_masks_that_look_odd_give_a_reason(
    split: Split, make_run: Any, tmp_path: Path
) -> None:
    moving = make_run("left", split, noise=0.0)
    done = command(
        tmp_path, "predict", split.root, "--predictor", "static", "--name", "still"
    )
    assert done.exit_code == 0, done.stderr
    still = Run.open(tmp_path / "runs" / "still")
    found = preview(split, {"left": moving, "still": still})
    for one in found.suspects:
        assert "still: all 9 masks are the same" in one.reasons
    moved = next(one for one in found.suspects if one.object == 1)
    assert any(
        reason == "absent in 25% of the frames in left, in 0% in still"
        for reason in moved.reasons
    )


def test_a_swap_is_told_of_both_objects(split: Split, tmp_path: Path) -> None:
    swapped = np.array([0, 2, 1], np.uint8)
    for video in split.videos.values():
        maps = [read(path) for path in video.masks.values()]
        maps[3:] = [swapped[labels] for labels in maps[3:]]
        write_masks(tmp_path / "masks" / video.name, maps)
    done = command(
        *(tmp_path, "import", tmp_path / "masks", "--name", "swapped"),
        *("--split", split.root),
    )
    assert done.exit_code == 0, done.stderr
    found = preview(split, {"swapped": Run.open(tmp_path / "runs" / "swapped")})
    said = "swapped: objects 1 and 2 change places at 00003.png"
    assert [(one.video, one.object) for one in found.suspects if said in one.reasons]
    assert all(said in one.reasons for one in found.suspects if one.video == "v0")
    assert {one.object for one in found.suspects} == {1, 2}


def test_a_single_run_is_looked_at_alone(split: Split, runs: dict[str, Run]) -> None:
    found = preview(split, {"left": runs["left"]})
    assert found.pairs == ()
    assert found.runs[0].agreement is None
    assert all(one.agreement is None for one in found.suspects)


def test_videos_that_a_run_lacks_are_left_to_the_others(
    split: Split, runs: dict[str, Run], make_run: Any
) -> None:
    part = make_run("part", split, noise=2.0, skip=["v2"])
    found = preview(split, {"left": runs["left"], "part": part})
    assert [(one.run, one.videos) for one in found.runs] == [("left", 3), ("part", 2)]
    assert "run part lacks 1 of 3 videos, such as v2" in found.notes[0]
    assert found.pairs[0].objects == 4
    empty = make_run("empty", split, noise=2.0, skip=["v0", "v1", "v2"])
    with pytest.raises(RunError, match="run empty: has no video of"):
        preview(split, {"left": runs["left"], "empty": empty})


def test_frames_of_another_split_are_refused(
    split: Split, runs: dict[str, Run]
) -> None:
    video = split.videos["v0"]
    masks = runs["left"].read("v0")
    masks.frames = masks.frames[:-1]
    with pytest.raises(RunError, match="run left: v0 has other frames"):
        look_at(video, {"left": (masks, Postprocess())})
    masks.close()


def command(tmp_path: Path, *arguments: object) -> Result:
    environment = {"SUBMIT_RUNS": str(tmp_path / "runs")}
    return CliRunner().invoke(cli, [str(a) for a in arguments], env=environment)


@pytest.mark.slow
def test_a_model_from_the_hold_out_tells_what_to_expect_elsewhere(
    make_split: Any, make_run: Any, tmp_path: Path
) -> None:
    holdout, valid = make_split(4, name="holdout"), make_split(3, name="valid")
    names = ("good", "fair", "poor")
    for name, noise in zip(names, (1.0, 2.5, 4.0), strict=True):
        # One folder of runs has both: videos of either split go by the same names.
        make_run(name, holdout, noise=noise, seed=len(name))
    model = tmp_path / "expected.json"
    done = command(
        tmp_path,
        *("tune", *names, "--split", holdout.root, "-o", tmp_path / "t.toml"),
        *("--expected-score", model, "--budget", 4),
    )
    assert done.exit_code == 0, done.stderr
    assert "mean absolute error" in done.stdout
    for path in (valid.root / "Annotations").rglob("0000[1-9].png"):
        path.unlink()
    arguments = ("preview", *names, "--split", valid.root, "--expected-score", model)
    done = command(tmp_path, *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    expected = {
        run["run"]: run["expected"]["score"] for run in json.loads(done.stdout)["runs"]
    }
    assert expected["good"] > expected["fair"] > expected["poor"]
    done = command(tmp_path, *arguments, "--limit", 2)
    assert "expected J&Ḟ" in done.stdout
    done = command(tmp_path, *arguments[:2], *arguments[4:])
    assert "fitted with the runs fair, good, poor; without fair, poor" in done.stderr

    # The model has not seen this one, which looks better than all others.
    make_run("stranger", valid, noise=0.1)
    done = command(tmp_path, "preview", "stranger", *arguments[1:], "--json")
    found = {one["run"]: one["expected"] for one in json.loads(done.stdout)["runs"]}
    assert found.pop("stranger") is None
    assert {name: one["score"] for name, one in found.items()} == expected
    why = "the model was fitted on fair, good, poor and not on it"
    assert f"Warning: run stranger: no score is predicted, since {why}; " in done.stderr
    done = command(tmp_path, "preview", "stranger", *arguments[1:])
    row = next(x for x in done.stdout.splitlines() if x.startswith("stranger"))
    assert row.split()[-2:] == ["–", "–"]


def test_a_missing_model_is_named(
    split: Split, runs: dict[str, Run], tmp_path: Path
) -> None:
    arguments = ("preview", "left", "--split", split.root)
    done = command(tmp_path, *arguments, "--expected-score", "none.json")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "none.json: cannot be read" in done.stderr


def test_the_first_mask_is_the_annotation_whatever_a_run_says(
    split: Split, runs: dict[str, Run]
) -> None:
    video = split.videos["v0"]
    (split.root / "Annotations" / "v0" / "00000.png").write_bytes(
        encode(np.ones(video.size, np.uint8))
    )
    masks = runs["left"].read("v0")
    found = look_at(video, {"left": (masks, Postprocess())})
    masks.close()
    assert "jump" in {finding.code for finding in found.findings["left"]}
