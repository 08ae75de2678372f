"""What surrounds a program: its variables, its device, and where it is found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from submit.errors import OptionError

from .options import CommandOptions
from .template import CommandTemplate, fill

__all__ = ["device_name", "environment", "require_program"]

#: Of an environment that is not inherited, these stay.
_ESSENTIAL = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def device_name(device: str) -> str:
    """The device as the program knows it: of several GPUs it sees only its own."""
    return device.partition(":")[0]


def environment(
    options: CommandOptions, device: str, values: Mapping[str, object]
) -> dict[str, str]:
    """All variables of the program.

    Args:
        options: The options.
        device: The worker's device. Most programs take the first GPU that they see, so
            that is the only one that they get to see.
        values: What placeholders stand for.
    """
    found = {
        name: value
        for name, value in os.environ.items()
        if options.inherit or name in _ESSENTIAL
    }
    kind, _, index = device.partition(":")
    if kind == "cuda" and index:
        visible = [each for each in os.environ.get(_VISIBLE, "").split(",") if each]
        found[_VISIBLE] = visible[int(index)] if int(index) < len(visible) else index
    # So that its last words are in the log when it is killed.
    found.setdefault("PYTHONUNBUFFERED", "1")
    found.update({k: fill(text, values) for k, text in options.variables().items()})
    return found


def require_program(options: CommandOptions, template: CommandTemplate) -> None:
    """Make sure that there is a program to run.

    Raises:
        OptionError: There is none, or its working folder does not exist.
    """
    folder = options.working_folder()
    files = options.named_files()
    known = {"python": options.python, "folder": folder, **files}
    try:
        program = os.path.expanduser(fill(template.words[0], known))
    except KeyError:
        return  # Its place depends on the video.
    if os.sep in program:
        path = folder / program
        if os.access(path, os.X_OK) and path.is_file():
            return
        raise OptionError(
            f"option run: {path}: is not an executable file (a script needs its "
            "interpreter before it, such as python)"
        )
    path_list = options.variables().get("PATH", os.environ.get("PATH"))
    if shutil.which(program, path=path_list) is None:
        raise OptionError(
            f"option run: there is no program {program} in PATH; give its whole path"
            + (" as option python" if program == options.python else "")
        )


def require_files(options: CommandOptions) -> list[tuple[str, Path]]:
    """The files that decide the masks.

    Raises:
        OptionError: One does not exist.
    """
    found = options.all_files()
    for name, path in found:
        if not path.exists():
            given = f"{name}={path}" if name else str(path)
            raise OptionError(f"option files: {given}: does not exist")
    return found
