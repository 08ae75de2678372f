"""Rows of `sample`, `videos`, `holdout`, `build` and `completion`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.commands.rows import Done, Row, Stage, put, read

__all__ = ["ROWS"]

_SAMPLE = "sample new --videos 1 --frames 2 --size 64x48"


def _damage(stage: Stage) -> None:
    """Damage the middle of a frame; its header and its end stay."""
    del stage
    frame = Path("split/JPEGImages/vanish/00002.jpg")
    data = bytearray(frame.read_bytes())
    start = data.index(b"\xff\xda") + 20
    data[start : start + 60] = b"\xff\xc4" * 30
    frame.unlink()  # It is a link.
    frame.write_bytes(data)


def _drawn(done: Done) -> bool:
    del done
    with Image.open("new/JPEGImages/vanish/00001.jpg") as image:
        return image.size == (64, 48)


def _other_pixels(done: Done) -> bool:
    """The seed decides what is drawn."""
    del done
    frames = [Path(f"{name}/JPEGImages/vanish/00001.jpg") for name in ("new", "first")]
    return frames[0].read_bytes() != frames[1].read_bytes()


def _held(names: set[str]) -> bool:
    return {path.name for path in Path("held/JPEGImages").iterdir()} == names


def _other_model(done: Done) -> bool:
    del done
    made = read("built-model-CentrePredictor/plain/manifest.json")["settings"]
    return bool(made["options"] == {"radius": 3.0})


ROWS = (
    Row(
        f"{_SAMPLE} --json",
        data={"": {"split": "new", "videos": 1, "frames": 2}},
        check=_drawn,
    ),
    Row(
        f"{_SAMPLE} --seed 4 --force",
        before=[_SAMPLE, _SAMPLE.replace("new", "first")],
        check=_other_pixels,
    ),
    Row(
        "videos split --videos s[im]*i* --json",
        data={"videos.0.name": "similar", "videos.0.annotated": 6},
        stderr=["1 video, 6 frames"],
    ),
    Row(
        "videos split --meta few.json",
        code=1,
        stdout=["the meta file does not list this video"],
    ),
    Row("videos split", prepare=_damage, absent=["vanish/00002.jpg"]),
    Row("videos split --decode", prepare=_damage, code=1, stdout=["vanish/00002.jpg"]),
    Row(
        "holdout split --output held --videos 1 --seed 1 --workers 1 --json",
        data={"videos": ["vanish"], "path": "held"},
        workers=1,
        check=lambda done: _held({"vanish"}),
    ),
    Row(
        "holdout split -o held --seed 2 --videos 1 --meta few.json",
        stderr=["few.json: lists 1 video that has no folder, such as gone"],
        check=lambda done: _held({"small"}),
    ),
    Row(
        "holdout split -o held --videos 2 --force",
        before=["holdout split -o held --videos 1"],
        stdout=["videos  2"],
    ),
    Row(
        "holdout split -o held --list list.txt",
        prepare=lambda stage: Path("list.txt").write_text("similar\nvanish\n"),
        check=lambda done: _held({"similar", "vanish"}),
    ),
    Row(
        "build recipe.toml --split valid --meta few.json --workers 1 --json",
        data={"split": "valid", "runs.0.name": "plain", "runs.0.scores": None},
        workers=1,
        files=["built/submission.zip"],
        stderr=["few.json: lists 1 video that has no folder, such as gone"],
    ),
    Row(
        "build recipe.toml --predictor model.py:CentrePredictor -o radius=3",
        stdout=["built-model-CentrePredictor/submission.zip"],
        check=_other_model,
    ),
    Row("build recipe.toml --option radius=3", code=2, stderr=["-o needs --predictor"]),
    Row(
        "build recipe.toml --force",
        prepare=lambda stage: put("built/submission.zip"),
        stdout=["precheck  no findings"],
    ),
    Row(
        "build recipe.toml --device cuda:77",
        code=1,
        stderr=["--device cuda:77: is not there"],
    ),
    Row(
        "plan recipe.toml --split valid --meta few.json --workers 1 --frames 4 --json",
        data={
            "steps.0.name": "plain",
            "steps.0.does": "predict",
            "steps.0.videos": 3,
            "steps.0.frames": 18,
            "probed": 24,
            "steps.0.workers": 1,
            "choices.0.workers": 1,
            "fits": True,
        },
        check=lambda done: not Path("built").exists(),
    ),
    Row(
        "plan recipe.toml",
        before=["build recipe.toml"],
        stdout=["plain  predict       0  done", "probed  0 frames", "fits    yes"],
    ),
    Row(
        "plan recipe.toml --predictor model.py:CentrePredictor -o radius=3",
        before=[
            "predict split --predictor static --name plain "
            "--runs built-model-CentrePredictor"
        ],
        code=1,
        stdout=["fits           no"],
        stderr=[
            "built-model-CentrePredictor/plain: this run was made with other settings",
            "give the step another name",
        ],
    ),
    Row("plan recipe.toml --option radius=3", code=2, stderr=["-o needs --predictor"]),
    Row(
        "plan recipe.toml --device cuda:77",
        code=1,
        stderr=["--device cuda:77: is not there"],
    ),
    Row("completion bash", stdout=["_SUBMIT_COMPLETE=bash_complete", "-o nospace"]),
    Row("completion csh", code=2, stderr=["'csh' is not one of 'bash', 'zsh', 'fish'"]),
)
