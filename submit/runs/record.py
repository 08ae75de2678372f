"""The manifest's entry for one complete video."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..system.names import is_plain_name
from .identity import fingerprint

__all__ = ["VideoRecord", "is_digests", "worker_key"]

#: Length of the key by which videos refer to their worker.
_KEY = 8


@dataclass(frozen=True)
class VideoRecord:
    """The manifest's entry for a complete video.

    Attributes:
        frames: Number of frames.
        objects: Object ids.
        size: Height and width in pixels.
        seconds: Wall-clock time it took.
        digest: SHA-256 of the soft file, or of the folder of masks.
        soft: Whether it is a soft file.
        details: Further results of the step, such as the disagreement of members.
        source: Digest of its inputs; None in runs of earlier versions.
        masks: Digest of each mask by stem, without a soft file; None in runs of earlier
            versions.
        worker: The description of its worker: `facts`, which decide the result, and
            further information. None without a model.
    """

    frames: int
    objects: tuple[int, ...]
    size: tuple[int, int]
    seconds: float
    digest: str
    soft: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    masks: Mapping[str, str] | None = None
    worker: Mapping[str, Any] | None = None

    def to_entry(self) -> dict[str, Any]:
        """The entry as JSON; a worker is named by a key."""
        entry = {name: value for name, value in vars(self).items() if value is not None}
        if not self.details:
            del entry["details"]
        if self.worker is not None:
            entry["worker"] = worker_key(self.worker)
        return entry

    @classmethod
    def from_entry(
        cls, entry: Mapping[str, Any], workers: Mapping[str, Any]
    ) -> VideoRecord:
        """Read an entry of a manifest, which may be damaged or hostile.

        Raises:
            ValueError: A value is not what a command writes.
            KeyError, TypeError: The same.
        """
        record = cls(
            **{
                **entry,
                "objects": tuple(entry["objects"]),
                "size": tuple(entry["size"]),
                "worker": workers[entry["worker"]] if "worker" in entry else None,
            }
        )
        for name, fits in _FORMS.items():
            if not fits(value := getattr(record, name)):
                raise ValueError(f"{name} is {value!r:.60}")
        return record


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _has_known_details(details: Mapping[str, Any]) -> bool:
    """Whether what the report reads has the form that `predict` gives it."""
    events = (*details.get("prompts", ()), *details.get("memory", ()))
    peaks = (details.get(key, 0) for key in ("peak_memory", "peak_gpu_memory"))
    return all(map(_is_event, events)) and all(map(_is_count, peaks))


def _is_event(value: Any) -> bool:
    """Whether it is a frame, an object and a text."""
    kinds = [str, int, str]
    return isinstance(value, (list, tuple)) and list(map(type, value)) == kinds


#: What the values of an entry must be. Names of masks become parts of paths.
_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "frames": _is_count,
    "objects": lambda value: all(map(_is_count, value)),
    "size": lambda value: len(value) == 2 and all(map(_is_count, value)),
    "seconds": lambda value: type(value) in (int, float) and math.isfinite(value),
    "digest": lambda value: isinstance(value, str),
    "soft": lambda value: isinstance(value, bool),
    "details": lambda value: _is_table(value) and _has_known_details(value),
    "source": lambda value: value is None or isinstance(value, str),
    "masks": lambda value: value is None or is_digests(value),
    "worker": lambda value: value is None or _is_table(value),
}


def is_digests(value: Any) -> bool:
    """Whether a value from a file gives a digest for each name of a file."""
    return isinstance(value, Mapping) and all(
        is_plain_name(name) and isinstance(one, str) for name, one in value.items()
    )


def worker_key(worker: Mapping[str, Any]) -> str:
    """The key by which entries refer to the description of a worker."""
    return fingerprint(worker)[:_KEY]
