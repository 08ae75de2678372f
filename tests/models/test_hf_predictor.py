"""What is ours in the predictors of transformers, without it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from submit.errors import OptionError, PredictorError
from submit.predictors import Predictor, Video, parse_options
from submit_hf import EdgeTamPredictor, Sam2HfPredictor, Sam3HfPredictor
from submit_hf.families import SAM2, SAM3
from submit_hf.folder import find_folder
from submit_hf.loading import load_model
from submit_hf.predictor import HfPredictor

Kind = type[HfPredictor[Any]]
by_kind = pytest.mark.parametrize(
    ("kind", "model"),
    [
        (Sam2HfPredictor, "sam2_video"),
        (Sam3HfPredictor, "sam3_tracker_video"),
        (EdgeTamPredictor, "edgetam_video"),
    ],
    ids=["sam2-hf", "sam3-hf", "edgetam"],
)


def write(folder: Path, model: str = "sam2_video", **config: Any) -> Path:
    """Write a folder whose weights are none."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model, **config}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def make(kind: Kind, folder: Path, *options: str) -> HfPredictor[Any]:
    settings = [f"checkpoint={folder}", *options]
    return kind(parse_options(kind.family.name, kind.Options, settings), device="cpu")


@by_kind
def test_the_manifest_says_what_decides_the_masks(
    kind: Kind, model: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "model", model, sigmoid_scale_for_mem_enc=7.5)
    predictor = make(kind, folder, "dtype=float32", "mask_bias=-4")
    assert isinstance(predictor, Predictor)
    described = predictor.describe()
    assert described.model == model
    assert described.checkpoint == hashlib.sha256(b"weights").hexdigest()
    assert str(described.prompts) == (
        "masks, boxes, points and absences, also for known objects"
    )
    details = dict(described.details)
    assert len(details.pop("config")) == 16
    conditioning = {"conditioning": "4"} if kind is Sam3HfPredictor else {}
    selection = {"selection": "object", "valid": "0.01"} if conditioning else {}
    assert details == {
        "device": "cpu",
        "dtype": "float32",
        "image_size": "1008" if conditioning else "1024",
        "memory": "sam3" if conditioning else "sam2",
        "mask_scale": "7.5",
        "mask_bias": "-4",
        "rules": "official",
        "preprocessing": "official",
        "tf32": "false",
        "compile": "false",
        "deterministic": "false",
        **conditioning,
        **selection,
    }


def test_the_licence_is_that_of_the_weights(tmp_path: Path) -> None:
    sam3 = make(Sam3HfPredictor, write(tmp_path / "model", "sam3_tracker_video"))
    assert sam3.describe().licence.startswith("weights: SAM License")
    assert Sam2HfPredictor.licence == EdgeTamPredictor.licence == "Apache-2.0"


@pytest.mark.parametrize(
    ("kind", "model", "legal"),
    [
        (Sam2HfPredictor, "sam2_video", [0.5, 0.75, 1.0, 1.25]),
        (Sam3HfPredictor, "sam3_tracker_video", [0.5, 0.75, 1.0, 1.25]),
        (EdgeTamPredictor, "edgetam_video", [0.5, 0.75, 1.0, 1.25]),
    ],
    ids=["sam2-hf", "sam3-hf", "edgetam"],
)
def test_sides_are_those_that_the_library_can_take(
    kind: Kind, model: str, legal: list[float], tmp_path: Path
) -> None:
    sizes = make(kind, write(tmp_path / "model", model)).describe().sizes
    tried = (0.5, 0.75, 0.8, 1.0, 1.2, 1.25)
    assert [scale for scale in tried if sizes.allows(scale)] == legal


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        (Sam2HfPredictor, "image_size=1000", "expected a multiple of 32, at least 64"),
        (Sam3HfPredictor, "image_size=1000", "expected a multiple of 14, at least 56"),
        (EdgeTamPredictor, "image_size=640", "expected a multiple of 256, at least"),
        (Sam2HfPredictor, "rules=mine", "expected one of official, transformers"),
        (Sam2HfPredictor, "preprocessing=bilinear", "expected one of official, hf"),
        (EdgeTamPredictor, "memory=long", "expected one of sam2, rcms"),
    ],
)
def test_options_that_are_not_legal_are_refused(
    kind: Kind, setting: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        make(kind, tmp_path, setting)


@pytest.mark.parametrize(
    ("kind", "model", "side", "wanted"),
    [
        (
            Sam2HfPredictor,
            "sam2_video",
            64,
            (-2.100779, -1.387955, -1.107277, -1.450039, -1.149534, 0.461935),
        ),
        (
            Sam3HfPredictor,
            "sam3_tracker_video",
            56,
            (-0.992157, -0.662745, -0.764706, -0.694118, -0.622117, 0.205084),
        ),
    ],
    ids=["sam2-hf", "sam3-hf"],
)
def test_frames_are_prepared_as_by_the_librarys_processors(
    kind: Kind, model: str, side: int, wanted: tuple[float, ...], tmp_path: Path
) -> None:
    # From Sam2ImageProcessor and Sam3ImageProcessor of transformers 5.24.0 with
    # torchvision 0.29.1, `size` set to the side: four values, mean and deviation.
    y, x = np.mgrid[:48, :80]
    planes = ((3 * x + 2 * y) % 97, (5 * y) % 113, (x * y) % 89)
    frame = np.stack(planes, 2).astype(np.uint8)
    predictor = make(kind, write(tmp_path / "model", model), "preprocessing=hf")
    found = predictor.prepare(frame, side)
    assert found.shape == (1, 3, side, side)
    channels, places = (0, 1, 2, 0), ((0, 0), (10, 20), (33, 7), (side - 1, side - 1))
    values = [
        float(found[0, channel, row, column])
        for channel, (row, column) in zip(channels, places, strict=True)
    ]
    values += [float(found.mean()), float(found.std())]
    np.testing.assert_allclose(values, wanted, atol=1.5e-6)
    official = make(kind, write(tmp_path / "model", model)).prepare(frame, side)
    assert float((official - found).abs().max()) > 0.05


def test_a_checkpoint_is_required() -> None:
    predictor = Sam3HfPredictor(Sam3HfPredictor.Options(), device="cpu")
    with pytest.raises(OptionError, match=r"found none; accept the SAM License at"):
        predictor.describe()


def test_the_digest_is_that_of_all_weights_and_of_nothing_else(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "README.md").write_text("no part of it")
    for name, text in (("a.safetensors", b"one"), ("b.safetensors", b"two")):
        (folder / name).write_bytes(text)
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"x": "b.safetensors", "y": "a.safetensors"}}')
    before = find_folder(SAM2, str(folder), download=False).digest()
    (folder / "README.md").unlink()
    assert find_folder(SAM2, str(folder), download=False).digest() == before
    (folder / "b.safetensors").write_bytes(b"three")
    assert find_folder(SAM2, str(folder), download=False).digest() != before
    (folder / "a.safetensors").unlink()
    with pytest.raises(PredictorError, match=r"not beside it: a\.safetensors"):
        find_folder(SAM2, str(folder), download=False)
    index.write_text("[]")
    with pytest.raises(PredictorError, match=r"index of safetensors files with a weig"):
        find_folder(SAM2, str(folder), download=False)


def test_the_trackers_part_of_a_folder_of_detector_and_tracker_counts(
    tmp_path: Path,
) -> None:
    parts = {"tracker_config": {"sigmoid_bias_for_mem_enc": -4}, "detector_config": {}}
    folder = write(tmp_path / "model", "sam3_video", **parts)
    found = find_folder(SAM3, str(folder), download=False)
    assert found.setting("sigmoid_bias_for_mem_enc", -10.0) == -4.0
    parts["detector_config"] = {"more": 1}
    write(folder, "sam3_video", **parts)
    same = find_folder(SAM3, str(folder), download=False)
    assert same.config_digest() == found.config_digest()
    write(folder, "sam3_video")
    with pytest.raises(PredictorError, match=r"expected the table tracker_config"):
        find_folder(SAM3, str(folder), download=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"found no config\.json in .*; expected a folder for transformers"),
        ("{", "cannot be read"),
        ("[]", "model_type is None, expected sam2_video for the predictor sam2-hf"),
        ('{"model_type": "sam3_video"}', "model_type is 'sam3_video', expected sam2_v"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    content: str | None, message: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "model")
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(PredictorError, match=message):
        find_folder(SAM2, str(folder), download=False)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", sigmoid_scale_for_mem_enc="much")
    with pytest.raises(PredictorError, match=r"mem_enc: expected a number, found 'muc"):
        make(Sam2HfPredictor, folder).describe()
    (folder / "model.safetensors").unlink()
    with pytest.raises(PredictorError, match=r"found no model\.safetensors in"):
        find_folder(SAM2, str(folder), download=False)


def test_what_is_neither_a_folder_nor_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"no such folder, and it is no name on"):
        find_folder(SAM2, "nowhere", download=False)
    file = write(tmp_path / "model") / "model.safetensors"
    with pytest.raises(PredictorError, match=r"is a file, expected the folder with"):
        find_folder(SAM2, str(file), download=False)


class Hub:
    """What stands for huggingface_hub: it finds a folder or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = ""
        self.fails: str | None = None
        self.calls: list[tuple[str, bool]] = []
        errors = ModuleType("huggingface_hub.errors")
        base = type("HfHubHTTPError", (OSError,), {})
        missing = type("RepositoryNotFoundError", (base,), {})
        self.errors = {
            "HfHubHTTPError": base,
            "RepositoryNotFoundError": missing,
            "GatedRepoError": type("GatedRepoError", (missing,), {}),
            "LocalEntryNotFoundError": type("LocalEntryNotFoundError", (OSError,), {}),
        }
        vars(errors).update(self.errors)
        hub = ModuleType("huggingface_hub")
        vars(hub).update(snapshot_download=self.download, errors=errors)
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
        monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)

    def download(
        self, name: str, *, allow_patterns: list[str], local_files_only: bool
    ) -> str:
        assert "config.json" in allow_patterns
        self.calls.append((name, local_files_only))
        if self.fails:
            raise self.errors[self.fails]("no\nmore")
        return self.folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch)


def test_nothing_is_downloaded_unless_it_is_said(hub: Hub, tmp_path: Path) -> None:
    hub.folder = str(write(tmp_path / "model"))
    name = "facebook/sam2.1-hiera-tiny"
    for said in ("false", "true"):
        predictor = make(Sam2HfPredictor, Path(name), f"download={said}")
        assert predictor.describe().checkpoint == hashlib.sha256(b"weights").hexdigest()
    # Once for each predictor, and only from the cache without the word.
    assert hub.calls == [(name, True), (name, False)]


@pytest.mark.parametrize(
    ("download", "fails", "message"),
    [
        (
            False,
            "LocalEntryNotFoundError",
            "not in the cache of huggingface.co on this machine; accept the SAM License"
            " at huggingface.co/facebook/sam3 and log in with hf auth login, then run: "
            "hf download facebook/sam3, or say -o download=true",
        ),
        (True, "LocalEntryNotFoundError", "huggingface.co cannot be reached; download"),
        (
            True,
            "GatedRepoError",
            "only to those who accept its licence; accept the SAM",
        ),
        (True, "RepositoryNotFoundError", "has no such model, or it is private; exp"),
        (True, "HfHubHTTPError", "cannot be downloaded (no); try again, or download"),
    ],
)
def test_a_model_that_cannot_be_had_says_what_to_do(
    download: bool, fails: str, message: str, hub: Hub
) -> None:
    hub.fails = fails
    with pytest.raises(PredictorError) as caught:
        find_folder(SAM3, "facebook/sam3", download=download)
    assert str(caught.value).startswith("checkpoint facebook/sam3: ")
    assert message in str(caught.value)


def test_names_need_the_package_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(PredictorError, match=r"run: pip install 'mose-submit\[hf\]'"):
        find_folder(SAM3, "facebook/sam3", download=True)


def test_the_library_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = make(Sam2HfPredictor, write(tmp_path / "model"))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PredictorError, match=r"run: pip install 'mose-submit\[hf\]'"):
        predictor.session(Video("discs", 48, 80, 20))


@pytest.mark.parametrize("version", ["4.57.1", "5.3.0", "5.24.0"])
def test_the_library_must_have_the_model(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ModuleType("transformers")
    vars(library)["__version__"] = version
    monkeypatch.setitem(sys.modules, "transformers", library)
    found = find_folder(SAM2, str(write(tmp_path / "model")), download=False)
    with pytest.raises(PredictorError) as caught:
        load_model(found, 64)
    assert f"5.24 or newer, found transformers {version}; run: pip" in str(caught.value)


def test_a_backbone_of_timm_needs_an_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ModuleType("transformers")
    vars(library).update(__version__="5.24.0", EdgeTamVideoModel=None)
    monkeypatch.setitem(sys.modules, "transformers", library)
    find: Callable[[str], Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("timm", "torchvision") else find(name),
    )
    vision = {"backbone_config": {"model_type": "timm_wrapper"}}
    folder = write(tmp_path / "model", "edgetam_video", vision_config=vision)
    with pytest.raises(
        PredictorError, match=r"found no timm and no torchvision; run: "
    ):
        make(EdgeTamPredictor, folder).session(Video("discs", 48, 80, 20))
