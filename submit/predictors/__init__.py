"""Predictors: what a model owes the toolkit, its options, and which are installed."""

from .options import OptionInfo, file_digest, option, option_infos, parse_options
from .protocol import (
    Description,
    Frame,
    InputSizes,
    Masks,
    Prediction,
    Predictor,
    Session,
    Video,
)
from .registry import GROUP, build, installed, load
from .static import StaticOptions, StaticPredictor

__all__ = [
    "GROUP",
    "Description",
    "Frame",
    "InputSizes",
    "Masks",
    "OptionInfo",
    "Prediction",
    "Predictor",
    "Session",
    "StaticOptions",
    "StaticPredictor",
    "Video",
    "build",
    "file_digest",
    "installed",
    "load",
    "option",
    "option_infos",
    "parse_options",
]
