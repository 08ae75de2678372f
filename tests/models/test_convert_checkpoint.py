from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from submit.errors import PredictorError
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS, NARROW, Sam2Config, TrunkConfig
from tests.scripts import load_tool

#: As narrow as transformers can build it.
SMALL = Sam2Config(
    TrunkConfig(8, 1, (1, 1, 2, 1), (3,)),
    channels=32,
    memory_hidden=32,
    memory_layers=1,
    heads=2,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "small", SMALL)


@pytest.fixture
def tool() -> ModuleType:
    return load_tool("convert_sam2_checkpoint")


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return random_weights(SMALL)


def save(state: dict[str, torch.Tensor], path: Path) -> Path:
    with path.open("wb") as stream:
        torch.save({"model": state}, stream)
    return path


@pytest.mark.slow
def test_each_weight_comes_back_with_its_bytes(
    tool: ModuleType, state: dict[str, torch.Tensor]
) -> None:
    there = tool.to_hugging_face(state)
    back = tool.to_official(there, Path("weights"))
    assert list(back) == list(state)
    assert all(torch.equal(back[key], state[key]) for key in state)
    again = tool.to_hugging_face(back)
    assert again.keys() == there.keys()
    assert all(torch.equal(again[name], there[name]) for name in there)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
        (
            "image_encoder.trunk.blocks.2.norm1.weight",
            "vision_encoder.backbone.blocks.2.layer_norm1.weight",
        ),
        ("image_encoder.neck.convs.3.conv.bias", "vision_encoder.neck.convs.3.bias"),
        (
            "image_encoder.trunk.blocks.0.attn.qkv.weight",
            "vision_encoder.backbone.blocks.0.attn.qkv.weight",
        ),
        (
            "memory_encoder.mask_downsampler.encoder.4.weight",
            "memory_encoder.mask_downsampler.layers.1.layer_norm.weight",
        ),
        (
            "sam_mask_decoder.iou_prediction_head.layers.1.bias",
            "mask_decoder.iou_prediction_head.layers.0.bias",
        ),
    ],
)
def test_weights_get_the_names_of_transformers(
    ours: str, theirs: str, tool: ModuleType, state: dict[str, torch.Tensor]
) -> None:
    assert torch.equal(tool.to_hugging_face(state)[theirs], state[ours])


def test_what_is_missing_or_too_much_is_named(
    tool: ModuleType, state: dict[str, torch.Tensor]
) -> None:
    weights = tool.to_hugging_face(state)
    weights["extra"] = torch.zeros(1)
    del weights["prompt_encoder.point_embed.weight"]
    with pytest.raises(PredictorError) as caught:
        tool.to_official(weights, Path("model.safetensors"))
    message = str(caught.value)
    assert message.startswith("model.safetensors: ")
    assert "4 missing (sam_prompt_encoder.point_embeddings.0.weight" in message
    assert "1 unexpected (extra)" in message


def test_two_matrices_that_should_be_one_are_refused(
    tool: ModuleType, state: dict[str, torch.Tensor]
) -> None:
    weights = tool.to_hugging_face(state)
    weights["prompt_encoder.shared_embedding.positional_embedding"] += 1
    with pytest.raises(PredictorError, match=r"positional_embedding differ"):
        tool.to_official(weights, Path("weights"))


def test_weights_of_something_else_are_refused(tool: ModuleType) -> None:
    with pytest.raises(PredictorError, match=r"none of sam2\.1_hiera_tiny"):
        tool.to_official({"layer.weight": torch.zeros(1)}, Path("weights"))


def test_a_network_that_transformers_cannot_have_is_refused(tool: ModuleType) -> None:
    with pytest.raises(PredictorError, match=r"has 16 memory channels"):
        tool.describe(MODELS[NARROW])


def test_files_are_converted_there_and_back(
    tool: ModuleType,
    state: dict[str, torch.Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    origin = save(state, tmp_path / "weights.pt")
    folder, back = tmp_path / "folder", tmp_path / "new" / "back.pt"
    assert tool.main([str(origin), str(folder)]) == 0
    assert tool.main([str(folder), str(back)]) == 0
    assert capsys.readouterr().out == f"{folder}: small\n{back}: small\n"
    assert back.read_bytes() == origin.read_bytes()
    assert tool.main([str(back), str(tmp_path / "again")]) == 0
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert sorted(one.name for one in tmp_path.rglob("*.part")) == []


def test_nothing_is_overwritten(
    tool: ModuleType,
    state: dict[str, torch.Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    origin = save(state, tmp_path / "weights.pt")
    other = save(state, tmp_path / "other.pt")
    assert tool.main([str(origin), str(other)]) == 1
    assert capsys.readouterr().err == (
        f"Error: {other}: exists; name another place or delete it\n"
    )


@pytest.mark.reference
@pytest.mark.parametrize("name", ["sam2.1_hiera_tiny", "sam2_hiera_base_plus"])
def test_transformers_builds_the_published_networks(
    name: str, tool: ModuleType
) -> None:
    transformers = pytest.importorskip("transformers", minversion="5.24")
    told: dict[str, Any] = json.loads(json.dumps(tool.describe(MODELS[name])))
    config = transformers.Sam2VideoConfig(**told)
    with torch.device("meta"):
        theirs = transformers.Sam2VideoModel(config).state_dict()
    ours = tool.to_hugging_face(random_weights(MODELS[name]))
    assert {key: one.shape for key, one in theirs.items()} == {
        key: one.shape for key, one in ours.items()
    }
