"""Load checkpoints strictly into networks."""

from __future__ import annotations

import functools
import pickle
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from submit.errors import PredictorError
from submit.predictors import file_digest

from .config import MODELS, Sam2Config
from .model import Sam2Network, TrackerNetwork
from .safe_weights import SafeWeights

__all__ = [
    "build_network",
    "draw_weights",
    "fill_network",
    "fresh_weights",
    "known_model",
    "listed",
    "load_network",
    "random_weights",
    "read_state",
    "recognise",
    "sha256",
]

Network = TypeVar("Network", bound=TrackerNetwork)

#: Most missing or unexpected weights that a message lists.
_LISTED = 12


def load_network(name: str, path: Path, *, option: str = "model") -> Sam2Network:
    """Read a published network's weights into it.

    Args:
        name: One of `MODELS`.
        path: An official `.pt` file, a file of the RCMS training, or a safetensors file
            with the same names.
        option: What the name was given as, for messages.

    Returns:
        The network on the processor, in float32, ready for inference.

    Raises:
        PredictorError: The file does not exist, is damaged, or has other weights.
    """
    state = read_state(path)
    found = recognise(state)
    if found is not None and found != name:
        raise PredictorError(
            f"{path}: holds the weights of {found}, expected {name}; "
            f"say -o {option}={found} or name another checkpoint"
        )
    return build_network(MODELS[name], state, path)


def build_network(
    config: Sam2Config, state: Mapping[str, Tensor], path: Path
) -> Sam2Network:
    """Make a network with given weights.

    Args:
        config: The network's shape.
        state: Its weights by name.
        path: Where they are from, for messages.

    Raises:
        PredictorError: Names or shapes differ from the network's, or a weight is not a
            finite number.
    """
    with torch.device("meta"):
        network = Sam2Network(config)
    return fill_network(
        network,
        state,
        path,
        unexpected=state.keys() - network.state_dict().keys(),
        wanted="an official SAM 2 checkpoint (see: submit weights)",
    )


def fill_network(
    network: Network,
    state: Mapping[str, Tensor],
    path: Path,
    *,
    unexpected: Collection[str],
    wanted: str,
    named: Callable[[str], str] = str,
) -> Network:
    """Put weights into a network, strictly.

    Args:
        network: A network on the meta device.
        state: Its weights by name.
        path: Where they are from, for messages.
        unexpected: What else was there.
        wanted: What was expected, for messages.
        named: How the file calls a weight, for messages.

    Returns:
        The network on the processor, in float32, ready for inference.

    Raises:
        PredictorError: Names or shapes differ from the network's, or a weight is not a
            finite number.
    """
    expected = network.state_dict()
    problems = listed("missing", map(named, expected.keys() - state.keys()))
    problems += listed("unexpected", unexpected)
    problems += listed(
        "of another shape",
        (
            f"{named(key)} {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
            for key, tensor in expected.items()
            if key in state and state[key].shape != tensor.shape
        ),
    )
    if problems:
        raise PredictorError(
            f"{path}: does not fit the network: {'; '.join(problems)}; "
            f"expected {wanted}"
        )
    if broken := listed(
        "not finite",
        (named(key) for key in expected if not state[key].isfinite().all()),
    ):
        raise PredictorError(
            f"{path}: holds weights that are no numbers: {'; '.join(broken)}; the file "
            "is damaged or its training diverged: download it again, or take an "
            "earlier one"
        )
    network.load_state_dict(
        # Copies: what was read may be the file itself, which may change.
        {key: state[key].to(torch.float32, copy=True) for key in expected},
        assign=True,
    )
    return network.eval().requires_grad_(False)


def fresh_weights(config: Sam2Config, *, seed: int = 0) -> dict[str, Tensor]:
    """Draw the initial weights for training from scratch.

    Layers get PyTorch's default initialisation. Other learned parameters are normally
    distributed with a deviation of 0.02, as by `trunc_normal_` in
    sam2/modeling/sam2_base.py (facebookresearch/sam2 @ 2b90b9f). The initial presence
    is high, so that masks have gradients.

    Args:
        config: The network's shape.
        seed: Equal seeds give equal weights.
    """
    before = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        network = Sam2Network(config)
        for name, value in network.state_dict().items():
            if name.rpartition(".")[0] == "" or "pos_embed" in name:
                torch.nn.init.trunc_normal_(value, std=0.02)
            elif name.endswith("gaussian_matrix"):
                value.normal_()
    finally:
        torch.random.set_rng_state(before)
    state = network.state_dict()
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 2
    return state


def random_weights(
    config: Sam2Config, *, seed: int = 0, gain: float = 1.0
) -> dict[str, Tensor]:
    """Draw random weights that all change the output, for tests and benchmarks.

    Args:
        config: The network's shape.
        seed: Equal seeds give equal weights.
        gain: Factor of all weight matrices; a larger one makes attention sharper.

    Returns:
        Weights by name, as `read_state` does.
    """
    with torch.device("meta"):
        network = Sam2Network(config)
    return draw_weights(network, seed=seed, gain=gain)


def draw_weights(
    network: TrackerNetwork, *, seed: int = 0, gain: float = 1.0
) -> dict[str, Tensor]:
    """Draw weights for a network, which may be on the meta device.

    See `random_weights`.
    """
    random = torch.Generator().manual_seed(seed)
    state = {}
    shapes = network.state_dict()
    for key, tensor in shapes.items():
        noise = torch.randn(tensor.shape, generator=random)
        if key.endswith("gaussian_matrix"):
            state[key] = noise
        elif ("norm" in key or "ln_pre" in key) and key.endswith("weight"):
            state[key] = 1 + 0.1 * noise
        elif key.endswith("weight") and tensor.ndim > 1 and "embed" not in key:
            state[key] = gain * noise / tensor[0].numel() ** 0.5
        else:
            state[key] = 0.1 * noise
    # A bias that gives high predicted IoUs.
    state["sam_mask_decoder.iou_prediction_head.layers.2.bias"] += 2
    return state


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Read the weights in a checkpoint file by name.

    Raises:
        PredictorError: The file does not exist, is damaged, or is not a checkpoint.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "there is no such file"
        raise PredictorError(
            f"checkpoint {path}: {found}; name another one with -o checkpoint=FILE, or "
            "fetch an official one (see: submit weights)"
        )
    if path.suffix == ".safetensors":
        return SafeWeights(path)
    state = _read_pickle(path)
    if not state or not all(
        isinstance(key, str) and isinstance(value, Tensor)
        for key, value in state.items()
    ):
        raise PredictorError(
            f"{path}: expected named weights under the key 'model', as in the official "
            "SAM 2 checkpoints, found something else"
        )
    return state


def recognise(state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the published network with these weights; None if unknown."""
    start = "image_encoder.trunk."
    positions = state.get(f"{start}pos_embed")
    blocks = {key.split(".")[3] for key in state if key.startswith(f"{start}blocks.")}
    timed = "no_obj_embed_spatial" in state
    for name, config in MODELS.items():
        if (
            positions is not None
            and positions.ndim == 4
            and positions.shape[1] == config.trunk.channels
            and len(blocks) == sum(config.trunk.blocks)
            and timed == config.timed_pointers
        ):
            return name
    return None


def known_model(path: Path) -> str | None:
    """Return the name of the published network whose weights a file has.

    The file is looked into once in a process, as long as it stays as it is.

    Returns:
        None if the file cannot be read, or has other weights.
    """
    try:
        found = path.stat()
        return _known_model(str(path), found.st_ino, found.st_size, found.st_mtime_ns)
    except (OSError, PredictorError):
        return None


@functools.lru_cache
def _known_model(path: str, *changes: int) -> str | None:
    """Look into a file; the changes are only keys of the cache."""
    del changes
    return recognise(read_state(Path(path)))


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex.

    Raises:
        PredictorError: The file cannot be read.
    """
    try:
        return file_digest(path)
    except OSError as error:
        raise PredictorError(
            f"checkpoint {path}: cannot be read ({error.strerror}); name another one "
            "with -o checkpoint=FILE, or fetch an official one (see: submit weights)"
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # Of foreign pickles PyTorch also says that it may not understand them.
            warnings.simplefilter("ignore")
            # Only weights that are looked at are then read.
            mapped = zipfile.is_zipfile(path)
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=mapped
            )
    except pickle.UnpicklingError as error:
        raise PredictorError(
            f"{path}: is not a checkpoint, or holds more than weights, which is not "
            "loaded since it could run any code; expected an official .pt file"
        ) from error
    except Exception as error:  # Damaged files raise exceptions of many types.
        raise PredictorError(
            f"{path}: is damaged or not a checkpoint ({_first_line(error)}); "
            "download it again"
        ) from error
    state = content.get("model", content) if isinstance(content, dict) else None
    return dict(state) if isinstance(state, dict) else {}


def listed(what: str, found: Iterable[str]) -> list[str]:
    """List the first few names in a text."""
    names = sorted(found)
    if not names:
        return []
    shown = ", ".join(names[:_LISTED])
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [f"{len(names)} {what} ({shown}{more})"]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
