"""Tracks all objects of one video with d4sm at once.

Needs https://github.com/alanlukezic/d4sm in PYTHONPATH. Writes
`<out>/<object>/<frame>.png`, 255 where the object is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tracking_wrapper_mot import DAM4SAMMOT

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="large", help="large, base, small or tiny")
parser.add_argument("--checkpoints", required=True, help="folder of the weights")
parser.add_argument("--frames", type=Path, required=True, help="folder of the frames")
parser.add_argument("--mask", type=Path, required=True, help="object ids as values")
parser.add_argument("--out", type=Path, required=True)
args = parser.parse_args()

labels = np.array(Image.open(args.mask))
objects = np.unique(labels[labels > 0])
first = [(labels == key).astype(np.uint8) for key in objects]
for key in objects:
    (args.out / f"{key:03}").mkdir()
with torch.inference_mode(), torch.autocast("cuda"):
    tracker = DAM4SAMMOT(args.model, args.checkpoints)
    for index, frame in enumerate(sorted(args.frames.iterdir())):
        image = Image.open(frame).convert("RGB")
        if index == 0:
            tracker.initialize(image, [{"mask": mask} for mask in first])
            masks = first
        else:
            masks = tracker.track(image)["masks"]
        for key, mask in zip(objects, masks, strict=True):
            Image.fromarray((np.asarray(mask) > 0).astype(np.uint8) * 255).save(
                args.out / f"{key:03}" / f"{frame.stem}.png"
            )
