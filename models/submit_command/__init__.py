"""Any other repository's script as a model."""

from .options import CommandOptions
from .predictor import CommandPredictor

__all__ = ["CommandOptions", "CommandPredictor"]
