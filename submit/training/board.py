"""The log of a training as TensorBoard reads it.

Both have the same numbers. TensorBoard is an extra: nothing of it is imported where a
recipe does not ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import TrainingError

__all__ = ["TensorBoardLog", "require_tensorboard"]


def require_tensorboard() -> None:
    """Make sure that events can be written.

    Raises:
        TrainingError: The package is not installed.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            "[run] tensorboard = true needs the package tensorboard, which is not "
            "installed; run: pip install 'mose-submit[tensorboard]', or set it to "
            "false: log.jsonl and submit plot training have the same numbers"
        ) from error


class TensorBoardLog:
    """Writes lines of the log as TensorBoard's scalars.

    Losses and the rest of a step are below `train/`, and scores below the name of the
    weights, such as `ema/jf_dot`.

    Args:
        path: The folder of the event files.
        step: Steps that are done; TensorBoard hides what was written for later ones.
    """

    def __init__(self, path: Path, step: int) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        make: Any = SummaryWriter
        self._writer = make(str(path), purge_step=step + 1)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write the numbers of a line of the log."""
        group = entry.get("validation", "train")
        for name, value in entry.items():
            if name != "step" and isinstance(value, (int, float)):
                self._writer.add_scalar(f"{group}/{name}", value, entry["step"])

    def sync(self) -> None:
        """Make sure that all numbers are in the file."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
