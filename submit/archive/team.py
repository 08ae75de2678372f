"""The `team.json` that test phases demand at the root of the zip.

LSVOS asks for it since 2025: https://github.com/LSVOS/LSVOS.github.io, index_2025.html,
"Team Information Requirement". Missing, false or empty information may make an entry
invalid, and so may values left from the organisers' example.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import ArchiveError
from ..system.texts import parse_json

__all__ = ["TEAM_FILE", "read_team", "team_problems"]

TEAM_FILE = "team.json"

#: The key whose value must be true, word for word as the organisers write it.
AGREEMENT = (
    "By submitting the test results, I agree with the challenge terms and policies."
)
_KEYS = (AGREEMENT, "team_name", "members", "email")
_MEMBER_KEYS = ("name", "affiliation")

#: Values of the organisers' example, in lower case.
_EXAMPLES = frozenset(
    {
        "put_your_team_name_here",
        "your_email@example.edu",
        "member a",
        "member b",
        "member c",
        "university a",
        "company a",
        "institute a",
    }
)
_ADDRESS = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+\.[^\s@,;<>.]{2,}")
#: Domains that are reserved for examples (RFC 2606).
_UNREACHABLE = re.compile(
    r"@(?:.*\.)?(?:example\.(?:com|org|net|edu)|example|invalid|test|localhost)$",
    re.IGNORECASE,
)


def read_team(path: Path | str) -> bytes:
    """Read a team file and require every key that LSVOS asks for.

    Returns:
        Its bytes, without a byte-order mark.

    Raises:
        ArchiveError: It cannot be read, or lacks something; the message names all of
            it.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArchiveError(
            f"{path}: cannot be read ({error.strerror}); write it as "
            "docs/codabench.md shows"
        ) from error
    # Editors on Windows write the mark, and Python's JSON reader refuses it.
    data = data.removeprefix(codecs.BOM_UTF8)
    if problems := team_problems(data):
        raise ArchiveError(
            f"{path}: {'; '.join(problems)}; fill in every key of the example in "
            "docs/codabench.md"
        )
    return data


def team_problems(data: bytes) -> list[str]:
    """List the problems of a team file; empty if it is accepted.

    >>> team_problems(b"{}")[1:]
    ['team_name is missing', 'members is missing', 'email is missing']
    """
    if data.startswith(codecs.BOM_UTF8):
        return ["begins with a byte-order mark, which JSON readers refuse"]
    try:
        content = parse_json(data)
    except ValueError as error:
        return [f"expected a JSON object, but it {error}"]
    if not isinstance(content, dict):
        return [f"expected a JSON object, found {_kind(content)}"]
    return list(_problems(content))


def _problems(content: Mapping[str, Any]) -> Iterator[str]:
    unknown = [key for key in content if key not in _KEYS]
    for key in _KEYS:
        name = f'"{key}"' if key == AGREEMENT else key
        if key not in content:
            found = f" (found {', '.join(map(repr, unknown[:3]))})" if unknown else ""
            yield f"{name} is missing{found}"
        elif key == AGREEMENT:
            if content[key] is not True:
                yield f"{name}: expected true, found {json.dumps(content[key])[:40]}"
        elif key == "members":
            yield from _members(content[key])
        else:
            yield from _text(name, content[key])
    email = content.get("email")
    if isinstance(email, str) and email.strip() and email.lower() not in _EXAMPLES:
        if not _ADDRESS.fullmatch(email.strip()):
            yield f"email: expected one address, found {email[:60]!r}"
        elif _UNREACHABLE.search(email.strip()):
            yield f"email: {email[:60]!r} is an example address; expected your own"


def _members(value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"members: expected a list, found {_kind(value)}"
    elif not value:
        yield "members: expected one object for each member, found none"
    else:
        for place, member in enumerate(value, start=1):
            if not isinstance(member, dict):
                yield (
                    f"member {place}: expected an object with name and affiliation, "
                    f"found {_kind(member)}"
                )
                continue
            for key in _MEMBER_KEYS:
                if key in member:
                    yield from _text(f"{key} of member {place}", member[key])
                else:
                    yield f"{key} of member {place} is missing"


def _text(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{name}: expected text, found {_kind(value)}"
    elif not value.strip():
        yield f"{name} is empty"
    elif value.strip().lower() in _EXAMPLES:
        yield f"{name} is still the example's ({value.strip()})"


def _kind(value: Any) -> str:
    """What JSON calls the kind of a value."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (dict, "an object"),
        (list, "a list"),
        (str, "text"),
        (type(None), "null"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number")
