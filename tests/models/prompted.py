"""Prompts of all kinds for the moving discs, given to both predictors alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from submit.predictors import Absent, Box, Mask, Point, Points, Prompts

#: Height and width of the moving discs.
SIZE = (48, 80)


def disc(key: int, time: int) -> NDArray[np.bool_]:
    """Where `moving_discs` draws an object."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    row, column = 8 + 9 * key + time // 3, 6 + 14 * key + 2 * time
    inside: NDArray[np.bool_] = (y - row) ** 2 + (x - column) ** 2 < (4 + key) ** 2
    return inside


def script() -> dict[int, Prompts]:
    """Four objects that are given and corrected, by frame.

    New objects by each kind, one of them late; corrections by one point, by several, by
    a box, by a mask and by an absence, of objects that were given by the same kind and
    by another; two of them in frames that follow each other.
    """
    return {
        0: {
            3: Mask(disc(3, 0)),
            1: Box(15, 12, 26, 23),
            2: Points((Point(34, 26),)),
        },
        4: {4: Points((Point(70, 45), Point(60, 40), Point(40, 10, inside=False)))},
        6: {
            1: Points((Point(32, 19), Point(20.5, 30.25, inside=False))),
            2: Points((Point(46, 28),)),
        },
        7: {2: Box(38.5, 22, 55, 35), 4: Mask(disc(3, 7))},
        9: {3: Absent(), 1: Mask(disc(1, 9))},
        12: {3: Points((Point(70, 39), Point(72, 40), Point(71, 38)))},
    }


def quieten(state: dict[str, torch.Tensor]) -> None:
    """Scale the last layers that draw masks, so that logits of ±150 become ±5.

    Only then do masks of several points depend on their stability.
    """
    for name, weights in state.items():
        if re.search(r"output_hypernetworks_mlps\.\d\.layers\.2", name):
            state[name] = weights * 0.03


def write_frames(frames: list[NDArray[np.uint8]], at: Path) -> None:
    """Write frames as the official loader takes them."""
    for index, frame in enumerate(frames):
        # Lossless PNG; the loader accepts only this suffix.
        with (at / f"{index:05d}.jpg").open("wb") as file:
            Image.fromarray(frame).save(file, format="PNG")


def run_official(
    predictor: Any,
    frames: list[NDArray[np.uint8]],
    given: dict[int, Prompts],
    at: Path,
    *,
    reverse: bool = False,
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Track with the official predictor as a person would who corrects it on the way.

    Args:
        predictor: The official predictor.
        frames: The frames of the clip.
        given: Prompts by frame.
        at: A folder for the frames.
        reverse: Whether to track from the last frame down to frame 1. Frame 0 cannot be
            asked for by itself in that direction.

    Returns:
        For each frame, in the order of tracking, logits N×h×w and presence N of the
        objects known by then.
    """
    write_frames(frames, at)
    state = predictor.init_state(str(at))
    found = []
    order = list(range(len(frames) - 1, 0, -1) if reverse else range(len(frames)))
    for index in order:
        if index != order[0]:
            propagate(predictor, state, index, reverse=reverse)
        for key, prompt in given.get(index, {}).items():
            where = {"inference_state": state, "frame_idx": index, "obj_id": key}
            if isinstance(prompt, Box):
                box = [prompt.left, prompt.top, prompt.right, prompt.bottom]
                predictor.add_new_points_or_box(**where, box=box)
            elif isinstance(prompt, Points):
                predictor.add_new_points_or_box(
                    **where,
                    points=np.array([point[:2] for point in prompt.points], "f4"),
                    labels=np.array([p.inside for p in prompt.points], "i4"),
                )
            else:
                mask = (
                    prompt.pixels if isinstance(prompt, Mask) else np.zeros(SIZE, bool)
                )
                predictor.add_new_mask(**where, mask=mask)
        if index in given:
            propagate(predictor, state, index, reverse=reverse)
        outputs = [
            stored["cond_frame_outputs"].get(index)
            or stored["non_cond_frame_outputs"][index]
            for stored in state["output_dict_per_obj"].values()
        ]
        found.append(
            (
                np.stack([out["pred_masks"][0, 0].numpy() for out in outputs]),
                np.array([out["object_score_logits"].item() for out in outputs], "f4"),
            )
        )
    return found


def propagate(predictor: Any, state: Any, frame: int, *, reverse: bool = False) -> None:
    """Track one frame; what was given in it is made a memory."""
    for _ in predictor.propagate_in_video(state, frame, 0, reverse=reverse):
        pass
