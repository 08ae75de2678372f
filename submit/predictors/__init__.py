"""Predictors: the interface of a model, its options, and the installed models."""

from ..system.registry import Registry
from .options import (
    OptionInfo,
    check_options,
    file_digest,
    option,
    option_infos,
    parse_options,
)
from .plugin_file import PluginFile
from .prompts import (
    Absent,
    AcceptedPrompts,
    Box,
    Mask,
    Point,
    Points,
    Prompt,
    Prompts,
)
from .protocol import (
    Description,
    Frame,
    InputSizes,
    Prediction,
    Predictor,
    Session,
    Video,
)
from .registry import GROUP, build, installed, load
from .static import StaticOptions, StaticPredictor

__all__ = [
    "GROUP",
    "Absent",
    "AcceptedPrompts",
    "Box",
    "Description",
    "Frame",
    "InputSizes",
    "Mask",
    "OptionInfo",
    "PluginFile",
    "Point",
    "Points",
    "Prediction",
    "Predictor",
    "Prompt",
    "Prompts",
    "Registry",
    "Session",
    "StaticOptions",
    "StaticPredictor",
    "Video",
    "build",
    "check_options",
    "file_digest",
    "installed",
    "load",
    "option",
    "option_infos",
    "parse_options",
]
