"""States of sessions: written and read as plain data, and nothing else."""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from submit.errors import PredictorError
from submit.predictors import (
    StaticOptions,
    StaticPredictor,
    Video,
    read_state,
    restore_session,
    session_state,
    write_state,
)


def written(state: Any) -> bytes:
    stream = io.BytesIO()
    write_state(state, stream)
    return stream.getvalue()


def read(data: bytes) -> Any:
    return read_state(io.BytesIO(data))


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        [],
        (),
        {"a": [1, (2.5, None, True)], 3: {"b": "ü\n"}, (1, "x"): False},
        [math.inf, -math.inf, 0.1, 10**30, -0.0],
        {"dict": {"tuple": ["array", {"tensor": 1}]}},
    ],
)
def test_plain_values_come_back_as_they_were(state: Any) -> None:
    found = read(written(state))
    assert repr(found) == repr(state)


def test_nan_comes_back() -> None:
    assert math.isnan(read(written({"x": math.nan}))["x"])


@pytest.mark.parametrize(
    "kind", ["?", "u1", "i1", "<i8", ">i4", "f2", "f4", "f8", "c8"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_arrays_come_back_bit_by_bit(kind: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 99, shape).astype(kind)
    found = read(written({"a": array, "b": array.T}))
    assert found["a"].dtype == array.dtype
    assert found["a"].shape == shape
    assert found["a"].tobytes() == array.tobytes()
    assert np.array_equal(found["b"], array.T)
    assert found["a"].flags.writeable


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16]
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_tensors_come_back_bit_by_bit(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    tensor = (torch.rand(shape) * 9).to(dtype)
    found = read(written([tensor, tensor.T if tensor.ndim == 2 else tensor]))
    assert found[0].dtype == dtype
    assert torch.equal(found[0], tensor)
    assert found[1].shape == (tensor.T if tensor.ndim == 2 else tensor).shape


def test_a_tensor_of_a_network_comes_back_without_its_history() -> None:
    weight = torch.ones(2, requires_grad=True)
    assert not read(written(weight * 2)).requires_grad


class Pair(NamedTuple):
    one: int


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": [1, {2}]}, r"state\.a\[1\] is a builtins\.set, expected plain data"),
        (np.float32(1), r"state is a numpy\.float32"),
        (np.array([object()]), r"state is a numpy\.ndarray"),
        ({"p": Pair(1)}, r"state\.p is a .*Pair"),
        (b"bytes", r"state is a builtins\.bytes"),
        (torch.ones(2).to_sparse(), r"state is a torch\.Tensor"),
    ],
)
def test_other_objects_are_refused_with_their_place(state: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        written(state)


def archive(tree: Any, *members: bytes, packed: bool = False) -> bytes:
    """A file with any tree."""
    stream = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", kind) as file:
        file.writestr("tree.json", json.dumps({"form": "state 1", "state": tree}))
        for index, data in enumerate(members):
            file.writestr(str(index), data)
    return stream.getvalue()


DEEP: list[Any] = []
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        written({"a": np.arange(9)})[:-30],
        archive({"unknown": [1, [2]]}, b"x"),
        archive({"array": ["|O", [1]]}, b"x" * 8),
        archive({"array": ["f4", [3]]}, b"x" * 8),
        archive({"array": ["f4", [-1]]}, b"x" * 8),
        archive({"array": ["f4", [2]]}),
        archive([{"array": ["u1", [1]]}] * 2, b"x"),
        archive({"tensor": ["load", [1]]}, b"x"),
        archive({"tensor": ["float32", [1.5]]}, b"x" * 4),
        archive({"dict": [[[1], 2]]}),
        archive({"dict": 3}),
        archive({}),
        archive({"array": ["u1", [1 << 20]]}, bytes(1 << 20), packed=True),
        archive(DEEP),
    ],
)
def test_damaged_and_hostile_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(data)


def test_memory_that_runs_out_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written({"a": torch.zeros(3)})

    def empty(*shape: Any, **more: Any) -> Any:
        # In the words of PyTorch.
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(torch, "empty", empty)
    with pytest.raises(RuntimeError, match="allocate memory"):
        read(data)


def test_a_flipped_bit_is_noticed() -> None:
    data = bytearray(written({"a": np.arange(99)}))
    data[300] ^= 1
    with pytest.raises(ValueError, match="CRC"):
        read(bytes(data))


def test_a_session_without_a_state_has_none_and_takes_none() -> None:
    class Plain:
        def step(self, frame: Any, prompts: Any) -> Any: ...

        def close(self) -> None: ...

    session: Any = Plain()
    assert session_state(session) is None
    with pytest.raises(PredictorError, match="a Plain cannot be continued"):
        restore_session(session, {})
    known = StaticPredictor(StaticOptions()).session(Video("v", 2, 2, 2))
    assert session_state(known) == {}
