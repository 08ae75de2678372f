"""A small split and a submission that fits it, for tests that break it."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from submit.checks import CheckResult
from submit.png.palette import DAVIS_PALETTE, encode
from tests import splits
from tests.splits import Labels

FRAMES, SIZE = 6, (24, 32)
A, B, C = "aaaaaaaa", "bbbbbbbb", "cccccccc"
#: A team file with all that LSVOS asks for.
TEAM: dict[str, Any] = {
    "By submitting the test results, I agree with the challenge terms and policies.": (
        True
    ),
    "team_name": "us",
    "members": [{"name": "Ada", "affiliation": "A lab"}],
    "email": "ada@lab.ac.uk",
}
#: Objects of each video.
VIDEOS = {A: (1, 2), B: (1,), C: (1, 2, 3)}


def labels_of(video: str, frame: int) -> Labels:
    """Squares that move to the right, one below the other."""
    labels = np.zeros(SIZE, np.uint8)
    for key in VIDEOS[video]:
        labels[8 * key - 7 : 8 * key - 1, 2 + 2 * frame : 12 + 2 * frame] = key
    return labels


def shown() -> dict[str, list[Labels]]:
    """The label maps of each video."""
    return {video: [labels_of(video, n) for n in range(FRAMES)] for video in VIDEOS}


def write_split(root: Path) -> Path:
    """A split with images, the first mask of each video, and a meta file."""
    meta = splits.meta_of(shown())
    return splits.write_split(root, shown(), annotated=1, meta=meta)


def write_masks(root: Path) -> Path:
    """A folder of masks in which nothing is wrong."""
    for video, maps in shown().items():
        splits.write_masks(root / video, maps)
    return root


def zip_up(folder: Path, path: Path, *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip of everything in a folder, junk and empty folders too."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for child in sorted(folder.rglob("*")):
            archive.write(child, str(child.relative_to(folder)))
    return path


def saved(image: Image.Image, **options: Any) -> bytes:
    """A PNG as Pillow writes it."""
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def colours(labels: Labels) -> bytes:
    """The mask that viewers show: its palette's colours."""
    return saved(Image.fromarray(DAVIS_PALETTE[labels]))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def grey_of_four_bits(labels: Labels) -> bytes:
    """A grey PNG whose values are ids, two to a byte."""
    height, width = labels.shape
    packed = labels[:, 0::2] << 4 | labels[:, 1::2]
    raw = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def write_zip(path: Path, names: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return path


def good_names() -> dict[str, bytes]:
    return {
        f"{video}/{frame:05}.png": encode(labels)
        for video, maps in shown().items()
        for frame, labels in enumerate(maps)
    }


def codes(report: CheckResult) -> set[str]:
    return {f"{finding.severity.value} {finding.code}" for finding in report.findings}
