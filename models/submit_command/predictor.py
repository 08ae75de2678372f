"""Any program that tracks objects, as a model."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from submit.errors import (
    ArchiveError,
    MaskError,
    OptionError,
    PredictorError,
    PromptError,
)
from submit.formats import ImportHints, read_results
from submit.masks import ScoreKind
from submit.predictors import (
    AcceptedPrompts,
    Description,
    Frame,
    InputSizes,
    Mask,
    Prediction,
    Prompts,
    Video,
    file_digest,
)

from .environment import device_name, environment, require_files, require_program
from .options import CommandOptions
from .program import Ending, Limits, Program, tail
from .results import prediction
from .template import CommandTemplate
from .tree import Tree

__all__ = ["CommandPredictor", "CommandSession"]


class CommandPredictor:
    """Runs any other program over each video, and reads its masks or scores.

    The program gets a folder with the frames and the first mask, and writes into
    another one. docs/models.md has ready options for Cutie, XMem, DEVA, SAM2Long,
    SAMURAI, DAM4SAM and SeC.
    """

    Options: ClassVar[type[Any]] = CommandOptions

    def __init__(self, options: CommandOptions, *, device: str = "auto") -> None:
        self._options, self._device = options, device
        self._template = options.template()

    def describe(self) -> Description:
        """Say what the program is, for the manifest.

        Raises:
            OptionError: A file that decides the masks cannot be read.
        """
        options = self._options
        sizes = InputSizes(smallest=1, largest=1)
        if options.side is not None:
            sizes = InputSizes(base=options.side)
        return Description(
            model=options.name or os.path.basename(self._template.words[0]),
            licence=options.licence or "not known: see the program's",
            checkpoint=_digest(options),
            sizes=sizes,
            cores=options.threads,
            prompts=AcceptedPrompts(),
            delayed=True,
        )

    def session(self, video: Video, *, scale: float = 1.0) -> CommandSession:
        """Open a video.

        Raises:
            OptionError: The program or its working folder does not exist, or the scale
                is not legal.
        """
        if not self.describe().sizes.allows(scale):
            raise OptionError(
                f"scale {scale:g}: the command runs at one resolution; write {{side}} "
                "into run where it takes the resolution, and give the usual one as "
                "option side"
            )
        require_program(self._options, self._template)
        return CommandSession(video, self._options, self._template, self._device, scale)


class CommandSession:
    """One video: written to a folder frame by frame, then read from another one."""

    def __init__(
        self,
        video: Video,
        options: CommandOptions,
        template: CommandTemplate,
        device: str,
        scale: float,
    ) -> None:
        self._video, self._options, self._template = video, options, template
        self._device, self._scale = device, scale
        self._stack = contextlib.ExitStack()
        self._tree: Tree | None = None
        self._program: Program | None = None
        self._failed = False
        self._length = 0
        #: From a frame on, by its index, the objects that are known.
        self._known: list[tuple[int, tuple[int, ...]]] = [(0, ())]

    def step(self, frame: Frame, prompts: Prompts) -> Sequence[Prediction]:
        """Write the next frame, and its masks.

        Raises:
            PromptError: An object appears later, and the command takes none such.
            OSError: The disk refuses.
        """
        tree, _ = self._opened()
        masks = {k: one.pixels for k, one in prompts.items() if isinstance(one, Mask)}
        if masks:
            _, known = self._known[-1]
            if known and not self._options.late:
                raise PromptError(
                    f"video {self._video.name}: object {next(iter(masks))} appears in "
                    f"frame {self._length}, counted from the first mask, and the "
                    "command gets the masks of the first frame only; if it takes later "
                    "ones, add -o late=true"
                )
            self._known.append((self._length, (*known, *masks)))
        tree.add(frame, masks)
        self._length += 1
        return []

    def finish(self) -> Iterator[Prediction]:
        """Run the program, and read its results.

        Raises:
            PredictorError: It fails, or its results are not complete.
        """
        tree, program = self._opened()
        values = self._values(tree)
        words = self._template.filled(values)
        log = tree.root / "output.log"
        log.write_text(f"$ {shlex.join(words)}\n", "utf-8")
        try:
            ending = program.run(
                words,
                folder=self._options.working_folder(),
                environment=environment(self._options, self._device, values),
                log=log,
                limits=self._limits(),
                alive=lambda: _signs(log, tree.out),
            )
        finally:
            if self._options.logs is not None:
                _copied(log, Path(self._options.logs), f"{self._video.name}.log")
        if not ending.fine and self._options.accept == "success":
            self._fail(f"the command {ending}")
        yield from self._read(tree, ending)

    def close(self) -> None:
        """End the program if it runs, and delete its folder."""
        tree, self._tree = self._tree, None
        program, self._program = self._program, None
        keep = self._failed and self._options.keep
        if program is not None:
            program.close(keep=keep)
        if tree is not None and not keep:
            shutil.rmtree(tree.root, ignore_errors=True)

    def _opened(self) -> tuple[Tree, Program]:
        """The folder and its supervisor, made at the first call."""
        options = self._options
        if self._tree is None:
            self._tree = Tree(
                self._video,
                kind=options.frames,
                link=options.link,
                per_object=options.masks == "objects",
                place=_scratch(options),
            )
        if self._program is None:
            self._program = Program(self._tree.root, grace=options.grace)
        return self._tree, self._program

    def _values(self, tree: Tree) -> dict[str, object]:
        """What the placeholders stand for."""
        side = self._options.side
        return {
            **self._options.named_files(),
            "frames": tree.frames,
            "masks": tree.masks,
            "mask": tree.mask,
            "root": tree.root,
            "images": tree.images,
            "annotations": tree.annotations,
            "list": tree.list,
            "out": tree.out,
            "video": self._video.name,
            "length": self._length,
            "height": self._video.height,
            "width": self._video.width,
            "device": device_name(self._device),
            "side": None if side is None else round(side * self._scale),
            "folder": self._options.working_folder(),
            "python": self._options.python,
        }

    def _limits(self) -> Limits:
        whole, each = self._options.timeout, self._options.timeout_per_frame
        total = None
        if whole is not None or each is not None:
            total = (whole or 0) + (each or 0) * self._length
        return Limits(total, self._options.timeout_idle)

    def _read(self, tree: Tree, ending: Ending) -> Iterator[Prediction]:
        """Read the results."""
        options, name = self._options, self._video.name
        results = tree.out / (options.results or "").replace("{video}", name)
        hints = ImportHints(
            format=options.output,
            scores=None if options.scores is None else ScoreKind(options.scores),
        )
        try:
            frames = read_results(
                results, name, hints, images=tree.frame_files, masks=tree.mask_files
            )
            for index, found in enumerate(frames):
                yield prediction(found, self._objects_at(index))
        except (ArchiveError, MaskError) as error:
            why = str(error).replace(str(tree.out), "{out}")
            what = "the results of the command cannot be taken"
            if not ending.fine:
                what = f"the command {ending}, and its results are not complete"
            self._fail(f"{what}: {why}", error)

    def _objects_at(self, index: int) -> tuple[int, ...]:
        """The objects that are known in a frame."""
        return next(known for begin, known in reversed(self._known) if begin <= index)

    def _fail(self, problem: str, error: Exception | None = None) -> NoReturn:
        """Report a failure, with the end of what the program has printed."""
        assert self._tree is not None
        self._failed = True
        log = self._tree.root / "output.log"
        shown = tail(log)
        if self._options.logs is not None:
            kept: Path | None = Path(self._options.logs) / f"{self._video.name}.log"
        else:
            kept = _copied(log, _scratch(self._options), None)
        where = f"all of its output is in {kept}" if kept else "its output is lost"
        if self._options.keep:
            where += f", its files are in {self._tree.root}"
        raise PredictorError(
            f"video {self._video.name}: {problem}; {where}\n{shown}"
        ) from error


def _scratch(options: CommandOptions) -> Path:
    return Path(options.scratch or tempfile.gettempdir())


def _copied(log: Path, folder: Path, name: str | None) -> Path | None:
    """Copy a log; None if that fails.

    Args:
        log: The log.
        folder: Where to.
        name: Its name there; None for a new one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if name is None:
            number, path = tempfile.mkstemp(".log", "submit-command-", folder)
            os.close(number)
        else:
            path = os.path.join(folder, name)
        shutil.copyfile(log, path)
    except OSError:
        return None
    return Path(path)


def _signs(log: Path, out: Path) -> tuple[int, int, int]:
    """The sizes of what a program has printed and written: signs of life."""
    count = size = 0
    for folder, _, names in os.walk(out):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(folder, name)).st_size
                count += 1
    return log.stat().st_size, count, size


def _digest(options: CommandOptions) -> str | None:
    """One digest of all files that decide the masks; None without any."""
    files = require_files(options)
    try:
        digests = [f"{name}={file_digest(path)}" for name, path in files]
    except OSError as error:
        raise OptionError(
            f"option files: {error.filename}: cannot be read ({error.strerror})"
        ) from error
    if not digests:
        return None
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
