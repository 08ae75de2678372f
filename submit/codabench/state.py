"""The state folder: ledger, journals and tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import StorageError
from ..system.homes import user_path, xdg_folder

__all__ = ["private_folder", "state_folder"]


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of ledger, journals and tokens.

    `SUBMIT_STATE` names it; otherwise it is `mose-submit` in the XDG state directory.

    Raises:
        StorageError: There is no home folder.
    """
    if named := environment.get("SUBMIT_STATE"):
        return user_path(named)
    root = xdg_folder(
        "XDG_STATE_HOME",
        "~/.local/state",
        instead="SUBMIT_STATE",
        environment=environment,
    )
    return root / "mose-submit"


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may read, if it does not exist.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        # What `parents=True` makes would be open to others.
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be made ({error.strerror}); name another folder in "
            "SUBMIT_STATE"
        ) from error
    return path
