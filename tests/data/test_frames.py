from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from submit.data import FrameReader, read_frame, read_split
from submit.data import frames as frames_module
from submit.errors import SplitError

WriteSplit = Callable[..., Path]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something that another thread does is done."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fill in for the decoder: names of the frames that were decoded."""
    names: list[str] = []

    def decode(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        if path.stem == "bad":
            raise SplitError(f"{path}: cannot be decoded")
        names.append(path.stem)
        return np.full((1, 1, 3), int(path.stem), np.uint8)

    monkeypatch.setattr(frames_module, "read_frame", decode)
    return names


def paths(*stems: object) -> dict[str, Path]:
    return {str(stem): Path(f"{stem}.jpg") for stem in stems}


def decoders() -> list[threading.Thread]:
    """List the threads of frame readers."""
    return [t for t in threading.enumerate() if "_decode" in t.name]


def test_frames_come_as_rgb_in_order(write_split: WriteSplit) -> None:
    video = read_split(write_split(("a",), frames=("2", "1", "10"))).videos["a"]
    with FrameReader(video.images, size=video.size) as reader:
        found = dict(reader)
    assert list(found) == ["1", "2", "10"]
    for stem, frame in found.items():
        assert frame.shape == (24, 32, 3)
        assert frame.dtype == np.uint8
        with Image.open(video.images[stem]) as image:
            np.testing.assert_array_equal(frame, np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA"])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode in ("L", "CMYK") else "a.png")
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(path)
    frame = read_frame(path)
    assert frame.shape == (4, 6, 3)
    assert frame.min() > 250


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg")
    assert read_frame(tmp_path / "a.jpg", (4, 6)).shape == (4, 6, 3)
    with pytest.raises(SplitError, match=r"a\.jpg: expected 6×5 pixels .* found 6×4"):
        read_frame(tmp_path / "a.jpg", (5, 6))


@pytest.mark.parametrize("cut", [0, 2, 300, -40])
def test_a_frame_that_cannot_be_decoded_is_said(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SplitError, match=r"a\.jpg: cannot be decoded \(.*extract the"):
        read_frame(path)


def test_a_frame_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"no\.jpg: cannot be decoded"):
        read_frame(tmp_path / "no.jpg")


def test_no_more_frames_are_decoded_than_asked_for(decoded: list[str]) -> None:
    with FrameReader(paths(*range(20)), ahead=3) as reader:
        wait_for(lambda: len(decoded) == 3)
        time.sleep(0.05)
        assert len(decoded) == 3
        for used, _ in enumerate(reader, start=1):
            wait_for(lambda used=used: len(decoded) == min(20, 3 + used))  # type: ignore[misc]
    assert decoded == [str(n) for n in range(20)]


def test_fewer_huge_frames_wait_decoded(decoded: list[str]) -> None:
    with FrameReader(paths(*range(9)), size=(4320, 7680)) as reader:
        for used, _ in enumerate(reader, start=1):
            wait_for(lambda used=used: len(decoded) == min(9, 2 + used))  # type: ignore[misc]
            assert len(decoded) <= 2 + used


def test_an_error_comes_at_its_frame_and_not_before(decoded: list[str]) -> None:
    with FrameReader(paths(0, 1, "bad", 3)) as reader:
        frames = iter(reader)
        assert [next(frames)[0], next(frames)[0]] == ["0", "1"]
        with pytest.raises(SplitError, match=r"bad\.jpg: cannot be decoded"):
            next(frames)
    assert decoded == ["0", "1"]
    assert decoders() == []


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_leaving_early_ends_the_thread(decoded: list[str], taken: int) -> None:
    with FrameReader(paths(*range(1000)), ahead=2) as reader:
        frames = iter(reader)
        for _ in range(taken):
            next(frames)
        assert len(decoders()) == 1
    assert decoders() == []
    assert len(decoded) < 10


def test_an_error_of_the_consumer_ends_the_thread(decoded: list[str]) -> None:
    with (
        pytest.raises(MemoryError),
        FrameReader(paths(*range(1000)), ahead=2) as reader,
    ):
        raise MemoryError(next(iter(reader)))
    assert decoders() == []


def test_a_video_without_frames_ends_at_once() -> None:
    with FrameReader({}) as reader:
        assert list(reader) == []
