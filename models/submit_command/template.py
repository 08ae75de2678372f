"""The template of a command: words with placeholders, and no shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from submit.errors import OptionError

__all__ = ["PLACEHOLDERS", "CommandTemplate", "fill", "placeholders", "split_words"]

#: What a template may name, with the meaning; besides, the names of files.
PLACEHOLDERS = {
    "frames": "folder of the video's frames, 00000.jpg and so on",
    "masks": "folder of the video's masks",
    "mask": "the first mask, or the folder of the first mask of each object",
    "root": "folder with JPEGImages and Annotations",
    "images": "JPEGImages, which has the folder of the video",
    "annotations": "Annotations, which has the folder of the video",
    "list": "a text file with the name of the video",
    "out": "an empty folder for the results",
    "video": "name of the video",
    "length": "number of frames",
    "height": "rows of a frame",
    "width": "columns of a frame",
    "device": "cpu, cuda, mps or xpu",
    "side": "option side, times the scale of a variant",
    "folder": "option folder, the working folder",
    "python": "option python",
}

#: One of them lets the program find the frames.
_SOURCES = ("frames", "root", "images")
_FIELD = re.compile(r"\{\{|\}\}|\{(\w+)\}")
#: Words that only a shell understands.
_SHELL = frozenset({"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", "&>"})


@dataclass(frozen=True)
class CommandTemplate:
    """The words of a command, before the placeholders are replaced.

    Attributes:
        words: The program and its arguments.
    """

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, *, files: Mapping[str, object]) -> CommandTemplate:
        """Read a template as a shell splits it into words.

        Args:
            text: The template; `{{` and `}}` stand for braces.
            files: Further names that it may have.

        Raises:
            OptionError: It has an unknown placeholder, lacks one, or needs a shell.
        """
        words = split_words("run", text)
        if not words:
            raise OptionError("option run: expected a command, found an empty text")
        for word in words:
            if word in _SHELL:
                raise OptionError(
                    f"option run: has {word}, which needs a shell, and the command is "
                    "run without one; start it yourself: run=\"bash -c '… $1 … $2' "
                    'bash {frames} {out}"'
                )
        found = placeholders("run", words, files)
        if "out" not in found:
            raise OptionError(
                "option run: lacks {out}, the folder into which the program writes"
            )
        if not found.intersection(_SOURCES):
            sources = ", ".join(f"{{{name}}}" for name in _SOURCES)
            raise OptionError(
                "option run: does not say where the frames are; expected one of "
                f"{sources}"
            )
        return cls(tuple(words))

    @property
    def names(self) -> frozenset[str]:
        """The placeholders that it has."""
        return frozenset(name for word in self.words for name in _names(word))

    def filled(self, values: Mapping[str, object]) -> list[str]:
        """The words with all placeholders replaced; a value is never split."""
        return [os.path.expanduser(fill(word, values)) for word in self.words]


def fill(text: str, values: Mapping[str, object]) -> str:
    """Replace the placeholders of a text."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        return match[0][0] if name is None else str(values[name])

    return _FIELD.sub(replace, text)


def placeholders(
    option: str, texts: Iterable[str], files: Mapping[str, object]
) -> set[str]:
    """The placeholders of texts.

    Args:
        option: Where they are from, for messages.
        texts: The texts.
        files: Further names that they may have.

    Raises:
        OptionError: One is not known.
    """
    found = {name for text in texts for name in _names(text)}
    known = [*PLACEHOLDERS, *files]
    if unknown := sorted(found - set(known)):
        raise OptionError(
            f"option {option}: has {{{unknown[0]}}}; expected one of "
            f"{', '.join(f'{{{name}}}' for name in known)}, or the name of a file: "
            f"-o files={unknown[0]}=PATH"
        )
    return found


def _names(text: str) -> list[str]:
    return [name for name in _FIELD.findall(text) if name]


def split_words(option: str, text: str) -> list[str]:
    """Split a text into words as a shell does.

    Raises:
        OptionError: A quotation has no end.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise OptionError(
            f"option {option}: cannot be split into words ({error}); close every "
            "quotation mark"
        ) from error
