"""What the commands do, for scripts and notebooks; `submit` offers these names.

    import submit

    split = submit.open_split("work/sample")
    run = submit.open_run("runs/sample/plain")
    scores = submit.score(run, split)
    picture = submit.overlay(split["meadow"].image(4), run["meadow"].labels(4))

These names, their arguments and what they return stay as they are between releases.
"""

from .pictures import overlay
from .runs import OpenRun, OpenRunVideo, open_run
from .scores import Scores, score
from .splits import OpenSplit, OpenVideo, open_split

__all__ = [
    "OpenRun",
    "OpenRunVideo",
    "OpenSplit",
    "OpenVideo",
    "Scores",
    "open_run",
    "open_split",
    "overlay",
    "score",
]
