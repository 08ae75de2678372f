"""Measure the report of a large split: its weight, how fast it is built and opened.

    python tools/bench_report.py SPLIT [--videos 433] [--keep DIR]

SPLIT has frames and complete truth, such as that of `submit sample`. Its videos are
linked again and again until there are as many as in MOSEv2's valid split. The two runs
are the truth, shifted by 3 and by 9 pixels. Opening needs Chromium: the time from the
start of the page to its last script and to the end of its loading, both as the browser
itself measures them.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from submit.data import Split, read_split
from submit.png.palette import encode

#: By how many pixels the masks of each run are shifted.
RUNS = {"near": 3, "far": 9}

PROBE = """<script>
const mark = (name, time) => { document.documentElement.dataset[name] = time; };
mark("script", performance.now());
addEventListener("load", () => mark("load", performance.now()));
</script></body>"""


def write_runs(split: Split, folder: Path) -> None:
    """Write the masks of the runs once for each video."""
    for run, shift in RUNS.items():
        for name, video in split.videos.items():
            place = folder / run / name
            place.mkdir(parents=True)
            for number, frame in enumerate(video.frames):
                labels = video.packed_mask(frame, size=video.mask_size).unpack()
                moved = np.roll(labels, shift, axis=1) if number else labels
                (place / f"{frame}.png").write_bytes(encode(moved))


def link_videos(split: Split, once: Path, folder: Path, videos: int) -> None:
    """Link the videos of a split, and of the runs, until there are enough."""
    kinds = {
        "split/JPEGImages": split.root / "JPEGImages",
        "split/Annotations": split.root / "Annotations",
        **{run: once / run for run in RUNS},
    }
    names = list(islice(cycle(split.videos), videos))
    for place, source in kinds.items():
        (folder / place).mkdir(parents=True)
        for number, name in enumerate(names):
            link = folder / place / f"{number:03d}-{name}"
            link.symlink_to((source / name).resolve())


def build(folder: Path) -> tuple[float, float, float]:
    """Build the report.

    Returns:
        Seconds of the whole command, seconds of processor time, and frames drawn in a
        second.
    """
    line = [sys.executable, "-m", "submit", "report", *RUNS, "--split", "split"]
    began, used = time.perf_counter(), children()
    done = subprocess.run(
        [*line, "-o", "report"], cwd=folder, capture_output=True, text=True, check=True
    )
    whole = time.perf_counter() - began
    print(done.stderr)
    found = re.search(r"draw: [\d,]+ frames in .*?([\d.,]+) frames/s", done.stderr)
    assert found, done.stderr
    return whole, children() - used, float(found[1].replace(",", ""))


def children() -> float:
    """Seconds of processor time of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def opening(page: Path) -> dict[str, float]:
    """Milliseconds until the page's last script has run, and until it is loaded."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return {}
    copy = page.with_name("probed.html")
    copy.write_text(page.read_text("utf-8").replace("</body>", PROBE), "utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--dump-dom")
    done = subprocess.run(
        [browser, *flags, f"file://{copy.resolve()}"],
        capture_output=True,
        text=True,
        check=True,
    )
    copy.unlink()
    return {
        name: float(value)
        for name in ("script", "load")
        for value in re.findall(rf'data-{name}="([\d.]+)"', done.stdout[:4000])
    }


def main() -> None:
    """Measure what the command line names, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--videos", type=int, default=433)
    parser.add_argument("--keep", type=Path, help="Write everything here.")
    given = parser.parse_args()
    split = read_split(given.split)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        write_runs(split, folder / "once")
        link_videos(split, folder / "once", folder, given.videos)
        many = read_split(folder / "split")
        frames = sum(video.length for video in many.videos.values())
        whole, processor, drawn = build(folder)
        files = [path for path in (folder / "report").rglob("*") if path.is_file()]
        times = [opening(folder / "report" / "index.html") for _ in range(5)]
        result = {
            "videos": len(many.videos),
            "objects": sum(len(video.objects) for video in many.videos.values()),
            "frames": frames,
            "size of frames": sorted({video.size for video in many.videos.values()}),
            "weight, MB": sum(path.stat().st_size for path in files) / 1e6,
            "whole command, frames/s": frames / whole,
            "drawing, frames/s": drawn,
            "processor time, s": processor,
            "frames/s of two cores that do nothing else": 2 * frames / processor,
            "opening, ms": times,
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
