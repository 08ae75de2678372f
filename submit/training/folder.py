"""The folder of a training: its record, its log and its checkpoints.

    trainings/<name>/
      training.json    what decides the weights, and the best scores so far
      log.jsonl        a line for each step and each validation
      tensorboard/     the same for TensorBoard, if the recipe wants it
      last.pt          everything that is needed to continue
      best.pt          the weights with the best score, as the predictor reads them
      ema.pt           the moving average at the latest save
      average.pt       the mean of the best checkpoints, if the recipe wants one
      checkpoints/     candidates for that mean

Every file is written under a temporary name and renamed when it is complete. A line of
the log may be lost with a killed process; it is made again with its step.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TrainingError
from ..system.files import (
    atomic_open,
    locked,
    read_json,
    remove_partial,
    sync,
    write_json,
)
from ..system.refusals import refusals_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Log", "TrainingFolder", "cpu_copy", "read_log"]

#: Version of the record and of last.pt.
_SCHEMA = 1


class TrainingFolder:
    """The files of one training.

    Args:
        path: The folder; it is made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = path / "last.pt"
        self.best = path / "best.pt"
        self.ema = path / "ema.pt"
        self.average = path / "average.pt"
        self.log = path / "log.jsonl"
        self.board = path / "tensorboard"
        self.record = path / "training.json"
        self.candidates = path / "checkpoints"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training in the folder.

        Raises:
            StorageError: The folder cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(
            self.path / ".lock",
            busy=f"{self.path}: another process is training there; wait for it, or "
            "choose another --name",
        ):
            remove_partial(self.path)
            yield

    def claim(
        self, deciding: Mapping[str, Any], environment: Mapping[str, Any]
    ) -> bool:
        """Begin a training, or make sure that it is the one that was begun.

        Args:
            deciding: Everything that decides the weights, as plain data.
            environment: What is only recorded.

        Returns:
            Whether it was begun before.

        Raises:
            TrainingError: The folder holds another training, or something else.
        """
        wanted = json.loads(json.dumps(deciding))
        if self.record.exists():
            try:
                found = read_json(self.record)
            except ValueError as error:
                raise TrainingError(str(error)) from error
            except OSError as error:
                raise TrainingError(
                    f"{self.record}: cannot be read ({error.strerror})"
                ) from error
            if not isinstance(found, dict):
                raise TrainingError(
                    f"{self.record}: is not the record of a training; choose another "
                    "--name"
                )
            if found.get("schema") != _SCHEMA:
                raise TrainingError(
                    f"{self.record}: has schema {found.get('schema')}, expected "
                    f"{_SCHEMA}; choose another --name"
                )
            differences = list(_differences(found.get("deciding", {}), wanted))
            if differences:
                raise TrainingError(
                    f"{self.path}: holds another training: {'; '.join(differences[:4])}"
                    f"{'; …' if len(differences) > 4 else ''}; choose another --name, "
                    "or change the recipe back to continue it"
                )
            return self.last.exists()
        others = sorted(
            child.name for child in self.path.iterdir() if child.name[0] != "."
        )
        if others:
            raise TrainingError(
                f"{self.path}: is no training, it has {others[0]}; choose another "
                "--name"
            )
        write_json(
            self.record,
            {"schema": _SCHEMA, "deciding": wanted, "environment": environment},
        )
        return False

    def save(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write tensors, completely or not at all."""
        import torch

        with atomic_open(path, parents=False) as stream:
            torch.save(dict(content), stream)

    def load(self, path: Path) -> dict[str, Any]:
        """Read what `save` wrote; nothing but tensors and plain values is accepted.

        Raises:
            TrainingError: It is damaged.
        """
        import torch

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Of damaged pickles.
                content = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(content, dict):
                raise ValueError("it is not a table")
        except Exception as error:  # Damaged files raise exceptions of many types.
            reason = str(error).partition("\n")[0][:200] or type(error).__name__
            raise TrainingError(
                f"{path}: is damaged ({reason}); remove it to begin this training again"
            ) from error
        return content

    def write_facts(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write what the weights do not say beside them, as JSON."""
        write_json(path.with_suffix(".json"), facts)


class Log:
    """The log of a training: one JSON object a line.

    Args:
        path: The file.
        step: Steps that are done; lines of later ones are removed.
    """

    def __init__(self, path: Path, step: int) -> None:
        lines = []
        if path.exists():
            for line in path.read_bytes().splitlines():
                found = _entry(line)
                if found is None or found.get("unfinished"):
                    continue
                if found["step"] <= step:
                    lines.append(line)
        with atomic_open(path, parents=False) as stream:
            stream.write(b"".join(line + b"\n" for line in lines))
        self._path = path
        self._stream = path.open("a", encoding="utf-8")

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write a line.

        Raises:
            StorageError: The disk refuses.
        """
        with refusals_of(self._path):
            self._stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._stream.flush()

    def sync(self) -> None:
        """Make sure that all lines are on the disk.

        Raises:
            StorageError: The disk refuses.
        """
        with refusals_of(self._path):
            sync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the log of a training, which may be running.

    Args:
        path: The folder of the training.

    Returns:
        Its lines: steps have `loss`, and validations have `validation`.

    Raises:
        TrainingError: There is no log.
    """
    log = TrainingFolder(path).log
    try:
        lines = log.read_bytes().splitlines()
    except OSError as error:
        raise TrainingError(
            f"{log}: cannot be read ({error.strerror}); expected the folder of a "
            "training, as submit train makes it"
        ) from error
    found = []
    for line in lines:
        if (entry := _entry(line)) is not None:
            found.append(entry)
    return found


def _entry(line: bytes) -> dict[str, Any] | None:
    """A line of a log; None if it is damaged, as the last one may be half written."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or type(found.get("step")) is not int:
        return None
    numbers = [found.get(key) for key in ("loss", "jf_dot")]
    span = found.get("interval")
    if span is not None:
        numbers += span if isinstance(span, list) and len(span) == 2 else [span]
    known = all(type(each) in (int, float, type(None)) for each in numbers)
    return found if known else None


def _differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Name what differs between two records, the values in short."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{place}.{key}" if place else key
            yield from _differences(old.get(key), new.get(key), inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True), 1):
            yield from _differences(one, other, f"{place} {index}")
    elif old != new:
        yield f"{place} was {_short(old)} and is {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 40 else f"{text[:37]}…"


def cpu_copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors on the processor, which no later step changes."""
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
