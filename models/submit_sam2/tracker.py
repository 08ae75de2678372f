"""The tracker: one video through the network, frame by frame, many objects at once.

Matches the loop of sam2/sam2_video_predictor.py (facebookresearch/sam2 @ 2b90b9f)
without its stores: of earlier frames only what the memory policies still need is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .memory import MemoryPolicy, Recall
from .model import ABSENT, Features, Sam2Network, Seen
from .modeling.memory_attention import MemoryTokens
from .modeling.prompt_encoder import Click

__all__ = ["Settings", "Tracker"]

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How a tracker runs its network.

    Attributes:
        image_size: Side of the square input, a multiple of 32.
        mask_scale: Mask probabilities are multiplied by it for the memory …
        mask_bias: … and this is added.
        batch: Most objects that go through the network at once.
        dtype: Precision of the large products: float32 or bfloat16.
    """

    image_size: int = 1024
    mask_scale: float = 20.0
    mask_bias: float = -10.0
    batch: int = 8
    dtype: torch.dtype = torch.float32


class Track:
    """One object: its policy and what is kept of earlier frames."""

    def __init__(self, policy: MemoryPolicy) -> None:
        self.policy = policy
        self.maps: dict[int, Tensor] = {}
        self.pointers: dict[int, Tensor] = {}

    def keep(self, frame: int, memory: Tensor, pointer: Tensor) -> None:
        """Keep a frame's memory L×M and pointer C, and forget what is not needed."""
        self.maps[frame] = memory
        self.pointers[frame] = pointer
        kept = self.policy.kept()
        for known in self.maps.keys() - kept.maps:
            del self.maps[known]
        for known in self.pointers.keys() - kept.pointers:
            del self.pointers[known]


class Tracker:
    """Tracks the objects of one video."""

    def __init__(
        self,
        network: Sam2Network,
        settings: Settings,
        *,
        policy: Callable[[], MemoryPolicy],
        pointers: int,
    ) -> None:
        """Open a video.

        Args:
            network: The weights, on the device where they shall run.
            settings: How to run them.
            policy: Makes the memory policy of an object.
            pointers: Greatest age of a pointer in the window, plus one.
        """
        self._network, self._settings = network, settings
        self._policy, self._pointers = policy, pointers
        with torch.no_grad():
            self._grids = network.grids(settings.image_size)
        self._tracks: dict[int, Track] = {}
        self._frame = -1

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects, in the order they were given."""
        return tuple(self._tracks)

    @torch.inference_mode()
    def advance(self, image: Tensor, given: Mapping[int, Tensor | Click]) -> Seen:
        """Take the next frame.

        Args:
            image: 1×3×S×S, normalised.
            given: For new objects and for those to correct a bool H×W mask, which
                is taken for what is seen; or the points of one object (N = 1). The
                frame becomes a conditioning frame of the object.

        Returns:
            Logits S/4×S/4, presence and predicted IoU of all objects in their order.
        """
        self._frame += 1
        network, grids = self._network, self._grids
        image = image.to(network.device, non_blocking=True)
        masks = {key: it for key, it in given.items() if isinstance(it, Tensor)}
        clicks = {key: it for key, it in given.items() if isinstance(it, Click)}
        known = [key for key in self._tracks if key not in masks]
        new = [key for key in clicks if key not in self._tracks]
        for key in given:
            if key not in self._tracks:
                self._tracks[key] = Track(self._policy())
        parts: dict[int, Seen] = {}
        with self._precision():
            features = network.encode_image(image, grids, reads_memory=bool(known))
            for keys, recalls in self._batches(known, clicks):
                tokens = self._tokens(keys, recalls)
                conditioned = network.condition(features, tokens, grids)
                seen = network.track(features, conditioned, grids)
                if keys[0] in clicks:
                    points = self._join_clicks([clicks[key] for key in keys])
                    seen = network.take_clicks(
                        features, conditioned, points, grids, logits=seen.logits
                    )
                    self._keep_given(keys, features, seen)
                else:
                    self._keep_tracked(keys, features, seen)
                parts.update(_split(keys, seen))
            for keys in _chunks(list(masks), self._settings.batch):
                inputs = [self._to_input(masks[key].to(network.device)) for key in keys]
                seen = network.take_masks(features, torch.stack(inputs), grids)
                self._keep_given(keys, features, seen)
                parts.update(_split(keys, seen))
            for keys in self._alike(new, clicks):
                points = self._join_clicks([clicks[key] for key in keys])
                plain = network.without_memory(features).expand(len(keys), -1, -1)
                seen = network.take_clicks(features, plain, points, grids)
                self._keep_given(keys, features, seen)
                parts.update(_split(keys, seen))
        return _join([parts[key] for key in self._tracks])

    def _precision(self) -> torch.autocast:
        return torch.autocast(
            self._network.device.type,
            dtype=torch.bfloat16,
            enabled=self._settings.dtype == torch.bfloat16,
        )

    def _to_input(self, mask: Tensor) -> Tensor:
        """Resize a bool H×W mask to the network's input, as zeros and ones."""
        side = self._settings.image_size
        if mask.shape == (side, side):
            return mask.float()
        resized = F.interpolate(
            mask.float()[None, None],
            size=(side, side),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        return (resized[0, 0] >= 0.5).float()

    def _join_clicks(self, clicks: Sequence[Click]) -> Click:
        """Points of several objects, equally many each, on the device."""
        device = self._network.device
        return Click(
            torch.cat([click.places for click in clicks]).to(device),
            torch.cat([click.kinds for click in clicks]).to(device),
        )

    def _alike(
        self, keys: Sequence[int], clicks: Mapping[int, Click]
    ) -> Iterator[list[int]]:
        """Put objects together that have equally many points."""
        groups: dict[int, list[int]] = {}
        for key in keys:
            groups.setdefault(len(clicks[key]), []).append(key)
        for group in groups.values():
            yield from _chunks(group, self._settings.batch)

    def _batches(
        self, keys: Sequence[int], clicks: Mapping[int, Click]
    ) -> Iterator[tuple[list[int], list[Recall]]]:
        """Put objects together that look back to equally many frames.

        Args:
            keys: The objects.
            clicks: Points of some; those with equally many are put together.
        """
        groups: dict[tuple[int, int, int], list[tuple[int, Recall]]] = {}
        for key in keys:
            recall = self._tracks[key].policy.recall(self._frame)
            points = len(clicks[key]) if key in clicks else 0
            size = len(recall.maps), len(recall.pointers), points
            groups.setdefault(size, []).append((key, recall))
        for group in groups.values():
            for chunk in _chunks(group, self._settings.batch):
                yield [key for key, _ in chunk], [recall for _, recall in chunk]

    def _tokens(self, keys: Sequence[int], recalls: Sequence[Recall]) -> MemoryTokens:
        """Gather what a batch of objects looks back to."""
        network, tracks = self._network, [self._tracks[key] for key in keys]
        device, dtype = network.device, self._settings.dtype
        maps, times = [], []
        for slot in range(len(recalls[0].maps)):
            chosen = [recall.maps[slot] for recall in recalls]
            content = [
                track.maps[frame]
                for track, (frame, _) in zip(tracks, chosen, strict=True)
            ]
            places = torch.tensor([place for _, place in chosen], device=device)
            maps.append(torch.stack(content).to(dtype))
            times.append(network.time_codes(places))
        pointers = torch.stack(
            [
                torch.stack([track.pointers[frame] for frame, _ in recall.pointers])
                for track, recall in zip(tracks, recalls, strict=True)
            ]
        )
        ages = torch.tensor(
            [[age for _, age in recall.pointers] for recall in recalls],
            dtype=torch.float32,
            device=device,
        )
        return MemoryTokens(
            maps=maps,
            times=times,
            pointers=network.pointer_tokens(pointers),
            pointer_times=network.pointer_times(ages / max(self._pointers - 1, 1)),
        )

    def _keep_tracked(
        self, keys: Sequence[int], features: Features, seen: Seen
    ) -> None:
        """Remember a frame in which objects were looked for."""
        tracks = [self._tracks[key] for key in keys]
        memories = self._remember(features, seen)
        presence = seen.presence.tolist()
        quality = [0.0] * len(keys)
        if any(track.policy.wants_quality for track in tracks):
            quality = seen.quality().tolist()
        for index, track in enumerate(tracks):
            track.policy.tracked(
                self._frame, presence=presence[index], quality=quality[index]
            )
            track.keep(self._frame, memories[index], seen.pointers[index])

    def _keep_given(self, keys: Sequence[int], features: Features, seen: Seen) -> None:
        """Remember the frame in which objects were given."""
        memories = self._remember(features, seen)
        for index, key in enumerate(keys):
            track = self._tracks[key]
            track.policy.given(self._frame)
            track.keep(self._frame, memories[index], seen.pointers[index])

    def _remember(self, features: Features, seen: Seen) -> Tensor:
        """Memories N×L×M of what was seen; equal masks are encoded once."""
        settings = self._settings
        # Absent objects all have the same mask: one of them stands for the others.
        rows: list[int] = []
        chosen: list[int] = []
        absent: int | None = None
        for index, empty in enumerate((seen.logits[:, 0, 0] == ABSENT).tolist()):
            if empty and absent is not None:
                chosen.append(absent)
                continue
            if empty:
                absent = len(rows)
            chosen.append(len(rows))
            rows.append(index)
        kept = seen if len(rows) == len(chosen) else seen.select(rows)
        memories = self._network.remember(
            features,
            self._network.enlarge(kept.logits[:, None], self._grids)[:, 0],
            kept.presence,
            scale=settings.mask_scale,
            bias=settings.mask_bias,
        )
        # In every precision; half the memory, and as the official predictor keeps them.
        return memories.bfloat16().contiguous()[chosen]


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Cut a list into parts of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _split(keys: Sequence[int], seen: Seen) -> Iterator[tuple[int, Seen]]:
    """One `Seen` for each object."""
    for index, key in enumerate(keys):
        yield key, seen.select([index])


def _join(parts: Sequence[Seen]) -> Seen:
    """The opposite of `_split`."""
    return Seen(
        torch.cat([part.logits for part in parts]),
        torch.cat([part.presence for part in parts]),
        torch.cat([part.iou for part in parts]),
        torch.cat([part.pointers for part in parts]),
    )
