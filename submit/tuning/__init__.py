"""Tuning on a hold-out, and previews without ground truth.

candidate   one way to merge runs and to post-process them
holdout     the runs and the truth, decoded once
evaluate    the score of a candidate, exactly as from files
stages      what is tried
search      what is kept: only gains on held-out videos
texts       the settings file, with what was measured
agreement   how much runs agree where there is no truth
expected    a model of the score, fitted where there is truth
preview     what to look at first
"""

from .agreement import ObjectLook, VideoLook
from .candidate import Candidate
from .evaluate import Budget, Evaluator
from .expected import MODEL_FILE, ExpectedScore
from .fit import fit_expected
from .preview import Preview, frames_to_look_at, look_at_all, preview
from .search import Gain, StageResult, Tuned, tune
from .texts import SETTINGS_FILE, changes_of, settings_toml

__all__ = [
    "MODEL_FILE",
    "SETTINGS_FILE",
    "Budget",
    "Candidate",
    "Evaluator",
    "ExpectedScore",
    "Gain",
    "ObjectLook",
    "Preview",
    "StageResult",
    "Tuned",
    "VideoLook",
    "changes_of",
    "fit_expected",
    "frames_to_look_at",
    "look_at_all",
    "preview",
    "settings_toml",
    "tune",
]
