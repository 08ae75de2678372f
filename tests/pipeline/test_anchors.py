from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.data import PackedMask, Split, read_prompts
from submit.pipeline.anchors import AnchorRules, Evidence, choose_anchors
from submit.runs import Identity, Run, SoftWriter, VideoRecord
from submit.system.files import digest
from tests.conftest import WriteSplit

RULES = AnchorRules()


def evidence(length: int = 100, **more: Any) -> Evidence:
    """An object that all runs show, and agree about."""
    values = {
        "agreement": np.full(length, 0.95),
        "showing": np.ones(length),
        "pixels": np.full(length, 400.0),
        "presence": np.full(length, 0.99),
        "iou": np.full(length, 0.9),
        "gap": np.full(length, np.inf),
    }
    return Evidence(**{**values, **more})


def series(*parts: tuple[int, float]) -> Any:
    return np.concatenate([np.full(count, value) for count, value in parts])


def frames(found: list[Any], *, absent: bool = False) -> list[int]:
    return [anchor.frame for anchor in found if anchor.absent == absent]


def test_runs_that_agree_everywhere_need_no_anchors() -> None:
    assert choose_anchors(evidence(agreement=np.ones(100)), RULES) == []


def test_the_last_trusted_frame_before_a_disagreement_is_chosen() -> None:
    found = choose_anchors(
        evidence(agreement=series((40, 1.0), (60, 0.2))), AnchorRules(count=1)
    )
    # From frame 39 on, all 50 frames that an anchor helps are in doubt.
    assert frames(found) == [39]
    assert "agreement 1.00" in found[0].why
    assert "disagreement in the next 50 frames 0.80" in found[0].why


def test_a_reappearance_goes_first_and_its_absence_is_given_too() -> None:
    found = choose_anchors(
        evidence(
            agreement=series((30, 0.99), (20, 1.0), (5, 0.3), (15, 0.96), (30, 0.4)),
            showing=series((30, 1.0), (20, 0.0), (50, 1.0)),
            presence=series((30, 0.99), (20, 0.01), (50, 0.99)),
        ),
        AnchorRules(count=1, distance=10),
    )
    assert frames(found) == [55]
    assert frames(found, absent=True) == [39]
    why = {anchor.frame: anchor.why for anchor in found}
    assert "reappears after an absence from frame index 30" in why[55]
    assert why[39].startswith("absent in all runs, presence 0.01")


@pytest.mark.parametrize(
    "change",
    [
        {"presence": np.full(100, 0.5)},
        {"iou": np.full(100, 0.5)},
        {"pixels": np.full(100, 20.0)},
        {"showing": series((1, 1.0), (99, 0.5))},
        {"agreement": np.full(100, 0.8)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_frame_that_anything_speaks_against_is_no_anchor(
    change: dict[str, Any],
) -> None:
    agreement = series((40, 1.0), (60, 0.2))
    assert choose_anchors(evidence(agreement=agreement), RULES)
    assert not choose_anchors(evidence(**{"agreement": agreement, **change}), RULES)


def test_an_absence_that_one_model_doubts_is_none() -> None:
    parts = {
        "agreement": series((30, 0.99), (30, 1.0), (40, 0.2)),
        "showing": series((30, 1.0), (30, 0.0), (40, 1.0)),
    }
    sure = series((30, 0.99), (30, 0.01), (40, 0.99))
    doubted = series((30, 0.99), (30, 0.4), (40, 0.99))
    assert frames(choose_anchors(evidence(**parts, presence=sure), RULES), absent=True)
    found = choose_anchors(evidence(**parts, presence=doubted), RULES)
    assert frames(found, absent=True) == []


def test_runs_without_scores_are_judged_by_their_masks() -> None:
    nothing = np.full(100, np.nan)
    found = choose_anchors(
        evidence(agreement=series((40, 1.0), (60, 0.2)), presence=nothing, iou=nothing),
        AnchorRules(count=1),
    )
    assert frames(found) == [39]
    assert "presence" not in found[0].why


def test_anchors_are_few_and_apart_from_each_other_and_from_the_first_mask() -> None:
    agreement = np.where(np.arange(200) % 10 < 8, 0.9, 0.1)
    rules = AnchorRules(count=4, distance=30)
    found = frames(choose_anchors(evidence(200, agreement=agreement), rules))
    assert len(found) == 4
    assert min(np.diff([0, *found])) >= 30


def test_of_equal_frames_the_one_apart_from_other_objects_is_chosen() -> None:
    gap = np.full(100, 0.0)
    gap[35] = 0.3
    found = choose_anchors(
        evidence(agreement=series((40, 1.0), (60, 0.2)), gap=gap), AnchorRules(count=1)
    )
    assert frames(found) == [35]
    assert "next object at 0.30 of the diagonal" in found[0].why


def test_nothing_before_the_first_mask_is_chosen() -> None:
    """An object that is first annotated in a later frame."""
    showing = series((30, 0.0), (70, 1.0))
    agreement = series((31, 1.0), (29, 1.0), (40, 0.2))
    found = choose_anchors(evidence(agreement=agreement, showing=showing), RULES)
    assert found
    assert min(anchor.frame for anchor in found) >= 50


# Real runs: in both, object 1 is away in frames 10 to 19. One run then follows it, the
# other one leaves it at frame 30.
LENGTH, SIZE = 60, (24, 32)


def labels(frame: int, *, leaves: bool) -> Any:
    found = np.zeros(SIZE, np.uint8)
    found[14:24, 20:32] = 2
    if not 10 <= frame < 20:
        left = 20 if leaves and frame >= 30 else 1
        found[1:9, left : left + 9] = 1
    return found


@pytest.fixture
def split(write_split: WriteSplit) -> Split:
    from submit.data import read_split

    names = [f"{n:05d}" for n in range(LENGTH)]
    return read_split(write_split(videos=("a",), frames=names))


def make_run(folder: Path, split: Split, *, leaves: bool) -> None:
    identity = Identity.of("predict", {"name": folder.name}, split)
    with Run.making(folder, identity) as run:
        path = run.soft_path("a")
        with SoftWriter(path, size=SIZE) as writer:
            for index, frame in enumerate(split.videos["a"].frames):
                mask = labels(index, leaves=leaves)
                inside = np.stack([mask == 1, mask == 2])
                scores = np.where(inside.any(axis=(1, 2)), 6.0, -6.0)
                logits = np.where(inside, 5.0, -5.0)
                writer.write(frame, (1, 2), logits, scores.astype(np.float32), None)
        run.add("a", VideoRecord(LENGTH, (1, 2), SIZE, 0.1, digest(path)))


@pytest.fixture
def invoke(runner: CliRunner, tmp_path: Path, split: Split) -> Any:
    make_run(tmp_path / "runs" / "stays", split, leaves=False)
    make_run(tmp_path / "runs" / "leaves", split, leaves=True)

    def run(*arguments: object) -> Result:
        words = [str(word) for word in arguments]
        env = {"SUBMIT_RUNS": str(tmp_path / "runs")}
        return runner.invoke(cli, words, env=env)

    return run


@pytest.mark.slow
def test_anchors_of_runs_are_prompts_that_a_second_pass_takes(
    invoke: Any, split: Split, tmp_path: Path
) -> None:
    path = tmp_path / "p.json"
    more = ("--split", split.root, "-o", path, "--json")
    result = invoke("anchors", "stays", "leaves", *more)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["masks"], told["absences"], told["objects"]) == (1, 1, 1)
    given = read_prompts(path, split).videos["a"]
    # The middle of the absence, and a frame after the return. Object 2 needs nothing.
    away, back = given
    assert away == "00014"
    assert 20 <= int(back) < 30
    mask = given[back][1]
    assert isinstance(mask, PackedMask)
    np.testing.assert_array_equal(
        mask.unpack().pixels, labels(int(back), leaves=False) == 1
    )
    assert list(given[away]) == list(given[back]) == [1]
    written = json.loads(path.read_text())["videos"]["a"]
    assert "reappears after an absence from frame index 10" in written[back]["1"]["why"]
    static = ("--predictor", "static", "--name", "second", "--prompts", path)
    result = invoke("predict", split.root, *static)
    assert result.exit_code == 0, result.output


def test_one_run_alone_has_no_anchors(
    invoke: Any, split: Split, tmp_path: Path
) -> None:
    path = tmp_path / "p.json"
    result = invoke("anchors", "stays", "--split", split.root, "-o", path)
    assert result.exit_code == 1
    assert "Error: run stays: masks are trusted where runs agree; " in result.stderr
    assert not path.exists()


def test_runs_that_agree_write_no_file(
    invoke: Any, split: Split, tmp_path: Path
) -> None:
    make_run(tmp_path / "runs" / "same", split, leaves=False)
    path = tmp_path / "p.json"
    result = invoke("anchors", "stays", "same", "--split", split.root, "-o", path)
    assert result.exit_code == 1
    assert "no frame can be trusted and would help" in result.stderr
    assert not path.exists()
