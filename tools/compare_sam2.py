"""Compare the `sam2` predictor with the official one: logits, masks and speed.

It needs the official package: facebookresearch/sam2 (commit 2b90b9f, also on PyPI as
`sam2`), or for `--preset rcms` the fork in MOSEv2/sam2_rcms of henghuiding/MOSE-api.
Both packages are called `sam2`; put the one to compare with on PYTHONPATH.

    python tools/compare_sam2.py --video VIDEO/JPEGImages/clip --masks first.png

Without `--checkpoint` both get the same random weights, in which every weight matters.
Objects beyond those in the mask are rectangles. `--absent` moves the object score so
that the given share of frames has no object; `--late` gives the last object's mask in
that frame instead of the first one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from submit.predictors import Mask, Video, immediate, parse_options
from submit_sam2 import Sam2Options, Sam2Predictor
from submit_sam2.build import random_weights
from submit_sam2.config import MODELS

#: The last bias of the network's head that predicts presence.
SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
OFFICIAL_CONFIG = {
    f"{version}_hiera_{size}": f"configs/{version}/{version}_hiera_{short}.yaml"
    for version in ("sam2", "sam2.1")
    for size, short in (
        ("tiny", "t"),
        ("small", "s"),
        ("base_plus", "b+"),
        ("large", "l"),
    )
}

#: The two model sizes of the fork, by their names there.
FORK_CONFIG = {
    f"sam2.1_hiera_{size}": f"configs/sam2.1/sam2.1_hiera_{short}_rcms_mqf_mss_lvt.yaml"
    for size, short in (("base_plus", "b+"), ("large", "l"))
}


@dataclass(frozen=True)
class Frame:
    """The output of a predictor for one frame.

    Attributes:
        logits: N×h×w.
        scores: N.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]


#: The masks of the objects that are given in each frame.
Given = dict[int, dict[int, NDArray[np.bool_]]]


def run_ours(
    options: Sam2Options, frames: list[NDArray[np.uint8]], given: Given
) -> Iterator[Frame]:
    """Track with this project's predictor."""
    height, width = frames[0].shape[:2]
    predictor = Sam2Predictor(options, device="cpu")
    session = immediate(predictor.session(Video("clip", height, width, len(frames))))
    for index, frame in enumerate(frames):
        masks = given.get(index, {})
        found = session.step(frame, {key: Mask(mask) for key, mask in masks.items()})
        assert found.presence is not None
        yield Frame(found.logits, found.presence)
    session.close()


def run_official(
    options: Sam2Options, frames: list[Path], given: Given
) -> Iterator[Frame]:
    """Track with the official predictor, as its script vos_inference does.

    Late objects are tracked one after the other, each from its first frame.
    """
    predictor = build_official(options)
    runs = {
        first: propagate(predictor, frames, first, masks)
        for first, masks in given.items()
    }
    for index in range(len(frames)):
        found = [next(run) for first, run in runs.items() if index >= first]
        yield Frame(
            np.concatenate([frame.logits for frame in found]),
            np.concatenate([frame.scores for frame in found]),
        )


def propagate(
    predictor: Any, frames: list[Path], first: int, masks: dict[int, Any]
) -> Iterator[Frame]:
    """Track the objects that are given in one frame."""
    with tempfile.TemporaryDirectory() as folder:
        for index, path in enumerate(frames):
            (Path(folder) / f"{index:05d}.jpg").symlink_to(path.resolve())
        state = predictor.init_state(folder)
    for key, mask in masks.items():
        predictor.add_new_mask(state, frame_idx=first, obj_id=key, mask=mask)
    for frame, *_ in predictor.propagate_in_video(state):
        outputs = [
            stored["cond_frame_outputs"].get(frame)
            or stored["non_cond_frame_outputs"][frame]
            for stored in state["output_dict_per_obj"].values()
        ]
        yield Frame(
            np.stack([out["pred_masks"][0, 0].numpy() for out in outputs]),
            np.array([out["object_score_logits"].item() for out in outputs], "f4"),
        )


def build_official(options: Sam2Options) -> Any:
    """Make the official predictor, or that of the fork."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sam2.build_sam import build_sam2_video_predictor

        memory = options.resolved()
        config = OFFICIAL_CONFIG[options.model]
        choices: dict[str, Any] = {}
        if memory.memory == "rcms":
            config = FORK_CONFIG.get(options.model, config)
            choices = {
                "num_prev_frames_to_promote": options.of_policy()["promote"],
                "low_quality_threshold": options.of_policy()["quality"],
            }
        predictor = build_sam2_video_predictor(
            config,
            options.checkpoint,
            device="cpu",
            apply_postprocessing=False,
            hydra_overrides_extra=[
                f"++model.image_size={options.image_size}",
                f"++model.sigmoid_scale_for_mem_enc={memory.mask_scale}",
                f"++model.sigmoid_bias_for_mem_enc={memory.mask_bias}",
            ],
            **choices,
        )
    if (memory.memory == "rcms") != hasattr(predictor, "low_quality_threshold"):
        sys.exit(
            "Error: the package sam2 that Python finds is the wrong one for "
            f"memory={memory.memory}; put the other on PYTHONPATH"
        )
    return predictor


def in_turns(
    runs: dict[str, Iterator[Frame]],
) -> tuple[dict[str, list[Frame]], dict[str, list[float]]]:
    """Run predictors alternately, frame by frame, so that other load slows all equally.

    Returns:
        For each name the frames, and the processor seconds of each frame on all cores.
    """
    frames: dict[str, list[Frame]] = {name: [] for name in runs}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    while True:
        for name, run in runs.items():
            began = time.process_time()
            try:
                frames[name].append(next(run))
            except StopIteration:
                return frames, seconds
            seconds[name].append(time.process_time() - began)


def choose_masks(path: Path, count: int | None) -> dict[int, NDArray[np.bool_]]:
    """Take the objects of a mask file, and add rectangles if more are needed."""
    labels = np.array(Image.open(path))
    masks = {int(key): labels == key for key in np.unique(labels) if key}
    keys = list(masks)[:count]
    masks = {key: masks[key] for key in keys}
    random = np.random.default_rng(0)
    height, width = labels.shape
    while count is not None and len(masks) < count:
        y, x = random.integers(0, height * 3 // 4), random.integers(0, width * 3 // 4)
        mask = np.zeros(labels.shape, bool)
        mask[y : y + height // 4, x : x + width // 5] = True
        masks[max(masks, default=0) + 1] = mask
    return masks


def compare(name: str, ours: list[Frame], official: list[Frame]) -> float:
    """Print the differences; returns the largest one, in logits or in deviations."""
    logits, _ = stacked(ours)
    expected, scores = stacked(official)
    difference = np.abs(logits - expected)
    present = scores[1:] > 0
    deviation = float(expected[1:][present].std()) if present.any() else 1.0
    largest = float(difference[1:].max())
    masks, truth = logits[1:] > 0, expected[1:] > 0
    union = (masks | truth).sum((2, 3))
    iou = np.where(union, (masks & truth).sum((2, 3)) / np.maximum(union, 1), 1.0)
    score = max(
        np.abs(ours[t].scores - frame.scores).max() for t, frame in enumerate(official)
    )
    print(f"{name}: {scores.shape[0]} frames, {scores.shape[1]} objects")
    print(f"  absent in              {(~present).sum()} of {present.size}")
    print(f"  logits' deviation      {deviation:.4f}")
    print(
        f"  largest difference     {largest:.3g} (frame 0: {difference[0].max():.3g})"
    )
    print(f"  … by the deviation     {largest / deviation:.3g}")
    print(f"  … of a presence score  {score:.3g}")
    print(f"  IoU of masks           {iou.mean():.5f}, lowest {iou.min():.5f}")
    return max(largest, largest / deviation, float(difference[0].max()))


def stacked(
    frames: list[Frame],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Stack to logits T×N×h×w and scores T×N; zeros before an object's first frame."""
    count = len(frames[-1].scores)
    logits = np.zeros((len(frames), count, *frames[-1].logits.shape[1:]), np.float32)
    scores = np.zeros((len(frames), count), np.float32)
    for index, frame in enumerate(frames):
        logits[index, : len(frame.logits)] = frame.logits
        scores[index, : len(frame.scores)] = frame.scores
    return logits, scores


def main() -> int:
    """Run the comparison; the exit status is 1 if the predictors differ."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--video", type=Path, required=True, help="folder of JPEGs")
    parser.add_argument("--masks", type=Path, required=True, help="first mask, PNG")
    parser.add_argument("--model", default="sam2.1_hiera_tiny", choices=MODELS)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--objects", type=int)
    parser.add_argument("--preset", default="sam2")
    parser.add_argument("--quality", type=float, help="RCMS's threshold")
    parser.add_argument("--absent", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--late", type=int, metavar="FRAME")
    parser.add_argument("--bfloat16", action="store_true", help="compare bfloat16 too")
    parser.add_argument("--settled", type=int, default=8, help="time from this frame")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    paths = sorted(args.video.glob("*.jpg"))[: args.frames]
    frames = [np.array(Image.open(path).convert("RGB")) for path in paths]
    masks = choose_masks(args.masks, args.objects)
    given: Given = {0: masks}
    if args.late:
        last = max(masks)
        given[args.late] = {last: masks.pop(last)}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, state = args.checkpoint, None
        if checkpoint is None:
            checkpoint = Path(folder) / "random.pt"
            state = random_weights(MODELS[args.model], seed=args.seed)
            torch.save({"model": state}, checkpoint)
        settings = {
            "model": args.model,
            "checkpoint": checkpoint,
            "image_size": args.image_size,
            "preset": args.preset,
            "quality": args.quality,
            "dtype": "float32",
        }
        options: Sam2Options = parse_options(
            "sam2", Sam2Options, (f"{key}={value}" for key, value in settings.items())
        )
        if args.absent and state is not None:
            # Shift the presence scores so that this share of the frames is empty.
            scores = [f.scores for f in run_ours(options, frames, given)]
            found_in = np.concatenate(scores[1:])
            state[SCORE_BIAS] -= float(np.quantile(found_in, args.absent))
            torch.save({"model": state}, checkpoint)
        runs = {
            "official": run_official(options, paths, given),
            "float32": run_ours(options, frames, given),
        }
        if args.bfloat16:
            fast = replace(options, dtype="bfloat16")
            runs["bfloat16"] = run_ours(fast, frames, given)
        found, seconds = in_turns(runs)
    official, worst = found.pop("official"), {}
    for name, ours in found.items():
        worst[name] = compare(name, ours, official)
    times = {name: np.median(all_[args.settled :]) for name, all_ in seconds.items()}
    for name, median in times.items():
        ratio = times["official"] / median
        print(f"{name:9} {median:8.3f} processor seconds a frame, {ratio:.2f} times")
    return 0 if worst["float32"] <= 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
