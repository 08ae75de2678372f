"""The interface of a method that merges runs.

A method is one file in `submit/ensemble/methods/`: a frozen dataclass of its settings,
and the rule that merges the members' logits or labels. `submit ensemble --method`,
settings files and recipes then take its name, `submit tune` tries it, and
docs/methods.md lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..masks import Labels
from ..system.registry import Registry
from ..system.schema import check
from .planes import Plane, Tables, resized

if TYPE_CHECKING:
    # The options of `submit ensemble` are listed without opening runs.
    from ..runs import VideoMasks
    from .views import View

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "ChoiceMethod",
    "Choose",
    "LabelMethod",
    "Method",
    "PixelMethod",
]

#: The method where none is named: it is better than a mean of logits where members
#: disagree, since one very sure member counts for less.
DEFAULT_METHOD = "mean_probabilities"

#: Chooses the plane of an object, and the member whose scores it has: from the object,
#: the members that have it in the order of the settings, their weights, the index of
#: the frame, and the resolution.
Choose: TypeAlias = Callable[
    [int, "Sequence[View]", Mapping[str, float], int, tuple[int, int]],
    "tuple[Plane, View]",
]


class Method:
    """One method; a subclass is a frozen dataclass of its settings.

    Attributes:
        name: The name by which it is chosen.
        order: Its place in lists: lower ones come first.
        ordered: Whether the order of the members matters.
        least: Fewest members with which it can differ from one of them.
        explored: Whether `submit tune` also tries it while it chooses members.

    Raises:
        SettingsError: A setting is not legal.
    """

    name: ClassVar[str]
    order: ClassVar[int]
    ordered: ClassVar[bool] = False
    least: ClassVar[int] = 2
    explored: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check(self)


class PixelMethod(Method):
    """Merges each pixel of each object by itself, from the logits of the members."""

    def merge(self, stack: NDArray[np.int8], shares: Tables) -> Plane:
        """Merge the logits of one object.

        Args:
            stack: M×h×w codes, at least two members.
            shares: Their M weights, which sum to 1.

        Returns:
            Codes of the exact result.
        """
        raise NotImplementedError

    def merge_sizes(
        self, planes: Sequence[Plane], shares: Sequence[float], shape: tuple[int, int]
    ) -> Plane:
        """Merge planes of any resolution, at least one, to one of a shape."""
        planes = [resized(plane, shape) for plane in planes]
        if len(planes) == 1:
            return planes[0]
        return self.merge(np.stack(planes), np.asarray(shares, np.float64))

    def merge_kinds(
        self,
        planes: Sequence[Plane],
        shares: Sequence[float],
        maps: Sequence[Labels],
        map_shares: Sequence[float],
        *,
        key: int,
        high: int,
    ) -> Plane | None:
        """Merge soft members and masks without making logits of the masks, if it can.

        Args:
            planes: Codes of the soft members for the object.
            shares: Their weights.
            maps: Label maps of the hard members.
            map_shares: Their weights; all weights sum to 1.
            key: The object.
            high: The code of a pixel inside a mask; outside it is −high.

        Returns:
            Codes at the size of the frame; None where there is no shorter way.
        """
        del planes, shares, maps, map_shares, key, high
        return None

    def table_of_votes(
        self, shares: Sequence[float], members: Sequence[int], high: int
    ) -> Plane:
        """The result for each combination of masks in a pixel of one object.

        Args:
            shares: Weights of those members that have the object; they sum to 1.
            members: Which these are among all M, by the number of their bit.
            high: The code of a pixel inside; outside it is −high.

        Returns:
            Codes by the bits of the members that have the pixel inside, for `look_up`.
            Its length is that of the highest bit that is needed.
        """
        bits = np.arange(1 << (max(members) + 1))
        planes = [
            np.where(bits >> member & 1, high, -high).astype(np.int8)[None]
            for member in members
        ]
        merged: Plane = self.merge_sizes(planes, shares, (1, len(bits)))[0]
        return merged


class ChoiceMethod(Method):
    """Takes the plane of each object from one member, unchanged."""

    def chooser(self, members: Mapping[str, VideoMasks]) -> Choose:
        """Prepare to choose in one video.

        Args:
            members: The video as each member has it, by name.
        """
        raise NotImplementedError


class LabelMethod(Method):
    """Merges label maps of whole frames, and gives palette masks."""

    def merge_labels(
        self, maps: NDArray[np.uint8], objects: NDArray[np.uint8], shares: Tables
    ) -> Labels:
        """Merge M×H×W labels.

        Args:
            maps: The members' label maps.
            objects: The N ids.
            shares: M×(1 + N): the share of each member in the background and in each
                object, 0 where it does not have that.
        """
        raise NotImplementedError


#: All methods by name.
METHODS: Registry[type[Method]] = Registry("submit.ensemble.methods")
