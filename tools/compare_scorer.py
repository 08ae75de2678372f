"""Compare our scores with those of the original programs, case by case.

python tools/compare_scorer.py --official MOSE-api/MOSEv2/sam2_rcms/tools
python tools/compare_scorer.py --official … --davis davis2017-evaluation
python tools/compare_scorer.py --official … --split SPLIT --masks DIR

The first two compare values of single frames on random label maps: tiny objects, frames
of one pixel, objects at the border, empty maps, noise, very wide frames, large disks.
The last one also runs the whole official program on a split and compares its output.
OpenCV, scikit-image and tqdm must be installed. The exit status is 1 if any value
differs by more than 1e-12.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from submit.archive import Masks, open_masks
from submit.data import Split, read_split
from submit.metrics.frames import FrameScorer, FrameScores, davis_score, object_score
from submit.png.palette import decode
from submit.scoring import metrics_json, score_split, scores_txt

Labels = NDArray[np.uint8]

TOLERANCE = 1e-12


def main() -> None:
    """Parse the command line, compare, and exit with 1 on a difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--official",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with score.py and metricsv2.py",
    )
    parser.add_argument(
        "--davis",
        type=Path,
        metavar="DIR",
        help="root of davis2017-evaluation, to compare the classic protocol as well",
    )
    parser.add_argument("--cases", type=int, default=2000, help="random cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", type=Path, help="a split with ground truth")
    parser.add_argument("--masks", type=Path, help="a folder of predicted masks for it")
    options = parser.parse_args()

    lines: dict[str, Line] = {}
    originals: list[Original] = [Mosev2(options.official)]
    if options.davis is not None:
        originals.append(Davis(options.davis))
    for original in originals:
        compare_random(original, options.cases, options.seed, lines)
        compare_averages(original, options.seed, lines)
    if options.split is not None:
        split, masks = read_split(options.split), open_masks(options.masks)
        for original in originals:
            compare_frames(original, split, masks, lines)
        compare_program(options.official, split, options.masks, lines)

    width = max(map(len, lines))
    print(f"{'':{width}}  {'values':>8}  {'bit-equal':>9}  {'largest difference':>18}")
    for name, line in lines.items():
        print(
            f"{name:{width}}  {line.values:8}  {line.equal / line.values:9.2%}  "
            f"{line.largest:18.3g}"
        )
    if any(line.largest > TOLERANCE for line in lines.values()):
        sys.exit("Error: some values differ")


@dataclass
class Line:
    """One line of the table: values compared, equal values, largest difference."""

    values: int = 0
    equal: int = 0
    largest: float = 0.0

    def add(self, ours: Any, theirs: Any) -> None:
        """Compare two arrays of values; None stands for no value."""
        for a, b in zip(ours, theirs, strict=True):
            self.values += 1
            self.equal += a == b
            if a != b:
                far = np.inf if isinstance(a, str) or None in (a, b) else abs(a - b)
                self.largest = max(self.largest, far)


# The originals.


class Original(Protocol):
    """An original program, and this project's results for the same input."""

    name: str
    davis: bool

    def frame(self, truth: Labels, prediction: Labels, key: int) -> list[float]:
        """J, Ḟ and F of one object, and whether the truth is empty."""
        ...

    def average(self, frames: FrameScores) -> list[float | None]:
        """The averages over frames of one object."""
        ...

    def ours(self, frames: FrameScores) -> list[float | None]:
        """The same averages, computed by this project."""
        ...


class Mosev2:
    """The official scorer of MOSEv2."""

    name = "MOSEv2"
    davis = False

    def __init__(self, folder: Path) -> None:
        self._metrics = load("metricsv2", folder / "metricsv2.py")
        load("track_progress_rich", folder / "track_progress_rich.py")
        # It prints a message when it is imported.
        with contextlib.redirect_stdout(io.StringIO()):
            self._score = load("score", folder / "score.py")

    def frame(self, truth: Labels, prediction: Labels, key: int) -> list[float]:
        """J, Ḟ, F and whether the truth is empty, as in `process_video_chunk`."""
        t = (truth == key).astype("uint8")[None]
        p = (prediction == key).astype("uint8")[None]
        j, empty = self._metrics.db_eval_iou(t, p)
        f, f_dot = self._metrics.db_eval_boundary(t, p, bound_th=0.1, bound_mode="area")
        return [j[0], f_dot[0], f[0], float(empty[0])]

    def average(self, frames: FrameScores) -> list[float | None]:
        """The seven averages of one object."""
        chunk = {
            "vid_name": "video",
            "anno_id": "1",
            "chunk_start": 1,
            "error": None,
            "j_list": frames.j.tolist(),
            "f_list": frames.f_dot.tolist(),
            "f_list_": frames.f.tolist(),
            "empty_gt": frames.empty.tolist(),
        }
        return list(self._score.merge_chunk_results([chunk], "video", "1"))

    def ours(self, frames: FrameScores) -> list[float | None]:
        """The same averages by us."""
        score = object_score(frames)
        return [
            score.j,
            score.f_dot,
            score.f,
            score.disappear_j,
            score.disappear_f_dot,
            score.reappear_j,
            score.reappear_f_dot,
        ]


class Davis:
    """The evaluation of DAVIS 2017."""

    name = "DAVIS"
    davis = True

    def __init__(self, folder: Path) -> None:
        load("davis2017", folder / "davis2017" / "__init__.py")
        self._metrics = importlib.import_module("davis2017.metrics")
        self._utils = importlib.import_module("davis2017.utils")

    def frame(self, truth: Labels, prediction: Labels, key: int) -> list[float]:
        """J, twice F, and whether the truth is empty."""
        t, p = (truth == key)[None], (prediction == key)[None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It divides by zero if both are empty.
            j = self._metrics.db_eval_iou(t, p)[0]
        f = self._metrics.db_eval_boundary(t, p)[0]
        return [j, f, f, float(not t.any())]

    def average(self, frames: FrameScores) -> list[float | None]:
        """Mean, recall and decay of J and of F."""
        statistics = self._utils.db_statistics
        return [*statistics(frames.j), *statistics(frames.f)]

    def ours(self, frames: FrameScores) -> list[float | None]:
        """The same averages by us."""
        score = davis_score(frames)
        return [
            score.j,
            score.j_recall,
            score.j_decay,
            score.f,
            score.f_recall,
            score.f_decay,
        ]


def load(name: str, path: Path) -> ModuleType:
    """Import a module or package of the original programs from its file."""
    if not path.is_file():
        sys.exit(f"Error: {path}: no such file; expected the original program")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# Random cases.


def compare_random(
    original: Original, cases: int, seed: int, lines: dict[str, Line]
) -> None:
    """Compare all objects of random pairs of label maps."""
    random = np.random.default_rng(seed)
    kinds = list(SHAPES)
    for index in range(cases):
        kind = kinds[index % len(kinds)]
        truth, prediction, objects = random_pair(random, SHAPES[kind](random))
        height, width = truth.shape
        scorer = FrameScorer(height, width, objects, davis=original.davis)
        line = lines.setdefault(f"{original.name}: {kind}", Line())
        for ours, key in zip(scorer.score(truth, prediction), objects, strict=True):
            line.add(ours.tolist(), original.frame(truth, prediction, key))


def _between(low: int, high: int) -> Callable[[np.random.Generator], tuple[int, int]]:
    return lambda random: (
        int(random.integers(low, high)),
        int(random.integers(low, high)),
    )


#: Kinds of frame sizes: name, and how height and width are drawn.
SHAPES: dict[str, Callable[[np.random.Generator], tuple[int, int]]] = {
    "frames of a few pixels": _between(1, 8),
    "frames below 100 pixels": _between(8, 100),
    "single rows": lambda random: (1, int(random.integers(1, 600))),
    "single columns": lambda random: (int(random.integers(1, 600)), 1),
    "ordinary frames": _between(100, 500),
    "wide frames": lambda random: (
        int(random.integers(2, 40)),
        int(random.integers(600, 3000)),
    ),
    "480p": lambda random: (480, int(random.choice([854, 910, 853, 640]))),
    "large disks": lambda random: (
        int(random.integers(900, 1300)),
        int(random.integers(1500, 2100)),
    ),
}


def random_pair(
    random: np.random.Generator, shape: tuple[int, int]
) -> tuple[Labels, Labels, tuple[int, ...]]:
    """Draw a truth and a prediction, which is a changed truth or independent of it."""
    count = int(random.integers(1, 5))
    objects = tuple(random.choice(np.arange(1, 256), count, replace=False).tolist())
    truth = random_labels(random, shape, objects)
    kind = random.integers(5)
    if kind == 0:
        prediction = random_labels(random, shape, objects)
    elif kind == 1:
        shift = tuple(random.integers(-12, 13, 2).tolist())
        prediction = np.roll(truth, shift, (0, 1))
    elif kind == 2:
        prediction = np.where(truth == objects[0], np.uint8(0), truth)
    elif kind == 3:
        prediction = ndimage.grey_dilation(truth, size=(random.integers(1, 9), 5))
    else:
        prediction = truth.copy()
        prediction.flat[random.integers(truth.size, size=5)] = objects[-1]
    for labels in (truth, prediction):
        if random.random() < 0.1:
            labels[:] = 0
        elif random.random() < 0.1:
            labels[:] = objects[0]
    return truth, prediction, objects


def random_labels(
    random: np.random.Generator, shape: tuple[int, int], objects: tuple[int, ...]
) -> Labels:
    """Draw a label map: noise, blobs, tiny objects, or boxes at the border."""
    ids = np.array((0, *objects), np.uint8)
    kind = random.integers(4)
    if kind == 0:
        return ids[random.integers(0, len(ids), shape)]
    labels = np.zeros(shape, np.uint8)
    if kind == 1:
        sigma = random.uniform(0.5, 12)
        fields = [
            ndimage.gaussian_filter(random.standard_normal(shape), sigma) for _ in ids
        ]
        blobs: Labels = ids[np.argmax(fields, axis=0)]
        return blobs
    for key in objects:
        extent = 5 if kind == 2 else max(shape)
        top, left = (int(random.integers(-3, side)) for side in shape)
        bottom, right = (int(random.integers(1, extent + 1)) for _ in shape)
        labels[max(top, 0) : top + bottom, max(left, 0) : left + right] = key
    return labels


def compare_averages(original: Original, seed: int, lines: dict[str, Line]) -> None:
    """Compare averages over frames for random absences of an object."""
    random = np.random.default_rng(seed)
    line = lines.setdefault(f"{original.name}: averages over frames", Line())
    for _ in range(1000):
        count = int(random.integers(1, 200 if random.random() < 0.5 else 8))
        frames = FrameScores(
            j=random.random(count),
            f_dot=random.random(count),
            f=random.random(count),
            empty=random.random(count) < random.random(),
        )
        line.add(original.ours(frames), original.average(frames))


# A whole split.


def compare_frames(
    original: Original, split: Split, masks: Masks, lines: dict[str, Line]
) -> None:
    """Compare every object of every evaluated frame of a split."""
    line = lines.setdefault(f"{original.name}: frames of {split.root.name}", Line())
    for objects, truth, prediction in pairs_of(split, masks):
        height, width = truth.shape
        scorer = FrameScorer(height, width, objects, davis=original.davis)
        for ours, key in zip(scorer.score(truth, prediction), objects, strict=True):
            line.add(ours.tolist(), original.frame(truth, prediction, key))


def pairs_of(
    split: Split, masks: Masks
) -> Iterator[tuple[tuple[int, ...], Labels, Labels]]:
    """Yield objects, truth and prediction of each evaluated frame."""
    for video in split.videos.values():
        for frame in video.frames[1:-1]:
            truth = decode(video.masks[frame].read_bytes())
            yield video.objects, truth, decode(masks.read(video.name, frame))


def compare_program(
    official: Path, split: Split, masks: Path, lines: dict[str, Line]
) -> None:
    """Run the official program on a split and compare its whole output."""
    if split.meta_path is None:
        sys.exit(f"Error: {split.root}: has no meta file, which the official one needs")
    first = next(iter(split.videos.values()))
    folder = first.masks[first.frames[0]].parent.parent
    with tempfile.TemporaryDirectory() as output:
        subprocess.run(
            [
                sys.executable,
                "score.py",
                *("--meta", split.meta_path.resolve(), "--ann", folder.resolve()),
                *("--pred", masks.resolve(), "--output", output),
            ],
            cwd=official,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs = json.loads((Path(output) / "metrics.json").read_text())
        text = (Path(output) / "scores.txt").read_text()
    with open_masks(masks) as source:
        score = score_split(split, source, as_server=True)
    ours = json.loads(metrics_json(score))
    line = lines.setdefault("MOSEv2: metrics.json of the whole program", Line())
    del ours["total_time"], theirs["total_time"]
    line.add(sorted(ours), sorted(theirs))
    for name in theirs:
        line.add(ours[name].values(), theirs[name].values())
    line = lines.setdefault("MOSEv2: scores.txt of the whole program", Line())
    line.add([scores_txt(score)], [text])


if __name__ == "__main__":
    main()
