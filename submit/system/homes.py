"""The home folder: `~` in paths, and the usual places of caches and settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import StorageError

__all__ = ["user_path", "xdg_folder"]


def user_path(text: str | os.PathLike[str]) -> Path:
    """A path as users write it: `~` is the home folder, if there is one."""
    return Path(os.path.expanduser(text))


def xdg_folder(
    variable: str, usual: str, *, instead: str, environment: Mapping[str, str]
) -> Path:
    """A base folder of the XDG specification.

    Args:
        variable: The variable that names it, such as `XDG_CACHE_HOME`.
        usual: Where it is without the variable, such as `~/.cache`.
        instead: The variable that a user may set where there is no home.
        environment: The variables.

    Raises:
        StorageError: The system knows no home folder, as in a container whose user has
            no entry and no HOME.
    """
    base = os.path.expanduser(environment.get(variable, ""))
    # The specification wants relative paths ignored.
    if os.path.isabs(base):
        return Path(base)
    folder = user_path(usual)
    if not folder.is_absolute():
        raise StorageError(
            f"{usual}: there is no home folder, since HOME is not set and the system "
            f"does not know this user; set HOME, or name a folder in {instead}"
        )
    return folder
