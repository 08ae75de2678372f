"""Where files of a storage are kept on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..system.homes import user_path, xdg_folder
from ..system.urls import StorageUrl

__all__ = ["copy_of", "own_storage"]


def own_storage(environment: Mapping[str, str] | None = None) -> Path:
    """The folder of all copies.

    `SUBMIT_STORAGE` names it; otherwise it is `mose-submit/storage` in the XDG cache.

    Raises:
        StorageError: There is neither a name nor a home folder.
    """
    environment = os.environ if environment is None else environment
    if named := environment.get("SUBMIT_STORAGE"):
        return user_path(named).absolute()
    cache = xdg_folder(
        "XDG_CACHE_HOME",
        "~/.cache",
        instead="SUBMIT_STORAGE",
        environment=environment,
    )
    return cache / "mose-submit" / "storage"


def copy_of(url: StorageUrl) -> Path:
    """The folder on this machine for copies of the files of a URL."""
    return own_storage().joinpath(url.protocol, *url.parts)
