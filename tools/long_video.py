"""Track objects through a long generated video and measure the memory of the process.

    python tools/long_video.py --frames 8000

It shows whether memory grows with the length of the video. To be fast, the network has
few channels and the frames are small; `--model` selects a published network instead.
The weights are random.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from submit.predictors import Mask, Video, as_delayed
from submit_sam2 import Sam2Options, Sam2Predictor
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS, Sam2Config, TrunkConfig
from submit_sam2.memory import POLICIES

#: A network of the published shape with a tenth of the channels.
NARROW = Sam2Config(
    TrunkConfig(8, 1, (1, 1, 2, 1), (3,)),
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


def main() -> None:
    """Print the memory after certain numbers of frames."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--frames", type=int, default=8000)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--model", default="narrow", choices=("narrow", *MODELS))
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--memory", default="rcms", choices=tuple(POLICIES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    MODELS["narrow"] = NARROW
    masks = {key: np.zeros((HEIGHT, WIDTH), bool) for key in range(args.objects)}
    for key, mask in masks.items():
        mask[10 * key : 10 * key + 30, 20 * key : 20 * key + 40] = True
    marks = {200, 1000, 2000, 4000, args.frames}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pt"
        torch.save({"model": random_weights(MODELS[args.model])}, path)
        options = Sam2Options(
            model=args.model,
            checkpoint=str(path),
            image_size=args.image_size,
            memory=args.memory,
            dtype="float32",
        )
        predictor = Sam2Predictor(options, device="cpu")
        video = Video("long", HEIGHT, WIDTH, args.frames)
        session = as_delayed(predictor.session(video))
        began, first = time.process_time(), 0.0
        session.step(make_frame(0), {key: Mask(mask) for key, mask in masks.items()})
        for number in range(1, args.frames):
            session.step(make_frame(number), {})
            if number + 1 in marks:
                now = peak()
                first = first or now
                print(
                    f"{number + 1:6} frames  {now:8.1f} MiB  {now / first - 1:+.2%}  "
                    f"{(time.process_time() - began) / number * 1000:.1f} ms a frame",
                    flush=True,
                )


if __name__ == "__main__":
    main()
