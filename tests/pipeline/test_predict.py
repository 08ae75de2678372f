"""When `submit predict` continues a run, and how it chooses devices."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.predictors import (
    Description,
    Frame,
    Prediction,
    Prompts,
    Session,
    StaticOptions,
    StaticPredictor,
    Video,
    option,
)
from submit.runs import Run
from tests.pipeline.conftest import InstallModels

Submit = Callable[..., Result]


@dataclass(frozen=True)
class BatchedOptions:
    """Options as SAM 2 has them."""

    checkpoint: str | None = option(None, "Weights.", file=True)
    size: int = option(8, "Decides.")
    batch: int | None = option(None, "Does not.", decides=False)
    dtype: str = option("auto", "A fact of the worker.", decides=False)


class Batched(StaticPredictor):
    """A model that runs out of memory for video `b`, unless the batch is 1."""

    Options: ClassVar[type[Any]] = BatchedOptions

    def __init__(self, options: BatchedOptions, *, device: str = "auto") -> None:
        super().__init__(StaticOptions(), device=device)
        self._options = options

    def describe(self) -> Description:
        dtype = self._options.dtype
        return Description(
            model="batched",
            licence="MIT",
            details={"dtype": "float32" if dtype == "auto" else dtype},
        )

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        inner = super().session(video, scale=scale)
        fails = video.name == "b" and self._options.batch != 1
        return _Greedy(inner) if fails else inner


@dataclass(frozen=True)
class SparingOptions(BatchedOptions):
    """The same options, but the model knows with which it takes less memory."""

    batch: int | None = option(None, "Does not.", decides=False, sparing=1)


class Sparing(Batched):
    """The same model with these options."""

    Options: ClassVar[type[Any]] = SparingOptions


class _Greedy:
    def __init__(self, inner: Session) -> None:
        self._inner = inner

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        raise MemoryError("2 GiB")

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def submit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: Callable[..., Path],
    runner: CliRunner,
    install_models: InstallModels,
) -> Submit:
    """Run a command beside a split, with the model `batched` installed."""
    install_models(batched=f"{__name__}:Batched", sparing=f"{__name__}:Sparing")
    monkeypatch.chdir(tmp_path)
    write_split(("a", "b"))
    Path("weights.pt").write_bytes(b"weights")

    def call(*command: str) -> Result:
        arguments = [word for part in command for word in part.split()]
        return runner.invoke(cli, arguments)

    return call


def _linked(link: Callable[[Path, str], None], path: Path) -> Path:
    link(path, "link.pt")
    return Path("link.pt")


def predict(submit: Submit, *options: str) -> Result:
    return submit("predict split --predictor batched --name r", *options)


@pytest.mark.slow
def test_the_advice_when_memory_runs_out_continues_the_run(submit: Submit) -> None:
    first = predict(submit, "-o checkpoint=weights.pt -o batch=8")
    assert first.exit_code == 1
    assert (
        "memory ran out (2 GiB); it was tried once more, alone, and the same happened; "
        "use a machine with more memory"
    ) in " ".join(first.stderr.split())
    kept = Path("runs/r/soft/a.npz").read_bytes()

    second = predict(submit, "-o checkpoint=weights.pt -o batch=1")

    assert second.exit_code == 0, second.output
    assert Path("runs/r/soft/a.npz").read_bytes() == kept
    assert Run.open(Path("runs/r")).videos.keys() == {"a", "b"}


@pytest.mark.slow
def test_a_video_whose_memory_runs_out_is_made_with_a_smaller_batch(
    submit: Submit,
) -> None:
    found = submit("predict split --predictor sparing -o batch=8 --name r")

    assert found.exit_code == 0, found.output
    assert "memory ran out (2 GiB); it is tried once more, alone" in " ".join(
        found.stderr.split()
    )
    videos = Run.open(Path("runs/r")).videos
    batches = {name: (one.worker or {})["options"] for name, one in videos.items()}
    assert {name: one["batch"] for name, one in batches.items()} == {"a": 8, "b": 1}


@pytest.mark.parametrize(
    "place",
    [
        lambda path: path,
        Path.absolute,
        lambda path: Path("..") / Path.cwd().name / path,
        lambda path: Path(shutil.copy(path, "elsewhere.pt")),
        lambda path: _linked(os.symlink, path),
        lambda path: _linked(os.link, path),
    ],
    ids=["same", "absolute", "roundabout", "copied", "linked", "hard link"],
)
def test_weights_are_known_by_their_content(
    submit: Submit, place: Callable[[Path], Path]
) -> None:
    assert predict(submit, "-o batch=1 -o checkpoint=weights.pt").exit_code == 0

    again = predict(submit, f"-o batch=1 -o checkpoint={place(Path('weights.pt'))}")

    assert again.exit_code == 0, again.output
    assert "nothing to do" in again.stderr


def test_other_weights_at_the_same_path_are_refused(submit: Submit) -> None:
    assert predict(submit, "-o batch=1 -o checkpoint=weights.pt").exit_code == 0
    Path("weights.pt").write_bytes(b"retrained")

    again = predict(submit, "-o batch=1 -o checkpoint=weights.pt")

    assert again.exit_code == 1
    assert "made with other settings (options.checkpoint: it has" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-o size=16", "options.size: it has 8, asked for 16"),
        ("-o dtype=bfloat16", "made with dtype float32, asked for bfloat16"),
        ("--variant hflip", 'variant: it has "plain", asked for "hflip"'),
        ("--tta hflip", 'tta 1: it has nothing, asked for "hflip"'),
        ("--no-soft", "soft: it has true, asked for false"),
        ("--late-objects", "late_objects: it has false, asked for true"),
    ],
)
def test_what_decides_the_masks_is_refused_also_where_all_is_there(
    submit: Submit, options: str, message: str
) -> None:
    assert predict(submit, "-o batch=1").exit_code == 0

    again = predict(submit, "-o batch=1", options)

    assert again.exit_code == 1, again.output
    assert message in again.stderr


@pytest.mark.parametrize(
    "options", ["-o batch=1", "-o dtype=float32", "-o dtype=auto", "--workers 2"]
)
def test_what_does_not_decide_may_change(submit: Submit, options: str) -> None:
    assert predict(submit, "-o batch=1").exit_code == 0

    again = predict(submit, options)

    assert again.exit_code == 0, again.output
    assert "nothing to do" in again.stderr


def test_the_manifest_has_the_facts_of_the_worker(submit: Submit) -> None:
    assert predict(submit, "-o batch=1 -o dtype=bfloat16").exit_code == 0

    worker = Run.open(Path("runs/r")).videos["a"].worker

    assert worker is not None
    assert worker["facts"] == {"device": "cpu", "dtype": "bfloat16"}
    assert worker["options"] == {"batch": 1, "dtype": "bfloat16"}


@pytest.mark.parametrize("predictor", ["static", "classical", "sam2", "batched"])
@pytest.mark.parametrize("device", ["cuda:99", "gpu", "CPU", "cpu:7"])
def test_a_device_that_is_not_there_is_an_error_for_every_model(
    submit: Submit, predictor: str, device: str
) -> None:
    options = "-o checkpoint=weights.pt" if predictor == "sam2" else ""

    done = submit(
        f"predict split --predictor {predictor} --name r --device {device}", options
    )

    assert done.exit_code == 1, done.output
    assert device in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("runs/r").exists()


def test_devices_are_those_that_pytorch_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from submit.errors import PredictorError
    from submit.executors.devices import choose_devices

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for wanted, usable, found in (
        ("auto", None, ["cuda:0", "cuda:1"]),
        ("auto", ("cpu",), ["cpu"]),
        ("cuda", None, ["cuda:0", "cuda:1"]),
        ("cuda:1", ("cpu", "cuda"), ["cuda:1"]),
        ("cpu", None, ["cpu"]),
    ):
        assert choose_devices(wanted, usable, predictor="m") == found
    for wanted, usable, message in (
        ("cuda:2", None, "is not there"),
        ("cuda", ("cpu",), "m runs on cpu only"),
    ):
        with pytest.raises(PredictorError, match=message):
            choose_devices(wanted, usable, predictor="m")


@pytest.mark.parametrize(
    ("variant", "files"),
    [
        ((), True),
        (("--variant", "scale=2"), True),
        (("--variant", "hflip"), False),
        (("--variant", "scale=2+gamma=0.5"), False),
    ],
)
def test_a_model_gets_the_files_of_frames_that_it_sees_as_they_are(
    variant: tuple[str, ...],
    files: bool,
    submit: Submit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Video] = []
    original = Batched.session

    def session(self: Batched, video: Video, *, scale: float = 1.0) -> Session:
        seen.append(video)
        return original(self, video, scale=scale)

    monkeypatch.setattr(Batched, "session", session)
    masks = Path("split/Annotations/a")
    (masks / "00000.png").rename(masks / "00001.png")
    done = predict(submit, "--late-objects --videos a -o size=1", *variant)
    assert done.exit_code == 0, done.output
    images = Path.cwd() / "split/JPEGImages/a"
    shown = (images / "00001.jpg", images / "00002.jpg") if files else ()
    assert seen[-1].images == shown
