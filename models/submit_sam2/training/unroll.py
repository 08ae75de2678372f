"""A clip through the network, with memories and gradients over all frames.

Matches `SAM2Train` of training/model/sam2.py (facebookresearch/sam2 @ 2b90b9f). What
differs from inference, there and here:

- Frames in which objects are given come first, so that a later one is a memory of the
  frames before it too.
- All candidates are drawn, and nothing depends on a number that the processor would
  have to wait for.
- A memory of a given mask is made of the mask itself, not of a coarser copy, and keeps
  its precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..memory import MemoryPolicy, Recall
from ..model import ABSENT, Features, Sam2Network, Seen, to_tokens
from ..modeling.layers import run
from ..modeling.mask_decoder import Decoded
from ..modeling.memory_attention import FrameStart, MemoryTokens
from ..modeling.prompt_encoder import Click
from ..sightings import Sightings
from .losses import Pass
from .prompts import PromptPlan, draw_box, draw_click

__all__ = ["ClipTensors", "UnrollSettings", "unroll"]


@dataclass(frozen=True)
class ClipTensors:
    """Clips of equal length, on the device.

    Attributes:
        images: T×B×3×S×S, normalised.
        masks: Bool T×N×S×S, of the objects of all clips.
        clip_of: N int64, the clip of each object.
    """

    images: Tensor
    masks: Tensor
    clip_of: Tensor

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.images)

    @property
    def objects(self) -> int:
        """Number of objects."""
        return self.masks.shape[1]


@dataclass(frozen=True)
class UnrollSettings:
    """How clips go through the network.

    Attributes:
        policy: Makes the memory policy of an object, given the window of pointers.
        mask_scale: Mask probabilities are multiplied by it for the memory …
        mask_bias: … and this is added.
        recompute: Whether mask decoder and memory encoder run once more in the backward
            pass, which then keeps only what goes into them.
    """

    policy: Callable[[int], MemoryPolicy]
    mask_scale: float = 20.0
    mask_bias: float = -10.0
    recompute: bool = False


def unroll(
    network: Sam2Network, clip: ClipTensors, plan: PromptPlan, settings: UnrollSettings
) -> list[Pass]:
    """Track the objects of clips, as training does it.

    Args:
        network: The network.
        clip: The clips.
        plan: How objects are given.
        settings: How memories are made and chosen.

    Returns:
        All passes of the decoder, in the order in which they were made.
    """
    return _Unroll(network, clip, plan, settings).run()


class _Unroll:
    """One call of `unroll`."""

    def __init__(
        self,
        network: Sam2Network,
        clip: ClipTensors,
        plan: PromptPlan,
        settings: UnrollSettings,
    ) -> None:
        self._network, self._clip = network, clip
        self._plan, self._settings = plan, settings
        self._side = clip.images.shape[-1]
        self._grids = network.grids(self._side)
        self._features = network.encode_image(
            clip.images.flatten(0, 1), self._grids, reads_memory=False
        )
        self._window = min(clip.length, network.config.pointers)
        self._policies = [settings.policy(self._window) for _ in range(clip.objects)]
        self._maps: dict[int, Tensor] = {}
        self._pointers: dict[int, Tensor] = {}
        self._passes: list[Pass] = []
        # All first prompts before any correction: the order of the random numbers.
        self._prompts = {
            frame: self._prompt(frame) for frame in plan.given if not plan.masks
        }
        device = clip.images.device
        # Embedded like any other point, so that all embeddings have a gradient.
        self._no_points = network.sam_prompt_encoder.points(
            torch.zeros(1, 1, 2, device=device),
            torch.full((1, 1), -1, device=device),
            self._side,
        )

    def run(self) -> list[Pass]:
        given = self._plan.given
        rest = [frame for frame in range(self._clip.length) if frame not in given]
        for frame in (*given, *rest):
            features = self._at(frame)
            if frame in given and self._plan.masks:
                self._give(frame, features)
            else:
                self._look(frame, features)
        return self._passes

    def _at(self, frame: int) -> Features:
        """The features of a frame: one for all objects, or one for each."""
        clips = self._clip.images.shape[1]

        def choose(x: Tensor) -> Tensor:
            own = x[frame * clips : (frame + 1) * clips]
            return own if clips == 1 else own[self._clip.clip_of]

        every = self._features
        return Features(
            pixels=choose(every.pixels),
            middle=choose(every.middle),
            fine=choose(every.fine),
            projected=choose(every.projected),
            start=None,
        )

    def _prompt(self, frame: int) -> Click:
        """How objects are given in a frame by points."""
        assert self._plan.boxes is not None
        truth = self._clip.masks[frame]
        return draw_box(truth) if frame in self._plan.boxes else draw_click(truth, None)

    def _give(self, frame: int, features: Features) -> None:
        """Give all objects as masks."""
        network, masks = self._network, self._clip.masks[frame].float()
        seen = network.take_masks(features, masks, self._grids)
        logits = network.sure_logits(masks)
        image = network.without_memory(features).expand(len(masks), -1, -1)
        self._passes.append(
            Pass(frame, logits[:, None], seen.iou[:, None], seen.presence, image)
        )
        self._keep(frame, features, logits, seen.presence, seen.pointers)
        for policy in self._policies:
            policy.given(frame)

    def _look(self, frame: int, features: Features) -> None:
        """Find all objects: by a prompt, or by memories; and be corrected."""
        network, truth = self._network, self._clip.masks[frame]
        points = self._prompts.get(frame)
        if points is not None:
            image = network.without_memory(features)
            image = image.expand(self._clip.objects, -1, -1)
        else:
            image = self._condition(frame, features)
        corrections = self._plan.corrected.get(frame, ())
        chosen, mask = self._pass(frame, features, image, points, None)
        for from_truth in corrections:
            full = network.enlarge(chosen.logits.detach()[:, None], self._grids)[:, 0]
            click = draw_click(truth, None if from_truth else full > 0)
            points = click if points is None else points + click
            chosen, mask = self._pass(frame, features, image, points, mask)
        full = network.enlarge(chosen.logits[:, None], self._grids)[:, 0]
        self._keep(frame, features, full, chosen.presence, chosen.pointers)
        if frame in self._plan.given or corrections:
            for policy in self._policies:
                policy.given(frame)
        else:
            self._note(frame, chosen)

    def _pass(
        self,
        frame: int,
        features: Features,
        image: Tensor,
        points: Click | None,
        mask: Tensor | None,
    ) -> tuple[Seen, Tensor]:
        """Run the decoder once; returns what it says, and that as the next prompt."""
        network, prompts = self._network, self._network.sam_prompt_encoder
        embedded = self._no_points
        if points is not None:
            embedded = prompts.points(points.places, points.kinds, self._side)

        def decode(
            image: Tensor, embedded: Tensor, mask: Tensor | None
        ) -> tuple[Decoded, Tensor]:
            dense = None if mask is None else prompts(mask)
            decoded = network.decode(image, self._grids, mask=dense, points=embedded)
            drawn = network.sam_mask_decoder.draw_all(
                decoded.image, decoded.masks, features.fine, features.middle
            )
            return decoded, drawn.float()

        decoded, drawn = run(
            decode, image, embedded, mask, recompute=self._settings.recompute
        )
        # Candidate 0 is for clear prompts; one click or a memory may mean many things.
        several = points is None or len(points) < 2
        candidates = slice(1, None) if several else slice(0, 1)
        drawn, iou = drawn[:, candidates], decoded.iou[:, candidates]
        self._passes.append(Pass(frame, drawn, iou, decoded.presence, image))
        best = iou.argmax(1)
        rows = torch.arange(len(best), device=best.device)
        present = decoded.presence > 0
        logits = torch.where(present[:, None, None], drawn[rows, best], ABSENT)
        seen = Seen(
            logits=logits,
            presence=decoded.presence,
            iou=iou[rows, best],
            pointers=network.pointers(
                decoded.masks[:, candidates][rows, best], present
            ),
        )
        return seen, logits[:, None]

    def _keep(
        self,
        frame: int,
        features: Features,
        logits: Tensor,
        presence: Tensor,
        pointers: Tensor,
    ) -> None:
        """Make the memory of a frame."""

        def remember(logits: Tensor) -> Tensor:
            return self._network.remember(
                features,
                logits,
                presence,
                scale=self._settings.mask_scale,
                bias=self._settings.mask_bias,
            )

        self._maps[frame] = run(remember, logits, recompute=self._settings.recompute)
        self._pointers[frame] = pointers

    def _note(self, frame: int, seen: Seen) -> None:
        """Tell the policies of a tracked frame."""
        sightings = Sightings(seen)
        for index, policy in enumerate(self._policies):
            policy.tracked(frame, sightings.of(index))

    def _condition(self, frame: int, features: Features) -> Tensor:
        """Let features look at the memories of each object: N×h·w×C."""
        network = self._network
        tokens = to_tokens(features.pixels)
        if network.memory_attention.dropout:
            # Chance differs from object to object.
            tokens = tokens.expand(self._clip.objects, -1, -1)
        start = network.memory_attention.begin(tokens, self._grids)
        groups: dict[Recall, list[int]] = {}
        for row, policy in enumerate(self._policies):
            groups.setdefault(policy.recalls(frame)[0], []).append(row)
        parts = [
            network.condition(
                _started(features, start, rows, self._clip.objects),
                self._tokens(recall, rows),
                self._grids,
            )
            for recall, rows in groups.items()
        ]
        if len(parts) == 1:
            return parts[0]
        order = [row for rows in groups.values() for row in rows]
        back = sorted(range(len(order)), key=order.__getitem__)
        return torch.cat(parts)[back]

    def _tokens(self, recall: Recall, rows: Sequence[int]) -> MemoryTokens:
        """Gather what objects look back to that recall the same frames."""
        network = self._network
        device = self._clip.images.device
        every = len(rows) == self._clip.objects

        def own(x: Tensor) -> Tensor:
            return x if every else x[list(rows)]

        pointers = torch.stack(
            [own(self._pointers[known]) for known, _ in recall.pointers], 1
        )
        ages = torch.tensor([[age for _, age in recall.pointers]], device=device)
        return MemoryTokens(
            maps=[own(self._maps[known]) for known, _ in recall.maps],
            times=[
                network.time_codes(torch.tensor([place], device=device))
                for _, place in recall.maps
            ],
            pointers=network.pointer_tokens(pointers),
            pointer_times=network.pointer_times(ages / max(self._window - 1, 1)),
        )


def _started(
    features: Features, start: FrameStart, rows: Sequence[int], objects: int
) -> Features:
    """Features with what some of the objects share of the memory attention."""
    if len(start.tokens) > 1 and len(rows) < objects:
        start = FrameStart(start.tokens[list(rows)], start.queries[list(rows)])
    return Features(
        features.pixels, features.middle, features.fine, features.projected, start
    )
