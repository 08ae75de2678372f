"""The tracker: one video through the network, frame by frame, many objects at once.

Matches the loop of sam2/sam2_video_predictor.py (facebookresearch/sam2 @ 2b90b9f)
without its stores: of earlier frames only what the memory policies still need is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import TypeVar

import torch
from torch import Tensor

from submit.predictors import State

from .answers import Answers, join_objects
from .memory import MemoryPolicy, Pick, Promotion, Recall
from .model import ABSENT, Features, Seen
from .modeling.memory_attention import MemoryTokens
from .modeling.prompt_encoder import Click
from .network import Candidates, TrackedNetwork
from .sightings import Offers, Sightings

__all__ = ["Settings", "Tracker"]

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How a tracker runs its network.

    Attributes:
        size: Height and width of the video's frames.
        image_size: Side of the square input; the network says which are legal.
        mask_scale: Mask probabilities are multiplied by it for the memory …
        mask_bias: … and this is added.
        batch: Most objects that go through the network at once.
        dtype: Precision of the large products: float32 or bfloat16.
    """

    size: tuple[int, int]
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

    def keep(self, number: int, memory: Tensor, pointer: Tensor) -> None:
        """Keep a memory L×M with its pointer C, and forget what is not needed."""
        self.maps[number] = memory
        self.pointers[number] = pointer
        kept = self.policy.kept()
        for known in self.maps.keys() - kept.maps:
            del self.maps[known]
        for known in self.pointers.keys() - kept.pointers:
            del self.pointers[known]

    def state(self) -> State:
        """Return the policy's knowledge and what is kept, as plain data."""
        return {
            "policy": self.policy.state(),
            "maps": self.maps,
            "pointers": self.pointers,
        }

    def restore(self, state: State, device: torch.device) -> None:
        """Take those of another track, to a device."""
        self.policy.restore(state["policy"])
        self.maps = {key: one.to(device) for key, one in state["maps"].items()}
        self.pointers = {key: one.to(device) for key, one in state["pointers"].items()}


class Tracker:
    """Tracks the objects of one video."""

    def __init__(
        self,
        network: TrackedNetwork,
        settings: Settings,
        *,
        policy: Callable[[], MemoryPolicy],
        pointers: int,
        delayed: bool = False,
    ) -> None:
        """Open a video.

        Args:
            network: The weights, on the device where they shall run.
            settings: How to run them.
            policy: Makes the memory policy of an object.
            pointers: Greatest age of a pointer in the window, plus one.
            delayed: Whether the policies are.
        """
        self._network, self._settings = network, settings
        self._policy, self._pointers = policy, pointers
        with torch.no_grad():
            self._grids = network.grids(settings.image_size)
        self._tracks: dict[int, Track] = {}
        self._threshold = policy().threshold
        self._answers = Answers() if delayed else None
        self._frame = -1

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects, in the order they were given."""
        return tuple(self._tracks)

    @property
    def promoted(self) -> Iterator[tuple[int, Promotion]]:
        """The frames that each object keeps without a prompt, with the object's id."""
        for key, track in self._tracks.items():
            for promotion in track.policy.promoted:
                yield key, promotion

    @torch.inference_mode()
    def advance(self, image: Tensor, given: Mapping[int, Tensor | Click]) -> Seen:
        """Take the next frame.

        Args:
            image: 1×3×S×S, normalised.
            given: For new objects and for those to correct a bool H×W mask, which
                is taken for what is seen; or the points of one object (N = 1). The
                frame becomes a conditioning frame of the object.

        Returns:
            Logits 4h×4w, presence and predicted IoU of all objects in their order.
            The presence is above zero where the object is in the frame. With delayed
            policies what seems best so far; see `decided`.
        """
        self._frame += 1
        network, grids = self._network, self._grids
        threshold = self._threshold
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
                conditioned = self._look_back(features, keys, recalls)
                decoded = network.propose(features, conditioned, grids)
                if keys[0] in clicks:
                    seen = network.track(features, decoded, threshold=threshold)
                    points = self._join_clicks([clicks[key] for key in keys])
                    if not network.corrects_with_memory:
                        plain = network.without_memory(features)
                        conditioned = plain.expand(len(keys), -1, -1)
                    seen = network.take_clicks(
                        features,
                        conditioned,
                        points,
                        grids,
                        logits=seen.logits,
                        threshold=threshold,
                    )
                    self._keep_given(keys, features, seen)
                else:
                    seen = self._follow(features, keys, recalls, decoded)
                parts.update(_split(keys, seen))
            for keys in _chunks(list(masks), self._settings.batch):
                inputs = torch.stack([masks[key] for key in keys]).to(network.device)
                seen = network.take_masks(
                    features, inputs.float(), grids, threshold=threshold
                )
                self._keep_given(keys, features, seen)
                parts.update(_split(keys, seen))
            for keys in self._alike(new, clicks):
                points = self._join_clicks([clicks[key] for key in keys])
                plain = network.without_memory(features).expand(len(keys), -1, -1)
                seen = network.take_clicks(
                    features, plain, points, grids, threshold=threshold
                )
                self._keep_given(keys, features, seen)
                parts.update(_split(keys, seen))
        if self._answers is not None:
            self._answers.end_frame(self.objects)
        return self._above_zero(join_objects([parts[key] for key in self._tracks]))

    def decided(
        self, *, at_end: bool = False
    ) -> Iterator[tuple[tuple[int, ...], Seen]]:
        """What delayed policies have decided on since the last call.

        Args:
            at_end: Whether there are no further frames; all the others are decided on.

        Yields:
            For each of the next frames the objects that it has, and what they show, on
            the processor.
        """
        assert self._answers is not None
        if at_end:
            for key, track in self._tracks.items():
                self._answers.decide(key, track.policy.decided(at_end=True))
        for objects, seen in self._answers.complete():
            yield objects, self._above_zero(seen)

    def state(self) -> State:
        """Return what later frames depend on, between two frames, as plain data.

        How objects are batched is no part of it.
        """
        return {
            "frame": self._frame,
            "objects": {key: track.state() for key, track in self._tracks.items()},
            "answers": None if self._answers is None else self._answers.state(),
        }

    def restore(self, state: State) -> None:
        """Continue where another tracker of the same video and settings stood."""
        self._frame = state["frame"]
        for key, one in state["objects"].items():
            self._tracks[key] = track = Track(self._policy())
            track.restore(one, self._network.device)
        if self._answers is not None:
            self._answers.restore(state["answers"])

    def _above_zero(self, seen: Seen) -> Seen:
        """Shift the presence so that an object is visible above zero."""
        threshold = self._threshold
        return replace(seen, presence=seen.presence - threshold) if threshold else seen

    def _precision(self) -> torch.autocast:
        return torch.autocast(
            self._network.device.type,
            dtype=torch.bfloat16,
            enabled=self._settings.dtype == torch.bfloat16,
        )

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
    ) -> Iterator[tuple[list[int], list[Sequence[Recall]]]]:
        """Put objects together that look back to equally many frames.

        Args:
            keys: The objects.
            clicks: Points of some; those with equally many are put together.
        """
        groups: dict[Hashable, list[tuple[int, Sequence[Recall]]]] = {}
        for key in keys:
            recalls = self._tracks[key].policy.recalls(self._frame)
            points = 0
            if key in clicks:
                points, recalls = len(clicks[key]), recalls[:1]
            kind = points, tuple(_shape(recall) for recall in recalls)
            groups.setdefault(kind, []).append((key, recalls))
        for group in groups.values():
            ways = len(group[0][1])
            for chunk in _chunks(group, max(1, self._settings.batch // ways)):
                yield [key for key, _ in chunk], [recalls for _, recalls in chunk]

    def _look_back(
        self,
        features: Features,
        keys: Sequence[int],
        recalls: Sequence[Sequence[Recall]],
    ) -> Tensor:
        """Condition features on each recall of each object, in this order: R×h·w×C."""
        rows = [
            (key, recall)
            for key, ways in zip(keys, recalls, strict=True)
            for recall in ways
        ]
        groups: dict[Hashable, list[int]] = {}
        for index, (_, recall) in enumerate(rows):
            groups.setdefault(_shape(recall), []).append(index)
        parts = []
        for group in groups.values():
            chosen = [rows[index] for index in group]
            tokens = self._tokens(
                [key for key, _ in chosen], [recall for _, recall in chosen]
            )
            parts.append(self._network.condition(features, tokens, self._grids))
        if len(parts) == 1:
            return parts[0]
        order = [index for group in groups.values() for index in group]
        return torch.cat(parts)[sorted(range(len(order)), key=order.__getitem__)]

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
        span: int | Tensor = max(self._pointers - 1, 1)
        if any(recall.span is not None for recall in recalls):
            spans = [recall.span or span for recall in recalls]
            span = torch.tensor(spans, device=device)[:, None]
        tokens = MemoryTokens(
            maps=maps,
            times=times,
            pointers=network.pointer_tokens(pointers),
            pointer_times=network.pointer_times(ages / span),
        )
        if recalls[0].map_weights is None:
            return tokens
        weights = [recall.map_weights for recall in recalls]
        of_maps = torch.tensor(weights, device=device)[..., None, None]  # N×K×1×1
        of_pointers = torch.tensor(
            [recall.pointer_weights for recall in recalls], device=device
        )
        pieces = tokens.pointers.shape[1] // of_pointers.shape[1]
        return replace(
            tokens,
            map_weights=of_maps.unbind(1),
            pointer_weights=of_pointers.repeat_interleave(pieces, 1)[..., None],
        )

    def _follow(
        self,
        features: Features,
        keys: Sequence[int],
        recalls: Sequence[Sequence[Recall]],
        decoded: Candidates,
    ) -> Seen:
        """Choose masks for objects that were looked for, and remember them.

        Returns:
            What the first pick of each object shows.
        """
        network, frame, threshold = self._network, self._frame, self._threshold
        draw = partial(network.draw_candidates, features)
        offers = Offers(
            decoded, draw=draw, side=self._settings.image_size, threshold=threshold
        )
        tracks = [self._tracks[key] for key in keys]
        firsts = _starts(recalls)
        answers = [
            track.policy.choose(frame, [offers.of(row) for row in range(first, end)])
            for track, (first, end) in zip(tracks, pairwise(firsts), strict=True)
        ]
        choice = None
        picks: list[Sequence[Pick]] = [(Pick(0, 0, frame),)] * len(keys)
        if any(answer is not None for answer in answers):
            picks = [
                answer or (_best(offers.ious[first], frame),)
                for answer, first in zip(answers, firsts[:-1], strict=True)
            ]
            rows = [
                first + pick.recall
                for own, first in zip(picks, firsts[:-1], strict=True)
                for pick in own
            ]
            if rows != list(range(firsts[-1])):
                decoded = decoded.select(rows)
            chosen = [pick.candidate + 1 for own in picks for pick in own]
            choice = torch.tensor(chosen, device=network.device)
        seen = network.track(features, decoded, choice=choice, threshold=threshold)
        sightings = Sightings(
            seen,
            others=lambda row: draw(decoded.select([row]))[0],
            size=self._settings.size,
        )
        *firsts, end = _starts(picks)
        for track, first in zip(tracks, firsts, strict=True):
            track.policy.tracked(frame, sightings.of(first))
        owners = [
            (track, pick)
            for track, own in zip(tracks, picks, strict=True)
            for pick in own
        ]
        sharp = [track.policy.sharp for track, _ in owners]
        memories = self._remember(features, seen, sharp)
        for row, (track, pick) in enumerate(owners):
            track.keep(pick.number, memories[row], seen.pointers[row])
        self._note(
            [
                (key, pick.number)
                for key, own in zip(keys, picks, strict=True)
                for pick in own
            ],
            seen,
        )
        return seen if end == len(keys) else seen.select(firsts)

    def _keep_given(self, keys: Sequence[int], features: Features, seen: Seen) -> None:
        """Remember the frame in which objects were given."""
        tracks = [self._tracks[key] for key in keys]
        for track in tracks:
            track.policy.given(self._frame)
        prompts = self._network.sharp_prompts
        sharp = [prompts or track.policy.sharp for track in tracks]
        memories = self._remember(features, seen, sharp)
        for index, track in enumerate(tracks):
            track.keep(self._frame, memories[index], seen.pointers[index])
        self._note([(key, self._frame) for key in keys], seen)

    def _note(self, picks: Sequence[tuple[int, int]], seen: Seen) -> None:
        """Hold what is not decided on.

        Args:
            picks: Object and number of each row.
            seen: What the rows show.
        """
        if self._answers is None:
            return
        self._answers.note(picks, seen)
        for key in dict(picks):
            policy = self._tracks[key].policy
            self._answers.decide(key, policy.decided())
            self._answers.keep(key, policy.kept().undecided)

    def _remember(self, features: Features, seen: Seen, sharp: list[bool]) -> Tensor:
        """Memories N×L×M of what was seen; equal masks are encoded once.

        Args:
            features: Of the frame.
            seen: Of N objects.
            sharp: For each, whether its mask is remembered instead of probabilities.
        """
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
        logits = self._network.at_input(kept, self._grids)
        if any(sharp):
            # The probability of an infinite logit is 0 or 1.
            hard = torch.where(logits > 0, torch.inf, -torch.inf)
            which = torch.tensor([sharp[row] for row in rows], device=logits.device)
            logits = torch.where(which[:, None, None], hard, logits)
        memories = self._network.remember(
            features,
            logits,
            kept.presence,
            scale=settings.mask_scale,
            bias=settings.mask_bias,
        )
        # In every precision of the products.
        return memories.to(self._network.memory_dtype).contiguous()[chosen]


def _shape(recall: Recall) -> Hashable:
    """What recalls have in common that go through the network together."""
    return len(recall.maps), len(recall.pointers), recall.map_weights is None


def _starts(parts: Sequence[Sequence[object]]) -> list[int]:
    """Where each part begins if all are put into one list, and where that ends."""
    return list(accumulate(map(len, parts), initial=0))


def _best(ious: Sequence[float], frame: int) -> Pick:
    """Pick the candidate with the highest predicted IoU, of the only recall."""
    return Pick(0, max(range(len(ious)), key=ious.__getitem__), frame)


def _chunks(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Cut a list into parts of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _split(keys: Sequence[int], seen: Seen) -> Iterator[tuple[int, Seen]]:
    """One `Seen` for each object: the opposite of `join_objects`."""
    for index, key in enumerate(keys):
        yield key, seen.select([index])
