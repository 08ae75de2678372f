"""`submit plan`: what the rehearsal of a recipe says of the whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.data import read_split
from submit.pipeline.probe import (
    Fitted,
    JobTiming,
    Shape,
    StepCost,
    beginning,
    choose_videos,
)
from submit.pipeline.recipe import read_recipe
from submit.system.machine import ProcessMemory
from tests.commands.rows import one_process

RECIPE = """
split = "split"
runs = "built"

[[predict]]
name = "plain"
predictor = "static"

[[predict]]
name = "flipped"
predictor = "static"
variant = "hflip"

[[ensemble]]
name = "both"
members = ["plain", "flipped"]

[submission]
run = "both"
"""

MEMORY = ProcessMemory(own=100, shared=50)


def timing(name: str, shape: Shape, frame: float, begin: float = 1.0) -> JobTiming:
    return JobTiming(
        name=name,
        frames=shape.frames,
        total=begin + shape.frames * frame,
        begin=begin,
        frame=frame,
        processor=frame / 2,
        loaded=3.0,
        once=0.5,
        memory=MEMORY,
        gpu_memory=7,
    )


def test_a_frame_costs_more_with_objects_and_pixels() -> None:
    def cost(shape: Shape) -> float:
        return 0.1 + 0.02 * shape.objects + 0.05 * shape.objects * shape.pixels

    known = [
        Shape(20, objects, pixels, 1.0)
        for objects, pixels in itertools.product((1, 9), (0.4, 2.0))
    ]
    fitted = Fitted([(shape, cost(shape)) for shape in known])
    for objects, pixels in ((1, 0.4), (5, 1.0), (12, 2.0)):
        other = Shape(300, objects, pixels, 1.0)
        assert fitted(other) == pytest.approx(cost(other), rel=1e-6)


def test_a_step_takes_its_start_and_the_worker_that_ends_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("submit.pipeline.probe.cores", lambda: 8)
    shape = Shape(20, 1, 1.0, 1.0)
    # The first video also loads what the others need: 4 s.
    timings = [timing("a", shape, 0.1, begin=5.0), timing("b", shape, 0.1)]
    cost = StepCost(2.0, timings, {"a": shape, "b": shape})
    videos = [Shape(frames, 1, 1.0, 1.0) for frames in (90, 20, 30)]

    assert cost.seconds(videos, 1) == pytest.approx(2 + 4 + 3 * 1 + 140 * 0.1)
    assert cost.seconds(videos, 2) == pytest.approx(2 + 4 + 1 + 90 * 0.1)
    assert cost.seconds(videos, 1, machines=2) == cost.seconds(videos, 2)
    assert cost.seconds([], 2) == 0
    assert cost.processor(videos, 2) == pytest.approx(2 * 3.5 + 3 * 0.5 + 140 * 0.05)
    assert (cost.memory, cost.gpu_memory) == (MEMORY, 7)


def test_workers_that_share_too_few_cores_take_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("submit.pipeline.probe.cores", lambda: 2)
    shape = Shape(20, 1, 1.0, 1.0)
    cost = StepCost(0.0, [timing("a", shape, 0.1, begin=0.0)], {"a": shape})
    videos = [Shape(100, 1, 1.0, 1.0)] * 8
    # Each frame takes 0.05 s of a core: 40 s of two cores.
    assert cost.seconds(videos, 4) == pytest.approx(20.0)
    assert cost.seconds(videos, 8) == pytest.approx(20.0)


def test_two_lengths_tell_the_beginning_of_a_video_if_all_comes_at_the_end() -> None:
    long, half = Shape(20, 1, 1.0, 1.0), Shape(10, 1, 1.0, 1.0)
    timings = [
        timing("a", long, 0.2, begin=10.0),
        timing("a~half", half, 0.2, begin=10.0),
    ]
    cost = StepCost(0.0, timings, {"a": long, "a~half": half}, delayed=True)
    video = Shape(1000, 1, 1.0, 1.0)
    assert cost.seconds([video], 1) == pytest.approx(10 + 200)


def test_what_the_shapes_do_not_explain_is_right_in_the_sum() -> None:
    # Masks of random weights have any size, whichever the first mask is.
    random = np.random.default_rng(0)
    samples = [
        (Shape(20, 1, 0.4, first), float(size))
        for first, size in zip(
            random.uniform(0.5, 2.0, 6), random.uniform(0.1, 12.0, 6), strict=True
        )
    ]
    fitted = Fitted(samples, lambda shape: shape.edges)
    total = sum(fitted(shape) for shape, _ in samples)
    assert total == pytest.approx(sum(size for _, size in samples))
    nothing = Fitted([(shape, 0.0) for shape, _ in samples])
    assert nothing(samples[0][0]) == 0


def test_videos_at_the_ends_are_probed_and_some_of_all_sizes_of_masks() -> None:
    shapes = {
        "usual": Shape(90, 2, 1.0, 3.0),
        "many": Shape(50, 9, 1.0, 9.0),
        "few": Shape(50, 1, 1.0, 1.0),
        "large": Shape(50, 2, 8.0, 5.0),
        "longer": Shape(70, 9, 1.0, 9.0),
    }
    shapes |= {f"v{i}": Shape(80 + i % 2, 2, 1.0, 10.0 + i) for i in range(9)}
    long = choose_videos(shapes, short=False)
    assert long == ["longer", "few", "large", "many", "v3", "v7"]
    short = choose_videos(shapes, short=True)
    assert short == ["many", "few", "large", "longer", "v2", "v6"]
    equal = {name: Shape(9, 1, 1.0, mask) for mask, name in enumerate("abcde")}
    assert sorted(choose_videos(equal, short=False)) == list("abcde")


def test_the_beginning_of_a_video_is_a_video(
    write_split: Callable[..., Path],
) -> None:
    video = read_split(write_split(("a",))).videos["a"]
    short = beginning(video, 2, name="b")
    assert short.length == 2
    assert list(short.images) == list(video.frames[:2])
    assert short.first_mask().tolist() == video.first_mask().tolist()


@pytest.fixture
def plan(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    runner: CliRunner,
    write_split: Callable[..., Path],
) -> Callable[..., Any]:
    """Plan a recipe of a small split, in this process."""
    from submit.pipeline.forecast import forecast

    monkeypatch.chdir(tmp_path)
    write_split(("a", "b", "c"))
    Path("recipe.toml").write_text(RECIPE)
    one_process(monkeypatch)

    def call() -> Any:
        return forecast(
            read_recipe(Path("recipe.toml")), workers_of=lambda model: (2, ["cpu"])
        )

    return call


@pytest.mark.slow
def test_steps_that_are_done_take_nothing(
    plan: Callable[..., Any], runner: CliRunner
) -> None:
    before = plan()
    kinds = [(step.name, step.does, step.videos) for step in before.steps]
    assert ("both", "ensemble", 3) in kinds
    assert not Path("built").exists()
    assert before.fits
    assert before.upload > 0

    command = "predict split --predictor static --name plain --runs built --videos a"
    assert runner.invoke(cli, command.split()).exit_code == 0
    partly = {(step.name, step.does): step.videos for step in plan().steps}
    assert partly["plain", "predict"] == 2
    assert partly["flipped", "predict"] == 3

    assert runner.invoke(cli, ["build", "recipe.toml"]).exit_code == 0
    after = plan()
    assert [step.videos for step in after.steps] == [0, 0, 0]
    assert (after.disk, after.probed, after.choices) == (0, 0, ())


def test_what_does_not_fit_is_said_with_the_way_out(
    plan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "submit.pipeline.forecast"
    monkeypatch.setattr(f"{place}.memory_available", lambda: 150)
    monkeypatch.setattr(f"{place}.process_memory", lambda: MEMORY)
    monkeypatch.setattr("submit.pipeline.probe.process_memory", lambda: MEMORY)
    monkeypatch.setattr(
        f"{place}.shutil.disk_usage", lambda path: type("Disk", (), {"free": 10})
    )
    found = plan()
    assert not found.fits
    memory, disk = found.problems
    # 100 of its own for each of two workers, and 150 are free.
    assert memory.what.startswith("memory: ")
    assert memory.remedy == "use --workers 1"
    assert disk.what.startswith("built: ")
    assert disk.remedy.startswith("free some, or set runs in the recipe")
    assert [one.fits for one in found.choices] == [True, *[False] * 4]


def test_a_model_that_fails_in_the_probe_is_a_problem(
    plan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **more: Any) -> None:
        raise MemoryError("2 GiB")

    monkeypatch.setattr("submit.pipeline.video.tracked", fail)
    (problem,) = plan().problems
    assert problem.what.startswith("plain: video a failed in the probe: memory ran out")
