"""Video models of the library transformers as predictors, on the tracker of SAM 2."""

from .predictor import (
    EdgeTamOptions,
    EdgeTamPredictor,
    Sam2HfOptions,
    Sam2HfPredictor,
    Sam3HfOptions,
    Sam3HfPredictor,
)

__all__ = [
    "EdgeTamOptions",
    "EdgeTamPredictor",
    "Sam2HfOptions",
    "Sam2HfPredictor",
    "Sam3HfOptions",
    "Sam3HfPredictor",
]
