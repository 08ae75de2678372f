"""From what SAM 3 is given out as to a network, strictly.

A file `sam3.pt` or a folder for transformers holds a detector beside the tracker. The
tracker's weights must all be there and fit; the others are named once and not read.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from submit.errors import PredictorError
from submit.predictors import Remark
from submit_sam2.build import draw_weights, fill_network, read_state
from submit_sam2.safe_weights import SafeWeights, files_of

from .config import MODELS, Sam3Config
from .folder import read_config
from .forms import FORMS, Form
from .model import Sam3Network

__all__ = [
    "Remark",
    "arrange",
    "find_weights",
    "load_network",
    "random_weights",
]

_OFFICIAL, _SAFE = "sam3.pt", "model.safetensors"
_SHARDS = "model.safetensors.index.json"
_WANTED = (
    "the weights of SAM 3's tracker, as in sam3.pt or in the folder of "
    "huggingface.co/facebook/sam3"
)


def load_network(name: str, path: Path) -> Sam3Network:
    """Read the tracker's weights into its network.

    Args:
        name: One of `MODELS`; where the folder has a config.json, that says the shape.
        path: `sam3.pt`, plain or with the weights under "model"; or safetensors, or the
            folder that they are in, of detector and tracker or the tracker alone.

    Returns:
        The network on the processor, in float32, ready for inference.

    Raises:
        PredictorError: The file is not there, is damaged, or holds other weights.
    """
    file = find_weights(path)
    weights, config = _open(file), MODELS[name]
    if file.suffix != ".pt" and (file.parent / "config.json").exists():
        config = read_config(file.parent / "config.json")
    form = _recognise(file, weights)
    with torch.device("meta"):
        network = Sam3Network(config)
    state = _Arranged(weights, form, list(network.state_dict()))
    network = fill_network(
        network,
        state,
        file,
        unexpected=state.unexpected,
        wanted=_WANTED,
        named=lambda key: " + ".join(form.source(key).names),
    )
    if state.ignored:
        warnings.warn(_said(file, state.ignored), Remark, stacklevel=2)
    return network


def find_weights(path: Path) -> Path:
    """Find the file with the weights: `path` itself, or one in that folder.

    Raises:
        PredictorError: There is none.
    """
    if path.is_file():
        return path
    if path.is_dir():
        for name in (_SAFE, _SHARDS, _OFFICIAL):
            if (path / name).is_file():
                return path / name
        found = f"found none of {_SAFE}, {_SHARDS} and {_OFFICIAL} in this folder"
    else:
        found = "there is no such file or folder"
    raise PredictorError(
        f"checkpoint {path}: {found}; accept the SAM License at "
        "huggingface.co/facebook/sam3, run: submit weights fetch sam3, and say "
        "-o checkpoint=sam3; or name sam3.pt, or the folder for transformers, with "
        "-o checkpoint=PATH"
    )


def random_weights(
    config: Sam3Config, *, seed: int = 0, gain: float = 1.0
) -> dict[str, Tensor]:
    """Draw weights in which each one matters, as for SAM 2."""
    with torch.device("meta"):
        network = Sam3Network(config)
    return draw_weights(network, seed=seed, gain=gain)


def arrange(state: Mapping[str, Tensor], form: str) -> dict[str, Tensor]:
    """Put weights into a form, to try how it is read.

    Args:
        state: All weights of a network, by our names.
        form: A name in `FORMS`.

    Returns:
        The weights by the names of that form, without those that it has beside them.
    """
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        source = FORMS[form].source(key)
        if source.skip:
            tensor = torch.cat((tensor[:, : source.skip], tensor), 1)
        if source.row is not None:
            (name,) = source.names
            found[name] = torch.cat((found[name], tensor)) if source.row else tensor
        else:
            parts = tensor.chunk(len(source.names))
            found |= dict(zip(source.names, parts, strict=True))
    return {name: tensor.contiguous() for name, tensor in found.items()}


class _Arranged(Mapping[str, Tensor]):
    """Weights of a file by our names, each read when it is looked at.

    Attributes:
        unexpected: Names of what should be the tracker's and is not.
        ignored: Names of what is not the tracker's or not read by it.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], form: Form, keys: list[str]
    ) -> None:
        self._weights, self._form = weights, form
        self._names: dict[str, str] = {}
        self.ignored: list[str] = []
        for name in weights:
            canonical = form.canonical(name)
            if canonical is None or not form.is_tracker(canonical):
                self.ignored.append(name)
            else:
                self._names.setdefault(canonical, name)
        sources = {key: form.source(key).names for key in keys}
        self._keys = [
            key
            for key, names in sources.items()
            if all(name in self._names for name in names)
        ]
        used = {name for names in sources.values() for name in names}
        self.unexpected = [
            name for canonical, name in self._names.items() if canonical not in used
        ]

    def __getitem__(self, key: str) -> Tensor:
        source = self._form.source(key)
        return source.take(
            {name: self._weights[self._names[name]] for name in source.names}
        )

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _open(file: Path) -> Mapping[str, Tensor]:
    """The weights of a file, or of those that an index names."""
    if file.suffix != ".json":
        return read_state(file)
    return SafeWeights(*files_of(file))


def _recognise(file: Path, weights: Mapping[str, Tensor]) -> Form:
    """The form whose names the weights have."""
    for form in FORMS.values():
        if any((form.canonical(name) or "").startswith(form.mark) for name in weights):
            return form
    if any(name.startswith("image_encoder.trunk.") for name in weights):
        raise PredictorError(
            f"{file}: holds the weights of SAM 2, expected {_WANTED}; say --predictor "
            "sam2 or name another checkpoint"
        )
    examples = ", ".join(sorted(weights)[:3])
    raise PredictorError(
        f"{file}: holds no weights of SAM 3's tracker, found {examples} …; expected "
        f"{_WANTED}"
    )


def _said(file: Path, names: list[str]) -> str:
    """One line about weights that are not used."""
    parts = Counter(".".join(name.split(".")[:2]) for name in names)
    listed = ", ".join(f"{part}.* ({count})" for part, count in sorted(parts.items()))
    return (
        f"{file}: {len(names)} weights are not the tracker's and are ignored: {listed}"
    )
