from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from submit.errors import PredictorError
from submit.predictors import Remark
from submit_sam2.config import MODELS as SAM2_MODELS
from submit_sam2.model import Sam2Network
from submit_sam3.checkpoints import arrange, load_network
from submit_sam3.config import MODELS, Sam3Config, VitConfig
from submit_sam3.folder import config_table, read_config
from submit_sam3.model import Sam3Network
from tests.models.sam3_tiny import (
    NARROW,
    State,
    draw,
    write_official,
)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network in the place of the published one."""
    monkeypatch.setitem(MODELS, "sam3", NARROW)


@pytest.fixture
def state() -> State:
    return draw(NARROW)


@pytest.fixture
def load(recwarn: pytest.WarningsRecorder) -> Callable[[Path], Sam3Network]:
    """Load without minding remarks."""
    return lambda path: load_network("sam3", path)


def write_folder(
    state: State, folder: Path, *, alone: bool = False, shards: int = 1, **more: Any
) -> Path:
    """Write a folder as transformers does, of the tracker alone or with a detector."""
    safetensors = pytest.importorskip("safetensors.torch")
    folder.mkdir()
    weights = arrange(state, "transformers")
    tied = "tracker_model.shared_image_embedding.positional_embedding"
    again = "tracker_model.prompt_encoder.shared_embedding.positional_embedding"
    weights[again] = weights[tied].clone()
    weights["tracker_neck.fpn_layers.3.proj1.bias"] = torch.ones(4)
    config = config_table(NARROW, 112)
    if alone:
        weights = {
            f"tracker_model.{name.removeprefix('tracker_model.')}": tensor
            for name, tensor in weights.items()
        }
    else:
        weights["detector_model.text_projection.bias"] = torch.ones(4)
        weights["detector_model.vision_encoder.neck.fpn_layers.0.proj1.bias"] = (
            torch.ones(4)
        )
        config = {"model_type": "sam3_video", "tracker_config": config}
    names = sorted(weights)
    if shards == 1:
        safetensors.save_file(weights, folder / "model.safetensors")
    else:
        files = {
            name: f"model-{at % shards}.safetensors" for at, name in enumerate(names)
        }
        for file in sorted(set(files.values())):
            part = {name: weights[name] for name in names if files[name] == file}
            safetensors.save_file(part, folder / file)
        index = {"metadata": {}, "weight_map": files}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({**config, **more}))
    return folder


def assert_equal(network: Sam3Network, state: State) -> None:
    loaded = network.state_dict()
    assert loaded.keys() == state.keys()
    assert [key for key in state if not torch.equal(loaded[key], state[key])] == []


@pytest.mark.slow
@pytest.mark.parametrize("nested", [True, False], ids=["under model", "plain"])
def test_the_official_file_is_read_and_the_rest_named_once(
    nested: bool, state: State, tmp_path: Path
) -> None:
    path = write_official(state, tmp_path / "sam3.pt", nested=nested)
    with pytest.warns(Remark) as said:
        network = load_network("sam3", path)
    assert_equal(network, state)
    assert [str(one.message) for one in said] == [
        f"{path}: 4 weights are not the tracker's and are ignored: "
        "detector.backbone.* (3), detector.transformer.* (1)"
    ]
    with pytest.warns(Remark):
        assert_equal(load_network("sam3", tmp_path), state)


@pytest.mark.parametrize(
    ("options", "ignored"),
    [
        ({}, 3),
        ({"alone": True}, 1),
        ({"shards": 3}, 3),
    ],
    ids=["detector and tracker", "tracker alone", "in three files"],
)
def test_a_folder_for_transformers_is_read(
    options: dict[str, Any], ignored: int, state: State, tmp_path: Path
) -> None:
    folder = write_folder(state, tmp_path / "sam3", **options)
    with pytest.warns(Remark, match=f"{ignored} weights are not the tracker's"):
        network = load_network("sam3", folder)
    assert_equal(network, state)


def test_the_shape_is_that_of_the_folders_config(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "sam3", Sam3Config())
    folder = write_folder(state, tmp_path / "sam3")
    with pytest.warns(Remark):
        network = load_network("sam3", folder)
    assert network.config == NARROW


def test_what_a_config_does_not_say_is_as_published(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "sam3_tracker_video"}')
    assert read_config(path) == Sam3Config()
    assert Sam3Config().trunk == VitConfig()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "model_type is None, expected sam3_video or sam3_tracker_video"),
        ('{"model_type": "sam3"}', "model_type is 'sam3', expected sam3_video or"),
        (
            '{"model_type": "sam3_tracker_video", "num_maskmem": 0}',
            "num_maskmem is 0, expected a positive whole number",
        ),
        (
            '{"model_type": "sam3_video", "tracker_config": {"vision_config": '
            '{"backbone_config": {"patch_size": 16}}}}',
            "tracker_config.vision_config.backbone_config.patch_size is 16, expected",
        ),
        (
            '{"model_type": "sam3_tracker_video", "vision_config": '
            '{"backbone_config": {"global_attn_indexes": 7}}}',
            "global_attn_indexes is 7, expected a list of whole numbers",
        ),
        (
            '{"model_type": "sam3_tracker_video", "vision_config": 3}',
            "vision_config is 3, expected a table",
        ),
    ],
)
def test_a_config_of_another_network_is_refused(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(PredictorError) as caught:
        read_config(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("form", ["official", "transformers"])
def test_every_wrong_weight_is_named_as_the_file_names_it(
    form: str, state: State, tmp_path: Path, load: Callable[[Path], Sam3Network]
) -> None:
    weights = arrange(state, form)
    prefix = {"official": "tracker.", "transformers": "tracker_model."}[form]
    pointer = {"official": "no_obj_ptr", "transformers": "no_object_pointer"}[form]
    weights[f"{prefix}extra"] = weights.pop(f"{prefix}{pointer}")
    weights[f"{prefix}mask_downsample.bias"] = torch.zeros(3)
    path = tmp_path / "weights.pt"
    torch.save(weights, path)
    with pytest.raises(PredictorError) as caught:
        load(path)
    message = str(caught.value)
    assert f"1 missing ({prefix}{pointer})" in message
    assert f"1 unexpected ({prefix}extra)" in message
    assert f"({prefix}mask_downsample.bias (3,) instead of (1,))" in message
    assert "as in sam3.pt or in the folder of huggingface.co/facebook/sam3" in message


def test_a_weight_that_is_no_number_is_named(
    state: State, tmp_path: Path, load: Callable[[Path], Sam3Network]
) -> None:
    state["image_encoder.trunk.blocks.1.mlp.layers.0.bias"][3] = float("nan")
    with pytest.raises(PredictorError, match=r"trunk\.blocks\.1\.mlp\.fc1\.bias"):
        load(write_official(state, tmp_path / "sam3.pt"))


def test_weights_of_sam_2_are_told_apart(
    tmp_path: Path, load: Callable[[Path], Sam3Network]
) -> None:
    with torch.device("meta"):
        shapes = Sam2Network(SAM2_MODELS["sam2.1_hiera_tiny"]).state_dict()
    path = tmp_path / "sam2.pt"
    torch.save({"model": {name: torch.zeros(1) for name in shapes}}, path)
    with pytest.raises(PredictorError, match=r"SAM 2, .* say --predictor sam2"):
        load(path)


def test_weights_of_something_else_are_refused(
    tmp_path: Path, load: Callable[[Path], Sam3Network]
) -> None:
    path = tmp_path / "other.pt"
    torch.save({"layer.weight": torch.zeros(1)}, path)
    with pytest.raises(
        PredictorError, match=r"no weights of SAM 3's tracker, found lay"
    ):
        load(path)


def test_where_there_is_no_checkpoint_it_says_how_to_get_one(
    tmp_path: Path, load: Callable[[Path], Sam3Network]
) -> None:
    with pytest.raises(PredictorError, match=r"no such file or folder; accept the SAM"):
        load(tmp_path / "gone.pt")
    with pytest.raises(PredictorError, match=r"found none of model\.safetensors, mod"):
        load(tmp_path)


def test_an_index_names_files_that_are_not_there(
    state: State, tmp_path: Path, load: Callable[[Path], Sam3Network]
) -> None:
    folder = write_folder(state, tmp_path / "sam3", shards=2)
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(PredictorError, match=r"not beside it: model-1\.safetensors"):
        load(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}')
    with pytest.raises(PredictorError, match=r"expected an index of safetensors files"):
        load(folder)
