"""SAM 2.1 and 2.0 as a predictor, with the memory selection of the MOSEv2 baseline."""

from .predictor import Sam2Options, Sam2Predictor

__all__ = ["Sam2Options", "Sam2Predictor"]
