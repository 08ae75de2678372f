"""What objects show in frames that their memory policies have not decided on.

A delayed policy follows several masks of an object, and says later which of them are
the answer. A frame is complete when that is decided for all of its objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from submit.predictors import State

from .model import Seen

__all__ = ["Answers", "join_objects"]


@dataclass
class _Object:
    """What one object shows: by number what may be the answer, and what is, in order.

    The first of the answers belongs to the first frame that is not complete.
    """

    undecided: dict[int, Seen] = field(default_factory=dict)
    decided: deque[Seen] = field(default_factory=deque)


class Answers:
    """Holds what objects show, on the processor, until a frame is complete."""

    def __init__(self) -> None:
        self._objects: dict[int, _Object] = {}
        #: The objects of each frame that is not complete.
        self._frames: deque[tuple[int, ...]] = deque()

    def note(self, picks: Sequence[tuple[int, int]], seen: Seen) -> None:
        """Note what may be an answer.

        Args:
            picks: For each row of `seen`, the object and the number of the pick.
            seen: What they show in this frame.
        """
        here = seen.cpu()
        for row, (key, number) in enumerate(picks):
            one = self._objects.setdefault(key, _Object())
            one.undecided[number] = here.select([row])

    def decide(self, key: int, numbers: Sequence[int]) -> None:
        """Take the picks of these numbers as an object's answers in its next frames."""
        one = self._objects[key]
        one.decided.extend(one.undecided.pop(number) for number in numbers)

    def keep(self, key: int, numbers: Collection[int]) -> None:
        """Forget an object's picks of all other numbers."""
        undecided = self._objects[key].undecided
        for number in undecided.keys() - set(numbers):
            del undecided[number]

    def end_frame(self, objects: tuple[int, ...]) -> None:
        """Say which objects a frame has, after all of them were noted."""
        self._frames.append(objects)

    def complete(self) -> Iterator[tuple[tuple[int, ...], Seen]]:
        """Take the next frames that are complete: objects, and what they show."""
        while self._frames:
            deques = [self._objects[key].decided for key in self._frames[0]]
            if not all(deques):
                return
            seen = join_objects([one.popleft() for one in deques])
            yield self._frames.popleft(), seen

    def state(self) -> State:
        """Return all that is held, as plain data."""
        objects = {
            key: {
                "undecided": {n: seen.state() for n, seen in one.undecided.items()},
                "decided": [seen.state() for seen in one.decided],
            }
            for key, one in self._objects.items()
        }
        return {"objects": objects, "frames": list(self._frames)}

    def restore(self, state: State) -> None:
        """Take what another one held."""
        self._objects = {
            key: _Object(
                {number: Seen(*seen) for number, seen in one["undecided"].items()},
                deque(Seen(*seen) for seen in one["decided"]),
            )
            for key, one in state["objects"].items()
        }
        self._frames = deque(state["frames"])


def join_objects(parts: Sequence[Seen]) -> Seen:
    """What several objects show, as one."""
    return Seen(
        torch.cat([part.logits for part in parts]),
        torch.cat([part.presence for part in parts]),
        torch.cat([part.iou for part in parts]),
        torch.cat([part.pointers for part in parts]),
    )
