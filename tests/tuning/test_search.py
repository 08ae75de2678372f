from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.data import Split, read_split
from submit.ensemble import MergeSettings, read_ensemble_table
from submit.errors import ScoringError
from submit.metrics.bootstrap import expanded_interval, resampled_means
from submit.postprocess import Postprocess, read_postprocess
from submit.runs import Run
from submit.system.tables import read_toml, to_toml
from submit.tuning import (
    Budget,
    Candidate,
    Evaluator,
    Tuned,
    changes_of,
    settings_toml,
    tune,
)
from submit.tuning.stages import all_stages
from tests.tuning.conftest import write_run, write_truth


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a split and, in `runs`, the runs of `noisy` and `alike`."""
    root = tmp_path_factory.mktemp("search")
    split, runs = write_truth(root / "split", 6), root / "runs"
    write_run(runs / "good", split, noise=1.5, seed=1)
    for seed in range(3):
        write_run(runs / f"noise{seed}", split, noise=4, signal=0, seed=10 + seed)
    for seed, name in enumerate(("left", "middle", "right")):
        write_run(runs / name, split, noise=3.0, seed=seed)
    return root


@pytest.fixture(scope="module")
def split(made: Path) -> Split:
    return read_split(made / "split")


@pytest.fixture(scope="module")
def noisy(made: Path) -> dict[str, Run]:
    """One run that sees something, and three that see nothing."""
    names = ("good", "noise0", "noise1", "noise2")
    return {name: Run.open(made / "runs" / name) for name in names}


@pytest.fixture(scope="module")
def alike(made: Path) -> dict[str, Run]:
    """Runs of the same worth, wrong in different places."""
    names = ("left", "middle", "right")
    return {name: Run.open(made / "runs" / name) for name in names}


def tuned(split: Split, runs: dict[str, Run], **options: Any) -> Tuned:
    seed = options.pop("seed", 0)
    return tune(Evaluator(split, runs, **options), seed=seed)


@pytest.fixture(scope="module")
def found(split: Split, alike: dict[str, Run]) -> Tuned:
    """What a whole search finds for the runs of the same worth."""
    return tuned(split, alike)


@pytest.mark.slow
def test_members_that_are_noise_leave_the_best_single_run(
    split: Split, noisy: dict[str, Run]
) -> None:
    found = tuned(split, noisy)
    assert found.best_single == "good"
    assert found.lead is not None
    assert found.lead.is_clear
    assert found.candidate.members == ("good",)
    assert found.candidate.merge.method == "mean_probabilities"
    assert not any(one.kept for one in found.stages if one.stage == "members")


@pytest.mark.slow
def test_noise_alone_gains_nothing(split: Split, noisy: dict[str, Run]) -> None:
    found = tuned(split, {name: noisy[name] for name in ("noise0", "noise1")})
    for one in found.stages:
        assert not one.kept or one.left_out is not None
        if one.kept:
            assert one.left_out is not None
            assert one.left_out.low > 0


@pytest.mark.slow
def test_members_that_help_each_other_are_merged(found: Tuned) -> None:
    assert found.candidate.members == ("left", "middle", "right")
    assert found.score > max(found.singles.values()) + 0.02
    assert found.gain.low > 0
    # Each of them counts.
    assert found.without.keys() == {"left", "middle", "right"}
    assert max(found.without.values()) < found.score


@pytest.mark.slow
def test_stages_that_are_kept_gained_on_videos_left_out(found: Tuned) -> None:
    assert any(one.kept for one in found.stages)
    for one in found.stages:
        assert one.kept == (one.left_out is not None and one.left_out.is_clear)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_seed_gives_the_same_file(
    split: Split, alike: dict[str, Run], workers: int
) -> None:
    options = {"seed": 5, "workers": workers}
    one = tuned(split, alike, budget=Budget(40), seed=5)
    other = tuned(split, dict(reversed(alike.items())), budget=Budget(40), **options)
    assert settings_toml(one) == settings_toml(other)


@pytest.mark.parametrize(
    ("noise", "kept"), [(1.0, True), (3.0, False)], ids=["helps", "does not"]
)
def test_a_second_pass_is_kept_if_it_helps_on_videos_left_out(
    noise: float, kept: bool, split: Split, alike: dict[str, Run], make_run: Any
) -> None:
    second = make_run("second", split, noise=noise, seed=7, prompts=True)
    runs = {"left": alike["left"], "second": second}
    evaluator = Evaluator(split, runs)
    stages = all_stages(("left", "second"), several_objects=False, second=("second",))
    found = tune(evaluator, stages=stages[:1])
    # The search starts from the first pass, even if the other one has a higher score.
    assert list(found.singles) == ["left", "second"]
    assert found.lead is None
    (stage,) = (one for one in found.stages if one.stage == "second pass")
    assert stage.kept == kept
    assert found.candidate.members == (("second",) if kept else ("left",))
    if kept:
        assert changes_of(stage) == "+second in place of left"


def test_a_search_keeps_to_its_budget(split: Split, alike: dict[str, Run]) -> None:
    found = tuned(split, alike, budget=Budget(8))
    assert not found.is_complete
    assert found.evaluations <= 8
    assert "budget was spent" in settings_toml(found)


def test_a_budget_that_is_too_small_for_the_runs_is_refused(
    split: Split, alike: dict[str, Run]
) -> None:
    with pytest.raises(ScoringError, match="before all 3 runs are scored"):
        tuned(split, alike, budget=Budget(2.5))


def test_too_few_videos_are_refused(make_split: Any, make_run: Any) -> None:
    split = make_split(2)
    with pytest.raises(ScoringError, match="has 2 videos, and tuning needs 3"):
        tuned(split, {"a": make_run("a", split, noise=1)})


@pytest.mark.slow
def test_a_single_run_is_post_processed_only(split: Split, make_run: Any) -> None:
    found = tuned(split, {"only": make_run("only", split, noise=2.0)})
    assert {one.stage for one in found.stages}.isdisjoint({"members", "weights"})
    assert found.candidate.members == ("only",)
    # Specks of noise are what post-processing is for.
    assert found.candidate.post != Postprocess()
    assert found.score > found.singles["only"]


@pytest.mark.slow
def test_what_is_written_reads_back(found: Tuned, tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(settings_toml(found, source="split"))
    settings = MergeSettings.from_table(read_ensemble_table(path))
    assert settings == found.candidate.merge
    assert read_postprocess(path) == found.candidate.post
    text = path.read_text()
    assert f"{100 * found.score:.2f}" in text
    assert "6 videos, 12 objects, all frames" in text


def test_intervals_of_few_videos_are_wider() -> None:
    values = np.linspace(-1, 1, 40)
    few, many = np.repeat(np.arange(4), 10), np.arange(40)
    means = {
        count: resampled_means(values, groups, 4000, 0)
        for count, groups in ((4, few), (40, many))
    }
    plain = np.quantile(means[4], (0.025, 0.975))
    low, high = expanded_interval(means[4], 4)
    assert low < plain[0]
    assert high > plain[1]
    # Of many videos the factor is near 1.
    low, high = expanded_interval(means[40], 40)
    assert [low, high] == pytest.approx(
        np.quantile(means[40], (0.025, 0.975)).tolist(), abs=0.02
    )
    assert expanded_interval(means[4], 1) == (-np.inf, np.inf)


def command(folder: Path, *arguments: object) -> Result:
    """Run a command with the runs of a folder."""
    environment = {"SUBMIT_RUNS": str(folder / "runs")}
    return CliRunner().invoke(cli, [str(a) for a in arguments], env=environment)


@pytest.mark.slow
def test_the_commands_that_follow_score_what_was_promised(
    split: Split, alike: dict[str, Run], made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "runs", tmp_path / "runs")
    path = tmp_path / "tuned.toml"
    done = command(
        tmp_path, "tune", *alike, "--split", split.root, "-o", path, "--json"
    )
    assert done.exit_code == 0, done.stderr
    promised = json.loads(done.stdout)["score"]
    steps = (
        ("ensemble", "--settings", path, "--name", "tuned"),
        ("export", "tuned", "--settings", path),
    )
    for step in steps:
        assert command(tmp_path, *step).exit_code == 0
    done = command(tmp_path, "score", "tuned", "--split", split.root, "--json")
    totals = json.loads(done.stdout)["totals"]
    assert totals["jf_dot"] == pytest.approx(promised, abs=1e-12)


RECIPE = """
split = "{split}"
runs = "{runs}"

[[predict]]
name = "still"
predictor = "static"

[[predict]]
name = "mirrored"
predictor = "static"
variant = "hflip"

[[ensemble]]
name = "both"
settings = "{settings}"

[submission]
run = "both"
settings = "{settings}"
"""


@pytest.mark.slow
def test_a_recipe_takes_one_file_for_both_of_its_tables(
    split: Split, tmp_path: Path
) -> None:
    settings = MergeSettings(members=("mirrored", "still"), method="mean_probabilities")
    candidate = Candidate(settings, Postprocess(min_area=10))
    path, recipe = tmp_path / "tuned.toml", tmp_path / "recipe.toml"
    runs = tmp_path / "built"
    recipe.write_text(RECIPE.format(split=split.root, runs=runs, settings=path))
    path.write_text('[ensemble]\nmembers = ["still", "mirrored"]\n[postprocess]\n')
    assert command(tmp_path, "build", recipe).exit_code == 0
    opened = {name: Run.open(runs / name) for name in settings.members}
    evaluator = Evaluator(split, opened)
    wanted = evaluator.mean(candidate)
    path.write_text(
        to_toml(
            {
                "ensemble": settings.to_table(),
                "postprocess": {"min_area": candidate.post["min_area"]},
            }
        )
    )
    done = command(tmp_path, "build", recipe, "--json")
    assert done.exit_code == 0, done.stderr
    scores = json.loads(done.stdout)["runs"][-1]["scores"]
    assert scores["jf_dot"] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.slow
def test_the_command_says_what_it_tried(
    split: Split, noisy: dict[str, Run], made: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tuned.toml"
    names = list(noisy)
    done = command(made, "tune", *names, "--split", split.root, "-o", path)
    assert done.exit_code == 0, done.stderr
    assert "members good" in " ".join(done.stdout.split())
    assert "has 6 videos; with so few" in done.stderr
    assert read_toml(path)["ensemble"]["members"] == ["good"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--metric", "disappear", "--budget", "3"], 0, ""),
        (["--budget", "0"], 2, "expected a number of evaluations, or a time"),
        (["--budget", "soon"], 2, "found 'soon'"),
        (["--budget", "1"], 1, "the budget is spent before all 3 runs"),
        (["--every", "3", "--budget", "3h"], 0, ""),
        (["--metric", "beauty"], 2, "beauty"),
    ],
)
def test_options_are_checked(
    split: Split,
    alike: dict[str, Run],
    made: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    path = tmp_path / "tuned.toml"
    base = ["tune", *alike, "--split", split.root, "-o", path]
    done = command(made, *base, *arguments)
    assert (done.exit_code, message in done.stderr) == (code, True), done.stderr
    assert path.exists() == (code == 0)
    if "--every" in arguments:
        assert "one frame in 3" in path.read_text()


def test_runs_are_named_once(split: Split, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    done = command(made, "tune", "left", "left", "--split", split.root, "-o", path)
    assert done.exit_code == 1
    assert "run left is given twice" in done.stderr


def test_a_measure_that_nothing_has_is_refused(
    write_split: Any, tmp_path: Path
) -> None:
    root = write_split(("a", "b", "c"), annotated=3, root="still")
    for name in ("predict", "tune"):
        arguments: dict[str, list[object]] = {
            "predict": [root, "--predictor", "static", "--name", "still"],
            "tune": ["still", "--split", root, "-o", tmp_path / "t.toml"],
        }
        extra = ["--metric", "reappear"] if name == "tune" else []
        done = command(tmp_path, name, *arguments[name], *extra)
    assert done.exit_code == 1
    assert "reappear cannot be measured; choose another --metric" in done.stderr
