"""Load a model of transformers, strictly, for an input of any legal side."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import torch

from submit.errors import PredictorError
from submit_sam2.build import listed

from .families import Family
from .folder import ModelFolder

__all__ = ["load_model"]

#: The oldest release that is tested.
_OLDEST = (5, 24)


def load_model(folder: ModelFolder, side: int) -> Any:
    """Load a model, on the processor, in float32.

    Args:
        folder: Its folder.
        side: Of the input, in pixels; a multiple of the family's stride.

    Raises:
        PredictorError: A package is missing, the folder is damaged, or the weights are
            not those of the model.
    """
    family = folder.family
    transformers = _import(family)
    _require_backbone(folder)
    kind = getattr(transformers, family.architecture)
    try:
        with _quietly(transformers):
            config = _resized(transformers, folder, side)
            model, report = kind.from_pretrained(
                folder.path,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # They are in the report.
                output_loading_info=True,
            )
    except torch.OutOfMemoryError:
        raise
    # What a damaged file raises is not documented.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise PredictorError(
            f"{folder.path}: transformers cannot load it as {family.architecture} "
            f"({type(error).__name__}: {reason}); download it again"
        ) from error
    problems = [
        *listed("missing", report["missing_keys"]),
        *listed("unexpected", report["unexpected_keys"]),
        *listed("of another shape", (one[0] for one in report["mismatched_keys"])),
    ]
    if problems:
        raise PredictorError(
            f"{folder.path}: does not fit {family.architecture}: "
            f"{'; '.join(problems)}; expected a folder such as "
            f"huggingface.co/{family.known}"
        )
    if broken := listed(
        "not finite",
        (name for name, one in model.state_dict().items() if not one.isfinite().all()),
    ):
        raise PredictorError(
            f"{folder.path}: holds weights that are no numbers: {'; '.join(broken)}; "
            "the file is damaged or its training diverged: download it again, or take "
            "an earlier one"
        )
    return model.eval().requires_grad_(False)


def _import(family: Family) -> Any:
    """Import transformers, of a release that has the model."""
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise PredictorError(
            f"the predictor {family.name} needs the package transformers, which cannot "
            f"be imported ({error}); run: pip install 'mose-submit[hf]'"
        ) from error
    version = str(transformers.__version__)
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST or not hasattr(transformers, family.architecture):
        wanted = ".".join(map(str, _OLDEST))
        raise PredictorError(
            f"the predictor {family.name} needs {family.architecture} of transformers "
            f"{wanted} or newer, found transformers {version}; run: pip install "
            f"'transformers>={wanted}'"
        )
    return transformers


def _require_backbone(folder: ModelFolder) -> None:
    """Check that the packages of the image encoder are there."""
    if folder.backbone != "timm_wrapper":
        return
    missing = [
        name
        for name in ("timm", "torchvision")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise PredictorError(
            f"{folder.path}: its image encoder is one of the package timm, which needs "
            f"torchvision; found no {' and no '.join(missing)}; run: pip install "
            "'mose-submit[edgetam]'"
        )


def _resized(transformers: Any, folder: ModelFolder, side: int) -> Any:
    """The configuration of a model for inputs of another side."""
    family = folder.family
    config = transformers.AutoConfig.from_pretrained(folder.path, local_files_only=True)
    if family.tracker and hasattr(config, family.tracker):
        config = getattr(config, family.tracker)
    # Some configurations pass it on, with what follows from it, and some do not.
    config.image_size = side
    config.prompt_encoder_config.image_size = side
    cells = side // family.stride
    config.vision_config.backbone_feature_sizes = [
        [scale * cells, scale * cells] for scale in (4, 2, 1)
    ]
    config.memory_attention_rope_feat_sizes = [cells, cells]
    return config


@contextlib.contextmanager
def _quietly(transformers: Any) -> Iterator[None]:
    """Keep the library's own bars and remarks away from the terminal."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
