"""Names of runs: one rule for the command line and for recipes."""

from __future__ import annotations

from ..errors import RunError
from ..system.words import counted

__all__ = ["require_run_name"]

#: Bytes of a name; file systems allow 255, and names of ensembles join their members'.
_LONGEST = 200


def require_run_name(name: str) -> str:
    """Make sure that a text can be the name of a run; returns it.

    A name is one folder below the runs folder. Commas part names in lists, and a dash
    in front would make it an option.

    Raises:
        RunError: It cannot be a name.
    """
    if not name:
        problem = "it is empty"
    elif name[0] in ".-":
        problem = f"it begins with {name[0]!r}"
    elif name != name.strip():
        problem = "it begins or ends with a space"
    elif not name.isprintable():
        problem = "it has a character that does not print"
    elif bad := next((c for c in "/\\," if c in name), None):
        problem = f"it has {bad!r} in it"
    elif (size := len(name.encode())) > _LONGEST:
        problem = f"it has {counted(size, 'byte')}, and {_LONGEST} are allowed"
    else:
        return name
    raise RunError(
        f"a run cannot be called {name[:60]!r}: {problem}; choose a name for a "
        "folder, such as large-hflip"
    )
