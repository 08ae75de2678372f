"""A video that was interrupted goes on where its state was saved, with equal bytes."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from submit.augment import augmented, parse_variant
from submit.data import SplitVideo, read_prompts, read_split
from submit.errors import PredictorError, SplitError, StorageError
from submit.pipeline import saving
from submit.pipeline.prompter import PromptedPredictor
from submit.pipeline.video import VideoPredictor, VideoTask
from submit.png.palette import encode
from submit.predictors import (
    AcceptedPrompts,
    AnySession,
    DelayedSession,
    Description,
    Frame,
    MemoryEvent,
    Prediction,
    Predictor,
    Prompts,
    Remark,
    State,
    StaticOptions,
    StaticPredictor,
    Video,
    memory_events,
    read_state,
    restore_session,
    session_state,
    write_state,
)
from submit.runs import VideoRecord
from submit.system.files import checkpoint_path, remove_partial
from tests.conftest import WriteSplit
from tests.predictors.later import LaterOptions, LaterPredictor
from tests.test_untrusted import FILES, Trap

FRAMES = tuple(f"{index:05}" for index in range(7))


class Interrupted(BaseException):
    """The process ends here."""


class Limited:
    """A model that ends its process after some steps.

    Attributes:
        steps: Steps that were made.
    """

    Options: ClassVar[type[Any]] = object

    def __init__(self, inner: Predictor, most: float = math.inf) -> None:
        self._inner, self._most, self.steps = inner, most, 0
        self.end: BaseException = Interrupted()

    def describe(self) -> Description:
        return self._inner.describe()

    def session(self, video: Video, *, scale: float = 1.0) -> AnySession:
        inner = self._inner.session(video, scale=scale)
        delayed = isinstance(inner, DelayedSession)
        return (LimitedDelayed if delayed else LimitedSession)(self, inner)

    def count(self) -> None:
        if self.steps >= self._most:
            raise self.end
        self.steps += 1


class LimitedSession:
    def __init__(self, model: Limited, inner: Any) -> None:
        self._model, self._inner = model, inner

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return memory_events(self._inner)

    def step(self, frame: Frame, prompts: Prompts) -> Any:
        self._model.count()
        return self._inner.step(frame, prompts)

    def state(self) -> State | None:
        return session_state(self._inner)

    def restore(self, state: State) -> None:
        restore_session(self._inner, state)

    def close(self) -> None:
        self._inner.close()


class LimitedDelayed(LimitedSession):
    def finish(self) -> Iterator[Prediction]:
        yield from self._inner.finish()


class Moving(StaticPredictor):
    """Moves each mask by a row a frame, so that each frame is another one."""

    def session(self, video: Video, *, scale: float = 1.0) -> Any:
        return MovingSession()


class MovingSession:
    def __init__(self) -> None:
        self._inner, self._frame = StaticPredictor(StaticOptions()), 0
        self._session: Any = self._inner.session(Video("v", 1, 1, 1))

    @property
    def events(self) -> Sequence[MemoryEvent]:
        return [MemoryEvent(frame, 1, "even") for frame in range(0, self._frame, 2)]

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        found: Prediction = self._session.step(frame, prompts)
        shift = self._frame
        self._frame += 1
        assert found.presence is not None
        logits = found.logits.copy()
        logits[:, shift:] = found.logits[:, : logits.shape[1] - shift]
        return replace(found, logits=logits, presence=found.presence + shift, iou=None)

    def state(self) -> State:
        return {"frame": self._frame, "inner": self._session.state()}

    def restore(self, state: State) -> None:
        self._frame = state["frame"]
        self._session.restore(state["inner"])

    def close(self) -> None:
        self._session.close()


def moving() -> Predictor:
    return Moving(StaticOptions())


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the state after every frame."""
    monkeypatch.setattr(saving, "EVERY", 0.0)
    monkeypatch.setattr(saving, "SHARE", math.inf)


@pytest.fixture
def video(write_split: WriteSplit) -> SplitVideo:
    split = write_split(("v",), frames=FRAMES, objects=(2, 1))
    return read_split(split).videos["v"]


@dataclass
class Work:
    """One video, its folder, and what was told of it."""

    task: VideoTask
    told: list[int]

    def do(self, model: Predictor, **worker: Any) -> VideoRecord:
        self.told = []
        make = VideoPredictor(model, {"facts": {"device": "cpu"}, **worker})
        return make(self.task, self.told.append)

    def interrupted(self, model: Predictor, steps: int) -> None:
        with pytest.raises(Interrupted):
            self.do(Limited(model, steps))
        assert sum(self.told) < self.task.video.length

    @property
    def folder(self) -> Path:
        return self.task.path.parent

    def left(self) -> list[str]:
        """Hidden files beside the result."""
        return sorted(
            path.name for path in self.folder.iterdir() if path.name[0] == "."
        )


@pytest.fixture
def work(video: SplitVideo, tmp_path: Path) -> Callable[..., Work]:
    def make(name: str = "run", *, soft: bool = True, **changes: Any) -> Work:
        path = tmp_path / name / ("soft/v.npz" if soft else "masks/v")
        path.parent.parent.mkdir()
        task = VideoTask(
            video, path, soft=soft, late_objects=False, source="s", identity="i"
        )
        return Work(replace(task, **changes), [])

    return make


def content(path: Path) -> dict[str, str]:
    """The digests of a file, or of all files in a folder."""
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in files}


def told_of(record: VideoRecord) -> dict[str, Any]:
    """A record without what the machine decides."""
    entry = record.to_entry()
    details = entry.pop("details", {})
    entry["memory"] = details.get("memory")
    return {key: one for key, one in entry.items() if key != "seconds"}


def check_all_stops(
    work: Callable[..., Work],
    make: Callable[[], Predictor],
    *,
    steps: int = len(FRAMES),
    **changes: Any,
) -> None:
    """Interrupt a video after each of its steps, and let a new model continue it."""
    usual = work("usual", **changes)
    whole = Limited(make())
    wanted = told_of(usual.do(whole))
    assert whole.steps == steps
    assert usual.left() == []
    for stop in range(1, steps):
        one = work(f"stop {stop}", **changes)
        one.interrupted(make(), stop)
        again = Limited(make())
        with pytest.warns(Remark, match="v: continued after"):
            record = one.do(again)
        assert again.steps == steps - stop, "a frame was made twice"
        assert sum(one.told) == len(FRAMES)
        assert told_of(record) == wanted
        assert content(one.task.path) == content(usual.task.path)
        assert one.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("soft", [True, False], ids=["soft", "masks"])
def test_a_video_continues_after_any_frame_with_the_same_bytes(
    soft: bool, work: Callable[..., Work]
) -> None:
    check_all_stops(work, moving, soft=soft)


@pytest.mark.slow
@pytest.mark.parametrize("soft", [True, False], ids=["soft", "masks"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: augmented(moving(), variant=parse_variant("hflip+clahe"), tta=[]),
        lambda: augmented(
            moving(), variant=None, tta=[parse_variant("hflip"), parse_variant("zoom")]
        ),
        lambda: augmented(moving(), variant=parse_variant("zoom+hflip"), tta=[]),
        lambda: LaterPredictor(LaterOptions(2)),
        lambda: LaterPredictor(LaterOptions(100)),
        lambda: augmented(
            LaterPredictor(LaterOptions(3)), variant=parse_variant("hflip"), tta=[]
        ),
    ],
    ids=["variant", "merged", "zoom", "later", "much later", "variant of later"],
)
def test_wrapped_and_delayed_models_continue(
    make: Callable[[], Predictor], soft: bool, work: Callable[..., Work]
) -> None:
    check_all_stops(work, make, soft=soft)


@pytest.mark.slow
def test_a_prompter_and_objects_that_join_later_continue(
    work: Callable[..., Work], video: SplitVideo, tmp_path: Path
) -> None:
    labels = np.full(video.size, 1, np.uint8)
    labels[9:12, 5:15] = 3
    late = tmp_path / "split" / "Annotations" / "v" / "00004.png"
    late.write_bytes(encode(labels))
    video = read_split(tmp_path / "split").videos["v"]
    prompts = prompts_of(video, tmp_path, {"00002": {"1": {"box": [3, 2, 9, 9]}}})

    def make() -> Predictor:
        return PromptedPredictor(MasksOnly(), moving(), name="static")

    check_all_stops(work, make, video=video, prompts=prompts, late_objects=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "soft",
    [True, False],
    ids=["soft", "masks"],
)
def test_both_passes_continue(
    soft: bool, work: Callable[..., Work], video: SplitVideo, tmp_path: Path
) -> None:
    prompts = prompts_of(video, tmp_path, {"00004": {"1": {"box": [3, 2, 9, 9]}}})
    check_all_stops(
        work, moving, steps=12, soft=soft, prompts=prompts, direction="both"
    )


class MasksOnly(Moving):
    """Takes no boxes."""

    def __init__(self) -> None:
        super().__init__(StaticOptions())

    def describe(self) -> Description:
        return replace(super().describe(), prompts=AcceptedPrompts(corrections=True))


def prompts_of(video: SplitVideo, folder: Path, given: dict[str, Any]) -> Any:
    """Prompts as the command line reads them."""
    path = folder / "prompts.json"
    path.write_text(json.dumps({"version": 1, "videos": {"v": given}}))
    return read_prompts(path, read_split(folder / "split")).videos["v"]


def test_it_may_be_interrupted_again_and_again(work: Callable[..., Work]) -> None:
    usual, one = work("usual"), work("one")
    usual.do(moving())
    one.interrupted(moving(), 2)
    with pytest.warns(Remark, match="v: continued after frame 00001"):
        one.interrupted(moving(), 2)
    assert [name.rpartition(".")[2] for name in one.left()] == ["kept", "checkpoint"]
    with pytest.warns(Remark, match="v: continued after frame 00003"):
        record = one.do(moving())
    assert content(one.task.path) == content(usual.task.path)
    assert record.seconds > 0


def test_the_seconds_and_the_memory_of_all_pieces_count(
    work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = work()
    monkeypatch.setattr("submit.pipeline.video.peak_memory", lambda: {"peak_memory": 9})
    monkeypatch.setattr(
        "submit.pipeline.video.time.perf_counter", iter(range(99)).__next__
    )
    one.interrupted(moving(), 3)
    monkeypatch.setattr("submit.pipeline.video.peak_memory", lambda: {"peak_memory": 5})
    monkeypatch.setattr(
        "submit.pipeline.video.time.perf_counter", iter((0, 100)).__next__
    )
    monkeypatch.setattr(saving, "EVERY", math.inf)
    with pytest.warns(Remark):
        record = one.do(moving())
    # The clock of the first piece was read at its start and for each of three states.
    assert record.seconds == 103
    assert record.details["peak_memory"] == 9


def test_a_video_that_is_ready_soon_saves_nothing(
    work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "EVERY", 60.0)
    one = work()
    one.interrupted(moving(), 6)
    assert one.left() == []


def test_saving_takes_a_small_share_of_the_time(tmp_path: Path) -> None:
    saving_of = {"EVERY": 60.0, "SHARE": 0.02}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in saving_of.items():
            patch.setattr(saving, name, value)
        now, saved = 0.0, []
        saver = saving.Saver(tmp_path / "v.npz", "v", "f", clock=lambda: now)

        def save(state: State) -> tuple[dict[str, Any], list[str]]:
            nonlocal now
            saved.append(now)
            now += 3  # A slow disk.
            return {}, []

        for second in range(500):
            now = max(now, second)
            saver.offer(lambda: 1, lambda: None, save)
    assert saved == [60, 213, 366]


def broken(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 64
    path.write_bytes(bytes(data))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def older(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"state 1", b"state 0"))


def without_output(path: Path) -> None:
    for kept in path.parent.glob("*.kept"):
        kept.unlink()


def other_output(path: Path) -> None:
    for kept in path.parent.glob("*.kept"):
        flipped(kept)


def shorter_output(path: Path) -> None:
    for kept in path.parent.glob("*.kept"):
        kept.write_bytes(kept.read_bytes()[:100])


def change(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with path.open("rb") as stream:
        saved = read_state(stream)
    change(saved["content"])
    with path.open("wb") as stream:
        write_state(saved, stream)


def beyond_the_end(path: Path) -> None:
    change(path, lambda content: content["tracked"].update(shown=99))


def before_the_beginning(path: Path) -> None:
    change(path, lambda content: content["tracked"].update(shown=-2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        *(broken, flipped, empty, older, without_output, other_output),
        *(shorter_output, beyond_the_end, before_the_beginning),
    ],
)
def test_a_damaged_checkpoint_is_deleted_and_the_video_begins_again(
    damage: Callable[[Path], None], work: Callable[..., Work]
) -> None:
    usual, one = work("usual"), work("one")
    usual.do(moving())
    one.interrupted(moving(), 3)
    damage(checkpoint_path(one.task.path))
    whole = Limited(moving())
    with pytest.warns(Remark, match="v: its checkpoint .*; it begins at its first fra"):
        one.do(whole)
    assert whole.steps == sum(one.told) == len(FRAMES)
    assert content(one.task.path) == content(usual.task.path)
    assert one.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("memory", [None, [["00001"]], [["00001", "1", "even"]]])
def test_a_finished_pass_in_another_form_is_made_again(
    memory: Any, work: Callable[..., Work], video: SplitVideo, tmp_path: Path
) -> None:
    prompts = prompts_of(video, tmp_path, {"00004": {"1": {"box": [3, 2, 9, 9]}}})
    one = work(prompts=prompts, direction="both")
    one.interrupted(moving(), 9)
    change(
        checkpoint_path(one.task.path), lambda content: content.update(memory=memory)
    )
    whole = Limited(moving())
    with pytest.warns(Remark, match="its checkpoint has another form; it begins at"):
        one.do(whole)
    assert whole.steps == 12


@pytest.mark.parametrize(
    "change",
    [{"identity": "j"}, {"source": "t"}],
    ids=["settings", "frames"],
)
def test_a_checkpoint_counts_only_for_the_same_settings_and_frames(
    change: dict[str, Any], work: Callable[..., Work]
) -> None:
    one = work()
    one.interrupted(moving(), 3)
    one.task = replace(one.task, **change)
    whole = Limited(moving())
    with pytest.warns(Remark, match="was made with other settings, files or versions"):
        one.do(whole)
    assert whole.steps == len(FRAMES)


def test_a_checkpoint_counts_only_for_the_same_kind_of_device(
    work: Callable[..., Work],
) -> None:
    one = work()
    one.interrupted(moving(), 3)
    with pytest.warns(Remark, match="was made with other settings, files or versions"):
        one.do(moving(), facts={"device": "cuda"})


@pytest.mark.slow
def test_no_checkpoint_runs_code(work: Callable[..., Work], tmp_path: Path) -> None:
    one, sprung = work(), tmp_path / "sprung"
    one.task.path.parent.mkdir()
    for make in FILES:
        checkpoint_path(one.task.path).write_bytes(make(Trap(sprung)))
        with pytest.warns(Remark, match="its checkpoint is damaged"):
            one.do(moving())
        assert not sprung.exists(), make.__name__


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../victim", "/etc/passwd", "..", 7])
@pytest.mark.parametrize("soft", [True, False], ids=["soft", "masks"])
def test_names_in_a_checkpoint_lead_nowhere(
    name: object, soft: bool, work: Callable[..., Work], tmp_path: Path
) -> None:
    one = work(soft=soft)
    victim = one.folder.parent / "victim"
    one.interrupted(moving(), 3)
    path = checkpoint_path(one.task.path)
    with path.open("rb") as stream:
        saved = read_state(stream)
    victim.write_bytes(b"mine")
    for place in ("name", "files"):
        output = saved["content"]["output"]
        if place == "name":
            output["name"] = name
        elif not soft:
            output["files"] = {name: "0"}
        with path.open("wb") as stream:
            write_state(saved, stream)
        with pytest.warns(Remark, match="its checkpoint has another output"):
            one.do(moving())
        assert victim.read_bytes() == b"mine"


class Unwilling(MovingSession):
    def state(self) -> State:
        raise RuntimeError("it is a bug")


class Strange(MovingSession):
    def state(self) -> State:
        return {"frame": {1, 2}}


class Stateless(MovingSession):
    def state(self) -> State:
        return None


class Careless(MovingSession):
    def restore(self, state: State) -> None:
        self._frame = state["frames"]


class Of(Moving):
    """A model with sessions of a class."""

    def __init__(self, kind: type[MovingSession]) -> None:
        super().__init__(StaticOptions())
        self.kind = kind

    def session(self, video: Video, *, scale: float = 1.0) -> Any:
        return self.kind()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Unwilling, "it is a bug"), (Strange, r"state.*frame is a builtins.set")],
)
def test_a_model_whose_state_cannot_be_saved_is_predicted_all_the_same(
    kind: type[MovingSession], reason: str, work: Callable[..., Work]
) -> None:
    one, model = work(), Of(kind)
    with pytest.warns(
        Remark, match=rf"v: its state could not be saved .*{reason}"
    ) as all_:
        one.do(model)
    assert len(all_) == 1, "it is tried once"
    assert one.left() == []


class Short(MovingSession):
    def state(self) -> State:
        if self._frame == 2:
            raise MemoryError
        return super().state()


def test_memory_that_runs_out_while_saving_costs_one_checkpoint(
    work: Callable[..., Work],
) -> None:
    one, model = work(), Of(Short)
    with pytest.warns(Remark, match="its state could not be saved .memory ran out"):
        one.interrupted(model, 3)
    rest = Limited(model)
    with pytest.warns(Remark, match="v: continued after frame 00002"):
        one.do(rest)
    assert rest.steps == len(FRAMES) - 3


def test_a_model_without_a_state_begins_again(work: Callable[..., Work]) -> None:
    one, model = work(), Of(Stateless)
    whole = Limited(model)
    one.interrupted(model, 3)
    assert one.left() == []
    one.do(whole)
    assert whole.steps == len(FRAMES)


def test_a_state_that_a_model_does_not_take_begins_again(
    work: Callable[..., Work],
) -> None:
    one, model = work(), Of(Careless)
    one.interrupted(model, 3)
    with pytest.warns(
        Remark, match="its checkpoint is not one of this model .'frames'"
    ):
        one.do(model)
    assert sum(one.told) == len(FRAMES)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_while_saving_does_not_stop_the_video(
    work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, one = work("usual"), work("one")
    usual.do(moving())
    monkeypatch.setattr("submit.runs.checkpoint.write_state", full)
    with pytest.warns(Remark, match="state could not be saved .*the disk is full"):
        one.do(moving())
    assert content(one.task.path) == content(usual.task.path)
    assert one.left() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("soft", "place"),
    [
        (True, "submit.runs.soft.SoftWriter._member"),
        (False, "submit.runs.masks.MaskWriter._write"),
        (True, "submit.runs.soft.sync"),
    ],
    ids=["soft", "masks", "when synced"],
)
def test_a_disk_that_is_full_for_the_result_stops_it_and_keeps_what_was_saved(
    soft: bool,
    place: str,
    work: Callable[..., Work],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual, one = work("usual", soft=soft), work("one", soft=soft)
    usual.do(moving())
    one.interrupted(moving(), 4)
    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        with (
            pytest.warns(Remark, match="continued after frame 00003"),
            pytest.raises(StorageError, match="the disk is full"),
        ):
            one.do(moving())
    rest = Limited(moving())
    with pytest.warns(Remark, match="v: continued after frame 0000[34]"):
        one.do(rest)
    assert rest.steps <= 3
    assert content(one.task.path) == content(usual.task.path)
    assert one.left() == []


@pytest.mark.parametrize("error", [MemoryError(), SplitError("a frame is damaged")])
def test_what_was_saved_stays_after_errors_that_may_be_repaired(
    error: Exception, work: Callable[..., Work]
) -> None:
    one, model = work(), Limited(moving(), 4)
    model.end = error
    with pytest.raises(type(error)):
        one.do(model)
    rest = Limited(moving())
    with pytest.warns(Remark, match="v: continued after frame 00003"):
        one.do(rest)
    assert rest.steps == 3


def test_nothing_stays_after_an_error_of_the_model(work: Callable[..., Work]) -> None:
    one, model = work(), Limited(moving(), 4)
    model.end = PredictorError("its weights are damaged")
    with pytest.raises(PredictorError):
        one.do(model)
    remove_partial(one.folder)
    assert one.left() == []
