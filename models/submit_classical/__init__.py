from .predictor import ClassicalPredictor

__all__ = ["ClassicalPredictor"]
