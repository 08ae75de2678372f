"""The model `command`: a script of another repository, through `submit predict`."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from submit.cli import cli
from submit.errors import OptionError
from submit.predictors import Video, parse_options
from submit.runs import Run
from submit_command import CommandOptions, CommandPredictor
from submit_command.environment import environment
from submit_command.predictor import CommandSession
from submit_command.program import Limits
from submit_command.tree import Tree
from tests.conftest import WriteSplit

FRAMES = ("00000", "00001", "00002", "00003")
TRACKER = Path(__file__).with_name("foreign_tracker.py")
RUN = "{python} {tracker} --video {frames} --mask {mask} --out {out}"

Submit = Callable[..., Result]


@pytest.fixture
def submit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: WriteSplit,
    runner: CliRunner,
) -> Submit:
    """Run `submit predict --predictor command` with a script, in this process."""
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "temporary files"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    write_split(("a", "b"), frames=FRAMES, objects=(3, 1))

    def call(
        run: str = RUN,
        *options: str,
        name: str = "r",
        more: tuple[str, ...] = ("--videos", "a"),
        split: str = "split",
    ) -> Result:
        words = ["predict", split, "--predictor", "command", "--name", name, *more]
        given = [f"run={run}", f"python={sys.executable}", f"files=tracker={TRACKER}"]
        for option in (*given, "threads=1", "grace=0", *options):
            words += ["-o", option]
        return runner.invoke(cli, words, env={"SUBMIT_WORKERS": "1"})

    return call


def soft(name: str = "r", video: str = "a") -> dict[str, NDArray[Any]]:
    with np.load(f"runs/{name}/soft/{video}.npz") as arrays:
        return dict(arrays)


def labels(name: str = "r", video: str = "a") -> list[NDArray[np.uint8]]:
    """The masks of a run, by the overlap rule."""
    arrays = soft(name, video)
    ids = arrays["objects"]
    found = []
    for frame in FRAMES:
        logits = arrays["values"][arrays[frame].astype(np.int16) + 128]
        best = ids[logits.argmax(0)].astype(np.uint8)
        found.append(np.where(logits.max(0) > 0, best, 0).astype(np.uint8))
    return found


def truth(video: str = "a") -> list[NDArray[np.uint8]]:
    with Image.open(f"split/Annotations/{video}/00000.png") as image:
        first = np.array(image)
    return [np.roll(first, index, 0) for index in range(len(FRAMES))]


def same(found: list[NDArray[np.uint8]], expected: list[NDArray[np.uint8]]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def left_over() -> list[str]:
    """What is left of the folders of programs."""
    return [path.name for path in Path("temporary files").iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["", "videos", "objects"])
def test_masks_of_a_script_become_a_run(layout: str, submit: Submit) -> None:
    done = submit(f"{RUN} --layout={layout}", more=())
    assert done.exit_code == 0, done.output
    for video in ("a", "b"):
        assert same(labels(video=video), truth(video))
    assert Run.open(Path("runs/r")).videos["a"].objects == (1, 3)
    assert left_over() == []


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["logits", "probabilities"])
def test_scores_of_a_script_stay_soft(layout: str, submit: Submit) -> None:
    done = submit(f"{RUN} --layout {layout}", f"scores={layout}")
    assert done.exit_code == 0, done.output
    assert same(labels(), truth())
    arrays = soft()
    logits = arrays["values"][arrays["00002"].astype(np.int16) + 128]
    expected = np.where(truth()[2] == 1, 6, -6) + np.linspace(-1, 1, 32)
    # Steps of the run's codes are 1/4 there.
    assert np.abs(logits[0] - expected).max() <= 0.126


@pytest.mark.slow
def test_the_mask_may_be_given_for_each_object(submit: Submit) -> None:
    assert submit(RUN, "masks=objects").exit_code == 0
    assert same(labels(), truth())


def test_frames_are_links_to_the_files_of_the_split(submit: Submit) -> None:
    look = "import os, sys; print(os.readlink(sys.argv[1])); sys.exit(1)"
    submit(f"{{python}} -c '{look}' {{frames}}/00000.jpg {{out}}")
    first = Path("split/JPEGImages/a/00000.jpg").absolute()
    assert str(first) in failure()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "more"),
    [
        (("link=false",), ()),
        (("frames=png",), ()),
        ((), ("--variant", "gamma=1.5")),
    ],
    ids=["copies", "other kind", "other pixels"],
)
def test_frames_are_written_where_a_link_does_not_do(
    options: tuple[str, ...], more: tuple[str, ...], submit: Submit
) -> None:
    look = (
        "import os, sys; assert not [f for f in os.scandir(sys.argv[1]) if "
        "f.is_symlink()]; print(len(os.listdir(sys.argv[1])), sys.argv[2:])"
    )
    script = Path("look.py")
    script.write_text(f"{look}\nsys.argv[1:] = []\n")
    done = submit(
        'bash -c \'"$0" "$1" "$2" && exec "$0" "$3" --video "$2" --mask '
        f'"$4" --out "$5"\' {{python}} {script.absolute()} {{frames}} {{tracker}} '
        "{mask} {out}",
        *options,
        more=("--videos", "a", *more),
    )
    assert done.exit_code == 0, done.output
    assert same(labels(), truth())


@pytest.mark.slow
def test_a_mirrored_video_comes_back_mirrored(submit: Submit) -> None:
    assert submit(more=("--videos", "a", "--variant", "hflip")).exit_code == 0
    assert same(labels(), truth())


@pytest.mark.slow
def test_unicode_and_spaces_in_all_paths(
    submit: Submit, write_split: WriteSplit, tmp_path: Path
) -> None:
    write_split(("vidéo ü 1",), frames=FRAMES, root="my splïts/one")
    folder = tmp_path / "wörk folder"
    folder.mkdir()
    shutil.copy(TRACKER, folder / "my tracker.py")
    done = submit(
        RUN.replace("{tracker}", "'my tracker.py'"),
        f"folder={folder}",
        f"scratch={tmp_path}/scratch ö",
        split="my splïts/one",
        more=(),
    )
    assert done.exit_code == 0, done.output
    assert Run.open(Path("runs/r")).videos.keys() == {"vidéo ü 1"}
    assert list((tmp_path / "scratch ö").iterdir()) == []


def _video() -> Video:
    return Video("v", height=24, width=32, length=4)


def failure(video: str = "a") -> str:
    failed: dict[str, str] = json.loads(Path("runs/r/failed.json").read_text())
    return failed[video]


@pytest.mark.slow
def test_a_crash_fails_its_video_with_the_end_of_its_output(submit: Submit) -> None:
    only_a = (
        'bash -c \'case $3 in */a) x=crash;; esac; exec "$0" "$1" --out "$2" '
        '--video "$3" --mask "$4" --fault "$x"\' '
        "{python} {tracker} {out} {frames} {mask}"
    )
    done = submit(only_a, more=())
    assert done.exit_code == 1
    assert same(labels(video="b"), truth("b"))
    first, *lines = failure().split("\n")
    assert first.startswith(
        "video a: the command ended with exit status 1; all of its output is in "
    )
    assert lines[0].startswith("$ bash -c ")
    assert lines[-1] == "CUDA error: device-side assert triggered"
    (log,) = left_over()
    assert Path("temporary files", log).read_text().endswith(f"{lines[-1]}\n")
    assert first.endswith(log)
    assert "CUDA error" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("few", "{out}: a: lacks 1 of 4 masks, such as 00003.png"),
        ("size", "00001.png: expected 32×24 pixels, found 32×23"),
        ("ids", "00001.png: holds the ids [77]; the video has [1, 3]"),
        (
            "extra",
            "{out}: a: has 5 files such as 00099.png, and the video has 4 frames, "
            "00000 to 00003; expected one file for each",
        ),
    ],
)
def test_wrong_results_say_what_was_expected(
    fault: str, words: str, submit: Submit
) -> None:
    assert submit(f"{RUN} --fault {fault}").exit_code == 1
    assert "the results of the command cannot be taken: " in failure()
    assert words in failure()


def test_a_script_that_writes_nothing(submit: Submit) -> None:
    assert submit("{python} -c pass {frames} {out}").exit_code == 1
    assert "has no masks; expected <video>/<frame>.png" in failure()


@pytest.mark.slow
def test_results_may_lie_in_a_folder_that_is_named(submit: Submit) -> None:
    run = RUN.replace("{out}", "{out}/Annotations/{video}")
    make = 'bash -c \'mkdir -p "$0" && touch "$1/log.png" && exec "$@"\' '
    run = f"{make} {{out}}/Annotations/{{video}} {{out}}/x {run}".replace(
        '"$1/log.png"', '"$1"'
    ).replace('exec "$@"', 'shift && exec "$@"')
    assert submit(run, "results=Annotations").exit_code == 0
    assert same(labels(), truth())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time limits be exceeded when the script says that it saves scores."""

    class Impatient(Limits):
        def exceeded(self, seconds: float, idle: float) -> str:
            logs = Path("temporary files").glob("*/output.log")
            over = any("saving scores" in log.read_text() for log in logs)
            return "it took more than 3 s" if over else ""

    monkeypatch.setattr(CommandSession, "_limits", lambda self: Impatient(total=0.1))


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_script_that_hangs_is_ended_at_the_time_limit(submit: Submit) -> None:
    assert submit(f"{RUN} --fault hang").exit_code == 1
    assert failure().startswith(
        "video a: the command was ended: it took more than 3 s; all of its output is in"
    )
    assert failure().endswith("saving scores")


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_complete_results_of_a_script_that_hangs_may_count(submit: Submit) -> None:
    assert submit(f"{RUN} --fault hang", "accept=complete").exit_code == 0
    assert same(labels(), truth())
    assert left_over() == []


@pytest.mark.slow
def test_complete_results_of_a_script_that_fails_may_count(submit: Submit) -> None:
    run = f"{RUN} --fault 'late crash'"
    assert submit(run).exit_code == 1
    # It decides only whether there are masks, and not which.
    assert submit(run, "accept=complete").exit_code == 0
    assert same(labels(), truth())
    assert submit(f"{RUN} --fault crash", "accept=complete", name="s").exit_code == 1


@pytest.mark.slow
def test_incomplete_results_of_a_script_that_fails_do_not_count(
    submit: Submit,
) -> None:
    submit(f"{RUN} --fault crash", "accept=complete")
    assert failure().startswith(
        "video a: the command ended with exit status 1, and its results are not "
        "complete: {out}: a: lacks 1 of 4 masks, such as 00003.png"
    )


@pytest.mark.parametrize(
    ("whole", "each", "total"),
    [(None, None, None), (5.0, None, 5.0), (None, 0.5, 2.0), (5.0, 0.5, 7.0)],
)
def test_time_limits_grow_with_the_video(
    whole: float | None, each: float | None, total: float | None
) -> None:
    options = CommandOptions(
        run="x {frames} {out}", timeout=whole, timeout_per_frame=each, timeout_idle=3
    )
    session = CommandSession(_video(), options, options.template(), "cpu", 1.0)
    session._length = 4
    assert session._limits() == Limits(total, 3)


@pytest.mark.slow
def test_logs_and_files_may_be_kept(submit: Submit) -> None:
    assert submit(RUN, "logs=my logs", "keep=true", more=()).exit_code == 0
    assert Path("my logs/b.log").read_text().startswith("$ ")
    assert left_over() == []
    done = submit(f"{RUN} --fault crash", "logs=my logs", "keep=true", name="s")
    assert done.exit_code == 1
    (kept,) = left_over()
    assert Path("temporary files", kept, "out/00002.png").exists()
    text = "".join(done.stderr.split())
    assert "allofitsoutputisinmylogs/a.log,itsfilesarein" in text
    assert kept in text


@pytest.mark.slow
def test_objects_that_appear_later(submit: Submit) -> None:
    mask = Path("split/Annotations/a/00002.png")
    later = truth()[0].copy()
    later[20:22, 20:24] = 9
    Image.fromarray(later).save(mask)
    more = ("--videos", "a", "--late-objects")
    refused = submit(more=more)
    assert refused.exit_code == 1
    text = " ".join(refused.stderr.split())
    assert "video a: object 9 appears in frame 2, counted from the first mask" in text
    assert "add -o late=true" in text
    look = (
        "import sys; from PIL import Image; import numpy as np, shutil; "
        "given = np.array(Image.open(sys.argv[1])); assert set(np.unique(given)) == "
        "{0, 9}, given; [shutil.copy(sys.argv[1], sys.argv[2] + f'/0000{i}.png') "
        "for i in range(4)]"
    )
    done = submit(
        f'{{python}} -c "{look}" {{masks}}/00002.png {{out}} {{frames}}'.replace(
            "{0, 9}", "{{0, 9}}"
        ).replace("{i}", "{{i}}"),
        "late=true",
        more=more,
        name="late",
    )
    assert done.exit_code == 0, done.output
    arrays = soft("late")
    assert arrays["objects"].tolist() == [1, 3, 9]
    assert [len(arrays[frame]) for frame in FRAMES] == [2, 2, 3, 3]
    assert (arrays["00003"][2] > 0).sum() == 8


# What decides whether a run is the same.


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    return path


@pytest.mark.slow
def test_a_run_is_known_by_the_content_of_its_files(
    submit: Submit, weights: Path
) -> None:
    def predict(*options: str, video: str = "a") -> Result:
        files = f"files=tracker={TRACKER} weights='{weights}'"
        return submit(RUN, files, *options, more=("--videos", video))

    assert predict("version=1.0", "licence=MIT").exit_code == 0
    manifest = json.loads(Path("runs/r/manifest.json").read_text())
    assert manifest["settings"]["options"]["run"] == RUN
    assert manifest["settings"]["options"]["version"] == "1.0"
    assert len(manifest["settings"]["checkpoint"]) == 64
    assert manifest["environment"]["licence"] == "MIT"

    weights = weights.rename(weights.with_name("moved.pth"))
    same_run = predict("version=1.0", "timeout=900", "keep=true", video="b")
    assert same_run.exit_code == 0, same_run.output
    assert Run.open(Path("runs/r")).videos.keys() == {"a", "b"}

    for change in ("version=1.1", "masks=objects", "env=A=1"):
        refused = predict("version=1.0", change)
        assert refused.exit_code == 1
        assert change.partition("=")[0] in refused.stderr
    weights.write_bytes(b"others")
    refused = predict("version=1.0")
    assert refused.exit_code == 1
    assert "checkpoint" in refused.stderr


def test_another_input_resolution_needs_a_place_in_the_command(
    submit: Submit,
) -> None:
    more = ("--videos", "a", "--variant", "scale=1.25")
    refused = submit(more=more)
    assert refused.exit_code == 1
    assert "does not run at 1.25 times its input size" in refused.stderr
    run = "{python} -c 'import sys; sys.exit(sys.argv[1])' {side} {frames} {out}"
    submit(run, "side=480", more=more)
    assert failure().endswith("\n600")


def test_the_model_is_described(runner: CliRunner) -> None:
    words = ["predictors", "command", "-o", "run=/opt/x/track.sh {frames} {out}"]
    page = json.loads(runner.invoke(cli, [*words, "--json"]).stdout)["description"]
    assert page["model"] == "track.sh"
    assert page["licence"].startswith("not known")
    assert page["delayed"] is True


# Options.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "option run: expected the command, found none"),
        (("run=",), "option run: expected"),
        (("run=x 'y",), "option run: cannot be split into words (No closing quot"),
        (("run=x {frames}",), "option run: lacks {out}"),
        (("run=x {out}",), "does not say where the frames are; expected one of {frame"),
        (
            ("run=x {frames} {out} {weights}",),
            "option run: has {weights}; expected one of {frames}, {masks},",
        ),
        (
            ("run=cd x && y {frames} {out}",),
            "option run: has &&, which needs a shell, and the command is run without",
        ),
        (("run=x {frames} {out} {side}",), "option side: expected the usual input"),
        (("run=x {frames} {out}", "side=3"), "option side=3: is not used, since run"),
        (("run=x {frames} {out}", "env=A"), "option env: A: expected KEY=VALUE"),
        (("run=x {frames} {out}", "env=A={x}"), "option env: has {x}; expected one"),
        (("run=x {frames} {out}", "files=a=x a=y"), "the name a is given twice"),
        (("run=x {frames} {out}", "files=out=x"), "option files: out=x: expected a na"),
        (("run=x {frames} {out}", "output=png"), "option output=png: expected one of"),
        (("run=x {frames} {out}", "timeout=-1"), "expected a number of at least 0"),
    ],
)
def test_options_that_cannot_work(options: tuple[str, ...], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_options("command", CommandOptions, options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("run=no-such-program {frames} {out}",),
            "option run: there is no program no-such-program in PATH; give its whole",
        ),
        (
            ("run={python} {frames} {out}", "python=nowhere"),
            "there is no program nowhere in PATH; give its whole path as option python",
        ),
        (("run=./track.sh {frames} {out}",), "track.sh: is not an executable file"),
        (
            ("run={python} {frames} {out}", "folder=/nowhere"),
            "option folder=/nowhere: is not a folder",
        ),
        (
            ("run=ls {frames} {out} {w}", "files=w=/nowhere"),
            "option files: w=/nowhere: does not exist",
        ),
    ],
)
def test_what_would_fail_every_video_is_found_before_the_first(
    options: tuple[str, ...], words: str
) -> None:
    given = parse_options("command", CommandOptions, options)
    with pytest.raises(OptionError) as caught:
        CommandPredictor(given).session(_video())
    assert words in str(caught.value)


def test_words_are_filled_in_but_never_split() -> None:
    options = parse_options(
        "command",
        CommandOptions,
        ["run=x --in={frames} {{a}} '{w} y' {out}", "files='w=~/my weights'"],
    )
    values = {"frames": "/my frames", "out": "{frames}", **options.named_files()}
    assert options.template().filled(values) == [
        *("x", "--in=/my frames", "{a}"),
        f"{Path.home()}/my weights y",
        "{frames}",
    ]


@pytest.mark.parametrize(
    ("device", "visible", "seen"),
    [
        ("cpu", None, None),
        ("cpu", "3", "3"),
        ("cuda", "2,3", "2,3"),
        ("cuda:1", None, "1"),
        ("cuda:1", "5,7", "7"),
        ("cuda:0", "GPU-8a2f", "GPU-8a2f"),
    ],
)
def test_a_program_sees_the_gpu_of_its_worker_only(
    device: str,
    visible: str | None,
    seen: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    options = CommandOptions(run="x {frames} {out}")
    found = environment(options, device, {})
    assert found.get("CUDA_VISIBLE_DEVICES") == seen


def test_the_environment_may_be_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    run, env = "x {frames} {out}", "A='b c' VIDEO={video}"
    given = environment(CommandOptions(run=run, env=env), "cpu", {"video": "v"})
    assert (given["A"], given["VIDEO"], given["PYTHONPATH"]) == ("b c", "v", "/mine")
    options = CommandOptions(run=run, env=env, inherit=False)
    own = environment(options, "cpu", {"video": "v"})
    assert "PYTHONPATH" not in own
    assert own["PATH"] == given["PATH"]


RECIPES = sorted((Path(__file__).parents[2] / "examples" / "models").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_of_the_examples_has_legal_options(path: Path) -> None:
    text = path.read_text("utf-8")
    # Its first lines tell users to type names this file and all files that run needs.
    assert f"-o @examples/models/{path.name}" in text
    names = [one for one in ("weights", "wrapper", "checkpoints") if f"{one}=" in text]
    files = " ".join(f"{name}={path}" for name in names)
    options = parse_options("command", CommandOptions, [f"@{path}", f"files={files}"])
    assert options.name
    assert options.licence


def test_a_full_disk_under_the_files_of_a_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tree = Tree(_video(), kind="png", link=False, per_object=False, place=tmp_path)
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left") as caught:
        tree.add(np.zeros((24, 32, 3), np.uint8), {})
    assert caught.value.filename == str(tree.root)
