"""mose-submit: from the MOSEv2 data and a checkpoint to a checked challenge entry."""

from .errors import SubmitError
from .predictors import Prediction, Predictor, Session, Video

__all__ = ["Prediction", "Predictor", "Session", "SubmitError", "Video"]
