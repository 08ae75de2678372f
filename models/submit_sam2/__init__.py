"""The predictor `sam2`: SAM 2.1 and 2.0 with selectable memory policies."""

from .predictor import Sam2Options, Sam2Predictor

__all__ = ["Sam2Options", "Sam2Predictor"]
