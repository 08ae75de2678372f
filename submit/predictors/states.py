"""The states of sessions: asked for, given back, and written to files as plain data.

A state file is a zip, not compressed: `tree.json` has the tree, and one member for each
array has its bytes. Reading one builds these types only, and never runs code of it.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from ..errors import PredictorError
from ..system.machine import is_out_of_memory
from .protocol import AnySession, ResumableSession, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["read_state", "restore_session", "session_state", "write_state"]

_TREE = "tree.json"
#: The form of the file, which is compared when it is read.
_FORM = "state 1"
#: Kinds of numbers in arrays: bool, integers, floats and complex ones.
_KINDS = "biufc"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def session_state(session: AnySession) -> State | None:
    """The state of a session between two frames; None if it cannot be continued."""
    return session.state() if isinstance(session, ResumableSession) else None


def restore_session(session: AnySession, state: State) -> None:
    """Give a session that was just opened the state of another one.

    Raises:
        PredictorError: It cannot be continued.
    """
    if not isinstance(session, ResumableSession):
        raise PredictorError(
            f"a {type(session).__name__} cannot be continued; it has no restore()"
        )
    session.restore(state)


def write_state(state: State, stream: IO[bytes]) -> None:
    """Write a state to a file.

    Args:
        state: Plain data: see `State`.
        stream: An empty file that is open for writing, at its beginning.

    Raises:
        TypeError: A part of the state is not plain data; the message says where.
        OSError: The disk refuses.
    """
    with zipfile.ZipFile(stream, "w") as archive:
        arrays: list[Any] = []
        tree = {"form": _FORM, "state": _packed(state, arrays, "state")}
        _write_member(archive, _TREE, json.dumps(tree).encode())
        for index, array in enumerate(arrays):
            _write_member(archive, str(index), _bytes_of(array).data)


def _write_member(
    archive: zipfile.ZipFile, name: str, data: bytes | memoryview
) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    with archive.open(info, "w", force_zip64=True) as member:
        member.write(data)


def _packed(value: Any, arrays: list[Any], place: str) -> Any:
    """A part of a state as JSON; arrays are appended to a list."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        parts = [
            _packed(one, arrays, f"{place}[{index}]") for index, one in enumerate(value)
        ]
        return parts if kind is list else {"tuple": parts}
    if kind is dict:
        pairs = [
            [
                _packed(key, arrays, f"{place} key"),
                _packed(one, arrays, f"{place}.{key}"),
            ]
            for key, one in value.items()
        ]
        return {"dict": pairs}
    if name := _number_type(value):
        arrays.append(value)
        form = "array" if _is_array(value) else "tensor"
        return {form: [name, list(value.shape)]}
    raise TypeError(
        f"{place} is a {kind.__module__}.{kind.__qualname__}, expected plain data: "
        "dict, list, tuple, str, int, float, bool, None, or an array of numbers"
    )


def _is_array(value: Any) -> bool:
    import numpy as np

    return type(value) is np.ndarray


def _number_type(value: Any) -> str:
    """The type of an array's numbers; empty if it is no array of numbers."""
    if _is_array(value):
        return value.dtype.str if value.dtype.kind in _KINDS else ""
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return ""
    if value.layout != torch.strided or value.is_quantized:
        return ""
    return str(value.dtype).removeprefix("torch.")


def _bytes_of(array: Any) -> NDArray[np.uint8]:
    """The bytes of an array or tensor, in the order of its axes."""
    import numpy as np

    if not _is_array(array):
        import torch

        flat = array.detach().cpu().contiguous().reshape(-1)
        # NumPy does not have all of PyTorch's types.
        array = flat.view(torch.uint8).numpy()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def read_state(stream: IO[bytes]) -> State:
    """Read what `write_state` wrote.

    Returns:
        A state of new arrays; tensors are on the processor.

    Raises:
        ValueError: It is not such a file, or is damaged.
        OSError: The disk cannot read it.
        MemoryError: It does not fit into memory; of tensors, a RuntimeError.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            tree = json.loads(_member(archive, _TREE))
            if not isinstance(tree, dict) or tree.get("form") != _FORM:
                raise ValueError("it is of another version")
            names = iter(archive.namelist()[1:])
            return _unpacked(tree["state"], archive, names)
    except ValueError:
        raise
    # What another program wrote there can fail in any of these ways.
    except (
        zipfile.BadZipFile,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
        NotImplementedError,
        EOFError,
        RuntimeError,
    ) as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(str(error) or type(error).__name__) from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member; zipfile compares their checksum."""
    info = archive.getinfo(name)
    # Only what is stored as it is cannot inflate.
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its member {name!r:.40} is compressed")
    return archive.read(info)


def _unpacked(value: Any, archive: zipfile.ZipFile, names: Iterator[str]) -> State:
    """The part of a state that some JSON stands for; arrays come in their order."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_unpacked(one, archive, names) for one in value]
    ((form, content),) = value.items()
    if form == "tuple":
        return tuple(_unpacked(one, archive, names) for one in content)
    if form == "dict":
        return {
            _unpacked(key, archive, names): _unpacked(one, archive, names)
            for key, one in content
        }
    kind, shape = content
    data = _member(archive, next(names, ""))
    if form == "array":
        return _array(data, kind, shape)
    if form == "tensor":
        return _tensor(data, kind, shape)
    raise ValueError(f"it has a part of the unknown kind {form!r:.40}")


def _array(data: bytes, kind: str, shape: list[int]) -> NDArray[Any]:
    import numpy as np

    dtype = np.dtype(kind)
    if dtype.kind not in _KINDS:
        raise ValueError(f"it has an array of {dtype}, which are no numbers")
    return np.frombuffer(data, dtype).reshape(_shape(shape)).copy()


def _tensor(data: bytes, kind: str, shape: list[int]) -> Any:
    import numpy as np
    import torch

    dtype = getattr(torch, kind, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"it has a tensor of the unknown type {kind!r:.40}")
    # PyTorch aligns its own memory.
    flat = torch.empty(len(data), dtype=torch.uint8)
    flat.numpy()[:] = np.frombuffer(data, np.uint8)
    return flat.view(dtype).reshape(_shape(shape))


def _shape(found: list[int]) -> tuple[int, ...]:
    if not all(type(side) is int and side >= 0 for side in found):
        raise ValueError(f"it has an array of the shape {found!r:.40}")
    return tuple(found)
