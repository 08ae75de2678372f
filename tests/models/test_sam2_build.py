from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from submit.errors import PredictorError
from submit_sam2.build import load_network, read_state, recognise
from submit_sam2.config import MODELS
from submit_sam2.model import Sam2Network

State = dict[str, torch.Tensor]
Write = Callable[[State], Path]


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        ("sam2.1_hiera_tiny", 471, 38_962_498),
        ("sam2.1_hiera_small", 519, 46_060_354),
        ("sam2.1_hiera_base_plus", 615, 80_850_178),
        ("sam2.1_hiera_large", 903, 224_446_642),
        ("sam2_hiera_tiny", 468, 38_945_986),
        ("sam2_hiera_small", 516, 46_043_842),
        ("sam2_hiera_base_plus", 612, 80_833_666),
        ("sam2_hiera_large", 900, 224_430_130),
    ],
)
def test_each_network_is_as_large_as_the_published_one(
    name: str, tensors: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = Sam2Network(MODELS[name])
    assert len(network.state_dict()) == tensors
    assert sum(weights.numel() for weights in network.parameters()) == parameters


@pytest.mark.parametrize("name", MODELS)
def test_each_published_network_is_recognised_by_its_weights(name: str) -> None:
    with torch.device("meta"):
        state = Sam2Network(MODELS[name]).state_dict()
    assert recognise(state) == name


def test_weights_come_back_as_they_were_written(
    tiny: str, tiny_state: State, write_checkpoint: Write
) -> None:
    path = write_checkpoint(tiny_state)
    loaded = load_network(tiny, path).state_dict()
    assert loaded.keys() == tiny_state.keys()
    assert all(torch.equal(loaded[key], tiny_state[key]) for key in loaded)


def test_weights_in_half_precision_become_float32(
    tiny: str, tiny_state: State, write_checkpoint: Write
) -> None:
    halves = {key: tensor.bfloat16() for key, tensor in tiny_state.items()}
    network = load_network(tiny, write_checkpoint(halves))
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


def test_what_a_trainer_saved_beside_the_weights_is_ignored(
    tiny: str, tiny_state: State, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": tiny_state, "epoch": 3, "steps": {"train": 7}}, path)
    load_network(tiny, path)


def test_safetensors_are_read_where_the_package_is(
    tiny: str, tiny_state: State, tmp_path: Path
) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "weights.safetensors"
    safetensors.save_file(tiny_state, path)
    load_network(tiny, path)
    path.write_bytes(b"no tensors")
    with pytest.raises(PredictorError, match="is damaged or not a safetensors file"):
        load_network(tiny, path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named(
    value: float, tiny: str, tiny_state: State, write_checkpoint: Write
) -> None:
    tiny_state["no_obj_ptr"].view(-1)[3] = value
    path = write_checkpoint(tiny_state)
    with pytest.raises(PredictorError) as caught:
        load_network(tiny, path)
    said = f"{path}: holds weights that are no numbers: 1 not finite (no_obj_ptr); "
    assert str(caught.value).startswith(said)


def test_every_missing_unexpected_and_misshapen_weight_is_named(
    tiny: str, tiny_state: State, write_checkpoint: Write
) -> None:
    tiny_state["extra"] = tiny_state.pop("no_obj_ptr")
    tiny_state["no_mem_embed"] = torch.zeros(3)
    with pytest.raises(PredictorError) as caught:
        load_network(tiny, write_checkpoint(tiny_state))
    message = str(caught.value)
    assert "1 missing (no_obj_ptr)" in message
    assert "1 unexpected (extra)" in message
    assert "1 of another shape (no_mem_embed (3,) instead of (1, 1, 32))" in message


def test_weights_of_another_size_are_named(
    tiny: str, tiny_state: State, write_checkpoint: Write
) -> None:
    path = write_checkpoint(tiny_state)
    with pytest.raises(PredictorError, match="weights of test_tiny, expected"):
        load_network("sam2.1_hiera_tiny", path)


def test_a_missing_checkpoint_is_an_error_that_says_where_to_get_one(
    tiny: str, tmp_path: Path
) -> None:
    with pytest.raises(PredictorError, match="there is no such file"):
        load_network(tiny, tmp_path / "gone.pt")


def test_a_truncated_checkpoint_is_an_error(
    tiny: str, tiny_state: State, write_checkpoint: Write
) -> None:
    path = write_checkpoint(tiny_state)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(PredictorError, match="is damaged or not a checkpoint"):
        load_network(tiny, path)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>404</html>", b"a text", pickle.dumps(Path), b"\x80\x02}q\x00."],
    ids=["empty", "page", "text", "code", "old pickle"],
)
def test_a_file_that_is_no_checkpoint_is_an_error(
    content: bytes, tiny: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(PredictorError):
        load_network(tiny, path)


@pytest.mark.parametrize("content", [{}, [1], {"model": {"weight": 3}}, {"model": 7}])
def test_a_checkpoint_without_weights_is_an_error(
    content: object, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    with pytest.raises(PredictorError, match="expected named weights"):
        read_state(path)
