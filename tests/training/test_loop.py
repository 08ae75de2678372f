from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from submit.errors import ScoringError, StorageError, TrainingError
from submit.training import step as step_module
from submit.training.folder import TrainingFolder
from submit.training.ranks import Ranks
from submit.training.step import rate_factor, require_shares, step_numbers
from tests.training.conftest import WriteVideos
from tests.training.toy import NOT_A_NUMBER, read, run


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def root(write_videos: WriteVideos) -> Path:
    return write_videos((8, 9, 10), absent={1: (4, 5)})


def content(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def same(one: Any, other: Any) -> bool:
    """Whether two saved states are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def log(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def timeless(folder: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key != "clips_per_second"}
        for line in log(folder)
    ]


EMA = "average.decay=0.9"


def test_a_training_writes_steps_and_checkpoints(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    result = run(root, folder, EMA)
    assert (result.steps, result.complete, result.best) == (6, True, None)
    assert result.checkpoint == folder / "ema.pt"
    lines = log(folder)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[0].keys() == {
        *("step", "loss", "mask", "missed", "objects", "norm", "rate"),
        "clips_per_second",
    }
    assert lines[0]["missed"] == 4
    last = content(folder / "last.pt")
    assert last["step"] == 6
    assert same(content(folder / "ema.pt")["model"], last["ema"])
    assert not same(last["ema"], last["model"])
    facts = json.loads((folder / "ema.json").read_text())
    assert (facts["predictor"], facts["step"]) == ("toy", 6)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_continued_training_equals_an_uninterrupted_one(
    root: Path, tmp_path: Path, stop: int
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    run(root, whole, EMA)
    assert not run(root, parted, EMA, until=stop).complete
    assert run(root, parted, EMA).complete
    assert same(content(whole / "last.pt"), content(parted / "last.pt"))
    assert timeless(whole) == timeless(parted)


def test_nothing_happens_to_a_complete_training(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "t")
    before = (tmp_path / "t" / "last.pt").read_bytes()
    run(root, tmp_path / "t")
    assert (tmp_path / "t" / "last.pt").read_bytes() == before
    assert len(log(tmp_path / "t")) == 6


@pytest.mark.slow
def test_a_killed_training_continues_with_other_workers(
    root: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(root, whole, EMA, "schedule.steps=40")
    script = [sys.executable, "-m", "tests.training.toy", str(root), str(killed), EMA]
    process = subprocess.Popen(
        [*script, "schedule.steps=40"], cwd=Path(__file__).parents[2]
    )
    log_file = killed / "log.jsonl"
    # It is killed somewhere after a save, which the lines of later steps show.
    while process.poll() is None:
        if log_file.exists() and len(log_file.read_bytes().splitlines()) >= 5:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() in (0, -signal.SIGKILL)
    run(root, killed, EMA, "schedule.steps=40", workers=2)
    assert same(content(whole / "last.pt"), content(killed / "last.pt"))
    assert timeless(whole) == timeless(killed)


def test_lines_of_steps_that_are_made_again_are_removed(
    root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "t"
    run(root, folder, until=2)
    with (folder / "log.jsonl").open("a") as stream:
        stream.write('{"step": 3, "loss": 1}\n{"step": 4, "lo')
    run(root, folder)
    assert [line["step"] for line in log(folder)] == [1, 2, 3, 4, 5, 6]


def test_batches_that_follow_each_other_equal_one_batch(
    root: Path, tmp_path: Path
) -> None:
    calm = ("toy.dropout=0", "schedule.steps=2")
    run(root, tmp_path / "one", *calm, "schedule.batch=4")
    run(root, tmp_path / "four", *calm)
    one, four = (content(tmp_path / name / "last.pt") for name in ("one", "four"))
    for name, value in one["model"].items():
        torch.testing.assert_close(value, four["model"][name], msg=name)


@pytest.mark.slow
def test_two_processes_equal_one_that_takes_their_batches(
    root: Path, tmp_path: Path
) -> None:
    run(root, tmp_path / "one", EMA)
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"),
            *("-m", "tests.training.toy", root, tmp_path / "two", EMA),
        ],
        cwd=Path(__file__).parents[2],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    one, two = (content(tmp_path / name / "last.pt") for name in ("one", "two"))
    assert one["step"] == two["step"]
    for kind in ("model", "ema"):
        for name, value in one[kind].items():
            torch.testing.assert_close(
                value, two[kind][name], rtol=1e-5, atol=1e-7, msg=name
            )


def test_another_recipe_or_other_data_are_refused(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    run(root, folder, until=1)
    words = r"holds another training: optimiser.rate was 0.01 and is 0.02; choose"
    with pytest.raises(TrainingError, match=words):
        run(root, folder, "optimiser.rate=0.02")
    # What does not decide the weights may change.
    run(root, folder, "run.save=1", until=2)
    (root / "Annotations" / "v0" / "00002.png").unlink()
    with pytest.raises(TrainingError, match="videos 1 was"):
        run(root, folder)


def test_a_folder_with_something_else_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "thesis.tex").touch()
    with pytest.raises(TrainingError, match=r"is no training, it has thesis\.tex"):
        run(root, tmp_path / "t")


def test_a_damaged_state_is_an_error(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "t", until=1)
    (tmp_path / "t" / "last.pt").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match=r"last\.pt: is damaged"):
        run(root, tmp_path / "t")


def test_two_trainings_in_one_folder_are_refused(root: Path, tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path / "t")
    with folder.held(), pytest.raises(StorageError, match="another process"):
        run(root, folder.path)


@pytest.mark.slow
def test_a_loss_that_is_no_number_keeps_the_last_good_state(
    root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "t"
    breaks = ("toy.breaks=true", "schedule.clips=1", "schedule.steps=30")
    with pytest.raises(TrainingError) as caught:
        run(root, folder, *breaks)
    message = str(caught.value)
    assert NOT_A_NUMBER in message
    assert "-o run.bad_steps=1" in message
    last = content(folder / "last.pt")
    assert all(value.isfinite().all() for value in last["model"].values())
    assert message.startswith(f"step {last['step'] + 1}: the loss is not finite")
    # As the message says, it can go on without the step.
    run(root, folder, *breaks, "run.bad_steps=30")
    assert content(folder / "last.pt")["step"] == 30
    bad = [line for line in log(folder) if "bad" in line]
    assert bad[0]["step"] == last["step"] + 1
    assert bad[0]["loss"] is None
    assert content(folder / "last.pt")["bad"] == len(bad)


@pytest.mark.slow
def test_a_full_disk_ends_training_and_loses_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    folder = tmp_path / "t"
    run(root, folder, until=2)
    before = (folder / "last.pt").read_bytes()

    def full(content: Any, stream: Any) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(StorageError, match="the disk is full"):
            run(root, folder)
    assert (folder / "last.pt").read_bytes() == before
    run(root, folder)
    run(root, tmp_path / "whole")
    assert same(content(folder / "last.pt"), content(tmp_path / "whole" / "last.pt"))


def test_a_quota_that_ends_the_log_names_the_log(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def refuse(file: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr("submit.training.folder.sync", refuse)
    told = r"t/log\.jsonl: cannot be written, the disk quota is used up; make room"
    with pytest.raises(StorageError, match=told):
        run(root, tmp_path / "t", until=1)


def test_memory_that_runs_out_says_what_to_change(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(step_module.Stepper, "take", fail)
    with pytest.raises(TrainingError, match=r"step 1: memory ran out .*recompute"):
        run(root, tmp_path / "t")


@pytest.mark.slow
def test_a_signal_ends_training_after_its_step(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, take = tmp_path / "t", step_module.Stepper.take

    def interrupted(self: Any, step: int, *args: Any, **options: Any) -> Any:
        found = take(self, step, *args, **options)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    assert threading.current_thread() is threading.main_thread()
    with monkeypatch.context() as patch:
        patch.setattr(step_module.Stepper, "take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(root, folder, "run.save=100")
    assert content(folder / "last.pt")["step"] == 4
    run(root, folder)
    run(root, tmp_path / "whole")
    assert same(content(folder / "last.pt"), content(tmp_path / "whole" / "last.pt"))


# Validation.


@pytest.fixture
def holdout(write_videos: WriteVideos) -> Path:
    return write_videos((5, 6), root="holdout")


def validating(holdout: Path, *more: str) -> tuple[str, ...]:
    return (
        f"validation.split={holdout}",
        "validation.every=2",
        "validation.held_out=false",
        *more,
    )


@pytest.mark.slow
def test_the_best_weights_are_kept_with_their_scores(
    root: Path, holdout: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "t"
    notes: list[str] = []
    result = run(root, folder, *validating(holdout, EMA), note=notes.append)
    lines = [line for line in log(folder) if "validation" in line]
    assert [(line["step"], line["validation"]) for line in lines] == [
        (0, "weights"),
        *((step, name) for step in (2, 4, 6) for name in ("weights", "ema")),
    ]
    best = max(lines, key=lambda line: line["jf_dot"])
    assert result.best is not None
    assert result.best.score == best["jf_dot"]
    assert result.best.start == lines[0]["jf_dot"]
    assert result.best.interval == pytest.approx(tuple(best["interval"]))
    assert result.checkpoint == folder / "best.pt"
    facts = json.loads((folder / "best.json").read_text())
    assert facts["scores"]["jf_dot"] == best["jf_dot"]
    assert set(facts["videos"]) == {"v0", "v1"}
    assert notes == ["train: 3 videos, 27 frames"]


@pytest.mark.slow
def test_a_continued_training_has_the_same_scores(
    root: Path, holdout: Path, tmp_path: Path
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    changes = validating(holdout, EMA, "average.method=uniform", "average.keep=2")
    result = run(root, whole, *changes)
    run(root, parted, *changes, until=3)
    assert run(root, parted, *changes).best == result.best
    assert same(content(whole / "last.pt"), content(parted / "last.pt"))
    assert same(content(whole / "best.pt"), content(parted / "best.pt"))
    assert timeless(whole) == timeless(parted)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["uniform", "greedy"])
def test_checkpoints_are_averaged(
    root: Path, holdout: Path, tmp_path: Path, method: str
) -> None:
    folder = tmp_path / "t"
    changes = validating(holdout, f"average.method={method}", "average.keep=2")
    run(root, folder, *changes)
    kept = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert len(kept) == 2
    facts = json.loads((folder / "average.json").read_text())
    states = [content(folder / "checkpoints" / f"step-{n:06}.pt") for n in facts["of"]]
    for name, value in content(folder / "average.pt")["model"].items():
        mean = torch.stack([state[name].double() for state in states]).mean(0)
        torch.testing.assert_close(value, mean.float())
    scores = [
        line["jf_dot"] for line in log(folder) if line.get("validation") == "average"
    ]
    assert scores == [facts["scores"]["jf_dot"]]


def test_videos_of_the_hold_out_are_not_trained_on(
    root: Path, holdout: Path, tmp_path: Path
) -> None:
    notes: list[str] = []
    run(root, tmp_path / "t", f"validation.split={holdout}", until=1, note=notes.append)
    assert notes[0] == "train: 2 videos of the hold-out left out"


def test_a_hold_out_without_truth_is_refused_before_the_first_step(
    root: Path, holdout: Path, tmp_path: Path
) -> None:
    for path in sorted((holdout / "Annotations").rglob("*.png")):
        if path.stem != "00000":
            path.unlink()
    with pytest.raises(ScoringError, match="first frames only"):
        run(root, tmp_path / "t", *validating(holdout))
    assert not (tmp_path / "t").exists()


# Schedule and shares.


def test_the_learning_rate_falls_as_a_cosine_after_its_rise(root: Path) -> None:
    recipe = read(root, "schedule.steps=100")
    assert rate_factor(recipe, 0) == 1
    assert rate_factor(recipe, 50) == pytest.approx(0.55)
    assert rate_factor(recipe, 99) == pytest.approx(0.1, abs=1e-3)
    rising = read(root, "schedule.steps=1000", "schedule.warmup=9")
    assert rate_factor(rising, 0) == pytest.approx(0.1)
    assert rate_factor(rising, 8) == pytest.approx(0.9, abs=1e-3)


def test_processes_share_the_clips_of_a_step(root: Path) -> None:
    recipe = read(root, "schedule.clips=8", "schedule.batch=2", "schedule.steps=3")
    shares = [step_numbers(recipe, Ranks(rank, 2, "cpu"), 2) for rank in range(2)]
    assert shares == [[16, 17, 20, 21], [18, 19, 22, 23]]
    with pytest.raises(TrainingError, match="cannot be shared by 3 processes"):
        require_shares(recipe, Ranks(0, 3, "cpu"))


def test_a_size_that_the_model_cannot_take_is_an_error(
    root: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="size = 50: expected a multiple of 8"):
        run(root, tmp_path / "t", "clips.size=50")
