from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from submit.errors import MaskError
from submit.png.deflate import deflate
from submit.png.palette import (
    DAVIS_PALETTE,
    PackedLabels,
    PngHeader,
    decode,
    decode_packed,
    encode,
    read,
    read_header,
    write,
)

Labels = NDArray[np.uint8]


def blobs(highest: int, size: tuple[int, int] = (37, 53)) -> Labels:
    """Discs with object ids up to `highest`, which always occurs."""
    y, x = np.mgrid[: size[0], : size[1]]
    labels = np.zeros(size, np.uint8)
    for key in {1, (highest + 1) // 2, highest} - {0}:
        cy, cx, r = 11 * key % size[0], 17 * key % size[1], 3 + key % 7
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= r * r] = min(key, highest)
    labels.flat[-1] = highest
    return labels


def png(
    labels: Labels,
    *,
    depth: int = 8,
    colour: int = 3,
    interlace: int = 0,
    raw: bytes | None = None,
    parts: int = 1,
) -> bytes:
    """A PNG with given defects or rare features."""
    height, width = labels.shape
    if raw is None:
        raw = b"".join(b"\0" + row.tobytes() for row in labels)
    data = zlib.compress(raw)
    step = -(-len(data) // parts)
    chunks = [
        (
            b"IHDR",
            struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace),
        ),
        (b"PLTE", DAVIS_PALETTE.tobytes()),
        *((b"IDAT", data[i : i + step]) for i in range(0, len(data), step)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*pair) for pair in chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    return (
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
    )


def saved(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def scorer_sees(data: bytes) -> Labels:
    """Decode a file like the official scorer."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("P"))


def test_the_palette_is_the_official_one() -> None:
    assert DAVIS_PALETTE.shape == (256, 3)
    assert DAVIS_PALETTE[:5].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [0, 0, 128],
    ]
    assert DAVIS_PALETTE[[8, 22, 255]].tolist() == [
        [64, 0, 0],
        [0, 192, 128],
        [224, 224, 192],
    ]


@pytest.mark.parametrize(
    ("highest", "depth"),
    [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (15, 4), (16, 8), (255, 8)],
)
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (37, 53), (120, 64)])
def test_readers_see_the_ids_that_were_written(
    highest: int, depth: int, size: tuple[int, int]
) -> None:
    labels = blobs(highest, size)
    data = encode(labels)
    assert read_header(data) == PngHeader(size[1], size[0], depth, 3)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), labels)
        assert np.array_equal(np.asarray(image.convert("RGB")), DAVIS_PALETTE[labels])
    assert np.array_equal(scorer_sees(data), labels)
    assert np.array_equal(decode(data), labels)
    # OpenCV, and libpng behind it, knows no palettes: it shows colours.
    colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert colours is not None
    assert np.array_equal(colours[..., ::-1], DAVIS_PALETTE[labels])


def test_the_bytes_of_a_mask_never_change() -> None:
    digests = {
        highest: hashlib.sha256(encode(blobs(highest))).hexdigest()[:16]
        for highest in (0, 1, 3, 15, 255)
    }
    assert digests == GOLDEN


def test_masks_are_smaller_than_those_of_pillow_and_of_zlib() -> None:
    y, x = np.mgrid[:480, :854]
    labels = np.zeros((480, 854), np.uint8)
    labels[((y - 200) / 90) ** 2 + ((x - 300) / 130) ** 2 < 1] = 1
    labels[((y - 250) / 40) ** 2 + ((x - 500) / 60) ** 2 < 1] = 2
    ours = encode(labels)
    image = Image.fromarray(labels).convert("P")
    image.putpalette(DAVIS_PALETTE.tobytes())
    assert len(ours) < 0.5 * len(saved(image))
    assert len(ours) < 0.7 * len(saved(image, optimize=True))


def test_noise_survives_too() -> None:
    labels = np.random.default_rng(0).integers(0, 256, (50, 70)).astype(np.uint8)
    assert np.array_equal(decode(encode(labels)), labels)


def test_a_slice_of_an_array_is_encoded_like_a_copy() -> None:
    labels = blobs(5)
    assert encode(labels[::2, 1::3]) == encode(labels[::2, 1::3].copy())


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((3, 3), np.int32),
        np.zeros((3, 3, 3), np.uint8),
        np.zeros((0, 3), np.uint8),
    ],
    ids=["not uint8", "colours", "empty"],
)
def test_what_is_no_label_map_is_not_encoded(labels: Labels) -> None:
    with pytest.raises(MaskError, match="uint8 H×W"):
        encode(labels)


@pytest.mark.slow
@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 40), st.integers(1, 700)),
        elements=st.sampled_from([0, 0, 0, 1, 255]),
        fill=st.just(0),
    )
)
def test_zlib_inflates_what_our_deflate_writes(rows: Labels) -> None:
    assert zlib.decompress(deflate(rows), -15) == rows.tobytes()


def test_rows_beyond_the_window_of_deflate_are_written_too() -> None:
    rows = np.zeros((3, 40_000), np.uint8)
    rows[:, 20_000] = 7
    assert zlib.decompress(deflate(rows), -15) == rows.tobytes()


def test_very_skewed_counts_keep_to_the_longest_legal_code() -> None:
    # Counts like Fibonacci numbers make the deepest tree: over 15 levels unlimited.
    counts = [1, 1]
    while len(counts) < 22:
        counts.append(counts[-1] + counts[-2])
    values = np.repeat(np.arange(22, dtype=np.uint8), counts)
    np.random.default_rng(0).shuffle(values)
    rows = values[: len(values) // 50 * 50].reshape(-1, 50)
    assert zlib.decompress(deflate(rows), -15) == rows.tobytes()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [0, 3], ids=["grey", "palette"])
@pytest.mark.parametrize("width", [1, 5, 8, 33])
def test_every_depth_is_decoded_as_pillow_does(
    depth: int, kind: int, width: int
) -> None:
    rng = np.random.default_rng(depth)
    packed = rng.integers(0, 256, (9, (width * depth + 7) // 8)).astype(np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in packed)
    shape = np.zeros((9, width), np.uint8)
    data = png(shape, depth=depth, colour=kind, raw=raw)
    assert np.array_equal(decode(data), scorer_sees(data))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_every_row_filter_is_undone(depth: int) -> None:
    rng = np.random.default_rng(depth)
    width = 41
    filtered = rng.integers(0, 256, (50, (width * depth + 7) // 8)).astype(np.uint8)
    filters = rng.integers(0, 5, 50)
    raw = b"".join(
        bytes([kind]) + row.tobytes()
        for kind, row in zip(filters, filtered, strict=True)
    )
    data = png(np.zeros((50, width), np.uint8), depth=depth, raw=raw)
    assert np.array_equal(decode(data), scorer_sees(data))


def test_an_interlaced_mask_is_read() -> None:
    # Of a 1×1 image the first of the seven passes is the whole.
    data = png(np.array([[7]], np.uint8), interlace=1)
    assert read_header(data).interlaced
    assert decode(data).tolist() == [[7]]


def test_image_data_may_come_in_many_chunks() -> None:
    labels = blobs(9)
    assert np.array_equal(decode(png(labels, parts=7)), labels)


def test_a_decoded_mask_can_be_written_to() -> None:
    for depth_of in (1, 3, 15, 200):
        decode(encode(blobs(depth_of)))[0, 0] = 1


def test_read_and_write_go_through_a_file(tmp_path: Path) -> None:
    labels = blobs(4)
    write(tmp_path / "00000.png", labels)
    assert np.array_equal(read(tmp_path / "00000.png"), labels)


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("RGB", "an 8-bit RGB"),
        ("RGBA", "an 8-bit RGBA"),
        ("LA", "an 8-bit grey with alpha"),
        ("I;16", "a 16-bit grey"),
    ],
)
def test_other_kinds_of_png_are_refused_by_name(mode: str, found: str) -> None:
    data = saved(Image.new(mode, (5, 4)))
    with pytest.raises(MaskError, match=f"v/00001.png: expected .*found {found} PNG"):
        decode(data, name="v/00001.png")


def damaged() -> dict[str, tuple[bytes, str]]:
    labels = blobs(3)
    good = encode(labels)
    flipped = bytearray(good)
    flipped[-20] ^= 1
    header = bytearray(good)
    header[20] ^= 1
    raw = b"".join(b"\0" + row.tobytes() for row in labels)
    signature, rest = good[:8], good[8:]
    ihdr, plte_on = rest[:25], rest[25:]
    return {
        "nothing": (b"", "is not a PNG; it begins with nothing"),
        "a JPEG": (b"\xff\xd8\xff\xe0" * 20, "is not a PNG"),
        "header cut": (good[:20], "truncated"),
        "data cut": (good[:-30], "truncated after"),
        "end missing": (good[:-12], "truncated after"),
        "bit flipped": (bytes(flipped), "checksum of its chunk 'IDAT'"),
        "header flipped": (bytes(header), "checksum of its header"),
        "too little data": (png(labels, raw=raw[:-5]), "image data comes to"),
        "no such filter": (png(labels, raw=b"\5" + raw[1:]), "row 0 has the unknown"),
        "no pixels": (png(np.zeros((0, 4), np.uint8)), "header is not legal"),
        "no such depth": (png(labels, depth=3), "header is not legal"),
        "no data": (signature + ihdr + chunk(b"IEND", b""), "no image data"),
        "no palette": (
            signature + ihdr + plte_on[plte_on.index(b"IDAT") - 4 :],
            "no palette",
        ),
        "unknown chunk": (
            signature + ihdr + chunk(b"ABCD", b"") + plte_on,
            "unknown critical chunk 'ABCD'",
        ),
        "not deflated": (
            signature
            + ihdr
            + chunk(b"PLTE", b"\0\0\0")
            + chunk(b"IDAT", b"nonsense")
            + chunk(b"IEND", b""),
            "cannot be inflated",
        ),
        "a bomb": (
            signature
            + chunk(b"IHDR", struct.pack(">IIBBBBB", 1 << 30, 1 << 30, 8, 3, 0, 0, 0)),
            "no reader opens so many",
        ),
        "interlaced and damaged": (
            png(labels, interlace=1, raw=b"\7" * 9),
            "Pillow says",
        ),
    }


@pytest.mark.parametrize("case", list(damaged()))
def test_damage_is_named(case: str) -> None:
    data, message = damaged()[case]
    with pytest.raises(MaskError, match=message):
        decode(data)


@pytest.mark.slow
def test_image_data_of_many_megabytes_is_cut_off() -> None:
    labels = blobs(3)
    rows = b"".join(b"\0" + row.tobytes() for row in labels)
    data = png(labels, raw=rows + bytes(80 << 20))
    tracemalloc.start()
    try:
        found = decode(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(found, labels)  # Surplus is what Pillow does not mind.
    assert most < 10 << 20


@pytest.mark.parametrize("surplus", [0, 1, 1000])
def test_surplus_image_data_is_left_out(surplus: int) -> None:
    labels = blobs(3)
    rows = b"".join(b"\0" + row.tobytes() for row in labels)
    data = png(labels, raw=rows + bytes(surplus))
    assert np.array_equal(decode(data), labels)
    assert np.array_equal(scorer_sees(data), labels)


def test_a_missing_file_is_a_mask_error(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"nowhere\.png: cannot be read"):
        read(tmp_path / "nowhere.png")


def mutate(data: st.DataObject) -> bytes:
    """A PNG with bytes changed, removed or inserted, with right or wrong checksums."""
    good = bytearray(encode(blobs(data.draw(st.sampled_from([1, 3, 12, 99])))))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(good) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert", "header"])):
            case "change":
                good[place] = data.draw(st.integers(0, 255))
            case "cut":
                del good[place : place + data.draw(st.integers(1, 40))]
            case "insert":
                good[place:place] = data.draw(st.binary(max_size=20))
            case "header" if len(good) > 33:
                good[16 + data.draw(st.integers(0, 12))] = data.draw(
                    st.integers(0, 255)
                )
                good[29:33] = struct.pack(">I", zlib.crc32(bytes(good[12:29])))
        if not good:
            break
    if data.draw(st.booleans()):
        good = right_checksums(good)
    return bytes(good)


def right_checksums(data: bytearray) -> bytearray:
    place = 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(
            ">I", zlib.crc32(bytes(data[place + 4 : end]))
        )
        place = end + 4
    return data


def decodes_like_pillow_or_fails_politely(data: st.DataObject) -> None:
    broken = mutate(data)
    try:
        labels = decode(broken)
    except MaskError:
        return
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, scorer_sees(broken))


@pytest.mark.slow
@settings(max_examples=300)
@given(st.data())
def test_a_malformed_png_is_an_error_or_is_what_pillow_sees(
    data: st.DataObject,
) -> None:
    decodes_like_pillow_or_fails_politely(data)


@pytest.mark.slow
@settings(max_examples=15_000)
@given(st.data())
def test_many_malformed_pngs(data: st.DataObject) -> None:
    decodes_like_pillow_or_fails_politely(data)


def test_importing_the_module_imports_no_compiler() -> None:
    code = (
        "import sys, submit.png.palette; "
        "print('numba' in sys.modules, 'PIL' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]


#: Digests of `encode(blobs(highest))`. They change only with the encoder, and when they
#: do, the digests of all submissions change with them: say so in the changelog.
GOLDEN = {
    0: "bcd8cc13a68e5a91",
    1: "7a35764bf57d8627",
    3: "27c3ae960e070aa5",
    15: "94d65445e654b0a2",
    255: "d41702c3bbfdf4e6",
}


@pytest.mark.parametrize("width", [1, 7, 8, 30, 33])
@pytest.mark.parametrize(
    "ids", [(0,), (0, 1), (1,), (0, 2, 3), (0, 9, 15), (0, 254, 255)]
)
def test_ids_are_found_without_unpacking(width: int, ids: tuple[int, ...]) -> None:
    random = np.random.default_rng(width)
    labels = np.asarray(ids, np.uint8)[random.integers(0, len(ids), (40, width))]
    labels.flat[: len(ids)] = ids
    packed = decode_packed(encode(labels))
    assert packed.object_ids() == tuple(key for key in ids if key)


def test_bits_that_fill_up_a_row_are_no_ids() -> None:
    packed = PackedLabels(
        np.array([0, 0b10100111], np.uint8), (1, 3), stride=2, lead=1, depth=1
    )
    assert packed.object_ids() == (1,)
    packed = PackedLabels(np.array([0, 0x0F], np.uint8), (1, 1), 2, lead=1, depth=4)
    assert packed.object_ids() == ()


def test_ids_of_stretched_grey_are_those_that_the_server_sees() -> None:
    packed = PackedLabels(
        np.array([0x1F], np.uint8), (1, 2), 1, lead=0, depth=4, step=17
    )
    assert packed.object_ids() == (17, 255)
