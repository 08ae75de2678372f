"""Post-processing where it is done: at export, by the command, and in a build."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.data import Split, read_split
from submit.errors import RunError, RunMismatchError
from submit.pipeline import export_run, exported_masks
from submit.png.palette import encode, read
from submit.postprocess import Postprocess
from submit.runs import Identity, Run, SoftWriter, StoredVideo, VideoRecord
from submit.system.files import digest
from tests.inline import Inline

WriteSplit = Callable[..., Path]
Invoke = Callable[..., Result]

FRAMES = ("00000", "00001", "00002")


@pytest.fixture
def split(write_split: WriteSplit) -> Split:
    return read_split(write_split(("a", "b", "c"), annotated=3, objects=(1, 2)))


@pytest.fixture
def run(tmp_path: Path, split: Split) -> Run:
    """A run of noise, so that every filter changes something."""
    random = np.random.default_rng(0)
    identity = Identity.of("predict", {}, split)
    with Run.making(tmp_path / "runs" / "noise", identity) as made:
        for name in split.videos:
            path = made.soft_path(name)
            with SoftWriter(path, size=(24, 32)) as writer:
                for frame in FRAMES:
                    logits = random.normal(0, 3, (2, 12, 16)).astype(np.float32)
                    writer.write(frame, (1, 2), logits, None, None)
            made.add(name, VideoRecord(3, (1, 2), (24, 32), 0.1, digest(path)))
    return made


@pytest.fixture
def submit(runner: CliRunner, tmp_path: Path) -> Invoke:
    def invoke(*arguments: object) -> Result:
        environment = {"SUBMIT_RUNS": str(tmp_path / "runs")}
        return runner.invoke(cli, [str(a) for a in arguments], env=environment)

    return invoke


def content(folder: Path) -> dict[str, bytes]:
    paths = sorted(folder.rglob("*.png"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_with_everything_off_masks_and_record_are_as_without(
    run: Run, split: Split, tmp_path: Path
) -> None:
    plain, off = tmp_path / "plain", tmp_path / "off"
    export_run(run, split, executor=Inline(), folder=plain)
    export_run(run, split, executor=Inline(), folder=off, postprocess=Postprocess())
    assert content(plain) == content(off)
    record = (off / ".export.json").read_text()
    assert record == (plain / ".export.json").read_text()
    assert "postprocess" not in record


def test_all_frames_but_the_first_are_tidied(run: Run, split: Split) -> None:
    settings = Postprocess(min_area=10_000)
    export_run(run, split, executor=Inline(), postprocess=settings)
    for name, video in split.videos.items():
        first, *rest = sorted((run.masks_folder / name).glob("*.png"))
        assert first.read_bytes() == encode(video.first_mask())
        assert not any(read(path).any() for path in rest)


@pytest.mark.parametrize(
    "settings",
    [
        Postprocess(threshold=1.0, components=0.1, holes=0.1, gaps=2),
        Postprocess(flicker=2, dropout=2),
    ],
    ids=["shapes", "time"],
)
def test_a_killed_export_continues_with_the_same_settings_only(
    run: Run, split: Split, tmp_path: Path, settings: Postprocess
) -> None:
    def export(name: str, wanted: Postprocess, jobs: int = 1000) -> list[str]:
        folder = tmp_path / name
        return export_run(
            run, split, executor=Inline(jobs), folder=folder, postprocess=wanted
        ).skipped

    export("calm", settings)
    with pytest.raises(KeyboardInterrupt):
        export("killed", settings, jobs=1)
    for other in (Postprocess(), Postprocess(threshold=2.0)):
        with pytest.raises(RunMismatchError, match=r"killed: was exported with post"):
            export("killed", other)
    assert export("killed", settings) == ["a"]
    assert content(tmp_path / "killed") == content(tmp_path / "calm")


def test_the_command_takes_a_file_and_options_go_before_it(
    submit: Invoke, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text(
        '[ensemble]\nmembers = ["x"]\n[postprocess]\nholes = 0.5\ngaps = 2\n'
    )
    done = submit("export", "noise", "--settings", path, "--gaps", 0, "--json")
    assert json.loads(done.stdout)["postprocess"] == {"holes": 0.5}
    record = json.loads((run.masks_folder / ".export.json").read_text())
    assert record["postprocess"] == {"holes": 0.5}
    again = submit("export", "noise")
    assert again.exit_code == 1
    assert "post-processing holes = 0.5, asked for off" in again.stderr


def test_later_commands_take_the_masks_that_were_exported(
    submit: Invoke, run: Run, split: Split
) -> None:
    assert submit("export", "noise", "--min-area", 10_000).exit_code == 0
    masks = content(run.masks_folder)
    assert exported_masks(run).path == run.masks_folder
    done = submit("score", "noise", "--split", split.root, "--json")
    assert json.loads(done.stdout)["totals"]["j"] < 0.05
    assert content(run.masks_folder) == masks


def test_soft_files_are_read_once_for_an_export_and_what_follows(
    submit: Invoke, run: Run, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    compare = StoredVideo.require_unchanged

    def counting(video: StoredVideo) -> None:
        read.append(video.name)
        compare(video)

    monkeypatch.setattr(StoredVideo, "require_unchanged", counting)
    first = export_run(run, split, executor=Inline(), videos=("a",))
    exported_masks(run, ("a",), after=first)
    assert read == []  # The export opened the file, which compares it.
    outcome = export_run(run, split, executor=Inline())
    exported_masks(run, after=outcome)
    assert read == ["a"]
    exported_masks(run)
    assert sorted(read) == ["a", "a", "b", "c"]
    read.clear()
    assert submit("check", "noise", "--split", split.root).exit_code == 0
    assert sorted(read) == ["a", "b", "c"]


def test_what_was_not_just_exported_is_compared(run: Run, split: Split) -> None:
    export_run(run, split, executor=Inline())
    run.soft_path("b").write_bytes(b"another file")
    outcome = export_run(run, split, executor=Inline(), videos=("a",))
    with pytest.raises(RunError, match=r"b\.npz: is not the file"):
        exported_masks(run, after=outcome)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--settings", "none.toml"], "none.toml: cannot be read"),
        (["--holes", "3"], "holes = 3.0: expected a number from 0 to 1"),
    ],
)
def test_what_is_not_legal_ends_in_a_line(
    submit: Invoke, run: Run, arguments: list[str], message: str
) -> None:
    done = submit("export", "noise", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert not run.masks_folder.exists()


def test_a_run_of_masks_keeps_its_own_and_exports_others(
    submit: Invoke, run: Run, split: Split, tmp_path: Path
) -> None:
    export_run(run, split, executor=Inline(), folder=tmp_path / "masks")
    done = submit("import", tmp_path / "masks", "--name", "hard", "--split", split.root)
    assert done.exit_code == 0, done.stderr
    done = submit("export", "hard", "--min-area", 10_000)
    assert done.exit_code == 1
    assert "its own masks stay as they are" in done.stderr
    done = submit("export", "hard", "--min-area", 10_000, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert not read(tmp_path / "out" / "a" / "00002.png").any()


RECIPE = """
split = "{split}"
runs = "{runs}"

[[predict]]
name = "still"
predictor = "static"

[submission]
run = "still"
settings = "{settings}"
"""


@pytest.mark.slow
def test_a_build_hands_in_post_processed_masks(
    submit: Invoke, split: Split, tmp_path: Path
) -> None:
    settings, recipe = tmp_path / "tuned.toml", tmp_path / "recipe.toml"
    runs = tmp_path / "runs"
    recipe.write_text(RECIPE.format(split=split.root, runs=runs, settings=settings))
    found: dict[str, tuple[str, float]] = {}
    for text in ("", "min_area = 10000", "min_area = 10000", ""):
        settings.write_text(f"[postprocess]\n{text}\n")
        done = submit("build", recipe, "--json")
        assert done.exit_code == 0, done.stderr
        result = json.loads(done.stdout)
        score = result["runs"][0]["scores"]["jf_dot"]
        assert found.setdefault(text, (result["sha256"], score)) == (
            result["sha256"],
            score,
        )
    assert found[""][1] > 0.4 > 0.1 > found["min_area = 10000"][1]


def test_a_build_without_its_settings_file_does_not_begin(
    submit: Invoke, split: Split, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    text = RECIPE.format(split=split.root, runs=tmp_path / "runs", settings="no.toml")
    recipe.write_text(text)
    done = submit("build", recipe)
    assert (done.exit_code, "no.toml: cannot be read" in done.stderr) == (1, True)
    assert not (tmp_path / "runs").exists()
