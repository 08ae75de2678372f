"""A tracker without weights: optical flow, online appearance models and search."""

from .options import ClassicalOptions
from .predictor import ClassicalPredictor

__all__ = ["ClassicalOptions", "ClassicalPredictor"]
