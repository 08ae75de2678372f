"""Tracks the objects of one video with DAM4SAM, one after the other.

Needs https://github.com/jovanavidenovic/DAM4SAM in PYTHONPATH. Writes
`<out>/<object>/<frame>.png`, 255 where the object is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from dam4sam_tracker import DAM4SAMTracker
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="sam21pp-L", help="as DAM4SAMTracker has them")
parser.add_argument("--frames", type=Path, required=True, help="folder of the frames")
parser.add_argument("--mask", type=Path, required=True, help="object ids as values")
parser.add_argument("--out", type=Path, required=True)
args = parser.parse_args()

frames = sorted(args.frames.iterdir())
labels = np.array(Image.open(args.mask))
tracker = DAM4SAMTracker(args.model)
for key in np.unique(labels[labels > 0]):
    folder = args.out / f"{key:03}"
    folder.mkdir()
    for index, frame in enumerate(frames):
        image = Image.open(frame).convert("RGB")
        if index == 0:  # This resets the tracker, too.
            mask = (labels == key).astype(np.uint8)
            tracker.initialize(image, mask)
        else:
            mask = np.asarray(tracker.track(image)["pred_mask"])
        Image.fromarray((mask > 0).astype(np.uint8) * 255).save(
            folder / f"{frame.stem}.png"
        )
