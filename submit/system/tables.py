"""Tables of TOML files: read, and written."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SettingsError, SubmitError
from .files import read_text
from .words import did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_settings_table", "read_toml", "to_toml", "toml_key"]

#: The tables of a settings file, which `submit tune` writes and commands read.
SETTINGS_TABLES = ("ensemble", "postprocess")


def read_toml(path: Path, error: type[SubmitError] = SettingsError) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: The file.
        error: The class of the error if it is missing or not TOML.
    """
    try:
        text = read_text(path)
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror})") from reason
    except ValueError as reason:
        raise error(str(reason)) from reason
    try:
        return tomllib.loads(text)
    except ValueError as reason:  # Numbers of more digits than Python reads, too.
        raise error(f"{path}: is not valid TOML: {reason}") from reason
    except RecursionError as reason:
        raise error(f"{path}: is nested too deeply to be read") from reason


def read_settings_table(path: Path, name: str) -> dict[str, Any]:
    """Read one table of a settings file, `[ensemble]` or `[postprocess]`.

    Raises:
        SettingsError: The file is missing or not TOML, has other tables, or lacks this
            one.
    """
    content = read_toml(path)
    if unknown := sorted(content.keys() - set(SETTINGS_TABLES)):
        raise SettingsError(
            f"{path}: unknown key {unknown[0]!r}"
            + did_you_mean(
                unknown[0],
                SETTINGS_TABLES,
                f"expected the tables "
                f"{' and '.join(f'[{one}]' for one in SETTINGS_TABLES)}",
            )
        )
    table = content.get(name)
    if table is None:
        raise SettingsError(f"{path}: expected a table [{name}], found none")
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: expected a table [{name}], found {table!r}")
    return table


def to_toml(table: Mapping[str, Any]) -> str:
    """Write a table as TOML."""
    import tomli_w

    return tomli_w.dumps(table)


def toml_key(text: str) -> str:
    """Write a key as in TOML, in quotes if necessary."""
    bare = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if bare else json.dumps(text, ensure_ascii=False)
