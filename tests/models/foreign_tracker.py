"""A tracker of another repository: the mask moves down by a row in each frame."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

parser = argparse.ArgumentParser()
for name in ("--video", "--mask", "--out", "--layout", "--fault", "--pid"):
    parser.add_argument(name, default="")
args = parser.parse_args()
mask, out = Path(args.mask), Path(args.out)
sys.stdout.write(f"tracking {args.video}\n")
if args.pid:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(args.pid, f"{os.getpid()}").write_text(args.out)
    time.sleep(300)

frames = sorted(Path(args.video).iterdir())
if mask.is_dir():  # One for each object.
    parts = {int(one.name): one / "00000.png" for one in mask.iterdir()}
    marks = [key * (np.array(Image.open(one)) > 0) for key, one in parts.items()]
    first = np.sum(marks, axis=0)
else:
    first = np.array(Image.open(mask))
ids = [int(key) for key in np.unique(first) if key]
for index, frame in enumerate(frames):
    if args.fault == "crash" and frame == frames[-1]:
        sys.exit("CUDA error: device-side assert triggered")
    if args.fault == "few" and frame == frames[-1]:
        break
    labels = np.roll(first, index, 0).astype(np.uint8)
    if args.fault == "size":
        labels = labels[:-1]
    if args.fault == "ids":
        labels[0, 0] = 77
    if args.layout in ("logits", "probabilities"):
        scores = np.stack([np.where(labels == key, 6, -6) for key in ids])
        scores = (scores + np.linspace(-1, 1, labels.shape[1])).astype(np.float32)
        if args.layout == "probabilities":
            scores = 1 / (1 + np.exp(-scores))
        np.save(out / f"{frame.stem}.npy", scores)
    elif args.layout == "objects":
        for key in ids:
            (out / f"{key:03}").mkdir(exist_ok=True)
            mine = Image.fromarray((labels == key).astype(np.uint8) * 255)
            mine.save(out / f"{key:03}" / f"{frame.stem}.png")
    else:
        folder = out / Path(args.video).name if args.layout == "videos" else out
        folder.mkdir(exist_ok=True)
        picture = Image.fromarray(labels, "P")
        picture.putpalette([i * 7 % 256 for i in range(768)])
        picture.save(folder / f"{frame.stem}.png")
if args.fault == "extra":
    Image.fromarray(first.astype(np.uint8)).save(out / "00099.png")
if args.fault == "late crash":
    sys.exit(5)
if args.fault == "hang":
    sys.stdout.write("saving scores\n")
    sys.stdout.flush()
    time.sleep(300)
