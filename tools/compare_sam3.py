"""Compare the `sam3` predictor with transformers or the official tracker.

    python tools/compare_sam3.py --video VIDEO/JPEGImages/clip --masks first.png
    python tools/compare_sam3.py --against official --memory sam3 --objects 8 …

What they need is in tools/sam3_reference.py. Without `--checkpoint` both get the
same random weights, in a network of the published tracker behind a smaller image
encoder; logits are scaled to ±5. Objects beyond those in the mask are rectangles.
`--absent` moves the object score so that the given share of frames has no object.

Memory selection has no counterpart in transformers: compare `--memory sam2` with that.
Frames are prepared once, by the predictor, and given to both. Times are of the whole
frame without that, in one run, frame by frame in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from compare_sam2 import Frame, choose_masks, compare, in_turns
from sam3_reference import (
    build_official,
    build_transformers,
    exact_memories,
    lively_weights,
    run_official,
    run_transformers,
)
from submit.predictors import Mask, Prediction, Video, parse_options
from submit_sam3 import Sam3Options, Sam3Predictor
from submit_sam3.checkpoints import load_network
from submit_sam3.config import MODELS, Sam3Config, VitConfig
from submit_sam3.model import Sam3Network

#: Networks by name; the first two have the published tracker.
NETWORKS = {
    **MODELS,
    "middle": Sam3Config(VitConfig(256, 1024, blocks=8, heads=4, global_blocks=(3, 7))),
    "small": Sam3Config(
        VitConfig(64, 128, blocks=3, heads=2, global_blocks=(1, 2), window=4),
        memory_hidden=64,
        memory_layers=2,
    ),
}


def run_ours(
    network: Sam3Network,
    options: Sam3Options,
    images: Sequence[Tensor],
    masks: Mapping[int, NDArray[np.bool_]],
) -> Iterator[Frame]:
    """Track with this project's predictor.

    Args:
        network: With its weights.
        options: Those of the predictor.
        images: 1×3×S×S each, as the predictor prepares frames.
        masks: H×W by object, given in the first frame.
    """
    prepared = iter(images)
    predictor = Sam3Predictor.of(network, options, device="cpu")
    predictor.prepare = lambda *_: next(prepared)  # type: ignore[method-assign]
    height, width = next(iter(masks.values())).shape
    session = predictor.session(Video("clip", height, width, len(images)))
    given = {key: Mask(mask) for key, mask in masks.items()}
    nothing = np.zeros((height, width, 3), np.uint8)
    for number in range(len(images)):
        found = session.step(nothing, {} if number else given)
        assert isinstance(found, Prediction)
        assert found.presence is not None
        yield Frame(found.logits, found.presence)
    session.close()


def apart(masks: dict[int, NDArray[np.bool_]]) -> dict[int, NDArray[np.bool_]]:
    """Give pixels of several masks to the last one, as the official tracker does."""
    found: dict[int, NDArray[np.bool_]] = {}
    taken = np.zeros_like(next(iter(masks.values())))
    for key in reversed(masks):
        found[key] = masks[key] & ~taken
        taken |= masks[key]
    return {key: found[key] for key in masks}


def build(config: Sam3Config, state: Mapping[str, Tensor]) -> Sam3Network:
    """Make our network with weights."""
    network = Sam3Network(config)
    network.load_state_dict(dict(state))
    return network.eval().requires_grad_(False)


def main() -> int:
    """Run the comparison; the exit status is 1 if the predictors differ."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--video", type=Path, required=True, help="folder of JPEGs")
    parser.add_argument("--masks", type=Path, required=True, help="first mask, PNG")
    parser.add_argument(
        "--against", default="transformers", choices=("transformers", "official")
    )
    parser.add_argument(
        "--unchanged",
        action="store_true",
        help="transformers as it is, differences too",
    )
    parser.add_argument("--network", default="middle", choices=NETWORKS)
    parser.add_argument("--checkpoint", type=Path, help="of the network sam3")
    parser.add_argument("--memory", default="sam2", choices=("sam2", "sam3"))
    parser.add_argument("--image-size", type=int, default=336)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--objects", type=int)
    parser.add_argument("--absent", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--exact", action="store_true", help="memories in float32")
    parser.add_argument("--settled", type=int, default=8, help="time from this frame")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    paths = itertools.islice(
        itertools.cycle(sorted(args.video.glob("*.jpg"))), args.frames
    )
    frames = [np.array(Image.open(path).convert("RGB")) for path in paths]
    masks = apart(choose_masks(args.masks, args.objects))
    settings = {
        "image_size": args.image_size,
        "memory": args.memory,
        "selection": "shared",
        "dtype": "float32",
    }
    options: Sam3Options = parse_options(
        "sam3", Sam3Options, (f"{key}={value}" for key, value in settings.items())
    )
    preparing = Sam3Predictor(options, device="cpu")
    images = [preparing.prepare(frame, args.image_size) for frame in frames]
    if args.checkpoint:
        network = load_network("sam3", args.checkpoint)
        assert isinstance(network.config, Sam3Config)
        config, state = network.config, network.state_dict()
    else:
        config = NETWORKS[args.network]
        state = lively_weights(
            config,
            lambda state: run_ours(build(config, state), options, images, masks),
            seed=args.seed,
            absent=args.absent,
        )
    if args.against == "official":
        predictor = build_official(
            config, state, args.image_size, selection=args.memory == "sam3"
        )
        theirs = run_official(predictor, images, masks)
    else:
        model = build_transformers(
            config, state, args.image_size, as_official=not args.unchanged
        )
        theirs = run_transformers(model, images, masks)
    ours = run_ours(build(config, state), options, images, masks)
    with exact_memories() if args.exact else contextlib.nullcontext():
        both, seconds = in_turns({args.against: theirs, "sam3": ours})
    worst = compare("sam3", both["sam3"], both[args.against])
    times = {name: np.median(all_[args.settled :]) for name, all_ in seconds.items()}
    for name, median in times.items():
        ratio = times[args.against] / median
        print(f"{name:12} {median:8.3f} processor seconds a frame, {ratio:.2f} times")
    return 0 if worst <= 1e-3 else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
