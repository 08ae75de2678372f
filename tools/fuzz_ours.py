"""Files that people and the toolkit write: settings, runs, masks, trainings."""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from fuzz_kind import FRAMES, HEIGHT, VIDEOS, WIDTH, Kind, Places, labels_at
from fuzz_mutations import (
    damaged_bytes,
    damaged_json,
    damaged_lines,
    damaged_png,
    damaged_toml,
    damaged_zip,
)
from submit.archive import open_masks, pack, read_team
from submit.checks import check_masks
from submit.checks.repair import repair
from submit.cli._output import format_score
from submit.cli._runs import facts_of_run
from submit.data.images import read_frame, read_image_header
from submit.ensemble.settings import MergeSettings, read_ensemble_table, read_weights
from submit.errors import SubmitError
from submit.formats import ImportHints, open_foreign, open_video, soft_frames
from submit.masks import encode_rle
from submit.pipeline import saving
from submit.pipeline.exported import ExportRecord
from submit.pipeline.last_score import last_score
from submit.pipeline.recipe import read_recipe
from submit.pipeline.video import VideoPredictor, VideoTask
from submit.png import palette, pictures, pillow
from submit.postprocess.settings import read_postprocess
from submit.predictors import StaticOptions, StaticPredictor, parse_options
from submit.runs import Identity, Run, SoftWriter, VideoRecord
from submit.runs.soft import SoftVideo
from submit.scoring.holdout import read_list
from submit.system.files import checkpoint_path, digest
from submit.training.folder import TrainingFolder, read_log
from submit.training.index import index_source
from submit.training.recipe import read_recipe as read_training
from submit.training.tables import ClipTable, DataTable

__all__ = ["masks_kinds", "runs_kinds", "settings_kinds", "training_kinds"]

RECIPE = """
split = "work/split"
runs = "runs/x"
[sample]
videos = 2
frames = 4
size = [64, 48]
seed = 0
[[predict]]
name = "plain"
predictor = "static"
options = { delay = 0 }
tta = ["hflip", "scale=0.75+hflip"]
[[predict]]
name = "flipped"
predictor = "static"
variant = "hflip"
[[import]]
name = "other"
path = "masks.zip"
[[anchors]]
name = "trusted"
runs = ["plain", "flipped"]
[[predict]]
name = "again"
predictor = "static"
anchors = "trusted"
direction = "both"
[[route]]
name = "routed"
run = "plain"
when = "area < 0.002 and agreement < 0.5"
against = ["flipped"]
variant = "zoom"
[[ensemble]]
name = "both"
members = ["plain", "flipped", "other"]
weights = { plain = 2.0, flipped = 1.0, other = 1 }
[submission]
run = "both"
zip = "out.zip"
settings = "tuned.toml"
"""

TUNED = """
[ensemble]
method = "mean_logits"
[ensemble.weights]
a = 1.0
b = 0.5
[ensemble.weights.alpha]
a = 0.25
b = 1
[ensemble.gate]
threshold = 0.4
[postprocess]
threshold = 0.5
min_area = 4
"""

TRAINING = """
trainer = "sam2"
seed = 1
[model]
checkpoint = "sam2.1_hiera_tiny.pt"
[[data]]
path = "MOSEv2/train"
weight = 1.5
steps = [1, 2]
videos = ["a*"]
exclude = ["b*"]
[clips]
length = 8
[augment]
flip = 0.5
[schedule]
steps = 100
clips = 8
batch = 2
[optimiser]
rate = 1e-5
betas = [0.9, 0.99]
[average]
decay = 0.99
[validation]
split = "holdout"
every = 10
[run]
dtype = "float32"
"""


def settings_kinds(places: Places) -> Iterator[Kind]:
    """What people write."""

    def recipe(path: Path) -> None:
        found = read_recipe(path)
        _ = found.names, found.zip_path, [found.way(one) for one in found.routes]

    yield Kind("recipe", "recipe.toml", RECIPE.encode(), damaged_toml, recipe)
    yield Kind(
        "recipe of a training", "t.toml", TRAINING.encode(), damaged_toml, read_training
    )

    def tuned(path: Path) -> None:
        table = {**read_ensemble_table(path), "members": ["a", "b"]}
        settings = MergeSettings.from_table(table, where=str(path), at=("ensemble",))
        settings.for_members(["a", "b"]).weights_of("alpha", 1)
        read_postprocess(path)

    yield Kind("settings", "tuned.toml", TUNED.encode(), damaged_toml, tuned)

    def weights(path: Path) -> None:
        table = {"weights": read_weights(path), "members": ["a", "b"]}
        MergeSettings.from_table(table, where=str(path)).for_members(["a", "b"])

    yield Kind(
        "weights of members", "w.toml", b"a = 1\nb = 0.5\n", damaged_toml, weights
    )

    def options(path: Path) -> None:
        from submit.predictors.options import expand_settings
        from submit_command import CommandPredictor

        given = expand_settings([f"@{path}"])
        parse_options("command", CommandPredictor.Options, given)

    command = b'run = "python run.py {frames} {out}"\ntimeout = 60\nname = "x"\n'
    yield Kind("options of a model", "", command, damaged_toml, options)
    names = "".join(f"{name}\n" for name in VIDEOS).encode()
    yield Kind("list of videos", "videos.txt", names, damaged_bytes, read_list)


def write_run(path: Path) -> Run:
    """Write a run with one soft video, and one with masks."""
    split = {"path": "split", "fingerprint": "f" * 64}
    identity = Identity("predict", {"predictor": "static", "tta": []}, split, VIDEOS)
    with Run.making(path, identity) as run:
        file = run.soft_path("alpha")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(soft_file(path / "x.npz"))
        run.add(
            "alpha",
            VideoRecord(
                frames=FRAMES,
                objects=(1, 2),
                size=(HEIGHT, WIDTH),
                seconds=1.5,
                digest=digest(file),
                details={
                    "prompts": [["00001", 1, "box"]],
                    "memory": [["00002", 2, "kept"]],
                    "peak_memory": 1 << 30,
                },
                worker={"facts": {"device": "cpu"}},
            ),
        )
        run.fail("beta", "memory ran out")
    return run


def soft_file(path: Path) -> bytes:
    """A soft file."""
    random = np.random.default_rng(0)
    with SoftWriter(path, size=(HEIGHT, WIDTH)) as writer:
        for number in range(FRAMES):
            logits = random.normal(0, 6, (2, 6, 10)).astype(np.float32)
            scores = random.random(2).astype(np.float32)
            writer.write(f"{number:05d}", (1, 2), logits, scores, scores)
    content = path.read_bytes()
    path.unlink()
    return content


def video_task(places: Places, path: Path) -> VideoTask:
    """A video to predict."""
    return VideoTask(
        places.split.videos["alpha"],
        path,
        soft=True,
        late_objects=False,
        source="s",
        identity="i",
    )


def make_video(
    task: VideoTask, progress: Callable[[int], None] = lambda frames: None
) -> None:
    """Predict a video."""
    VideoPredictor(StaticPredictor(StaticOptions()), {"facts": {}})(task, progress)


def interrupt(task: VideoTask) -> tuple[Path, Path]:
    """Interrupt a video; returns its checkpoint, and what that has kept."""

    def stop(frames: int) -> None:
        if (folder / checkpoint.name).exists():
            raise KeyboardInterrupt

    folder, checkpoint = task.path.parent, checkpoint_path(task.path)
    with (
        patch.multiple(saving, EVERY=0.0, SHARE=math.inf),
        contextlib.suppress(KeyboardInterrupt),
    ):
        make_video(task, stop)
    (kept,) = folder.glob(".*.kept")
    return checkpoint, kept


def runs_kinds(places: Places) -> Iterator[Kind]:
    """What the toolkit wrote, perhaps on another machine."""
    template = places.root / "template"
    write_run(template)

    def use(path: Path) -> None:
        run = Run.open(path.parent)
        _ = run.identity, run.origin, run.missing, run.is_soft
        facts_of_run(run)
        for name in run.videos:
            masks = run.read(name)
            with contextlib.closing(masks):
                masks.codes(0)

    def in_run(path: Path) -> Iterator[Path]:
        """A copy of the run, in which the file is put."""
        if not (path.parent / "soft").exists():
            shutil.copytree(template / "soft", path.parent / "soft")
        for name in ("manifest.json", "failed.json"):
            if name != path.name:
                shutil.copy(template / name, path.parent)
        yield path

    def read(path: Path) -> None:
        for each in in_run(path):
            use(each)

    manifest = (template / "manifest.json").read_bytes()
    yield Kind("manifest", "manifest.json", manifest, damaged_json, read)
    revision = json.loads(manifest).get("revision", 0)
    entry = json.loads(manifest)["videos"]["alpha"]
    lines = [
        {"revision": revision},
        {"videos": {"alpha": None}, "failures": {"alpha": "killed"}},
        {"videos": {"alpha": entry}, "failures": {"alpha": None}},
    ]
    log = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    yield Kind("log of videos", "manifest.log", log, damaged_lines, read)
    failed = json.dumps({"beta": "memory ran out", "c": "x"}).encode()
    yield Kind("failed.json", "failed.json", failed, damaged_json, read)

    run = Run.open(template)

    def score(path: Path) -> None:
        for _ in in_run(path):
            found = last_score(Run.open(path.parent))
            if found is not None:  # Others do not count, without an error.
                format_score(found.totals.get("jf_dot"))

    measured = {"identity": run.identity, "split": "split", "videos": 1}
    measured["totals"] = {"jf_dot": 0.5, "j": 0.5, "jf_r": None}
    data = json.dumps(measured).encode()
    yield Kind("last score", ".score.json", data, damaged_json, score)

    def soft(path: Path) -> None:
        video = SoftVideo(path)
        with contextlib.closing(video):
            for index in range(len(video.frames)):
                video.codes(index)

    content = soft_file(places.root / "x.npz")
    yield Kind("soft masks", "alpha.npz", content, damaged_zip, soft)

    task = video_task(places, places.folder("saved") / "alpha.npz")
    checkpoint, kept = interrupt(task)

    def resume(path: Path) -> None:
        (path.parent / kept.name).write_bytes(kept.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make_video(replace(task, path=path.parent / "alpha.npz"))

    data = checkpoint.read_bytes()
    yield Kind("checkpoint of a video", checkpoint.name, data, damaged_zip, resume)

    def export(path: Path) -> None:
        record = ExportRecord.open(path.parent)
        if record.videos:
            masks = record.masks(record.videos, remedy="export again")
            for entry in masks.entries:
                if not entry.is_folder:
                    masks.read_entry(entry.name)

    record = {
        "run": "plain",
        "expected": 1,
        "postprocess": {"threshold": 0.5},
        "videos": {"alpha": {"source": "a" * 64, "masks": "b" * 64, "files": {}}},
    }
    data = json.dumps(record).encode()
    yield Kind("record of an export", ".export.json", data, damaged_json, export)


def masks_kinds(places: Places) -> Iterator[Kind]:
    """Masks, frames and zips."""
    split = places.split
    mask = palette.encode(labels_at(1))

    def png(path: Path) -> None:
        data = path.read_bytes()
        refused: list[SubmitError] = []
        for decode in (
            lambda: palette.decode(data, name=str(path), size=(HEIGHT, WIDTH)),
            lambda: palette.decode_packed(data, name=str(path)),
            lambda: pictures.decode_picture(data, name=str(path)),
            lambda: pillow.decode_as_server(data, name=str(path)),
            lambda: pillow.decode_pixels(data, name=str(path)),
            lambda: pillow.size_of_image(data, name=str(path)),
        ):
            try:
                decode()
            except SubmitError as error:
                refused.append(error)
        if refused:
            raise refused[0]

    yield Kind("palette PNG", "00001.png", mask, damaged_png, png)
    stream = io.BytesIO()
    picture = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(stream, "JPEG", exif=exif)

    def frame(path: Path) -> None:
        read_image_header(path)
        read_frame(path, (HEIGHT, WIDTH))

    yield Kind("frame", "00001.jpg", stream.getvalue(), damaged_bytes, frame)

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for video in VIDEOS:
            for number in range(FRAMES):
                name = f"{video}/{number:05d}.png"
                archive.writestr(name, palette.encode(labels_at(number)))
        archive.writestr("team.json", json.dumps(TEAM))

    def check(path: Path) -> None:
        check_masks(path, split, team=True, workers=1)

    def correct(path: Path) -> None:
        repair(path, places.out / "repaired.zip", split, workers=1)

    def take(path: Path) -> None:
        with open_foreign(path, VIDEOS, ImportHints()) as foreign:
            foreign.require_videos(split)
            for name in sorted(foreign.videos):
                foreign.fingerprint(name)
                files, video = foreign.files(name), split.videos[name]
                with open_video(files, video, ImportHints()) as reader:
                    for _ in soft_frames(reader, video):
                        pass

    zipped, damage = stream.getvalue(), partial(damaged_zip, inner=damaged_png_or_bytes)
    yield Kind("zip, checked", "masks.zip", zipped, damage, check)
    yield Kind("zip, repaired", "masks.zip", zipped, damage, correct)
    yield Kind("zip, imported", "masks.zip", zipped, damage, take)

    def packed(path: Path) -> None:
        with open_masks(path):
            pack(path, places.out / "packed.zip")

    yield Kind("zip, packed again", "masks.zip", zipped, damage, packed)
    team = json.dumps(TEAM).encode()
    yield Kind("team.json", "team.json", team, damaged_json, read_team)


def damaged_png_or_bytes(chance: Random, data: bytes) -> bytes:
    """Damage a member of a zip."""
    if data.startswith(palette.SIGNATURE):
        return damaged_png(chance, data)
    return damaged_bytes(chance, data)


TEAM: dict[str, Any] = {
    "By submitting the test results, I agree with the challenge terms and policies.": (
        True
    ),
    "team_name": "us",
    "members": [{"name": "Ada", "affiliation": "A lab"}],
    "email": "ada@lab.ac.uk",
}


def training_kinds(places: Places) -> Iterator[Kind]:
    """Data, logs and records of trainings."""
    rle = encode_rle(labels_at(1) == 1)
    names = [f"alpha/{number:05d}.jpg" for number in range(FRAMES)]
    vis = {
        "videos": [{"id": 1, "file_names": names, "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {"id": 1, "video_id": 1, "segmentations": [rle, None, rle, rle]}
        ],
    }

    def source(path: Path) -> None:
        images = places.root / "split" / "JPEGImages"
        table = DataTable(path=images, annotations=path)
        index_source(table, ClipTable(length=2), workers=1)

    data = json.dumps(vis).encode()
    yield Kind("data of a training", "vis.json", data, damaged_json, source)
    burst = {
        "sequences": [
            {
                "seq_name": "alpha",
                "dataset": ".",
                "width": WIDTH,
                "height": HEIGHT,
                "annotated_image_paths": [
                    f"{number:05d}.jpg" for number in range(FRAMES)
                ],
                "segmentations": [{"1": {"rle": rle["counts"]}}] * FRAMES,
            }
        ]
    }
    data = json.dumps(burst).encode()
    yield Kind("data of BURST", "burst.json", data, damaged_json, source)
    lines = b'{"step": 1, "loss": 0.5, "rate": 1e-5}\n{"step": 2, "validation": {}}\n'

    def log(path: Path) -> None:
        read_log(path.parent)

    yield Kind("log of a training", "log.jsonl", lines, damaged_lines, log)

    def begun(path: Path) -> None:
        TrainingFolder(path.parent).claim({"seed": 1}, {})

    record = {"schema": 1, "deciding": {"seed": 1}, "environment": {}}
    data = json.dumps(record).encode()
    yield Kind("record of a training", "training.json", data, damaged_json, begun)
