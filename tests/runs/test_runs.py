from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from submit.errors import MaskError, RunError, RunMismatchError, StorageError
from submit.masks import to_labels
from submit.png.palette import encode
from submit.runs import SCHEMA, HardVideo, Run, SoftVideo, SoftWriter, VideoRecord
from submit.system.files import digest

Random = np.random.Generator


@pytest.fixture
def random() -> Random:
    return np.random.default_rng(0)


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def write_soft(path: Path, random: Random, frames: int = 3, objects: int = 2) -> None:
    with SoftWriter(path, size=(20, 30)) as writer:
        for index in range(frames):
            logits = random.normal(0, 6, (objects, 5, 7)).astype(np.float32)
            scores = random.normal(size=objects).astype(np.float32)
            ids = range(1, objects + 1)
            writer.write(f"{index:05d}", tuple(ids), logits, scores, None)


# --- soft files ---------------------------------------------------------------------


def test_a_soft_file_is_read_by_numpy_alone(tmp_path: Path) -> None:
    path = tmp_path / "soft" / "v.npz"
    first = np.array([[[0.0, 1.0], [-1.3, 99.0]]], np.float32)
    with SoftWriter(path, size=(20, 30)) as writer:
        writer.write("00000", (5,), first, floats(2.5), floats(0.75))
        writer.write("00005", (5, 2), np.zeros((2, 3, 4), np.float32), None, None)
    with np.load(path, allow_pickle=False) as file:
        names = ["00000", "00005", "objects", "presence", "iou", "size"]
        assert file.files == names
        members = {name: file[name] for name in names}
    assert {name: array.dtype.str for name, array in members.items()} == {
        "00000": "|i1",
        "00005": "|i1",
        "objects": "<i8",
        "presence": "<f4",
        "iou": "<f4",
        "size": "<i8",
    }
    assert members["00000"].tolist() == [[[0, 8], [-10, 127]]]
    assert members["00005"].shape == (2, 3, 4)
    assert members["objects"].tolist() == [5, 2]
    assert members["size"].tolist() == [20, 30]
    nan = np.nan
    np.testing.assert_array_equal(members["presence"], [[2.5, nan], [nan, nan]])
    np.testing.assert_array_equal(members["iou"], [[0.75, nan], [nan, nan]])


@st.composite
def videos(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Draw frames of steps, presence and IoU; objects may join from frame to frame."""
    counts = sorted(draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)))
    seed = draw(st.integers(0, 1000))
    random = np.random.default_rng(seed)
    frames = []
    for count in counts:
        shape = (count, *random.integers(1, 9, 2))
        steps = random.integers(-127, 128, shape).astype(np.int8)
        scores = [
            None if random.random() < 0.3 else random.normal(size=count).astype("f4")
            for _ in range(2)
        ]
        frames.append((steps, *scores))
    return frames


@given(frames=videos())
def test_a_soft_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[tuple[Any, ...]],
) -> None:
    path = tmp_path_factory.mktemp("run") / "v.npz"
    ids = (7, 3, 200)
    with SoftWriter(path, size=(8, 9)) as writer:
        for index, (steps, presence, iou) in enumerate(frames):
            logits = steps.astype(np.float32) / 8
            writer.write(f"{index:05d}", ids[: len(steps)], logits, presence, iou)
    video = SoftVideo(path)
    assert video.frames == tuple(f"{index:05d}" for index in range(len(frames)))
    assert video.objects == ids[: len(frames[-1][0])]
    assert video.size == (8, 9)
    for index, (steps, *scores) in enumerate(frames):
        np.testing.assert_array_equal(video.steps(index), steps)
        for table, score in zip((video.presence, video.iou), scores, strict=True):
            wanted = np.full(len(video.objects), np.nan, np.float32)
            if score is not None:
                wanted[: len(score)] = score
            np.testing.assert_array_equal(table[index], wanted)
    video.close()


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        path = tmp_path / name / "v.npz"
        write_soft(path, np.random.default_rng(1))
        os.utime(path, (0, 0))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_a_video_without_objects_is_a_soft_file_too(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    with SoftWriter(path, size=(8, 9)) as writer:
        writer.write("00000", (), np.zeros((0, 1, 1), np.float32), None, None)
    video = SoftVideo(path)
    assert (video.objects, video.frames) == ((), ("00000",))
    assert video.steps(0).shape == (0, 1, 1)
    video.close()


@pytest.mark.parametrize("objects", [(2,), (1, 2), (2, 1, 3)])
def test_an_object_keeps_its_place(tmp_path: Path, objects: tuple[int, ...]) -> None:
    path = tmp_path / "v.npz"
    with (  # noqa: PT012
        pytest.raises(RunError, match=r"frame 00001 has objects .* after \[2, 3\]"),
        SoftWriter(path, size=(8, 9)) as writer,
    ):
        writer.write("00000", (2, 3), np.zeros((2, 1, 1), np.float32), None, None)
        logits = np.zeros((len(objects), 1, 1), np.float32)
        writer.write("00001", objects, logits, None, None)
    assert list(tmp_path.iterdir()) == []


def test_logits_that_are_no_numbers_name_the_frame(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    logits = np.full((1, 2, 2), np.nan, np.float32)
    with (
        pytest.raises(MaskError, match=r"v\.npz: frame 00007: logits hold NaN"),
        SoftWriter(path, size=(8, 9)) as writer,
    ):
        writer.write("00007", (1,), logits, None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_soft_file(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from submit.runs import SoftWriter\n"
        "with SoftWriter(Path(sys.argv[1]), size=(8, 9)) as writer:\n"
        "    writer.write('00000', (1,), np.zeros((1, 64, 64), 'f4'), None, None)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = make_run(tmp_path / "r")
    path = run.soft_path("v")
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert [child.name[0] for child in path.parent.iterdir()] == ["."]
    with run.writing():
        assert list(path.parent.iterdir()) == []


def test_a_disk_that_fills_up_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random: Random
) -> None:
    """Nor does closing the archive, which writes too, hide the reason."""
    full = OSError(28, "No space left on device")
    real = Path.open

    class Full:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def write(self, data: bytes) -> int:
            if self._stream.tell() + len(data) > 1000:
                raise full
            return int(self._stream.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

    monkeypatch.setattr(Path, "open", lambda path, mode: Full(real(path, mode)))
    with pytest.raises(StorageError, match=r"v\.npz: .* the disk is full"):
        write_soft(tmp_path / "v.npz", random, frames=50)
    assert list(tmp_path.iterdir()) == []


def damaged_at(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"PK",
        lambda data: b"\0" * len(data),
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"\x93NUMPY\x01\x00v\x00" + b" " * 118,
        lambda data: damaged_at(data, data.index(b"objects.npy") + 60),
    ],
    ids=["empty", "short", "zeros", "half", "tail", "npy", "objects"],
)
def test_a_damaged_soft_file_is_said(
    tmp_path: Path, random: Random, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "v.npz"
    write_soft(path, random)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"v\.npz: is not a readable soft-mask file"):
        SoftVideo(path)


def test_a_missing_soft_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"v\.npz: is not a readable .*No such file"):
        SoftVideo(tmp_path / "v.npz")


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns as often as they can, also in the search for garbage."""

    def callback(phase: str, info: dict[str, int]) -> None:
        sum(range(50))

    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(5, 2, 2)
    gc.callbacks.append(callback)
    yield
    gc.callbacks.remove(callback)
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_many_threads_read_at_once(tmp_path: Path, random: Random) -> None:
    path = tmp_path / "v.npz"
    write_soft(path, random, frames=20)

    def read() -> list[bytes]:
        video = SoftVideo(path)
        try:
            return [video.steps(index).tobytes() for index in range(20)]
        finally:
            video.close()

    wanted = read()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: read(), range(40)):
            assert found == wanted


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i8", "<f4", ">f4", "?"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (1, 0, 5)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_numpy_reads(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], save: Callable[..., None]
) -> None:
    tables = np.zeros((1, 0), np.float32)
    other = {"objects": np.zeros(0, int), "presence": tables, "iou": tables}
    content = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    save(tmp_path / "v.npz", x=content, size=[2, 2], **other)
    video = SoftVideo(tmp_path / "v.npz")
    found = video._array("x")
    assert (found.dtype, found.shape) == (content.dtype, shape)
    np.testing.assert_array_equal(found, content)
    video.close()


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3), np.int8, order="F"), np.array(["text"])]
)
def test_arrays_of_another_kind_are_said(
    tmp_path: Path, array: np.ndarray[Any, Any]
) -> None:
    np.savez(tmp_path / "v.npz", objects=array)
    with pytest.raises(RunError, match="not an array of NumPy's format"):
        SoftVideo(tmp_path / "v.npz")


def test_a_numpy_array_in_its_place_is_said(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(RunError, match="is not a readable soft-mask file"):
        SoftVideo(path)


def test_other_logits_than_steps_are_refused(tmp_path: Path) -> None:
    tables = np.zeros((1, 1), np.float32)
    np.savez(
        tmp_path / "v.npz",
        **{"00000": np.zeros((1, 2, 2), np.float32)},  # type: ignore[arg-type]
        objects=np.array([1]),
        presence=tables,
        iou=tables,
        size=np.array([2, 2]),
    )
    video = SoftVideo(tmp_path / "v.npz")
    with pytest.raises(RunError, match="expected int8 N×h×w, found float32 of shape"):
        video.steps(0)
    video.close()


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_is_an_error_or_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "v.npz"
    write_soft(path, np.random.default_rng(0))
    whole = path.read_bytes()

    def content() -> tuple[object, ...]:
        video = SoftVideo(path)
        try:
            steps = {f: video.steps(i).tolist() for i, f in enumerate(video.frames)}
        finally:
            video.close()
        scores = (video.presence.tobytes(), video.iou.tobytes())
        return video.frames, video.objects, video.size, steps, scores

    before = content()
    data = bytearray(whole)
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    with contextlib.suppress(RunError):
        after = content()
        # Names in the archive's directory have no checksum; the manifest's digest has.
        assert after == before or after[0] != before[0]


# --- hard videos --------------------------------------------------------------------


def write_masks(folder: Path, labels: dict[str, NDArray[np.uint8]]) -> dict[str, Path]:
    folder.mkdir(parents=True)
    paths = {}
    for frame, array in labels.items():
        paths[frame] = folder / f"{frame}.png"
        paths[frame].write_bytes(encode(array))
    return paths


def test_a_hard_mask_is_sure_of_every_pixel(tmp_path: Path) -> None:
    labels = np.array([[0, 3, 9], [9, 9, 4]], np.uint8)
    paths = write_masks(tmp_path / "v", {"00000": labels, "00001": labels})
    video = HardVideo(paths, objects=(9, 3), size=(2, 3))
    steps = video.steps(1)
    assert steps.dtype == np.int8
    assert steps.tolist() == [
        [[-40, -40, 40], [40, 40, -40]],
        [[-40, 40, -40], [-40, -40, -40]],
    ]
    assert video.frames == ("00000", "00001")
    assert np.isnan(video.presence).all()
    assert video.presence.shape == video.iou.shape == (2, 2)
    np.testing.assert_array_equal(video.labels(0), labels)
    video.close()


def test_a_hard_mask_comes_back_from_its_logits(tmp_path: Path, random: Random) -> None:
    ids = np.array([0, 1, 2, 128, 254], np.uint8)
    labels = ids[random.integers(0, 5, (17, 23))]
    paths = write_masks(tmp_path / "v", {"00000": labels})
    objects = (254, 2, 128, 1)
    video = HardVideo(paths, objects=objects, size=(17, 23))
    np.testing.assert_array_equal(to_labels(video.steps(0), objects, (17, 23)), labels)


def test_a_hard_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    paths = write_masks(tmp_path / "v", {"00000": np.ones((2, 3), np.uint8)})
    video = HardVideo(paths, objects=(1,), size=(3, 3))
    with pytest.raises(MaskError, match=r"00000\.png: expected 3×3 pixels, found 3×2"):
        video.steps(0)


# --- the folder and its manifest ----------------------------------------------------

SPLIT = {"path": "/data/valid", "fingerprint": "f" * 64}
SETTINGS: dict[str, Any] = {
    "predictor": "static",
    "options": {"size": 512, "threshold": 0.5},
    "tta": ["hflip"],
}


def make_run(path: Path, **changes: Any) -> Run:
    wanted = {"kind": "predict", "settings": SETTINGS, "split": SPLIT, **changes}
    return Run.create(path, **wanted)


def add_soft(run: Run, video: str = "v", seed: int = 0) -> VideoRecord:
    path = run.soft_path(video)
    write_soft(path, np.random.default_rng(seed))
    record = VideoRecord(
        frames=3,
        objects=(1, 2),
        size=(20, 30),
        seconds=1.5,
        digest=digest(path),
        details={"agreement": 0.5},
    )
    run.add(video, record)
    return record


def test_a_run_is_opened_as_it_was_made(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", environment={"licence": "MIT"})
    records = {video: add_soft(run, video, seed) for seed, video in enumerate("ba")}
    run.fail("z", "no frames")
    again = Run.open(tmp_path / "r")
    assert again.name == "r"
    assert (again.kind, again.settings, again.split) == ("predict", SETTINGS, SPLIT)
    assert again.videos == records
    assert list(again.videos) == ["a", "b"]
    assert again.failures == {"z": "no frames"}
    assert again.environment["licence"] == "MIT"
    assert "numpy" in again.environment["versions"]
    assert again.identity == run.identity
    assert again.is_soft
    assert Run.exists(tmp_path / "r")
    assert not Run.exists(tmp_path)
    video = again.read("a")
    assert isinstance(video, SoftVideo)
    assert (video.objects, video.size) == ((1, 2), (20, 30))
    video.close()


def test_a_run_with_the_same_settings_is_continued(tmp_path: Path) -> None:
    add_soft(make_run(tmp_path / "r"))
    moved = {**SPLIT, "path": "/elsewhere/valid"}
    again = make_run(tmp_path / "r", split=moved, environment={"licence": "new"})
    assert list(again.videos) == ["v"]
    assert again.is_complete("v")
    # Tuples and lists are the same setting.
    assert make_run(tmp_path / "r", settings={**SETTINGS, "tta": ("hflip",)}).videos


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"predictor": "sam2"}, 'predictor: it has "static", asked for "sam2"'),
        (
            {"options": {"size": 1024, "threshold": 0.5}},
            "options.size: it has 512, asked for 1024",
        ),
        (
            {"options": {"size": 512}},
            "options.threshold: it has 0.5, asked for nothing",
        ),
        ({"soft": True}, "soft: it has nothing, asked for true"),
        ({"tta": ["scale=2"]}, 'tta 1: it has "hflip", asked for "scale=2"'),
        (
            {"tta": ["hflip", "scale=2"]},
            'tta 2: it has nothing, asked for "scale=2"',
        ),
    ],
    ids=["value", "nested", "gone", "new", "item", "more items"],
)
def test_a_run_with_other_settings_is_refused_by_name_of_the_setting(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    make_run(tmp_path / "r")
    before = (tmp_path / "r" / "manifest.json").read_bytes()
    with pytest.raises(RunMismatchError) as caught:
        make_run(tmp_path / "r", settings={**SETTINGS, **change})
    assert str(caught.value) == (
        f"{tmp_path / 'r'}: this run was made with other settings ({said}); choose "
        "another --name, or delete the folder to make it anew"
    )
    assert (tmp_path / "r" / "manifest.json").read_bytes() == before


def test_a_difference_deep_in_long_settings_is_named(tmp_path: Path) -> None:
    def members(weight: float) -> dict[str, Any]:
        both = [{"name": name, "digest": name * 64, "weight": weight} for name in "ab"]
        return {"members": both}

    make_run(tmp_path / "r", settings=members(0.5))
    with pytest.raises(
        RunMismatchError, match=r"members 2\.weight: it has 0\.5, asked"
    ):
        make_run(tmp_path / "r", settings=members(0.25))


def test_many_differences_are_cut_short(tmp_path: Path) -> None:
    make_run(tmp_path / "r", settings={f"key{n}": n for n in range(9)})
    with pytest.raises(RunMismatchError, match=r"key3: .* nothing; and 5 more\)"):
        make_run(tmp_path / "r", settings={})


def test_a_run_of_another_command_or_split_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "r")
    with pytest.raises(
        RunMismatchError, match='command: it has "predict", asked for "'
    ):
        make_run(tmp_path / "r", kind="ensemble")
    other = {"path": "/data/train", "fingerprint": "0" * 64}
    with pytest.raises(
        RunMismatchError, match="split: it has /data/valid, asked for /data/train, with"
    ):
        make_run(tmp_path / "r", split=other)


def test_a_folder_of_something_else_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"r: is a folder with files and no manifest"):
        make_run(tmp_path / "r")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file: is a file; choose another --name"):
        make_run(tmp_path / "file")


def test_a_command_killed_before_its_manifest_was_written_can_be_repeated(
    tmp_path: Path,
) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".manifest.json.77.partial").write_text("{")
    (tmp_path / "r" / ".lock").touch()
    run = make_run(tmp_path / "r")
    with run.writing():
        pass
    assert sorted(p.name for p in run.path.iterdir()) == [".lock", "manifest.json"]


def test_a_run_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    make_run(tmp_path / "plain")
    make_run(tmp_path / "flipped")
    with pytest.raises(RunError, match=r"plian: no such run; .* has flipped, plain \("):
        Run.open(tmp_path / "plian")
    with pytest.raises(RunError, match=r"x: no such run \(make one with submit pred"):
        Run.open(tmp_path / "nowhere" / "x")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = make_run(tmp_path / "r").path / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema": SCHEMA + 1}))
    with pytest.raises(RunError, match=rf"schema {SCHEMA + 1}, this version reads"):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        "{}",
        '{"schema": 1}',
        '{"schema": 1, "kind": "predict", "settings": {}, "split": {}, '
        '"environment": {}, "videos": ["v"]}',
        '{"schema": 1, "kind": "predict", "settings": {}, "split": {}, '
        '"environment": {}, "videos": {"v": {"objects": [], "size": []}}}',
        '{"schema": 1, "kind": "predict", "settings": 3, "split": {}, '
        '"environment": {}, "videos": {}}',
    ],
)
def test_a_manifest_of_something_else_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=r"manifest\.json: is not a run's manifest \("):
        Run.open(tmp_path / "r")


def test_files_that_are_not_json_are_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    (run.path / "failed.json").write_text('{"a": ')
    with pytest.raises(RunError, match=r"failed\.json: cannot be read .* delete it"):
        Run.open(run.path)
    (run.path / "manifest.json").write_text("{")
    with pytest.raises(RunError, match=r"manifest\.json: cannot be read .*not valid"):
        Run.open(run.path)


def test_a_changed_file_is_not_complete(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    add_soft(run)
    path = run.soft_path("v")
    assert run.is_complete("v")
    assert not run.is_complete("other")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    assert not run.is_complete("v")
    path.write_bytes(whole)
    assert run.is_complete("v")
    path.unlink()
    assert not run.is_complete("v")


def add_hard(run: Run) -> Path:
    folder = run.masks_folder / "v"
    labels = np.ones((20, 30), np.uint8)
    write_masks(folder, {"2": labels, "10": labels})
    run.add(
        "v",
        VideoRecord(
            frames=2,
            objects=(1,),
            size=(20, 30),
            seconds=1,
            digest=digest(folder),
            soft=False,
        ),
    )
    return folder


def test_a_run_of_masks_is_read_in_the_order_of_frames(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    folder = add_hard(run)
    assert not run.is_soft
    assert run.is_complete("v")
    assert run.read("v").frames == ("2", "10")
    (folder / "10.png").unlink()
    assert not run.is_complete("v")
    with pytest.raises(RunError, match="masks/v: expected 2 masks, found 1; run the"):
        run.read("v")


def test_a_failed_video_is_told_and_forgotten_when_it_succeeds(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    run.fail("v", "memory ran out")
    run.fail("w", "no frames")
    with pytest.raises(RunError, match="run r has no video v: memory ran out"):
        run.read("v")
    with pytest.raises(RunError, match="has no video x: it was not asked for"):
        run.read("x")
    add_soft(run)
    assert json.loads((run.path / "failed.json").read_text()) == {"w": "no frames"}
    add_soft(run, "w")
    assert not (run.path / "failed.json").exists()
    assert Run.open(run.path).failures == {}


def test_a_video_that_fails_the_second_time_is_no_longer_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    add_soft(run)
    run.fail("v", "memory ran out")
    again = Run.open(run.path)
    assert list(again.videos) == []
    assert again.failures == {"v": "memory ran out"}


def test_a_forgotten_video_is_made_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    add_soft(run)
    run.forget("v")
    run.forget("never there")
    assert not Run.open(run.path).is_complete("v")


def test_the_identity_changes_with_any_video(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    add_soft(run, "v")
    before = run.identity
    add_soft(run, "w")
    both = run.identity
    add_soft(run, "w", seed=7)
    assert len({before, both, run.identity}) == 3
    add_soft(run, "w")
    assert run.identity == both


def hold(path: Path, ready: Any, leave: Any) -> None:
    with Run.open(path).writing():
        ready.set()
        leave.wait(30)


def test_one_command_at_a_time_writes_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    context = multiprocessing.get_context("fork")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(run.path, ready, leave))
    other.start()
    assert ready.wait(30)
    with (
        pytest.raises(StorageError, match="r: another command is writing here"),
        run.writing(),
    ):
        pytest.fail("both write")
    leave.set()
    other.join()
    with run.writing():
        pass


def test_what_another_command_added_meanwhile_is_kept(tmp_path: Path) -> None:
    late, early = make_run(tmp_path / "r"), make_run(tmp_path / "r")
    with early.writing():
        add_soft(early, "a")
        early.fail("b", "memory ran out")
    with late.writing():
        add_soft(late, "c")
    run = Run.open(tmp_path / "r")
    assert list(run.videos) == ["a", "c"]
    assert run.failures == {"b": "memory ran out"}


def test_partial_files_of_a_killed_command_go_when_the_run_is_written(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "r")
    add_soft(run)
    for partial in ("soft/.w.npz.1.partial", "masks/.w.1.partial/x", ".m.1.partial"):
        (run.path / partial).parent.mkdir(parents=True, exist_ok=True)
        (run.path / partial).touch()
    with run.writing():
        left = sorted(
            str(path.relative_to(run.path))
            for path in run.path.rglob("*")
            if path.is_file()
        )
    assert left == [".lock", "manifest.json", "soft/v.npz"]
