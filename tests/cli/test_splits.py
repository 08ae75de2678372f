"""Messages and exit statuses of every command for splits with problems."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from submit.cli import cli
from submit.png.palette import encode, read

WriteSplit = Callable[..., Path]
Run = Callable[..., Result]

FRAMES = tuple(f"{number:05d}" for number in range(5))


@pytest.fixture
def run(runner: CliRunner, tmp_path: Path) -> Run:
    """Run a command with its runs below the test's folder, in this process."""

    def invoke(*arguments: object, fails: bool = False) -> Result:
        result = runner.invoke(
            cli,
            [str(argument) for argument in arguments],
            env={"SUBMIT_RUNS": str(tmp_path / "runs")},
        )
        assert result.exit_code == int(fails), result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return invoke


def predict(run: Run, root: Path, name: str = "r", *more: object) -> Result:
    return run("predict", root, "--predictor", "static", "--name", name, *more)


def table(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def truth(write_split: WriteSplit, *videos: str) -> Path:
    return write_split(videos, frames=FRAMES, annotated=5)


@pytest.fixture
def chain(run: Run, tmp_path: Path) -> Callable[..., Iterator[tuple[str, Result]]]:
    """Run every command on a split, one after another."""

    def every(root: Path, *more: object) -> Iterator[tuple[str, Result]]:
        masks, zip_path = tmp_path / "masks", tmp_path / "r.zip"
        yield "videos", run("videos", root)
        yield "predict", predict(run, root, "r", *more)
        yield "predict again", predict(run, root, "other", *more)
        yield "ensemble", run("ensemble", "r", "other", "--name", "both")
        yield "export", run("export", "r", "-o", masks)
        yield "export", run("export", "both")
        yield "pack", run("pack", masks, "-o", zip_path)
        yield "check", run("check", zip_path, "--split", root)
        yield "import", run("import", zip_path, "--name", "i", "--split", root)
        yield "preview", run("preview", "r", "i", "--split", root)
        yield "score", run("score", zip_path, "--split", root)
        yield "compare", run("compare", masks, zip_path, "--split", root)

    return every


@pytest.mark.slow
def test_folders_that_are_no_videos_stop_no_command_and_are_said_once(
    chain: Callable[..., Iterator[tuple[str, Result]]], write_split: WriteSplit
) -> None:
    root = truth(write_split, "a", "b")
    for name in ("@eaDir", "lost+found", "nothing"):
        (root / "JPEGImages" / name).mkdir()
    reads_split = {"videos", "predict", "check", "import", "preview", "score"}
    for name, result in chain(root):
        said = result.stderr.count(
            "are not videos and not counted: @eaDir, lost+found, nothing"
        )
        assert said == int(name.split()[0] in {*reads_split, "compare"}), name


@pytest.mark.slow
def test_an_object_that_comes_late_passes_through_every_command(
    chain: Callable[..., Iterator[tuple[str, Result]]],
    run: Run,
    write_split: WriteSplit,
    tmp_path: Path,
) -> None:
    root = truth(write_split, "a", "b")
    folder = root / "Annotations" / "a"
    (folder / "00000.png").unlink()
    late = np.zeros((24, 32), np.uint8)
    late[15:20, 15:20] = 7
    for frame in FRAMES[3:]:
        (folder / f"{frame}.png").write_bytes(
            encode(np.maximum(read(folder / f"{frame}.png"), late))
        )
    result = predict(run, root, "early", "--videos", "b")
    assert "1 video, 5 frames" in result.stdout
    plain = run("predict", root, "--predictor", "static", "--name", "plain", fails=True)
    assert "video a: frame 00000 has no annotation" in plain.stderr
    assert "first annotation is that of frame 00001" in plain.stderr
    assert "predict with --late-objects" in plain.stderr
    results = dict(chain(root, "--late-objects"))
    said = results["videos"].stdout
    assert "late-start" in said
    assert "only submit predict --late-objects can predict the video" in said
    assert "object 7 is not in the first mask; it appears in frame 00003" in said
    assert "0 fatal, 0 costly" in results["check"].stdout
    masks = tmp_path / "masks" / "a"
    shown = [set(np.unique(read(masks / f"{frame}.png"))) for frame in FRAMES]
    assert shown == [{0}, {0, 1, 2}, {0, 1, 2}, {0, 1, 2, 7}, {0, 1, 2, 7}]
    imported = tmp_path / "runs" / "i" / "masks" / "a"
    assert read(imported / "00003.png").max() == 7
    objects = run("score", masks.parent, "--split", root, "--objects").stdout
    assert any(line.split()[:2] == ["a", "7"] for line in objects.splitlines())


def test_a_first_mask_without_objects_is_refused_with_the_way_out(
    run: Run, write_split: WriteSplit
) -> None:
    root = truth(write_split, "a", "b")
    empty = encode(np.zeros((24, 32), np.uint8))
    (root / "Annotations" / "a" / "00000.png").write_bytes(empty)
    said = run(
        "predict", root, "--predictor", "static", "--name", "r", fails=True
    ).stderr
    assert "video a: the first mask holds no object, nothing to track" in said
    assert "predict with --late-objects" in said
    predict(run, root, "late", "--late-objects")
    run("videos", root)
    for path in (root / "Annotations" / "a").iterdir():
        path.write_bytes(empty)
    options = ("--predictor", "static", "--name", "none", "--late-objects")
    said = run("predict", root, *options, fails=True).stderr
    assert "video a: no annotation holds an object, nothing to track" in said
    assert "no mask holds an object" in run("videos", root, fails=True).stderr


def test_a_late_object_without_a_frame_is_refused(
    run: Run, write_split: WriteSplit
) -> None:
    root = write_split(("a",), frames=FRAMES)
    labels = np.full((24, 32), 9, np.uint8)
    (root / "Annotations" / "a" / "00009.png").write_bytes(encode(labels))
    options = ("--predictor", "static", "--name", "r", "--late-objects")
    said = run("predict", root, *options, fails=True).stderr
    assert "00009.png: shows the object 9 for the first time, and the video" in said


@pytest.mark.parametrize("folder", ["JPEGImages", "Annotations"])
def test_two_files_of_one_frame_are_named_and_refused_by_what_reads_them(
    run: Run, write_split: WriteSplit, folder: str, tmp_path: Path
) -> None:
    root = truth(write_split, "a", "b")
    predict(run, root)
    run("export", "r", "-o", tmp_path / "masks")
    for path in sorted((root / folder / "a").iterdir()):
        Image.new("L", (32, 24)).save(path.with_suffix(".bmp"))
    said = "are files of one frame (4 more frames with several files); keep one file"
    assert said in run("videos", root, fails=True).stderr
    options = ("--predictor", "static", "--name", "new")
    failed = run("predict", root, *options, fails=True).stderr
    assert said in failed
    assert "1 of 2 videos failed: a: " in failed
    if folder == "Annotations":
        masks = tmp_path / "masks"
        assert said in run("score", masks, "--split", root, fails=True).stderr
    out = tmp_path / "h"
    held = run("holdout", root, "-o", out, "--videos", "1")
    assert said in held.stderr
    assert [child.name for child in (out / folder).iterdir()] == ["b"]


def test_frames_are_predicted_in_natural_order(
    run: Run, write_split: WriteSplit, tmp_path: Path
) -> None:
    names = [f"f{number}" for number in range(1, 12)]
    root = write_split(("a",), frames=names)
    said = run("videos", root).stdout
    assert "names are not numbers; they are read in the order f1, f2 … f11" in said
    predict(run, root)
    with np.load(tmp_path / "runs" / "r" / "soft" / "a.npz") as soft:
        assert [name for name in soft.files if name in names] == names


@pytest.mark.slow
def test_the_meta_file_may_be_chosen_in_every_command(
    run: Run, write_split: WriteSplit, tmp_path: Path
) -> None:
    root = truth(write_split, "a", "b")
    for name, objects in (("meta.json", [1]), ("meta_2019.json", [1, 2])):
        entries = {video: {"objects": objects} for video in "ab"}
        (root / name).write_text(json.dumps({"videos": entries}))
    note = f"{root / 'meta.json'}: is read, and meta_2019.json is not; they differ in 2"
    said = run("videos", root, fails=True)
    assert said.stderr.count(note) == 1
    assert "the meta file says objects [1], the masks have [1, 2]" in said.stderr
    assert note in predict(run, root).stderr
    masks = tmp_path / "masks"
    run("export", "r", "-o", masks)
    assert note in run("check", masks, "--split", root, fails=True).stderr
    other = ("--meta", root / "meta_2019.json")
    for line in (
        ("videos", root),
        ("check", masks, "--split", root),
        ("score", masks, "--split", root),
        ("import", masks, "--name", "i", "--split", root),
        ("compare", masks, masks, "--split", root),
        ("preview", "r", "i", "--split", root),
        ("holdout", root, "-o", tmp_path / "h", "--videos", 1),
        ("repair", masks, "--split", root, "-o", tmp_path / "r.zip"),
    ):
        assert "is read, and" not in run(*line, *other).stderr


def test_a_build_says_which_meta_file_it_reads_and_takes_another(
    run: Run, write_split: WriteSplit, tmp_path: Path
) -> None:
    root = write_split(("a", "b"))
    for name, objects in (("meta.json", [1]), ("meta_2.json", [1, 2])):
        entries = {video: {"objects": objects} for video in "ab"}
        (root / name).write_text(json.dumps({"videos": entries}))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'split = "{root}"\nruns = "{tmp_path / "runs"}"\n'
        '[[predict]]\nname = "r"\npredictor = "static"\n[submission]\nrun = "r"\n'
    )
    said = run("build", recipe, fails=True).stderr
    assert said.count("meta.json: is read, and meta_2.json is not") == 1
    assert "the precheck has findings" in said
    other = run("build", recipe, "--meta", root / "meta_2.json")
    assert "is read, and" not in other.stderr
    text = recipe.read_text().replace(
        "runs =", f'meta = "{root / "meta_2.json"}"\nruns ='
    )
    recipe.write_text(text)
    run("build", recipe)


def test_videos_of_the_meta_file_without_a_folder_are_said_by_what_leaves_them_out(
    run: Run, write_split: WriteSplit
) -> None:
    meta: dict[str, Any] = {"a": {}, "y": {}, "z": {}}
    root = write_split(("a",), meta=meta)
    line = "meta.json: lists 2 videos that have no folder, such as y"
    assert predict(run, root).stderr.count(line) == 1
    assert line not in predict(run, root, "other", "--videos", "a").stderr
    said = run("videos", root, fails=True)
    assert line not in said.stderr
    assert said.stdout.count("is in the meta file and has no folder") == 2


def test_damage_costs_its_video_and_no_other_and_nothing_waits(
    run: Run, write_split: WriteSplit
) -> None:
    videos = ("device", "good", "long", "other", "pipe", "size")
    root = write_split(videos, frames=FRAMES)

    def frame(video: str) -> Path:
        return root / "JPEGImages" / video / "00002.jpg"

    for video in ("pipe", "device"):
        frame(video).unlink()
    os.mkfifo(frame("pipe"))
    frame("device").symlink_to("/dev/zero")
    frame("long").write_bytes(b"P6 " + b"1" * 33 + b" 1 255\n")
    Image.new("RGB", (99, 99)).save(frame("size"))
    path = root / "Annotations" / "other" / "00000.png"
    path.unlink()
    os.mkfifo(path)
    failed = run("predict", root, "--predictor", "static", "--name", "r", fails=True)
    assert "5 of 6 videos failed: device: " in failed.stderr
    found = table(run("videos", root, "--json", fails=True))
    bad = [audit["name"] for audit in found["videos"] if audit["problems"]]
    assert bad == ["device", "long", "other", "pipe", "size"]
    run("export", "r")
    # What can be known of the others is known.
    said = run("check", "r", "--split", root, fails=True).stdout
    assert "absent-video, 25" in said


@pytest.fixture
def both(run: Run, write_split: WriteSplit, tmp_path: Path) -> Path:
    """A split of three videos with ground truth, and masks for all of them."""
    root = truth(write_split, "cat1", "cat2", "dog")
    predict(run, root)
    run("export", "r")
    own = tmp_path / "runs" / "r" / "masks"
    shutil.copytree(own, tmp_path / "masks", ignore=shutil.ignore_patterns(".*"))
    return root


SUBSET = "2 of 3 videos of {root} only (--videos)"


def test_some_videos_score_as_a_split_of_their_own_and_say_so(
    run: Run, both: Path, tmp_path: Path
) -> None:
    masks, some = tmp_path / "masks", ("--videos", "cat*")
    whole = table(run("score", masks, "--split", both, "--json"))
    result = run("score", masks, "--split", both, "--json", *some)
    part = table(result)
    assert list(part["videos"]) == ["cat1", "cat2"]
    assert part["videos"]["cat1"] == whole["videos"]["cat1"]
    said = SUBSET.format(root=both)
    assert part["notes"] == [f"{said}; the server scores all of them"]
    assert result.stderr.count(said) == 1
    again = run("score", "r", "--split", both, "--json", *some)
    assert table(again)["totals"] == part["totals"]
    davis = ("--protocol", "davis")
    assert said in run("score", masks, "--split", both, *some, *davis).stderr
    one = run("score", masks, "--split", both, "--videos", "dog", "--json")
    assert list(table(one)["videos"]) == ["dog"]
    assert len(table(one)["notes"]) == 1
    shutil.rmtree(masks / "dog")
    gone = run("score", masks, "--split", both, "--videos", "dog", fails=True)
    assert "holds none of the videos that were asked for, such as dog" in gone.stderr


def test_a_pattern_that_matches_nothing_is_refused_everywhere(
    run: Run, both: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    for line in (
        ("videos", both),
        ("predict", both, "--predictor", "static", "--name", "n"),
        ("score", masks, "--split", both),
        ("check", masks, "--split", both),
        ("compare", masks, masks, "--split", both),
        ("preview", "r", "--split", both),
        ("import", masks, "--name", "i", "--split", both),
        ("tune", "r", "--split", both, "-o", tmp_path / "t.toml"),
    ):
        result = run(*line, "--videos", "dog", "--videos", "cow", fails=True)
        assert "no video matches 'cow'; it has 3 videos, such as cat1" in result.stderr


@pytest.mark.slow
def test_some_videos_are_checked_and_others_do_not_matter(
    run: Run, both: Path, tmp_path: Path
) -> None:
    masks, some = tmp_path / "masks", ("--videos", "cat?")
    (masks / "dog" / "00002.png").write_bytes(b"no mask")
    (masks / "dog" / "00003.png").unlink()
    zip_path = tmp_path / "m.zip"
    run("pack", masks, "-o", zip_path)
    for source in (masks, zip_path):
        run("check", source, "--split", both, fails=True)
        result = run("check", source, "--split", both, *some)
        assert SUBSET.format(root=both) in result.stdout
        assert "2 of 2" in result.stdout
        assert "unknown-video" not in result.stdout
        found = table(run("check", source, "--split", both, *some, "--json"))
        assert found["subset"] == SUBSET.format(root=both)
        alone = run("check", source, "--split", both, "--videos", "cat1")
        assert "0 fatal, 0 costly" in alone.stdout
    shutil.rmtree(masks / "cat1")
    result = run("check", masks, "--split", both, *some, fails=True)
    assert "absent-video" in result.stdout


@pytest.mark.slow
def test_some_videos_are_compared_looked_at_and_imported(
    run: Run, both: Path, tmp_path: Path
) -> None:
    masks, some = tmp_path / "masks", ("--videos", "cat*")
    said = SUBSET.format(root=both)
    metrics = tmp_path / "scores"
    run("score", masks, "--split", both, "-o", metrics)
    entries = ("r", metrics / "metrics.json")
    (found,) = json.loads(
        run("compare", *entries, "--split", both, *some, "--json").stdout
    )
    assert {one["video"] for one in found["videos"]} == {"cat1", "cat2"}
    files = run("compare", entries[1], entries[1], "--split", both, *some)
    assert said in files.stderr
    result = run("preview", "r", "--split", both, *some, "--json")
    assert [one["video"] for one in table(result)["videos"]] == ["cat1", "cat2"]
    assert said in result.stderr
    result = run("import", masks, "--name", "i", "--split", both, *some)
    assert said in result.stderr
    assert sorted(
        path.name for path in (tmp_path / "runs" / "i" / "masks").iterdir()
    ) == ["cat1", "cat2"]
    # A part of the split is not another split.
    run("preview", "r", "i", "--split", both)


def test_some_videos_are_exported_and_others_later(
    run: Run, write_split: WriteSplit, tmp_path: Path
) -> None:
    root = truth(write_split, "cat1", "cat2", "dog")
    predict(run, root)
    masks = tmp_path / "runs" / "r" / "masks"
    result = run("export", "r", "--videos", "cat*")
    assert "2 of 3 videos of run r only (--videos)" in result.stderr
    assert sorted(path.name for path in masks.glob("[!.]*")) == ["cat1", "cat2"]
    alone = run("score", "r", "--split", root, "--videos", "cat1", "--json")
    assert table(alone)["totals"]["j"] > 0
    assert len(table(alone)["notes"]) == 1
    assert not (masks / "dog").exists()
    run("check", "r", "--split", root, "--videos", "dog")
    assert sorted(path.name for path in masks.glob("[!.]*")) == ["cat1", "cat2", "dog"]
    assert (
        "no video matches 'cow'"
        in run("export", "r", "--videos", "cow", fails=True).stderr
    )
    predict(run, root, "part", "--videos", "cat1")
    said = run("export", "part", "--videos", "dog", fails=True).stderr
    assert "run part: has no video dog yet; predict it first" in said


@pytest.mark.slow
def test_parts_of_a_run_may_be_predicted_and_imported_one_after_another(
    run: Run, both: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    for name in ("cat*", "dog"):
        run("import", masks, "--name", "i", "--split", both, "--videos", name)
        predict(run, both, "p", "--videos", name)
    for name in "ip":
        packed = run("pack", name, "-o", tmp_path / f"{name}.zip", "--json")
        assert table(packed)["videos"] == 3
    # The missing videos of the whole split are known, also for a part of it.
    predict(run, both, "part", "--videos", "dog")
    said = run("pack", "part", "-o", tmp_path / "x.zip", fails=True).stderr
    assert "lacks 2 of 3 videos, such as cat1" in said


def test_some_videos_are_tuned_on_and_the_file_says_so(
    run: Run, write_split: WriteSplit, tmp_path: Path
) -> None:
    root = truth(write_split, "cat1", "cat2", "cat3", "dog")
    predict(run, root, "r", "--videos", "cat*")
    path = tmp_path / "tuned.toml"
    line = ("tune", "r", "--split", root, "-o", path, "--budget", "3")
    assert "run r lacks 1 of 4 videos" in run(*line, fails=True).stderr
    result = run(*line, "--videos", "cat*", "--json")
    assert table(result)["videos"] == 3
    said = f"3 of 4 videos of {root} only (--videos)"
    assert said in result.stderr
    assert said in path.read_text("utf-8")


def test_only_the_videos_that_are_asked_for_are_read(
    run: Run, write_split: WriteSplit
) -> None:
    root = write_split(("a", "b"))
    shutil.rmtree(root / "JPEGImages" / "b")
    (root / "Annotations" / "b" / "00000.png").write_bytes(b"no mask")
    run("videos", root, fails=True)
    result = run("videos", root, "--videos", "a", "--json")
    assert [audit["name"] for audit in table(result)["videos"]] == ["a"]
    assert "1 of 2 videos" in result.stderr
