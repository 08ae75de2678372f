"""SAM 3 as a predictor: its image encoder and weights on the tracker of SAM 2."""

from .predictor import Sam3Options, Sam3Predictor

__all__ = ["Sam3Options", "Sam3Predictor"]
