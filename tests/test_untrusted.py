"""Files from strangers are data: no reader runs code of them."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from submit.data import SplitVideo, read_split
from submit.errors import SubmitError
from submit.formats import ImportHints, open_foreign, open_video, soft_frames
from submit.masks import read_channels, read_volume
from submit.masks.arrays import ArrayFile
from submit.runs import Checkpoint, SoftVideo
from submit.system.files import checkpoint_path
from submit.training.folder import TrainingFolder
from submit_sam2.build import known_model, read_state
from tests.splits import bars, write_split


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self._path),)


def plain_pickle(trap: Trap) -> bytes:
    return pickle.dumps({"model": {"w": trap}})


def checkpoint(trap: Trap) -> bytes:
    stream = io.BytesIO()
    torch.save({"model": {"w": torch.zeros(2)}, "extra": trap}, stream)
    return stream.getvalue()


def old_checkpoint(trap: Trap) -> bytes:
    stream = io.BytesIO()
    content = {"model": {"w": torch.zeros(2)}, "extra": trap}
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def array(trap: Trap) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([trap], object), allow_pickle=True)
    return stream.getvalue()


def arrays(trap: Trap) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("logits", "00000", "objects", "size", "presence", "iou", "values"):
            archive.writestr(f"{name}.npy", array(trap))
    return stream.getvalue()


def renamed(trap: Trap) -> bytes:
    """A zip in which a pickle is called as an array."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("size.npy", pickle.dumps(trap))
        archive.writestr("logits.npy", pickle.dumps(trap))
    return stream.getvalue()


FILES = (plain_pickle, checkpoint, old_checkpoint, array, arrays, renamed)


def read_array(path: Path) -> None:
    with ArrayFile(path) as file:
        for name in file.names:
            file.read(name)


def imported(path: Path) -> None:
    video: SplitVideo = read_split(path.parent / "split").videos["alpha"]
    with open_foreign(path, ["alpha"], ImportHints()) as foreign:
        files = foreign.files("alpha")
        with open_video(files, video, ImportHints()) as reader:
            list(soft_frames(reader, video))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "checkpoint": ("alpha.pt", read_state),
    "training": ("alpha.pt", lambda path: TrainingFolder(path.parent).load(path)),
    "soft": ("alpha.npz", SoftVideo),
    "array": ("alpha.npz", read_array),
    "import npz": ("alpha.npz", imported),
    "import npy": ("alpha.npy", imported),
    "import hkl": ("alpha.hkl", imported),
    "volume": ("alpha.hkl", read_volume),
    "channels": ("alpha.hkl", read_channels),
}


@pytest.fixture
def split(tmp_path: Path) -> Path:
    maps = bars(["00000", "00001"], (1,), (12, 16))
    return write_split(tmp_path / "split", {"alpha": maps}, annotated=1)


def test_a_checkpoint_of_a_video_runs_no_code(tmp_path: Path) -> None:
    path, sprung = checkpoint_path(tmp_path / "alpha.npz"), tmp_path / "sprung"
    for make in FILES:
        path.write_bytes(make(Trap(sprung)))
        with pytest.raises(ValueError, match="is damaged"):
            Checkpoint(tmp_path / "alpha.npz", "").read()
        assert not sprung.exists(), make.__name__


@pytest.mark.usefixtures("split")
@pytest.mark.parametrize("reader", READERS)
def test_no_file_runs_code(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    path, sprung = tmp_path / name, tmp_path / "sprung"
    for make in FILES:
        path.write_bytes(make(Trap(sprung)))
        with pytest.raises(SubmitError, match="alpha"):
            read(path)
        assert not sprung.exists(), make.__name__
    # The trap is a real one.
    pickle.loads(plain_pickle(Trap(sprung)))
    assert sprung.is_dir()


def test_a_checkpoint_is_not_run_to_recognise_it(tmp_path: Path) -> None:
    path, sprung = tmp_path / "alpha.pt", tmp_path / "sprung"
    for make in FILES:
        path.write_bytes(make(Trap(sprung)))
        assert known_model(path) is None
        assert not sprung.exists()


def test_nothing_unpickles_but_a_worker(repository: Path) -> None:
    """Pickles go from the parent to its own workers; `torch.load` takes weights."""
    found = []
    for root in ("submit", "models"):
        for path in sorted((repository / root).rglob("*.py")):
            text = path.read_text("utf-8")
            for call in ("pickle.load", "np.load(", "numpy.load(", "yaml.", "eval(m"):
                if call in text.replace("soft = numpy.load", ""):
                    found.append((path.relative_to(repository).as_posix(), call))
            if "torch.load(" in text:
                assert text.count("torch.load(") == text.count("weights_only=True"), (
                    path
                )
    assert found == [
        (f"submit/executors/{module}.py", "pickle.load")
        for module in ("local", "mapping")
    ]
