"""Small models of transformers with random weights, for the tests that follow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from submit.predictors import Video
from submit_hf.predictor import HfPredictor
from submit_sam2.session import TrackerSession
from tests.scripts import load_tool

Models = type[HfPredictor[Any]]

_small = load_tool("small_hf")
SIDES: dict[Models, int] = _small.SIDES


def need_transformers() -> None:
    """Skip a test without the library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("transformers", minversion="5.24")
        library.utils.logging.disable_progress_bar()


def write_folder(kind: Models, folder: Path, **options: Any) -> Path:
    """Write the folder of a small model."""
    need_transformers()
    written: Path = _small.write_folder(kind, folder, SIDES[kind], **options)
    return written


def open_library(kind: Models, folder: Path) -> Any:
    """Open a video in the library's own loop."""
    return _small.Library(kind, folder, SIDES[kind])


def open_session(
    kind: Models, folder: Path, *, size: tuple[int, int], length: int, **options: Any
) -> TrackerSession:
    """Open a video with a predictor."""
    chosen = {
        "checkpoint": str(folder),
        "image_size": SIDES[kind],
        "dtype": "float32",
        "memory": "sam2",
    }
    predictor = kind(kind.Options(**{**chosen, **options}), device="cpu")
    session = predictor.session(Video("clip", *size, length))
    assert isinstance(session, TrackerSession)
    return session
