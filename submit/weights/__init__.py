"""Weights of published networks: what is known, where it is, and how to get it."""

from .catalogue import KNOWN, Weights
from .fetching import Fetched, WeightsListener, fetch
from .places import find, own_folder, require, resolve

__all__ = [
    "KNOWN",
    "Fetched",
    "Weights",
    "WeightsListener",
    "fetch",
    "find",
    "own_folder",
    "require",
    "resolve",
]
