"""The rules of the check: what can be wrong, what the server does, what to do.

What the server does was tried with the official scorer (`score.py` of
https://github.com/henghuiding/MOSE-api/blob/241977a/MOSEv2/sam2_rcms/tools/), defect by
defect; the tests that make the defects say what it printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["RULES", "Rule", "Severity"]


class Severity(str, Enum):
    """How bad a finding is."""

    #: The server fails, or scores 0.
    FATAL = "fatal"
    #: Points are lost, silently.
    COSTLY = "costly"
    #: Harmless, but worth a look.
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong.

    Attributes:
        severity: How bad it usually is.
        consequence: What the server does about it, in one sentence.
        fix: What to do.
    """

    severity: Severity
    consequence: str
    fix: str


_FATAL, _COSTLY, _NOTE = Severity

_PACK = "pack the masks again: submit pack"
_REPAIR = "submit repair corrects it"
_PREDICT = "predict the video again and export it: submit predict, submit export"

#: By code, in the order in which they are reported within a severity.
RULES: dict[str, Rule] = {
    # The zip as a file.
    "metadata": Rule(
        _FATAL,
        "Codabench treats a zip with this file at its root as code, not as results.",
        f"remove it; {_REPAIR}",
    ),
    "encrypted": Rule(
        _FATAL, "The server has no password and cannot unpack it.", _PACK
    ),
    "compression": Rule(
        _FATAL, "The server's Python cannot unpack this compression.", _PACK
    ),
    "damaged": Rule(
        _FATAL,
        "The server cannot unpack the zip, or what it unpacks is not what was packed.",
        f"write or download the zip again, or {_PACK}",
    ),
    "unpackable": Rule(
        _FATAL,
        "The server cannot unpack it, and fails the whole submission.",
        f"remove or rename it; {_REPAIR}",
    ),
    "backslash": Rule(
        _FATAL,
        "On the server a backslash does not separate folders, so the file is in none.",
        _REPAIR,
    ),
    "link": Rule(
        _FATAL,
        "Unpacked it is a text file with the name of its target, not a mask.",
        f"replace the links by files, or {_PACK}",
    ),
    # What lies at the root.
    "no-videos": Rule(
        _FATAL,
        "Every score is 0, without an error.",
        "put one folder for each video at the root, named as in the split",
    ),
    "wrapper-not-alone": Rule(
        _FATAL,
        "The server opens a wrapping folder only if it is alone at the root; "
        "otherwise every score is 0, without an error.",
        f"zip the contents of the folder, not the folder; {_REPAIR}",
    ),
    "nested-wrapper": Rule(
        _FATAL,
        "The server looks into one wrapping folder, not into two: every score is 0, "
        "without an error.",
        f"zip the contents of the inner folder; {_REPAIR}",
    ),
    "single-video": Rule(
        _FATAL,
        "The server treats the only folder as a wrapper and looks for videos in it: "
        "every score is 0, without an error.",
        "add the other videos",
    ),
    "team-missing": Rule(
        _FATAL,
        "Test phases require it; an entry without it may be invalid.",
        "fill in the example of docs/codabench.md and pack with it: submit pack --team "
        "FILE",
    ),
    "team-malformed": Rule(
        _FATAL,
        "It lacks what the organisers ask for, so the entry may be invalid.",
        "fill in every key as docs/codabench.md shows and pack with it: submit pack "
        "--team FILE",
    ),
    # Videos.
    "empty-video": Rule(
        _FATAL,
        "The server fails the whole submission (AssertionError), while without the "
        "folder only this video would score 0.",
        "add its masks, or remove the folder",
    ),
    "misnamed": Rule(
        _FATAL,
        "The server fails the whole submission (ValueError): it expects a number.",
        f"name masks as the frames are named; {_REPAIR}",
    ),
    "frames": Rule(
        _FATAL,
        "The server fails the whole submission.",
        f"{_PREDICT}; where only the numbers are shifted, {_REPAIR}",
    ),
    "absent-video": Rule(
        _COSTLY,
        "All of its objects score 0, without an error.",
        _PREDICT,
    ),
    "video-case": Rule(
        _COSTLY,
        "The split has no video of this name; the video it belongs to scores 0.",
        f"name the folder exactly as in the split; {_REPAIR}",
    ),
    "wrong-suffix": Rule(
        _COSTLY,
        "The server reads only names that end in .png, in lower case.",
        f"rename the files; {_REPAIR}",
    ),
    # Masks.
    "unreadable": Rule(
        _FATAL,
        "The server fails the whole submission.",
        _PREDICT,
    ),
    "size": Rule(
        _FATAL,
        "The server fails the whole submission (ValueError).",
        "write masks in the size of the video's frames: submit export does",
    ),
    "colour": Rule(
        _COSTLY,
        "The server reduces the colours to a palette of its own, so the ids change.",
        f"write object ids with mode P; {_REPAIR}",
    ),
    "stretched-grey": Rule(
        _COSTLY,
        "Grey values of less than 8 bits are stretched to 0 … 255, so the ids change.",
        f"write object ids with mode P; {_REPAIR}",
    ),
    "grey-16": Rule(
        _COSTLY,
        "How the server reads 16 bits depends on its version of Pillow.",
        f"write object ids with mode P; {_REPAIR}",
    ),
    "renumbered": Rule(
        _COSTLY,
        "Every object is compared with the mask of another one.",
        "keep the ids of the annotation; submit repair and submit import restore them",
    ),
    "relabelled": Rule(
        _COSTLY,
        "The server reads values and no colours, so objects and background change "
        "places. Programs that make PNGs smaller write such files.",
        "submit repair and submit import correct the ids by the colours",
    ),
    "unclear-ids": Rule(
        _COSTLY,
        "The server reads values and no colours. If the colours are right, objects "
        "are compared with the masks of others.",
        "put the annotation, as the same program writes it, in the place of the first "
        "mask, or write object ids as values with the palette of the annotations",
    ),
    "unknown-ids": Rule(
        _COSTLY,
        "No object of the video has these ids, so their pixels are not counted.",
        "write the ids of the annotation as pixel values; where masks are white (255) "
        "and the video has one object, submit repair does",
    ),
    "unchecked": Rule(
        _COSTLY,
        "The annotation here cannot be read, so ids and sizes are not checked.",
        "extract the split again: submit videos lists what is wrong with it",
    ),
    "duplicate": Rule(
        _COSTLY,
        "The server keeps the file that was written last; other programs keep another.",
        f"{_PACK}, which keeps the last as well",
    ),
    "huge": Rule(
        _COSTLY,
        "The server unpacks everything, and may run out of disk space or time.",
        f"remove it; {_REPAIR}",
    ),
    "budget": Rule(
        _NOTE,
        "Large uploads to Codabench time out or hang.",
        "submit pack writes the smallest masks; pack again with it",
    ),
    # Harmless, at least now.
    "wrapper": Rule(
        _NOTE,
        "The server looks into the folder, if nothing else is beside it.",
        f"zip the contents of the folder, not the folder; {_REPAIR}",
    ),
    "junk": Rule(_NOTE, "The server ignores it.", f"remove it; {_REPAIR}"),
    "unknown-video": Rule(
        _NOTE, "The split has no video of this name; the server ignores it.", _REPAIR
    ),
    "surplus": Rule(_NOTE, "The server ignores it.", f"remove it; {_REPAIR}"),
    "unsafe-path": Rule(
        _NOTE,
        "The server drops `/` in front, `..` and what follows a NUL from the name; "
        "other programs refuse the file or write it elsewhere.",
        _REPAIR,
    ),
    "case": Rule(
        _NOTE,
        "On systems that ignore upper and lower case they are one file.",
        "give them different names",
    ),
    "rare-compression": Rule(
        _NOTE, "Not every program can unpack this compression.", _PACK
    ),
    "zip64": Rule(
        _NOTE,
        "A zip in this form is not read by every program; Python reads it.",
        _PACK,
    ),
    "damaged-png": Rule(_NOTE, "The server's Pillow still reads it.", _REPAIR),
    "grey": Rule(
        _NOTE,
        "The server still reads the ids, but viewers show nearly black masks.",
        _REPAIR,
    ),
    "first-mask": Rule(
        _NOTE,
        "The first frame is not scored, but it should be the annotation.",
        _REPAIR,
    ),
    "sample": Rule(
        _NOTE,
        "The split here and the organisers' sample do not agree on what is expected.",
        "download both again",
    ),
    # What the masks themselves look like.
    "never-predicted": Rule(
        _NOTE,
        "The object scores only in the frames in which it is absent.",
        "look at the video",
    ),
    "lost": Rule(
        _NOTE,
        "If the object reappears, all frames after that score 0.",
        "look at the video",
    ),
    "jump": Rule(
        _NOTE,
        "The mask probably moved to another object, or includes background.",
        "look at the video",
    ),
    "swap": Rule(
        _NOTE,
        "The objects were probably swapped.",
        "look at the video",
    ),
    "frozen": Rule(
        _NOTE,
        "Nothing was tracked; the first mask was repeated.",
        "look at the video",
    ),
}
