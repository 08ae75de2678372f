"""Find objects that a run has lost, and give them to a tracker as boxes.

python examples/find_lost.py SPLIT RUN > prompts.json
submit predict SPLIT --predictor sam2 --name second --prompts prompts.json
"""

import json
import sys

import cv2
import numpy as np

import submit


def find_lost(split_path, run_name, least=0.7, apart=20):
    """Look for each lost object by its picture in the first frame."""
    split = submit.open_split(split_path)
    run, found = submit.open_run(run_name, split=split), {}
    for name, video in split.items():
        for key in video.objects:
            rows, columns = np.nonzero(video.labels(0) == key)
            place = np.s_[
                rows.min() : rows.max() + 1, columns.min() : columns.max() + 1
            ]
            template, latest = video.image(0)[place], -apart
            for index, frame in enumerate(video.frames):
                lost = not (run[name].labels(frame) == key).any()
                if not lost or index < latest + apart:
                    continue
                scores = cv2.matchTemplate(
                    video.image(frame), template, cv2.TM_CCOEFF_NORMED
                )
                _, best, _, (x, y) = cv2.minMaxLoc(scores)
                if best >= least:
                    height, width = template.shape[:2]
                    box = {"box": [x, y, x + width, y + height], "why": f"{best:.2f}"}
                    found.setdefault(name, {}).setdefault(frame, {})[str(key)] = box
                    latest = index
    return {"version": 1, "videos": found}


if __name__ == "__main__":
    json.dump(find_lost(*sys.argv[1:3]), sys.stdout)
