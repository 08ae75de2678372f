"""Predictors: the interface of a model, its options, and the installed models."""

from ..system.registry import Registry
from .delayed import as_delayed, immediate
from .guard import ImpossibleNumber, ModelFault
from .options import (
    OptionInfo,
    check_options,
    expand_settings,
    file_digest,
    option,
    option_infos,
    parse_options,
    sparing_settings,
    weights_path,
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
    AnySession,
    DelayedSession,
    Description,
    Frame,
    InputSizes,
    MemoryEvent,
    Prediction,
    Predictor,
    ResumableSession,
    Session,
    State,
    Video,
    memory_events,
)
from .published import PUBLISHED, SOURCES, PublishedModel, published_for
from .registry import GROUP, build, installed, load, package_of
from .remarks import Remark
from .states import read_state, restore_session, session_state, write_state
from .static import StaticOptions, StaticPredictor

__all__ = [
    "GROUP",
    "PUBLISHED",
    "SOURCES",
    "Absent",
    "AcceptedPrompts",
    "AnySession",
    "Box",
    "DelayedSession",
    "Description",
    "Frame",
    "ImpossibleNumber",
    "InputSizes",
    "Mask",
    "MemoryEvent",
    "ModelFault",
    "OptionInfo",
    "PluginFile",
    "Point",
    "Points",
    "Prediction",
    "Predictor",
    "Prompt",
    "Prompts",
    "PublishedModel",
    "Registry",
    "Remark",
    "ResumableSession",
    "Session",
    "State",
    "StaticOptions",
    "StaticPredictor",
    "Video",
    "as_delayed",
    "build",
    "check_options",
    "expand_settings",
    "file_digest",
    "immediate",
    "installed",
    "load",
    "memory_events",
    "option",
    "option_infos",
    "package_of",
    "parse_options",
    "published_for",
    "read_state",
    "restore_session",
    "session_state",
    "sparing_settings",
    "weights_path",
    "write_state",
]
