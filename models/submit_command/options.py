"""The options of `command`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from submit.errors import OptionError
from submit.formats import FORMATS
from submit.masks import ScoreKind
from submit.predictors import check_options, option, weights_path

from .template import PLACEHOLDERS, CommandTemplate, placeholders, split_words

__all__ = ["CommandOptions"]


@dataclass(frozen=True)
class CommandOptions:
    """Options of the `command` predictor; examples/models has files of them."""

    run: str | None = option(
        None,
        "The command, without a shell; required. It may have "
        + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        + ", and {NAME} of each of files.",
        metavar="COMMAND",
    )
    folder: str | None = option(
        None,
        "Working folder of the command. Default: the current one.",
        metavar="DIR",
        file=True,
        decides=False,
    )
    python: str = option(
        "python",
        "What {python} stands for, such as the interpreter of another environment.",
        metavar="PROGRAM",
        decides=False,
    )
    files: str | None = option(
        None,
        "Files and folders that decide the masks, as NAME=PATH separated by spaces; "
        "{NAME} in run stands for the path. A name of submit weights is a PATH too. "
        "The run is known by their content, not by their place.",
        metavar="NAME=PATH…",
        decides=False,  # They are the checkpoint of the description.
    )
    version: str | None = option(
        None, "Version or commit of the program; another one is another run."
    )
    name: str | None = option(
        None, "Name of the model in the manifest. Default: the name of the program."
    )
    licence: str | None = option(
        None, "Licence of the program and its weights.", decides=False
    )
    output: str | None = option(
        None,
        "Layout of the results, as for submit import --format. Default: recognised.",
        choices=FORMATS,
    )
    scores: str | None = option(
        None,
        "What the numbers of NumPy's files are, as for submit import --as. Default: "
        "recognised.",
        choices=tuple(kind.value for kind in ScoreKind),
    )
    results: str | None = option(
        None,
        "Folder below {out} with the results; {video} is the name of the video. "
        "Default: {out} itself.",
        metavar="PATH",
    )
    frames: str = option(
        "jpg",
        "Kind of files that the command reads. Frames of this kind are given as they "
        "are, others are converted.",
        choices=("jpg", "png"),
    )
    masks: str = option(
        "palette",
        "How the first mask is given: palette for one PNG whose values are object "
        "ids, objects for <object>/00000.png with 0 and 1.",
        choices=("palette", "objects"),
    )
    late: bool = option(
        False,
        "Whether the command takes masks of objects that appear in later frames. "
        "Otherwise such a video fails.",
    )
    side: int | None = option(
        None,
        "Usual input resolution of the command; {side} in run is this times the scale "
        "of a variant.",
        low=1,
    )
    threads: int = option(
        2,
        "Processor threads of the command.",
        low=1,
    )
    env: str | None = option(
        None,
        "Variables of the command's environment, as KEY=VALUE separated by spaces; "
        "all placeholders of run are replaced.",
        metavar="KEY=VALUE…",
    )
    inherit: bool = option(
        True,
        "Whether the command gets this environment as well, not only the variables of "
        "env, PATH, HOME, USER, LANG, TMPDIR and LD_LIBRARY_PATH.",
        decides=False,
    )
    timeout: float | None = option(
        None, "Seconds that a video may take.", low=0, decides=False
    )
    timeout_per_frame: float | None = option(
        None, "Seconds that a video may take for each frame.", low=0, decides=False
    )
    timeout_idle: float | None = option(
        None,
        "Seconds without output and results after which the command is ended.",
        low=0,
        decides=False,
    )
    accept: str = option(
        "success",
        "Which results count: success for those of a command that ends with status 0; "
        "complete for those of all frames, also if it then fails, or exceeds a time "
        "limit.",
        choices=("success", "complete"),
        decides=False,
    )
    grace: float = option(
        10.0,
        "Seconds between SIGTERM and SIGKILL when the command is ended.",
        low=0,
        decides=False,
    )
    link: bool = option(
        True,
        "Whether frames are links to the files of the split; containers need copies.",
        decides=False,
    )
    scratch: str | None = option(
        None,
        "Folder for the files of the videos in work. Default: the system's.",
        metavar="DIR",
        file=True,
        decides=False,
    )
    keep: bool = option(
        False,
        "Whether the files of a video that fails stay.",
        decides=False,
    )
    logs: str | None = option(
        None,
        "Folder that keeps the output of all videos. Default: that of a video that "
        "fails stays in the folder for temporary files.",
        metavar="DIR",
        file=True,
        decides=False,
    )

    def __post_init__(self) -> None:
        check_options(self)
        self.template()
        self.variables()
        if self.side is not None and "side" not in self.template().names:
            raise OptionError(
                f"option side={self.side}: is not used, since run has no {{side}}; "
                "write it where the command takes the resolution"
            )

    def template(self) -> CommandTemplate:
        """The command, taken apart.

        Raises:
            OptionError: It is missing or wrong.
        """
        if self.run is None:
            raise OptionError(
                "option run: expected the command, found none; such as "
                "-o run='python infer.py --video {frames} --mask {mask} --out {out}', "
                "or -o @FILE with a file of examples/models"
            )
        template = CommandTemplate.parse(self.run, files=self.named_files())
        if "side" in template.names and self.side is None:
            raise OptionError(
                "option side: expected the usual input resolution, since run has "
                "{side}; found none"
            )
        return template

    def named_files(self) -> dict[str, Path]:
        """The files of `files` that have a name.

        Raises:
            OptionError: A name is not legal or given twice.
        """
        return {name: path for name, path in self.all_files() if name}

    def all_files(self) -> list[tuple[str, Path]]:
        """The files of `files`, each with its name, or an empty one.

        Raises:
            OptionError: A name is not legal or given twice.
        """
        found: list[tuple[str, Path]] = []
        for word in split_words("files", self.files or ""):
            name, equals, path = word.partition("=")
            if not equals:
                name, path = "", word
            elif not name.isidentifier() or name in PLACEHOLDERS:
                raise OptionError(
                    f"option files: {word}: expected a name of letters and digits "
                    f"before =, and none of {', '.join(PLACEHOLDERS)}"
                )
            if name and name in dict(found):
                raise OptionError(f"option files: the name {name} is given twice")
            found.append((name, Path(weights_path(path, "files")).absolute()))
        return found

    def variables(self) -> dict[str, str]:
        """The variables of `env`.

        Raises:
            OptionError: One has no name.
        """
        found = {}
        for word in split_words("env", self.env or ""):
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise OptionError(f"option env: {word}: expected KEY=VALUE")
            found[name] = value
        placeholders("env", found.values(), self.named_files())
        return found

    def working_folder(self) -> Path:
        """Where the command runs.

        Raises:
            OptionError: It does not exist.
        """
        folder = Path(self.folder or os.curdir).absolute()
        if not folder.is_dir():
            raise OptionError(f"option folder={folder}: is not a folder")
        return folder
