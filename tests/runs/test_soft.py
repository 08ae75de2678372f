from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from submit.errors import MaskError, RunError, StorageError
from submit.masks import OLD_VALUES, VALUES, dequantise
from submit.runs import SoftVideo, SoftWriter
from submit.runs.soft import _most_logits
from submit.system.files import digest, remove_partial

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


def test_a_soft_file_is_read_by_numpy_alone(tmp_path: Path) -> None:
    path = tmp_path / "soft" / "v.npz"
    first = np.array([[[0.0, 1.0], [-1.3, 99.0]]], np.float32)
    with SoftWriter(path, size=(20, 30)) as writer:
        writer.write("00000", (5,), first, floats(2.5), floats(0.75))
        writer.write("00005", (5, 2), np.zeros((2, 3, 4), np.float32), None, None)
    with np.load(path, allow_pickle=False) as file:
        names = ["00000", "00005", "objects", "presence", "iou", "size", "values"]
        assert file.files == names
        members = {name: file[name] for name in names}
    assert {name: array.dtype.str for name, array in members.items()} == {
        "00000": "|i1",
        "00005": "|i1",
        "objects": "<i8",
        "presence": "<f4",
        "iou": "<f4",
        "size": "<i8",
        "values": "<f4",
    }
    logits = members["values"][members["00000"].astype("int16") + 128]
    assert logits.tolist() == [[[0, 1], [-1.3125, 61.75]]]
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
            None if random.random() < 0.3 else random.random(count).astype("f4")
            for _ in range(2)
        ]
        frames.append((steps, *scores))
    return frames


@pytest.mark.slow
@given(frames=videos())
def test_a_soft_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[tuple[Any, ...]],
) -> None:
    path = tmp_path_factory.mktemp("run") / "v.npz"
    ids = (7, 3, 200)
    with SoftWriter(path, size=(8, 9)) as writer:
        for index, (steps, presence, iou) in enumerate(frames):
            logits = dequantise(steps)
            writer.write(f"{index:05d}", ids[: len(steps)], logits, presence, iou)
    video = SoftVideo(path)
    assert video.frames == tuple(f"{index:05d}" for index in range(len(frames)))
    assert video.objects == ids[: len(frames[-1][0])]
    assert video.size == (8, 9)
    for index, (steps, *scores) in enumerate(frames):
        np.testing.assert_array_equal(video.codes(index), steps)
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
    assert video.codes(0).shape == (0, 1, 1)
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


@pytest.mark.slow
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
    path = tmp_path / "soft" / "v.npz"
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert [child.name[0] for child in path.parent.iterdir()] == ["."]
    remove_partial(path.parent)
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
    with pytest.raises(RunError, match=r"v\.npz: is missing; put it back, or run"):
        SoftVideo(tmp_path / "v.npz")


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads switch as often as possible, also in the garbage collection."""

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
            return [video.codes(index).tobytes() for index in range(20)]
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
    ("array", "words"),
    [
        (np.zeros((2, 3), np.int8, order="F"), "it is in Fortran's order"),
        (np.array(["text"]), "not an array of NumPy's format"),
    ],
)
def test_arrays_of_another_kind_are_said(
    tmp_path: Path, array: np.ndarray[Any, Any], words: str
) -> None:
    np.savez(tmp_path / "v.npz", size=array)
    with pytest.raises(RunError, match=words):
        SoftVideo(tmp_path / "v.npz")


def test_a_numpy_array_in_its_place_is_said(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(RunError, match="is not a readable soft-mask file"):
        SoftVideo(path)


def test_other_logits_than_codes_are_refused(tmp_path: Path) -> None:
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
        video.codes(0)
    video.close()


def contents(**changes: Any) -> dict[str, Any]:
    """The arrays of a legal file of two frames with two objects, but for changes."""
    arrays = {
        "00000": np.full((2, 3, 4), 69, np.int8),
        "00001": np.full((2, 3, 4), -69, np.int8),
        "objects": np.array([3, 7]),
        "presence": np.full((2, 2), np.nan, np.float32),
        "iou": np.full((2, 2), 0.5, np.float32),
        "size": np.array([6, 8]),
        "values": VALUES,
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def test_a_file_of_schema_2_has_steps_of_an_eighth(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "v.npz", **contents(values=None))
    video = SoftVideo(tmp_path / "v.npz")
    np.testing.assert_array_equal(video.values, OLD_VALUES)
    assert (dequantise(video.codes(0), video.values) == 69 / 8).all()
    video.close()


def test_a_file_may_have_a_table_of_its_own(tmp_path: Path) -> None:
    table = np.linspace(-40, 40, 256)
    np.savez(tmp_path / "v.npz", **contents(values=table))
    video = SoftVideo(tmp_path / "v.npz")
    assert (video.codes(0) == 69).all()
    assert video.values.dtype == np.float32
    assert video.values[69 + 128] == np.float32(table[69 + 128])
    video.close()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "id -1": ({"objects": np.array([-1, 7])}, "expected ids from 1 to 254, found -1"),
    "id 0": ({"objects": np.array([0, 7])}, "expected ids from 1 to 254, found 0"),
    "id 255": ({"objects": np.array([3, 255])}, "from 1 to 254, found 255"),
    "fraction": ({"objects": np.array([3.5, 7])}, r"integer ids, found \[3.5, 7.0\]"),
    "whole float": ({"objects": np.array([3.0, 7])}, "integer ids, found"),
    "twice": ({"objects": np.array([3, 3])}, "expected different ids"),
    "no list": ({"objects": np.array([[3, 7]])}, "expected a list of integer ids"),
    "no objects": ({"objects": None}, "it has no array 'objects'"),
    "no size": ({"size": None}, "it has no array 'size'"),
    "no scores": ({"iou": None}, "it has no array 'iou'"),
    "size 0": ({"size": np.array([0, 8])}, r"size: expected .*, found \[0, 8\]"),
    "three sizes": ({"size": np.array([6, 8, 1])}, "size: expected height and width"),
    "size of a bomb": (
        {"size": np.array([65_536, 65_536])},
        "size: expected frames of at most 178,956,970 pixels, found 65536×65536",
    ),
    "float size": ({"size": np.array([6.0, 8])}, "size: expected height and width"),
    "large objects": ({"objects": np.arange(999)}, "objects inflates to 8,120 bytes"),
    "large scores": ({"iou": np.zeros((2, 999))}, "iou inflates to 16,112 bytes"),
    "score shape": ({"presence": np.zeros((1, 2))}, "presence is float64 of shape"),
    "score kind": ({"iou": np.zeros((2, 2), np.int8)}, "iou is int8 of shape"),
    "infinite": (
        {"presence": np.array([[0, 1], [np.inf, 0]], np.float32)},
        "frame 00001: object 3: presence is inf, expected a finite number",
    ),
    "IoU": (
        {"iou": np.array([[0, 1.5], [0, 0]], np.float32)},
        r"frame 00000: object 7: iou is 1.5, expected a number in \[0, 1\]",
    ),
    "NaN in the table": (
        {"values": np.where(VALUES == 1, np.nan, VALUES)},
        "values: expected finite numbers in ascending order",
    ),
    "table in disorder": ({"values": VALUES[::-1]}, "in ascending order"),
    "short table": ({"values": VALUES[1:]}, "expected 256 floating-point numbers"),
    "integer table": ({"values": np.arange(256)}, "expected 256 floating-point"),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_soft_file_that_cannot_be_meant_is_said(
    tmp_path: Path, changes: dict[str, Any], said: str, save: Callable[..., None]
) -> None:
    save(tmp_path / "v.npz", **contents(**changes))
    with pytest.raises(RunError, match=said) as caught:
        SoftVideo(tmp_path / "v.npz")
    assert "v.npz: is not a readable soft-mask file" in str(caught.value)
    assert "delete it and run the command that made the run again" in str(caught.value)


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        (np.zeros((4, 3, 4), np.int8), r"planes of 2 objects, found .*\(4, 3, 4\)"),
        (np.zeros((2, 0, 4), np.int8), r"planes of 2 objects, found .*\(2, 0, 4\)"),
        (np.zeros((3, 4), np.int8), r"expected int8 N×h×w, found int8 of shape"),
        (np.zeros((2, 3, 4), np.uint8), "expected int8 N×h×w, found uint8"),
        (np.zeros((2, 5000, 4000), np.int8), "inflates to 40,000,128 bytes, expected"),
    ],
    ids=["too many", "no pixels", "one plane", "unsigned", "too large"],
)
def test_a_frame_that_cannot_be_meant_is_said(
    tmp_path: Path, plane: NDArray[Any], said: str
) -> None:
    np.savez_compressed(tmp_path / "v.npz", **contents(**{"00001": plane}))
    video = SoftVideo(tmp_path / "v.npz")
    assert (video.codes(0) == 69).all()
    with pytest.raises(RunError, match=rf"v\.npz: frame 00001 is damaged \(.*{said}"):
        video.codes(1)
    video.close()


@pytest.mark.slow
def test_nothing_is_inflated_beyond_what_the_directory_says(tmp_path: Path) -> None:
    """A stream of 64 MB in the place of one of 152 bytes."""
    path = tmp_path / "v.npz"
    name, size = "00000.npy", 152
    np.savez_compressed(
        path, **contents(**{"00000": np.zeros((1, 2**13, 2**13), "i1")})
    )
    data = path.read_bytes()
    declared = (2**26 + 128).to_bytes(4, "little")
    assert name.encode() in data
    path.write_bytes(data.replace(declared, size.to_bytes(4, "little")))
    video = SoftVideo(path)
    tracemalloc.start()
    with pytest.raises(RunError, match="its checksum is wrong"):
        video.codes(0)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    video.close()


@pytest.mark.parametrize(
    ("presence", "iou", "said"),
    [
        (np.inf, 0.5, "object 3: presence is inf, expected a finite number"),
        (-np.inf, 0.5, "object 3: presence is -inf"),
        (0.0, 1.5, r"object 3: iou is 1.5, expected a number in \[0, 1\]"),
        (0.0, -0.1, r"object 3: iou is -0.1"),
        (0.0, np.inf, r"object 3: iou is inf"),
    ],
)
def test_scores_that_cannot_be_meant_are_not_written(
    tmp_path: Path, presence: float, iou: float, said: str
) -> None:
    plane = np.zeros((2, 3, 4), np.float32)
    with (
        pytest.raises(MaskError, match=f"frame 00007: {said}"),
        SoftWriter(tmp_path / "v.npz", size=(6, 8)) as writer,
    ):
        writer.write("00007", (1, 3), plane, floats(0, presence), floats(1, iou))


@pytest.mark.parametrize(
    ("objects", "size", "side"),
    [(1, (6, 8), 4096), (8, (6, 8), 4096), (254, (6, 8), 1024), (254, (720, 1280), 0)],
    ids=["one", "a few", "many", "at the frame's size"],
)
def test_the_largest_logits_that_a_model_may_have_are_bounded(
    objects: int, size: tuple[int, int], side: int
) -> None:
    most = _most_logits(objects, size)
    assert most >= objects * max(size[0] * size[1], side**2)
    assert most <= max(objects * max(size[0] * size[1], 1024**2), 8 * 4096**2)
    assert most <= _most_logits(objects + 1, size)


@pytest.mark.slow
def test_logits_that_no_reader_would_take_are_not_written(tmp_path: Path) -> None:
    plane = np.broadcast_to(np.float32(0), (1, 2**13, 2**12))
    with (
        pytest.raises(MaskError, match="at most 16,777,216 logits for 1 object, found"),
        SoftWriter(tmp_path / "v.npz", size=(6, 8)) as writer,
    ):
        writer.write("00000", (1,), plane, None, None)


@pytest.mark.slow
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
            steps = {f: video.codes(i).tolist() for i, f in enumerate(video.frames)}
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


def test_a_soft_file_in_the_place_of_another_is_said(
    tmp_path: Path, random: Random
) -> None:
    path = tmp_path / "v.npz"
    write_soft(path, random)
    known = digest(path)
    SoftVideo(path, digest=known).close()
    whole = path.read_bytes()
    write_soft(path, random)
    for data in (path.read_bytes(), whole[:-1] + b"x", whole[:-50] + bytes(50)):
        path.write_bytes(data)
        with pytest.raises(RunError, match=r"v\.npz: .* not the file that was written"):
            SoftVideo(path, digest=known)
