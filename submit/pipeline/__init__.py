"""The steps of the chain over whole runs, one for each command.

Every step takes an executor, resumes an unfinished earlier call, records videos that
fail, continues with the others, and returns a `StepOutcome`.
"""

from ..formats import ImportHints
from .as_prompts import import_prompts
from .ensemble import ensemble_runs
from .export import export_run, exported_masks, is_exported
from .imports import import_masks
from .joining import merge_export, merge_run
from .outcome import StepOutcome
from .parts import run_of_part
from .predict import PredictPlan, predict_split, split_of

__all__ = [
    "ImportHints",
    "PredictPlan",
    "StepOutcome",
    "ensemble_runs",
    "export_run",
    "exported_masks",
    "import_masks",
    "import_prompts",
    "is_exported",
    "merge_export",
    "merge_run",
    "predict_split",
    "run_of_part",
    "split_of",
]
