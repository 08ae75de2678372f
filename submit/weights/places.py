"""Where weights may be on this machine, and what a name stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import WeightsError
from ..system.homes import user_path, xdg_folder
from .catalogue import KNOWN, Weights

__all__ = ["find", "hub_home", "own_folder", "require", "resolve"]


def own_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The folder into which weights are fetched.

    `SUBMIT_WEIGHTS` names it; otherwise it is `mose-submit/weights` in the XDG cache.
    """
    environment = os.environ if environment is None else environment
    if named := environment.get("SUBMIT_WEIGHTS"):
        return user_path(named)
    return _cache(environment) / "mose-submit" / "weights"


def find(weights: Weights, folder: Path | None = None) -> Path | None:
    """The file of weights on this machine; None if it is nowhere.

    It is looked for in the own folder, in the cache of Hugging Face and in that of
    torch.hub. A file of another size than the known one does not count.

    Args:
        weights: The weights.
        folder: The own folder. Default: `own_folder()`.
    """
    for path in _candidates(weights, folder or own_folder()):
        if path.is_file() and weights.size in (None, path.stat().st_size):
            return path
    return None


def require(name: str) -> Path:
    """The file of known weights.

    Raises:
        WeightsError: It is not on this machine; the message has the command.
    """
    weights = KNOWN[name]
    found = find(weights)
    if found is None:
        first = f"{weights.gate}; then " if weights.gate else ""
        raise WeightsError(
            f"the weights {name} are not on this machine; {first}run: submit weights "
            f"fetch {name}"
        )
    return found


def resolve(text: str) -> str:
    """What a path, or the name of known weights, stands for.

    A file or folder of this name comes first.

    Raises:
        WeightsError: The weights are not on this machine.
    """
    path = os.path.expanduser(text)
    if text in KNOWN and not os.path.exists(path):
        return str(require(text))
    return path


def hub_home() -> Path:
    """The folder of Hugging Face, with its cache and the token, by its own variable."""
    if named := os.environ.get("HF_HOME"):
        return user_path(named)
    return _cache(os.environ) / "huggingface"


def _candidates(weights: Weights, folder: Path) -> Iterator[Path]:
    yield folder / weights.file
    if weights.repository is not None:
        name = f"models--{weights.repository.replace('/', '--')}"
        yield from _snapshots(_hub() / name, weights.file)
    yield _torch() / "checkpoints" / weights.file


def _snapshots(repository: Path, file: str) -> Iterator[Path]:
    """The file in each downloaded revision, that of the main branch first."""
    try:
        main = (repository / "refs" / "main").read_text("utf-8").strip()
    except (OSError, ValueError):
        main = ""
    try:
        revisions = sorted(one.name for one in (repository / "snapshots").iterdir())
    except OSError:
        return
    for revision in sorted(revisions, key=lambda name: name != main):
        yield repository / "snapshots" / revision / file


def _hub() -> Path:
    """The cache of Hugging Face, by its own variables."""
    if named := os.environ.get("HF_HUB_CACHE"):
        return user_path(named)
    return hub_home() / "hub"


def _torch() -> Path:
    """The folder of torch.hub, by its own variable."""
    if named := os.environ.get("TORCH_HOME"):
        return user_path(named) / "hub"
    return _cache(os.environ) / "torch" / "hub"


def _cache(environment: Mapping[str, str]) -> Path:
    return xdg_folder(
        "XDG_CACHE_HOME",
        "~/.cache",
        instead="XDG_CACHE_HOME",
        environment=environment,
    )
