"""The devices of this machine on which models can run, as PyTorch lists them."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PredictorError

__all__ = ["choose_devices", "gpus", "require_device"]


def gpus() -> list[str]:
    """The GPUs that PyTorch can use, such as `cuda:0`; empty where there is none."""
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def require_device(wanted: str) -> None:
    """Make sure that a requested device exists.

    Args:
        wanted: `auto`, or a device as PyTorch names it.

    Raises:
        PredictorError: There is no such device.
    """
    if wanted in ("auto", "cpu"):
        return
    import torch

    try:
        torch.device(wanted)
    except RuntimeError:
        raise PredictorError(
            f"--device {wanted}: is not a device; expected auto, cpu, cuda, cuda:N or "
            f"mps, and this machine has {', '.join(_present())}"
        ) from None
    present = _present()
    if wanted not in present and wanted not in {name.split(":")[0] for name in present}:
        raise PredictorError(
            f"--device {wanted}: is not there; PyTorch {torch.__version__} finds "
            f"{', '.join(present)} on this machine (for a GPU, install the PyTorch "
            "build for it)"
        )


def choose_devices(
    wanted: str, usable: Sequence[str] | None, *, predictor: str
) -> list[str]:
    """The devices that the workers of this machine use in turn.

    Args:
        wanted: `auto` for all GPUs, else the processor; or a device.
        usable: Kinds of devices that the model can use; None for all.
        predictor: The model's name, for messages.

    Raises:
        PredictorError: The device is not there, or the model cannot use it.
    """
    require_device(wanted)
    kind, _, index = wanted.partition(":")
    if usable is not None and kind not in ("auto", *usable):
        raise PredictorError(
            f"--device {wanted}: {predictor} runs on {', '.join(usable)} only; leave "
            "--device out"
        )
    if kind == "cuda" and not index:
        return gpus()
    if kind != "auto":
        return [wanted]
    return (gpus() if usable is None or "cuda" in usable else []) or ["cpu"]


def _present() -> list[str]:
    """The devices of this machine that PyTorch can use."""
    import torch

    found = ["cpu", *gpus()]
    if torch.backends.mps.is_available():
        found.append("mps")
    if hasattr(torch, "xpu"):
        found += [f"xpu:{index}" for index in range(torch.xpu.device_count())]
    return found
