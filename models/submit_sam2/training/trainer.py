"""SAM 2 behind the trainer protocol: clips in, losses out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from submit.predictors import Predictor, parse_options, weights_path
from submit.training import Batch, Losses, ParameterGroup, TrainerDescription

from ..config import MODELS
from ..predictor import Sam2Options, Sam2Predictor
from .options import FREEZABLE, Sam2TrainerOptions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from ..memory import MemoryPolicy
    from ..model import Sam2Network
    from .losses import Pass
    from .prompts import PromptPlan
    from .unroll import ClipTensors

__all__ = ["Sam2Trainer"]

#: Plans among which that with the most passes is looked for.
_PLANS = 64


class Sam2Trainer:
    """Fine-tunes SAM 2.1 and 2.0 as the official trainer does.

    Prompts are simulated, clips are tracked with gradients through all memories, and
    each pass of the mask decoder is judged.
    """

    Options: ClassVar[type[Any]] = Sam2TrainerOptions

    def __init__(self, options: Sam2TrainerOptions, *, device: str = "auto") -> None:
        self._options, self._table = options, options.model
        self._device = device
        self._network: Sam2Network | None = None

    def describe(self) -> TrainerDescription:
        """Say what is trained; the checkpoint is digested, not read.

        Raises:
            PredictorError: The checkpoint cannot be read.
        """
        from ..build import sha256

        table = self._table
        return TrainerDescription(
            model=table.name,
            licence="Apache-2.0",
            predictor="sam2",
            predict=self._predict(),
            size=table.image_size,
            step=32,
            checkpoint=None
            if table.checkpoint is None or self._device == "meta"
            else sha256(_file_of(table.checkpoint)),
            threads=table.threads,
            thrifty=self._thrifty(),
        )

    def build(self) -> nn.Module:
        """Make the network and load its weights; see `submit.training.Trainer`.

        Raises:
            PredictorError: The checkpoint does not fit, or the device is not there.
        """
        import torch

        from ..build import fresh_weights, load_network
        from ..model import Sam2Network
        from .adapters import add_low_rank

        table = self._table
        # On `meta` there are only shapes, and no weights to read.
        simulated = self._device == "meta"
        with torch.device("meta" if simulated else "cpu"):
            network = Sam2Network(
                MODELS[table.name], dropout=table.dropout, drop_path=table.drop_path
            )
        if simulated:
            pass
        elif table.checkpoint is None:
            network.load_state_dict(fresh_weights(MODELS[table.name]))
        else:
            loaded = load_network(
                table.name, _file_of(table.checkpoint), option="model.name"
            )
            network.load_state_dict(loaded.state_dict())
        network.train().requires_grad_(True)
        for part in table.freeze:
            self._freeze(network, FREEZABLE[part])
        if table.lora:
            add_low_rank(network.image_encoder.trunk, table.lora)
        network.image_encoder.trunk.recompute = table.recompute
        network.memory_attention.recompute = table.recompute
        self._network = network.to(self._device)
        return self._network

    def groups(self, rate: float, decay: float) -> Sequence[ParameterGroup]:
        """Learning rates and weight decay of all parameters that are trained."""
        from .groups import parameter_groups

        assert self._network is not None
        return parameter_groups(
            self._network,
            rate=rate,
            encoder_rate=self._table.encoder_rate,
            layer_decay=self._table.layer_decay,
            decay=decay,
        )

    def losses(self, batch: Batch, random: np.random.Generator) -> Losses:
        """Track the objects of clips, and compare them with the truth."""
        import torch

        from .losses import PARTS, judge
        from .prompts import draw_plan
        from .unroll import UnrollSettings, unroll

        assert self._network is not None
        table = self._options.loss
        clip = _tensors(batch)
        plan = draw_plan(
            random,
            clip.length,
            self._options.prompts,
            visible=_all_visible(clip) if self._options.prompts.visible else None,
        )
        settings = UnrollSettings(
            policy=self._policy,
            mask_scale=self._table.mask_scale,
            mask_bias=self._table.mask_bias,
            recompute=self._table.recompute,
        )
        passes = unroll(self._network, clip, plan, settings)
        values = torch.stack(
            [
                judge(one.logits, one.iou, one.presence, clip.masks[one.frame], table)
                for one in passes
            ]
        ).sum(0)
        parts = dict(zip(PARTS, values, strict=True))
        if table.similarity:
            parts["similarity"] = _similarity(clip, passes, plan)
        return Losses(
            total=sum(
                (getattr(table, name) * value for name, value in parts.items()),
                start=values.new_zeros(()),
            ),
            parts={name: value.detach() for name, value in parts.items()},
            counts={"missed": _missed(clip, passes, plan)},
        )

    def heaviest(self, frames: int) -> np.random.Generator:
        """Random numbers that give objects with the most passes of the mask decoder."""
        import numpy as np

        from .prompts import draw_plan

        def passes(seed: int) -> int:
            random = np.random.default_rng(seed)
            return draw_plan(random, frames, self._options.prompts).passes(frames)

        return np.random.default_rng(max(range(_PLANS), key=passes))

    def weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under the official names."""
        from .adapters import merged

        return merged(state)

    def export(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """The content of an official checkpoint."""
        return {
            "model": {
                name: value.detach().to("cpu").contiguous()
                for name, value in weights.items()
            }
        }

    def predictor(self, weights: Mapping[str, Tensor]) -> Predictor:
        """Make the predictor of these weights."""
        from ..build import build_network

        copies = {
            name: value.detach().to(self._device, copy=True)
            for name, value in weights.items()
        }
        network = build_network(MODELS[self._table.name], copies, Path("the weights"))
        options: Sam2Options = parse_options("sam2", Sam2Options, self._predict())
        return Sam2Predictor.of(network, options, device=self._device)

    def _thrifty(self) -> tuple[str, ...]:
        """Changes that take less memory."""
        table = self._table
        found = [] if table.recompute else ["model.recompute=true"]
        if not table.lora and not {"trunk", "encoder"} & set(table.freeze):
            parts = ", ".join(f'"{part}"' for part in (*table.freeze, "encoder"))
            found.append(f"model.freeze=[{parts}]")
        return tuple(found)

    def _predict(self) -> tuple[str, ...]:
        table = self._table
        found: dict[str, Any] = {
            "model": table.name,
            "image_size": table.image_size,
            "memory": table.memory,
            "mask_scale": f"{table.mask_scale:g}",
            "mask_bias": f"{table.mask_bias:g}",
            "threads": table.threads,
            **table.memory_options,
            **table.predict,
        }
        return tuple(f"{key}={value}" for key, value in found.items())

    def _policy(self, pointers: int) -> MemoryPolicy:
        from ..memory import POLICIES

        config = MODELS[self._table.name]
        options: dict[str, Any] = dict(self._table.memory_options)
        kind = self._table.memory
        if self._device == "meta":
            # The others look at values; they look back to as many frames.
            kind, options = "sam2", {}
        make = partial(POLICIES[kind], **options)
        return make(memories=config.memories, pointers=pointers, conditioning=None)

    def _freeze(self, network: Sam2Network, starts: tuple[str, ...]) -> None:
        """Leave a part as it is; it is not skipped at random either."""
        for name, parameter in network.named_parameters():
            if name.startswith(starts):
                parameter.requires_grad_(False)
        for name, module in network.named_modules():
            if f"{name}.".startswith(starts):
                module.eval()


def _tensors(batch: Batch) -> ClipTensors:
    """Normalise images, and take the masks of all objects out of the labels."""
    import torch

    from ..predictor import DEVIATION, MEAN
    from .unroll import ClipTensors

    device = batch.images.device
    mean = torch.tensor(MEAN, device=device)
    deviation = torch.tensor(DEVIATION, device=device)
    images = (batch.images.float() / 255 - mean) / deviation
    masks = [
        batch.labels[:, place, None]
        == torch.arange(1, count + 1, device=device, dtype=torch.uint8)[:, None, None]
        for place, count in enumerate(batch.objects)
    ]
    return ClipTensors(
        images=images.permute(0, 1, 4, 2, 3).contiguous(),
        masks=torch.cat(masks, 1),
        clip_of=torch.tensor(
            [place for place, count in enumerate(batch.objects) for _ in range(count)],
            device=device,
        ),
    )


def _all_visible(clip: ClipTensors) -> list[int]:
    """Frames after the first in which all objects are visible."""
    if clip.masks.is_meta:
        return list(range(1, clip.length))
    visible = clip.masks.flatten(2).any(2).all(1).tolist()
    return [frame for frame, found in enumerate(visible) if found and frame]


def _missed(
    clip: ClipTensors, passes: Sequence[Pass], plan: PromptPlan
) -> torch.Tensor:
    """How often an object is visible and taken for absent, where it was not given."""
    import torch

    found = [
        ((one.presence <= 0) & clip.masks[one.frame].flatten(1).any(1)).sum()
        for one in passes
        if one.frame not in plan.given
    ]
    return torch.stack(found).sum() if found else torch.zeros(())


def _similarity(
    clip: ClipTensors, passes: Sequence[Pass], plan: PromptPlan
) -> torch.Tensor:
    """Our similarity loss over all frames in which objects were looked for."""
    import torch

    from .losses import pooled, similarity

    first = clip.masks[plan.given[0]]
    start = next(one for one in passes if one.frame == plan.given[0])
    total = torch.zeros((), device=first.device)
    anchors = pooled(start.image, first)
    for one in passes:
        if one.frame in plan.given:
            continue
        truth = clip.masks[one.frame]
        counts = truth.flatten(1).any(1) & first.flatten(1).any(1)
        total = total + similarity(pooled(one.image, truth), anchors, counts)
    return total


def _file_of(checkpoint: Path) -> Path:
    """The file that a recipe names, by its path or as known weights.

    Raises:
        PredictorError: The weights are not on this machine.
    """
    return Path(weights_path(str(checkpoint), "checkpoint"))
