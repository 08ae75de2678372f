"""Weights in safetensors files; each weight is read when it is used."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from submit.errors import PredictorError

__all__ = ["SafeWeights", "files_of"]


class SafeWeights(Mapping[str, Tensor]):
    """The weights of one file or several, by name; on the processor.

    Raises:
        PredictorError: A file is damaged, or the package safetensors is missing.
    """

    def __init__(self, *paths: Path) -> None:
        self._files: dict[str, Any] = {}
        for path in paths:
            file = _open(path)
            self._files |= dict.fromkeys(file.keys(), file)

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def files_of(index: Path) -> list[Path]:
    """The files that an index names, which has the weights in several files.

    Raises:
        PredictorError: It is damaged, or a file is not beside it.
    """
    try:
        content = json.loads(index.read_text("utf-8"))
        names = sorted({str(name) for name in content["weight_map"].values()})
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise PredictorError(
            f"{index}: expected an index of safetensors files with a weight_map; "
            "download it again"
        ) from error
    beside = index.parent
    if missing := [n for n in names if "/" in n or not (beside / n).is_file()]:
        raise PredictorError(
            f"{index}: names files that are not beside it: {', '.join(missing)}; "
            "download them"
        )
    return [beside / name for name in names]


def _open(path: Path) -> Any:
    if importlib.util.find_spec("safetensors") is None:
        raise PredictorError(
            f"{path}: the package safetensors is needed to read it and is not "
            "installed; run: pip install safetensors"
        )
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PredictorError(
            f"{path}: is damaged or not a safetensors file ({reason}); download it "
            "again"
        ) from error
