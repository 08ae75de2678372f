from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from submit.data import (
    FrameReader,
    Problem,
    audit_split,
    image_size,
    read_frame,
    read_split,
)
from submit.data.images import MOST_PIXELS, read_image_header
from submit.errors import SplitError
from submit.png.palette import encode

WriteSplit = Callable[..., Path]

SIZE = (24, 32)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    high = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, high, shape, dtype, endpoint=True)


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_of(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A grey PNG whose header has the given size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def root(write_split: WriteSplit) -> Path:
    return write_split(("a",))


def frame(root: Path, number: int = 1) -> Path:
    return root / "JPEGImages" / "a" / f"{number:05d}.jpg"


def problems(root: Path, *, decode: bool = False) -> list[Problem]:
    (audit,) = audit_split(read_split(root), decode=decode)
    return list(audit.problems)


def only(root: Path) -> Problem:
    found = problems(root)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".png"])
def test_exact_formats_keep_every_value(tmp_path: Path, suffix: str) -> None:
    pixels = noise(*SIZE, 3)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(read_frame(path, SIZE), pixels)


def test_webp_is_read_as_pillow_does(tmp_path: Path) -> None:
    pixels = noise(*SIZE, 3)
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(read_frame(tmp_path / "a.webp"), pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_of_sixteen_bits_the_high_eight_are_read(tmp_path: Path, suffix: str) -> None:
    pixels = noise(*SIZE, dtype=np.uint16)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path)
    wanted = np.repeat((pixels >> 8).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_frame(path), wanted)


def test_sixteen_bits_in_three_channels_are_read_in_the_same_way(
    tmp_path: Path,
) -> None:
    pixels = noise(*SIZE, 3, dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", SIZE[1], SIZE[0], 16, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(read_frame(path), (pixels >> 8).astype(np.uint8))


@pytest.mark.parametrize(
    ("mode", "suffix", "said"),
    [
        ("L", ".jpg", "are grey"),
        ("1", ".png", "are black and white"),
        ("LA", ".png", "have an alpha channel, which is not read"),
        ("RGBA", ".png", "have an alpha channel, which is not read"),
        ("P", ".png", "have a palette, whose colours are read"),
        ("CMYK", ".jpg", "are CMYK, which becomes RGB without a colour profile"),
    ],
)
def test_pixels_of_another_kind_are_read_as_pillow_does_and_named(
    root: Path, mode: str, suffix: str, said: str
) -> None:
    image = Image.fromarray(noise(*SIZE, 3)).convert(mode)
    frame(root).unlink()
    path = frame(root).with_suffix(suffix)
    image.save(path)
    with Image.open(path) as opened:
        wanted = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(read_frame(path, SIZE), wanted)
    assert only(root) == Problem(
        "colours", str(path), f"1 of 3 frames {said}", serious=False
    )


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.fromarray(noise(*SIZE, 3)).convert("P")
    path = tmp_path / "a.png"
    image.save(path, transparency=bytes(range(256)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = read_frame(path)
    np.testing.assert_array_equal(frame, np.asarray(image.convert("RGB")))


def test_sixteen_bits_are_named(root: Path) -> None:
    Image.fromarray(noise(*SIZE, dtype=np.uint16)).save(frame(root), "PNG")
    assert only(root) == Problem(
        "colours",
        str(frame(root)),
        "1 of 3 frames are grey with 16 bits, of which the high 8 are read",
        serious=False,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_that_do_not_fit_eight_bits_are_refused(root: Path, dtype: type) -> None:
    Image.fromarray(np.ones(SIZE, dtype)).save(frame(root), "TIFF")
    with pytest.raises(SplitError, match=r"00001\.jpg: cannot be decoded \(its pixels"):
        read_frame(frame(root))
    assert (only(root).kind, only(root).serious) == ("unreadable", True)


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP"])
def test_several_pictures_in_a_file_are_refused(root: Path, kind: str) -> None:
    pictures = [Image.fromarray(noise(*SIZE, 3) // n) for n in (1, 2, 3)]
    pictures[0].save(frame(root), kind, save_all=True, append_images=pictures[1:])
    with pytest.raises(SplitError, match="it holds 3 pictures; a frame is one"):
        read_frame(frame(root))
    assert only(root).kind == "unreadable"


def test_a_photo_with_a_second_picture_inside_is_one_frame(tmp_path: Path) -> None:
    pictures = [Image.fromarray(noise(*SIZE, 3) // n) for n in (1, 2)]
    path = tmp_path / "a.jpg"
    pictures[0].save(path, "MPO", save_all=True, append_images=pictures[1:])
    assert read_image_header(path).format == "MPO"
    assert read_frame(path, SIZE).shape == (*SIZE, 3)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_frames_are_read_as_they_are_stored_and_turned_ones_are_named(
    root: Path, orientation: int, kind: str
) -> None:
    image = Image.fromarray(noise(*SIZE, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(frame(root), kind, exif=exif)
    with Image.open(frame(root)) as stored:
        np.testing.assert_array_equal(
            read_frame(frame(root), SIZE), np.asarray(stored.convert("RGB"))
        )
    problem = only(root)
    assert (problem.kind, problem.serious) == ("turned", False)
    assert problem.where == str(frame(root))
    assert problem.what.startswith("1 of 3 frames are ")
    assert "masks must lie on the stored pixels" in problem.what


def test_each_way_of_turning_has_its_words(root: Path) -> None:
    for number, orientation in enumerate((3, 6, 3)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(noise(*SIZE, 3)).save(frame(root, number), exif=exif)
    said = [problem.what for problem in problems(root)]
    assert [text.partition(" in viewers")[0] for text in said] == [
        "2 of 3 frames are turned by 180°",
        "1 of 3 frames are turned by 90° clockwise",
    ]


def test_a_mask_on_the_turned_frame_says_why_it_does_not_fit(root: Path) -> None:
    path = root / "Annotations" / "a" / "00000.png"
    path.write_bytes(encode(np.ones(SIZE[::-1], np.uint8)))
    (problem,) = problems(root)
    assert (problem.kind, problem.serious) == ("first-mask", True)
    assert "expected the size of the video's frames, 32×24, found 24×32" in problem.what
    assert "frames are read as they are stored, not as EXIF turns them" in problem.what


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P6 " + b"1" * 33 + b" 1 255\n",
        b"P6 32 24 255\n" + bytes(24 * 32 * 3),
        b"GIF89a" + bytes(20),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\x89PNG\r\n\x1a\n" + bytes(30),
        b"II*\0" + b"\xff" * 60,
        b"BM" + b"\xff" * 60,
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(30),
    ],
    ids=["nothing", "long number", "PPM", "GIF", "EPS", "PNG", "TIFF", "BMP", "WebP"],
)
def test_damage_and_other_formats_under_the_name_of_a_jpeg_are_one_error(
    root: Path, data: bytes
) -> None:
    frame(root).write_bytes(data)
    for read in (read_frame, image_size, read_image_header):
        with pytest.raises(SplitError, match=rf"^{frame(root)}: cannot be ") as error:
            read(frame(root))
        assert "\n" not in str(error.value)
    problem = only(root)
    assert (problem.kind, problem.where) == ("unreadable", str(frame(root)))


@pytest.mark.parametrize("side", [9460, 13_370, 20_000, 60_000])
def test_absurd_sizes_are_refused_before_anything_is_decoded(
    root: Path, side: int
) -> None:
    """The file has no pixel data, so decoding would give another error."""
    frame(root).write_bytes(png_of(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SplitError, match=f"{MOST_PIXELS:,}"):
            read_frame(frame(root))
        with pytest.raises(SplitError, match=f"{MOST_PIXELS:,}"):
            image_size(frame(root))
    assert only(root).kind == "unreadable"


def test_the_size_is_compared_before_anything_is_decoded(root: Path) -> None:
    frame(root).write_bytes(png_of(9000, 9000))
    with pytest.raises(SplitError, match=r"expected 32×24 pixels .* found 9000×9000"):
        read_frame(frame(root), SIZE)
    assert image_size(frame(root)) == (9000, 9000)


def test_pipes_and_devices_in_place_of_frames_never_wait(root: Path) -> None:
    frame(root).unlink()
    os.mkfifo(frame(root))
    (root / "JPEGImages" / "a" / "00003.jpg").symlink_to("/dev/zero")
    (root / "JPEGImages" / "a" / "00004.jpg").mkdir()
    said = "it is not a regular file"
    for path in (frame(root), frame(root, 3), frame(root, 4)):
        with pytest.raises(SplitError, match=rf"{path}: cannot be decoded \({said}\)"):
            read_frame(path)
    assert [p.kind for p in problems(root)] == ["unreadable"] * 3
    video = read_split(root).videos["a"]
    with (
        FrameReader(video.images, size=video.size) as reader,
        pytest.raises(SplitError, match=said),
    ):
        list(reader)


def test_a_progressive_jpeg_is_read_whole_or_not_at_all(root: Path) -> None:
    """A part of its data is a picture of the full size already, a coarse one."""
    image = Image.fromarray(noise(*SIZE, 3))
    image.save(frame(root), "JPEG", progressive=True)
    with Image.open(frame(root)) as opened:
        wanted = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(read_frame(frame(root), SIZE), wanted)
    assert problems(root, decode=True) == []
    data = frame(root).read_bytes()
    frame(root).write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(SplitError, match="cannot be decoded"):
        read_frame(frame(root), SIZE)
    assert only(root).serious


def test_a_broken_exif_block_is_no_problem(root: Path) -> None:
    image = Image.fromarray(noise(*SIZE, 3))
    image.save(frame(root), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(9))
    assert problems(root, decode=True) == []
    assert read_image_header(frame(root)).orientation == 1
