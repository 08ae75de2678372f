"""Ways to damage a file: in its bytes, its tree of values, its zip, its PNG chunks."""

from __future__ import annotations

import copy
import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

__all__ = ["Mutation", "damaged_bytes", "damaged_json", "damaged_png", "damaged_zip"]

#: Makes a hostile file of a sound one.
Mutation = Callable[[Random, bytes], bytes]

#: Numbers at the edges of types, little and big.
_EDGES = tuple(
    number.to_bytes(size, order, signed=number < 0)
    for size in (1, 2, 4, 8)
    for order in ("little", "big")
    for number in (0, 1, -1, 1 << (8 * size - 2), (1 << (8 * size - 1)) - 1)
)

#: Names that lead out of a folder, drive a terminal, or are markup somewhere.
TEXTS = (
    "",
    ".",
    "..",
    "../../../tmp/out",
    "/etc/passwd",
    "C:\\out",
    "a/b",
    "a\0b",
    "\x1b[2J\x1b]0;title\x07",
    "\u202etxt.exe",
    "[red]bold[/red]",
    "<script>alert(1)</script>",
    "{0.__class__.__mro__}",
    "%s%n",
    "$(touch out)",
    "$\\frac{",
    "\ud800",
    "nan",
    "-1",
    "1" * 30,
    "x" * 5000,
    "~",
    "a" * 40 + "!",
)


#: As counts of COCO RLE it is one number of five million bits.
_NEVER_ENDING = "o" * (1 << 20)


def _values(chance: Random) -> Any:
    """A value that some reader does not expect."""
    if chance.random() < 0.01:
        return _NEVER_ENDING
    kind = chance.randrange(12)
    if kind == 0:
        return chance.choice(
            [0, -1, 1, 2, 255, 256, 1 << 31, 1 << 63, -(1 << 63), 10**40]
        )
    if kind == 1:
        return chance.choice([0.0, -0.0, 0.5, 1e308, -1e308, 1e-320])
    if kind == 2:
        return chance.choice([float("nan"), float("inf"), float("-inf")])
    if kind in (3, 4, 5):
        return chance.choice(TEXTS)
    if kind == 6:
        return chance.random() < 0.5
    if kind == 7:
        return None
    if kind == 8:
        return []
    if kind == 9:
        return {}
    if kind == 10:
        value: Any = chance.choice([1, "a", None])
        for _ in range(chance.choice([1, 3, 50])):
            value = [value] if chance.random() < 0.5 else {"a": value}
        return value
    return [_values(chance) for _ in range(chance.randrange(4))]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each place in a tree, as a container and a key."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each))
        for key in keys:
            found.append((each, key))
            if isinstance(each[key], (dict, list)):
                waiting.append(each[key])
    return found


def damaged_tree(chance: Random, value: Any) -> Any:
    """Change some values of a tree: replaced, removed, renamed, swapped, repeated."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        if not isinstance(value, (dict, list)) or not (places := _places(value)):
            return _values(chance)
        holder, key = chance.choice(places)
        how = chance.randrange(8)
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[chance.choice(TEXTS)] = holder.pop(key)
        elif how == 2:
            other, name = chance.choice(places)
            try:
                holder[key] = copy.deepcopy(other[name])
            except (KeyError, IndexError):  # It was removed before.
                continue
        elif how == 3 and isinstance(holder, list):
            holder += [copy.deepcopy(holder[key])] * chance.choice([1, 2, 40])
        elif how == 4:
            holder[key] = [holder[key]]
        elif how == 5 and isinstance(holder[key], str):
            holder[key] += chance.choice(TEXTS)
        else:
            holder[key] = _values(chance)
    return value


def damaged_bytes(chance: Random, data: bytes) -> bytes:
    """Flip, cut, repeat, insert and overwrite bytes."""
    content = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        size = len(content)
        place = chance.randrange(size) if size else 0
        how = chance.randrange(8)
        if how == 0 and size:
            content[place] ^= 1 << chance.randrange(8)
        elif how == 1 and size:
            content[place] = chance.randrange(256)
        elif how == 2:
            del content[place:]
        elif how == 3:
            del content[place : place + chance.choice([1, 2, 8, 100])]
        elif how == 4:
            length = chance.choice([1, 4, 30, 300])
            content[place:place] = content[place : place + length]
        elif how == 5:
            content[place:place] = chance.randbytes(chance.choice([1, 2, 4, 16]))
        elif how == 6:
            edge = chance.choice(_EDGES)
            content[place : place + len(edge)] = edge
        else:
            other = chance.randrange(size) if size else 0
            length = chance.choice([2, 4, 16, 64])
            content[place : place + length] = content[other : other + length]
    return bytes(content)


def damaged_text(chance: Random, data: bytes) -> bytes:
    """Damage the bytes of a text, its encoding or its nesting."""
    how = chance.randrange(12)
    if how == 0:
        return data.decode(errors="replace").encode(chance.choice(["utf-16", "utf-32"]))
    if how == 1:
        return chance.choice([b"[", b'{"a":', b"a=[", b"[["]) * chance.choice(
            [3, 100_000]
        )
    if how == 2:
        return data + b" " + chance.choice([b"9", b"-", b"1e"]) * 6000
    if how == 3:
        return chance.choice([b"", b"\0", b"null", b"NaN", b"[]", b'""', b"0", b"\xff"])
    return damaged_bytes(chance, data)


def damaged_json(chance: Random, data: bytes) -> bytes:
    """Damage a JSON file, mostly in its values, else in its text."""
    if chance.random() < 0.25:
        return damaged_text(chance, data)
    value = damaged_tree(chance, json.loads(data))
    return json.dumps(value, separators=(",", ":")).encode()


def damaged_lines(chance: Random, data: bytes) -> bytes:
    """Damage some lines of a file of JSON objects, one a line."""
    lines = data.splitlines()
    for _ in range(chance.choice([1, 2])):
        place = chance.randrange(len(lines))
        how = chance.randrange(4)
        if how == 0:
            lines[place] = damaged_text(chance, lines[place])
        elif how == 1:
            lines.insert(place, chance.choice(lines))
        else:
            lines[place] = json.dumps(
                damaged_tree(chance, _loaded(lines[place]))
            ).encode()
    return b"\n".join(lines) + b"\n"


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return {}


def damaged_toml(chance: Random, data: bytes) -> bytes:
    """Damage a TOML file, mostly in its values, else in its text."""
    import tomli_w

    try:
        import tomllib
    except ImportError:
        import tomli as tomllib  # type: ignore[import-not-found, no-redef]

    if chance.random() < 0.25:
        return damaged_text(chance, data)
    value = damaged_tree(chance, tomllib.loads(data.decode()))
    try:
        return tomli_w.dumps(value).encode()
    except (TypeError, ValueError, AttributeError):  # It has a null, or is no table.
        return damaged_text(chance, data)


def damaged_zip(chance: Random, data: bytes, inner: Mutation = damaged_bytes) -> bytes:
    """Damage a zip: its bytes, or its members, their names and how they are packed."""
    if chance.random() < 0.4:
        return damaged_bytes(chance, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    for _ in range(chance.choice([1, 1, 2])):
        if not members:
            break
        place = chance.randrange(len(members))
        info, content = members[place]
        how = chance.randrange(8)
        if how == 0:
            del members[place]
        elif how == 1:
            name = chance.choice([*TEXTS, "../" + info.filename, "/" + info.filename])
            members[place] = _renamed(info, name), content
        elif how == 2:
            members.append((copy.copy(info), content[: len(content) // 2]))
        elif how == 3:
            link = _renamed(info, info.filename)
            link.create_system, link.external_attr = 3, 0o120777 << 16
            members[place] = link, b"/etc/passwd"
        elif how == 4:
            members[place] = info, bytes(chance.choice([10, 1 << 20, 1 << 23]))
        elif how == 5:
            packed = _renamed(info, info.filename)
            packed.compress_type = chance.choice(
                [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
            )
            members[place] = packed, content
        else:
            members[place] = info, inner(chance, content)
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # Of two members with one name.
        for info, content in members:
            archive.writestr(info, content)
    packed_again = stream.getvalue()
    if chance.random() < 0.1:
        return _overlapping(chance, packed_again)
    return (
        damaged_bytes(chance, packed_again) if chance.random() < 0.1 else packed_again
    )


def _overlapping(chance: Random, data: bytes) -> bytes:
    """Let members of a zip reach into the next ones, as zip bombs do."""
    changed = bytearray(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        place = archive.start_dir
    while data[place : place + 4] == b"PK\1\2":
        begin = int.from_bytes(data[place + 42 : place + 46], "little")
        if chance.random() < 0.5:
            more = chance.choice([1, 60, 10_000])
            for field in (place + 20, begin + 18):
                size = int.from_bytes(data[field : field + 4], "little") + more
                changed[field : field + 4] = size.to_bytes(4, "little")
        lengths = struct.unpack("<3H", data[place + 28 : place + 34])
        place += 46 + sum(lengths)
    return bytes(changed)


def _renamed(info: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name.encode(errors="replace").decode(), info.date_time)
    made.compress_type = info.compress_type
    return made


def damaged_png(chance: Random, data: bytes) -> bytes:
    """Damage a PNG: its bytes, or its chunks and pixels with right checksums."""
    if chance.random() < 0.3:
        return damaged_bytes(chance, data)
    chunks = []
    place = 8
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind = data[place + 4 : place + 8]
        chunks.append((kind, data[place + 8 : place + 8 + length]))
        place += 12 + length
    at = chance.randrange(len(chunks))
    kind, content = chunks[at]
    how = chance.randrange(8)
    if how == 0:
        del chunks[at]
    elif how == 1:
        chunks.insert(chance.randrange(len(chunks)), (kind, content))
    elif how == 2:
        names = [b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"eXIf", b"acTL", b"IDAT", b"abcd"]
        chunks.insert(at, (chance.choice(names), chance.randbytes(20)))
    elif how in (3, 4):
        header = bytearray(chunks[0][1])
        header[chance.randrange(len(header))] = chance.choice(
            [0, 1, 2, 4, 6, 8, 16, 255]
        )
        chunks[0] = chunks[0][0], bytes(header)
    elif how == 5 and kind == b"IDAT":
        raw = damaged_bytes(chance, zlib.decompress(content))
        chunks[at] = kind, zlib.compress(raw)
    elif how == 6 and kind == b"IDAT":
        chunks[at] = kind, zlib.compress(bytes(chance.choice([0, 1, 1 << 22])))
    else:
        chunks[at] = kind, damaged_bytes(chance, content)
    return data[:8] + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    )
