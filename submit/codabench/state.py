"""The state folder: ledger, journals and tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import StorageError

__all__ = ["private_folder", "state_folder"]


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of ledger, journals and tokens.

    `SUBMIT_STATE` names it; otherwise it is `mose-submit` in the XDG state directory.
    """
    if named := environment.get("SUBMIT_STATE"):
        return Path(named).expanduser()
    base = os.path.expanduser(environment.get("XDG_STATE_HOME", ""))
    # The XDG specification wants relative paths ignored.
    root = Path(base) if os.path.isabs(base) else Path("~/.local/state").expanduser()
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
