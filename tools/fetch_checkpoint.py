"""Download an official SAM 2 checkpoint and verify it.

    python tools/fetch_checkpoint.py sam2.1_hiera_large

With `--random` a checkpoint with random weights is written instead, for trials.

The SHA-256 of the SAM 2.1 files is that of Meta's copies on Hugging Face
(facebook/sam2.1-hiera-*). For the older SAM 2.0 files none is published; they are
checked by loading them into the network with their name.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import requests
import torch

from submit.errors import PredictorError, SubmitError
from submit_sam2.build import random_weights, read_state, recognise
from submit_sam2.config import MODELS

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Checkpoint:
    """One published checkpoint.

    Attributes:
        folder: Folder on Meta's server, named after the day of the release.
        sha256: SHA-256 in hex; None if unknown.
        size: Size in bytes; None if unknown.
    """

    folder: str
    sha256: str | None = None
    size: int | None = None


BASE = "https://dl.fbaipublicfiles.com/segment_anything_2"

CHECKPOINTS = {
    "sam2.1_hiera_tiny": Checkpoint(
        "092824",
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        156_008_466,
    ),
    "sam2.1_hiera_small": Checkpoint(
        "092824",
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        184_416_285,
    ),
    "sam2.1_hiera_base_plus": Checkpoint(
        "092824",
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        323_606_802,
    ),
    "sam2.1_hiera_large": Checkpoint(
        "092824",
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        898_083_611,
    ),
    **{
        f"sam2_hiera_{size}": Checkpoint("072824")
        for size in ("tiny", "small", "base_plus", "large")
    },
}


def fetch(name: str, folder: Path, *, base: str = BASE) -> Path:
    """Download a checkpoint, unless it is there already, and verify it.

    Args:
        name: One of `CHECKPOINTS`.
        folder: The folder for `<name>.pt`, which gets this name when it is verified.
        base: The address of the official folders.

    Raises:
        SubmitError: The download fails, or the file is not the expected one.
    """
    known, path = CHECKPOINTS[name], folder / f"{name}.pt"
    if path.exists():
        verify(name, path)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    address, part = f"{base}/{known.folder}/{name}.pt", path.with_suffix(".part")
    try:
        with requests.get(address, stream=True, timeout=30) as answer:
            answer.raise_for_status()
            with part.open("wb") as file:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
        verify(name, part)
        os.replace(part, path)
    except requests.RequestException as error:
        raise SubmitError(
            f"{address}: cannot be fetched ({error}); check the connection, or fetch "
            f"it on another machine and put it at {path}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def verify(name: str, path: Path) -> None:
    """Check that a file is the expected checkpoint.

    Raises:
        PredictorError: It is not; the message names the difference.
    """
    known = CHECKPOINTS[name]
    size = path.stat().st_size
    if known.size is not None and size != known.size:
        raise PredictorError(
            f"{path}: expected {known.size} bytes, found {size}; delete it and fetch "
            "it again"
        )
    if known.sha256 is None:
        found = recognise(read_state(path))
    else:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        found = name if digest.hexdigest() == known.sha256 else digest.hexdigest()
    if found != name:
        raise PredictorError(
            f"{path}: expected {known.sha256 or name}, found {found}; delete it and "
            "fetch it again"
        )


def main() -> int:
    """Parse the command line and download; the exit status is 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("name", choices=CHECKPOINTS)
    parser.add_argument("--folder", type=Path, default=Path("checkpoints"))
    parser.add_argument(
        "--random", action="store_true", help="random weights, no download"
    )
    args = parser.parse_args()
    try:
        if args.random:
            path = args.folder / f"{args.name}.random.pt"
            args.folder.mkdir(parents=True, exist_ok=True)
            torch.save({"model": random_weights(MODELS[args.name])}, path)
            print(path)
        else:
            print(fetch(args.name, args.folder))
    except SubmitError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
