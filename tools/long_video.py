"""Track objects through a long generated video and measure the memory of the process.

    python tools/long_video.py --frames 8000

It shows whether memory grows with the length of the video. To be fast, the network has
few channels and the frames are small; `--model` selects a published network instead,
`--model narrow3` a small one of SAM 3's shape (with `--image-size 56`). The weights are
random; another process writes them, so that its memory does not count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from submit.predictors import Mask, Video, as_delayed
from submit_sam2 import Sam2Options, Sam2Predictor
from submit_sam2.base import TrackerPredictor
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS, Sam2Config, TrunkConfig
from submit_sam2.memory import POLICIES
from submit_sam3 import Sam3Options, Sam3Predictor
from submit_sam3.checkpoints import arrange
from submit_sam3.checkpoints import random_weights as random_sam3_weights
from submit_sam3.config import MODELS as SAM3_MODELS
from submit_sam3.config import Sam3Config, VitConfig

#: A network of the published shape with a tenth of the channels.
NARROW = Sam2Config(
    TrunkConfig(8, 1, (1, 1, 2, 1), (3,)),
    channels=32,
    memory_channels=8,
    memory_hidden=64,
    memory_layers=2,
)
#: The same of SAM 3's shape.
NARROW3 = Sam3Config(
    VitConfig(32, 48, blocks=2, heads=2, global_blocks=(1,), window=4),
    channels=32,
    memory_channels=8,
    memory_hidden=64,
    memory_layers=2,
)
HEIGHT, WIDTH = 96, 160


def make_frame(number: int) -> NDArray[np.uint8]:
    """Make a frame with a moving stripe pattern."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = (3 * x + number, 5 * y - number, x * y % 89 + number)
    return np.stack(planes, 2).astype(np.uint8)


def peak() -> float:
    """The largest memory of the process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


#: The networks to choose from.
NAMES = ("narrow", "narrow3", *MODELS, *SAM3_MODELS)


def write_weights(name: str, path: Path) -> None:
    """Write random weights of a network."""
    register()
    if name in MODELS:
        torch.save({"model": random_weights(MODELS[name])}, path)
    else:
        torch.save(arrange(random_sam3_weights(SAM3_MODELS[name]), "official"), path)


def register() -> None:
    """Add the small networks to the published ones."""
    MODELS["narrow"], SAM3_MODELS["narrow3"] = NARROW, NARROW3


def make_predictor(
    name: str, path: Path, image_size: int, memory: str
) -> TrackerPredictor[Any]:
    """Make the predictor that reads the weights of a network."""
    settings: dict[str, Any] = {
        "checkpoint": str(path),
        "image_size": image_size,
        "memory": memory,
        "dtype": "float32",
    }
    if name in MODELS:
        return Sam2Predictor(Sam2Options(model=name, **settings), device="cpu")
    return Sam3Predictor(Sam3Options(model=name, **settings), device="cpu")


def main() -> None:
    """Print the memory after certain numbers of frames."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--frames", type=int, default=8000)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--model", default="narrow", choices=NAMES)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--memory", default="rcms", choices=tuple(POLICIES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    register()
    masks = {key: np.zeros((HEIGHT, WIDTH), bool) for key in range(args.objects)}
    for key, mask in masks.items():
        mask[10 * key : 10 * key + 30, 20 * key : 20 * key + 40] = True
    marks = {200, 1000, 2000, 4000, args.frames}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pt"
        writer = multiprocessing.get_context("spawn").Process(
            target=write_weights, args=(args.model, path)
        )
        writer.start()
        writer.join()
        predictor = make_predictor(args.model, path, args.image_size, args.memory)
        video = Video("long", HEIGHT, WIDTH, args.frames)
        session = as_delayed(predictor.session(video))
        began, first = time.process_time(), 0.0
        session.step(make_frame(0), {key: Mask(mask) for key, mask in masks.items()})
        for number in range(1, args.frames):
            session.step(make_frame(number), {})
            if number + 1 in marks:
                now = peak()
                first = first or now
                seconds = time.process_time() - began
                print(
                    f"{number + 1:6} frames  {now:8.1f} MiB  {now / first - 1:+.2%}  "
                    f"{seconds / (number + 1) * 1000:.1f} ms a frame",
                    flush=True,
                )


if __name__ == "__main__":
    main()
