"""Checks of names: folders, unrelated files, dangerous paths, and frames."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..archive import (
    TEAM_FILE,
    Entry,
    Masks,
    MaskZip,
    plan_frames,
    server_view,
    shown,
    team_problems,
    unpacking_problems,
)
from ..errors import ArchiveError
from ..system.words import counted
from .findings import Finding
from .rules import Severity

__all__ = ["Found", "Layout", "check_layout", "listed"]

#: If one of these is at the root, Codabench treats a zip of results as code.
_METADATA = ("metadata", "metadata.yaml")
#: What Python's zipfile unpacks: none, deflate, bzip2, LZMA; the first two all do.
_COMMON_METHODS, _KNOWN_METHODS = (0, 8), (0, 8, 12, 14)
_MACOS = "__MACOSX"
_IMAGE = re.compile(r"\.(png|jpe?g|bmp|tiff?|gif|npy)$", re.IGNORECASE)

#: Sizes in bytes from which uploads to Codabench have failed, with the severity.
_BUDGETS = (
    (1_000_000_000, Severity.COSTLY, "uploads above 1 GB hang or are scored 0"),
    (150_000_000, Severity.NOTE, "an upload of 150 MB has failed"),
    (50_000_000, Severity.NOTE, "below 50 MB no upload has failed"),
)


@dataclass(frozen=True)
class Found:
    """One video of the split in the submission.

    Attributes:
        name: The video.
        folder: Its folder in the submission, with its `/`.
        frames: Stems of the expected frames that it contains, in order.
        scored: Stems of the frames that the server would score.
    """

    name: str
    folder: str
    frames: Sequence[str]
    scored: Sequence[str]


@dataclass
class Layout:
    """The result of checking the names.

    Attributes:
        findings: The problems.
        videos: The videos of the split that were found.
    """

    findings: list[Finding] = field(default_factory=list)
    videos: list[Found] = field(default_factory=list)


def check_layout(
    masks: Masks,
    expected: Mapping[str, Sequence[str]],
    *,
    others: Collection[str] = (),
    team: bool = False,
) -> Layout:
    """Check everything that needs no mask to be opened.

    Args:
        masks: The submission.
        expected: Stems of the frames of each video that is looked at, in order.
        others: Other videos of the split; each may be present or absent.
        team: Whether a `team.json` is required, as in test phases.
    """
    layout = Layout()
    entries = list(masks.entries)
    if isinstance(masks, MaskZip):
        layout.findings += _check_zip(entries, expected, others)
        layout.findings += _check_unpacking(entries)
        size = masks.path.stat().st_size
    else:
        # `submit pack` leaves hidden files out, and follows links.
        entries = [e for e in entries if not _is_hidden(e.name)]
        size = sum(entry.size for entry in entries)
    # The entry ./ of tar has no name after unpacking.
    entries = [entry for entry in entries if entry.name]
    layout.findings += _check_budget(masks, size)
    layout.findings += _check_names(entries, expected)
    layout.findings += _check_team(masks, entries, required=team)
    prefix, findings = _find_root(entries, expected, others)
    layout.findings += findings
    layout.findings += _check_junk(entries, prefix)
    folders = _folders(entries, prefix)
    for name, frames in expected.items():
        if name in folders:
            found, findings = _check_video(name, frames, folders[name], prefix)
            layout.findings += findings
            if found.frames:
                layout.videos.append(found)
    layout.findings += _check_absent(expected, others, folders, prefix)
    return layout


def _check_zip(
    entries: Sequence[Entry],
    expected: Mapping[str, Sequence[str]],
    others: Collection[str],
) -> Iterator[Finding]:
    """Find problems that only a zip can have."""
    yield from _about(
        "encrypted", (e.written for e in entries if e.encrypted), "is encrypted"
    )
    methods = {e.written: e.method for e in entries if not e.encrypted}
    strange = [name for name in methods if methods[name] not in _KNOWN_METHODS]
    yield from _about("compression", strange, "has an unknown compression method")
    known = [name for name in methods if methods[name] in _KNOWN_METHODS]
    rare = [name for name in known if methods[name] not in _COMMON_METHODS]
    yield from _about("rare-compression", rare, "has a rare compression method")
    yield from _about(
        "link", (e.written for e in entries if e.is_link), "is a symbolic link"
    )
    needed = sum(map(len, expected.values())) >= 0xFFFF
    if not needed and not others:
        yield from _about(
            "zip64", (e.written for e in entries if e.zip64), "needs zip64"
        )
        if len(entries) >= 0xFFFF:
            yield Finding.of(
                "zip64", "", f"it has {counted(len(entries), 'entry', 'entries')}"
            )


def _check_budget(masks: Masks, size: int) -> Iterator[Finding]:
    for limit, severity, what in _BUDGETS:
        if size >= limit:
            text = f"{size / 1e6:,.0f} MB; {what}"
            yield Finding.of("budget", masks.path.name, text, severity=severity)
            return


def _check_unpacking(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Find files that the server cannot unpack, or that are too large unpacked."""
    problems: dict[str, list[str]] = {}
    for entry, problem in unpacking_problems(entries):
        problems.setdefault(problem, []).append(entry.written)
    for problem, names in problems.items():
        yield from _about("unpackable", names, problem)
    for entry in entries:
        if entry.is_huge:
            what = f"comes to {entry.size / 1e9:,.1f} GB when it is unpacked"
            yield Finding.of("huge", entry.written, what)
    swollen = [e.written for e in entries if e.size > e.most and not e.is_huge]
    yield from _about("huge", swollen, "inflates to more than a mask can")


def _check_names(
    entries: Sequence[Entry], expected: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """Find paths that lead elsewhere, and names that mean the same file."""
    written = [entry.written for entry in entries]
    unsafe = [entry for entry in entries if _is_unsafe(entry.written)]
    if unsafe:
        names = [entry.written for entry in unsafe]
        what = f"is unpacked as {shown(unsafe[0].name)}"
        yield from _about("unsafe-path", names, what)
    apart = [name for name in written if "\\" in name]
    lost = [name for name in apart if _is_mask_of(name.replace("\\", "/"), expected)]
    yield from _about("backslash", lost, "has a backslash in its name")
    if others := [name for name in apart if name not in lost]:
        what = "has a backslash in its name"
        yield from _about("backslash", others, what, severity=Severity.NOTE)
    files: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.is_folder:
            files.setdefault(entry.name, []).append(entry)
    several = {name: found for name, found in files.items() if len(found) > 1}
    differ = [
        name
        for name, found in several.items()
        if len({(entry.crc, entry.size) for entry in found}) > 1
    ]
    costly = [name for name in differ if _is_mask_of(name, expected)]
    yield from _about("duplicate", costly, "is there more than once, and differs")
    if others := [name for name in several if name not in costly]:
        what = "is there more than once"
        yield from _about("duplicate", others, what, severity=Severity.NOTE)
    spelled: dict[str, dict[str, None]] = {}
    for entry in entries:
        spelled.setdefault(entry.name.lower(), {})[entry.name] = None
    yield from _about(
        "case",
        (", ".join(map(shown, n)) for n in spelled.values() if len(n) > 1),
        "differ only in upper and lower case",
    )


def _is_mask_of(name: str, expected: Mapping[str, Sequence[str]]) -> bool:
    """Whether a file could be a mask of a video of the split."""
    parts = name.split("/")
    return len(parts) > 1 and parts[-2] in expected and parts[-1].endswith(".png")


def _is_unsafe(name: str) -> bool:
    return (
        name.startswith("/")
        or ".." in re.split(r"[/\\]", name)
        or re.match(r"[A-Za-z]:", name) is not None
        or "\0" in name
    )


def _check_team(
    masks: Masks, entries: Sequence[Entry], *, required: bool
) -> Iterator[Finding]:
    if not any(entry.name == TEAM_FILE for entry in entries):
        if required:
            yield Finding.of("team-missing", TEAM_FILE, "is not at the root")
        return
    try:
        problems = team_problems(masks.read_entry(TEAM_FILE))
    except ArchiveError as error:
        problems = [f"cannot be read ({error})"]
    if problems:
        severity = None if required else Severity.NOTE
        what = "; ".join(problems)
        yield Finding.of("team-malformed", TEAM_FILE, what, severity=severity)


def _find_root(
    entries: Sequence[Entry],
    expected: Mapping[str, Sequence[str]],
    others: Collection[str],
) -> tuple[str, list[Finding]]:
    """Find the folder that holds the videos, and what the server does with it.

    Returns:
        The folder with its `/`, empty for the root, and the findings. It is the folder
        that holds the videos, even if the server does not look there.
    """
    view = server_view(entries)
    known = {*expected, *others}
    if any(name in known for name in view.videos):
        if view.prefix:
            return view.prefix, [
                Finding.of("wrapper", view.prefix, "is around all videos")
            ]
        return "", []
    if view.prefix and view.prefix[:-1] in known:
        # If only some videos are checked, there may be a single one.
        if others:
            return "", []
        return "", [Finding.of("single-video", view.prefix, "is alone at the root")]
    inside: Counter[str] = Counter()
    for entry in entries:
        parts = entry.name.split("/")
        for depth in (1, 2):
            if len(parts) > depth + 1 and parts[depth] in known:
                inside["/".join(parts[:depth]) + "/"] += 1
    if not inside:
        some = ", ".join(sorted(expected)[:2])
        roots = ", ".join(view.roots[:3]) or "nothing"
        what = f"has {roots} at its root; expected folders such as {some}"
        return "", [Finding.of("no-videos", "", what)]
    prefix = inside.most_common(1)[0][0]
    if prefix.count("/") > 1:
        return prefix, [Finding.of("nested-wrapper", prefix, "holds the videos")]
    company = [name for name in view.roots if name != prefix[:-1]]
    what = f"holds the videos, beside {listed(company)}"
    return prefix, [Finding.of("wrapper-not-alone", prefix, what)]


def _check_junk(entries: Sequence[Entry], prefix: str) -> Iterator[Finding]:
    """Find unrelated files: those the server ignores, and those Codabench acts on."""
    files = [entry.name for entry in entries if not entry.is_folder]
    roots = [name for name in files if "/" not in name]
    yield from _about(
        "metadata", (name for name in roots if name in _METADATA), "is at the root"
    )
    macos = [e.name for e in entries if e.name.split("/")[0] == _MACOS]
    if macos:
        yield Finding.of("junk", f"{_MACOS}/", "was added by macOS", count=len(macos))
    hidden = [n for n in files if _is_hidden(n) and n.split("/")[0] != _MACOS]
    yield from _about("junk", hidden, "is hidden")
    known = {TEAM_FILE, *_METADATA}
    loose = [
        name.removeprefix(prefix)
        for name in files
        if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
    ]
    if prefix:
        loose += [name for name in roots if name not in known]
    extra = [n for n in loose if n not in known and not _is_hidden(n)]
    yield from _about("junk", extra, "is beside the videos")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in name.split("/"))


@dataclass
class _Folder:
    """The content of one folder: stems of its PNGs, each once, and other files."""

    masks: dict[str, None] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def _folders(entries: Sequence[Entry], prefix: str) -> dict[str, _Folder]:
    """The folders below the prefix, with what the server sees in each."""
    folders: dict[str, _Folder] = {}
    for entry in entries:
        parts = entry.name.removeprefix(prefix).split("/")
        if not entry.name.startswith(prefix) or len(parts) < 2 or not parts[0]:
            continue
        if parts[0].startswith(".") or parts[0] == _MACOS:
            continue
        folder = folders.setdefault(parts[0], _Folder())
        if entry.is_folder or _is_hidden(entry.name):
            continue
        if len(parts) == 2 and parts[1].endswith(".png"):
            folder.masks[sys.intern(parts[1][: -len(".png")])] = None
        else:
            folder.others.append(entry.name)
    return folders


def _check_video(
    name: str, frames: Sequence[str], folder: _Folder, prefix: str
) -> tuple[Found, list[Finding]]:
    """Compare the masks of a video with the frames that it has."""
    where = f"{prefix}{name}/"
    stems = folder.masks
    plan = plan_frames(frames, list(stems))
    known = set(frames)
    present = [frame for frame in frames if frame in stems]
    # Where the server would fail, check masks as if that were repaired.
    found = Found(name, where, present, plan.frames or frames[1:-1])
    findings: list[Finding] = []
    depth = where.count("/")
    nested = {n: None for n in folder.others if n.count("/") > depth and _is_png(n)}
    images = [n for n in folder.others if _IMAGE.search(n) and n not in nested]
    if images and len(present) < len(frames):
        findings += _about("wrong-suffix", images, "does not end in .png")
    else:
        others = (
            folder.others if stems else [n for n in folder.others if n not in nested]
        )
        findings += _about("surplus", others, "is not a mask of a frame")
    if not stems:
        what = "has no masks"
        if nested:
            below = next(iter(nested)).removeprefix(where).partition("/")[0]
            what += (
                f", but folders with masks, such as {shown(below)}/; submit import "
                "takes one folder for each object"
            )
        findings.append(Finding.of("empty-video", where, what, count=len(frames)))
        return found, findings
    misnamed = [stem for stem in stems if not _is_number(stem.split(".")[0])]
    missing = [frame for frame in frames if frame not in stems]
    surplus = [s for s in stems if s not in known and s not in misnamed]
    findings += _about(
        "misnamed", (f"{where}{stem}.png" for stem in misnamed), "is not a number"
    )
    if missing:
        what = f"lacks {len(missing)} of {len(frames)} masks: {listed(missing, '.png')}"
        if surplus:
            what += f"; has {listed(surplus, '.png')} instead"
        findings.append(_about_missing(where, what, plan.problem, plan.fatal, missing))
    elif surplus and plan.problem is not None and not misnamed:
        what = f"has more masks than frames: {listed(surplus, '.png')}"
        findings.append(_about_missing(where, what, plan.problem, plan.fatal, surplus))
    elif surplus:
        findings += _about(
            "surplus",
            (f"{where}{stem}.png" for stem in surplus),
            "is not a frame of the video",
        )
    return found, findings


def _about_missing(
    where: str, what: str, problem: str | None, fatal: bool, frames: Sequence[str]
) -> Finding:
    """A finding on frames that are not those of the split."""
    if fatal:
        severity, consequence = Severity.FATAL, "The server fails the whole submission."
    elif problem is not None:
        severity = Severity.COSTLY
        consequence = (
            "The server does not notice: it counts frames instead of reading their "
            "names, and scores others than it should."
        )
    else:
        severity = Severity.NOTE
        consequence = "The server scores the video nevertheless."
    return Finding.of(
        "frames",
        where,
        what,
        severity=severity,
        consequence=consequence,
        count=len(frames),
    )


def _check_absent(
    expected: Mapping[str, Sequence[str]],
    others: Collection[str],
    folders: Mapping[str, _Folder],
    prefix: str,
) -> Iterator[Finding]:
    """Find missing videos of the split, and folders that are not videos."""
    known = {*expected, *others}
    unknown = {name.lower(): name for name in folders if name not in known}
    mistaken = set()
    for name, frames in expected.items():
        if name in folders:
            continue
        spelled = unknown.get(name.lower())
        if spelled is None:
            what, count = "is not there", len(frames)
            yield Finding.of("absent-video", f"{prefix}{name}/", what, count=count)
        else:
            mistaken.add(spelled)
            yield Finding.of("video-case", f"{prefix}{spelled}/", f"should be {name}/")
    for name in sorted(set(unknown.values()) - mistaken):
        count = len(folders[name].masks)
        what = f"has {counted(count, 'mask')}"
        if prefix or name + "/" not in prefix:
            yield Finding.of("unknown-video", f"{prefix}{name}/", what)


def _about(
    code: str, names: Iterable[str], what: str, *, severity: Severity | None = None
) -> list[Finding]:
    """One finding about all of these files; none without files."""
    names = list(names)
    if not names:
        return []
    if len(names) > 1:
        what += f" (and {len(names) - 1} more)"
    return [Finding.of(code, names[0], what, count=len(names), severity=severity)]


def _is_png(name: str) -> bool:
    return name.lower().endswith(".png")


def _is_number(text: str) -> bool:
    """Whether Python's `int` takes the text, as the server asks."""
    try:
        int(text)
    except ValueError:
        return False
    return True


def listed(names: Sequence[str], suffix: str = "") -> str:
    """The first few names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shown(f"{name}{suffix}") for name in names[:3]) + more
