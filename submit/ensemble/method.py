"""The interface of a method that merges runs.

A method is one file in `submit/ensemble/methods/`: a frozen dataclass of its settings
with the rule that merges the members' logits or labels. `submit ensemble --method`,
settings files and recipes then accept its name, `submit tune` tries it, and
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
    # `submit ensemble --help` lists the methods without importing these.
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

#: The default method. Where members disagree it is better than a mean of logits, since
#: one very confident member has less weight.
DEFAULT_METHOD = "mean_probabilities"

#: Chooses the plane of an object and the member whose scores it gets. Arguments: the
#: object id, the members that know it in the order of the settings, their weights, and
#: the resolution.
Choose: TypeAlias = Callable[
    [int, "Sequence[View]", Mapping[str, float], tuple[int, int]],
    "tuple[Plane, View]",
]


class Method:
    """A method that merges runs; a subclass is a frozen dataclass of its settings.

    Attributes:
        name: The name in commands and settings files.
        order: Its place in lists: lower numbers come first.
        ordered: Whether the order of the members matters.
        least: Smallest number of members with which it is useful.
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
    """Merges the members' logits, for each pixel and each object independently."""

    def merge(self, stack: NDArray[np.int8], shares: Tables) -> Plane:
        """Merge the logits of one object.

        Args:
            stack: M×h×w codes, at least two members.
            shares: Their M weights, which sum to 1.

        Returns:
            h×w codes of the result, rounded once.
        """
        raise NotImplementedError

    def merge_sizes(
        self, planes: Sequence[Plane], shares: Sequence[float], shape: tuple[int, int]
    ) -> Plane:
        """Merge one or more planes of any resolution into one of the given shape."""
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
        """Merge soft members and palette masks without converting masks to logits.

        It is a faster way that a method may offer.

        Args:
            planes: The soft members' codes of the object.
            shares: The soft members' weights.
            maps: The label maps of the palette-mask members.
            map_shares: Their weights; all weights together sum to 1.
            key: The object id.
            high: The code of a pixel inside a mask; outside it is −high.

        Returns:
            Codes at the size of the frame; None if the method does not offer it.
        """
        del planes, shares, maps, map_shares, key, high
        return None

    def table_of_votes(
        self, shares: Sequence[float], members: Sequence[int], high: int
    ) -> Plane:
        """The result in a pixel of one object for each combination of palette masks.

        Args:
            shares: Weights of the members that know the object; they sum to 1.
            members: The bit number of each of these members.
            high: The code of a pixel inside a mask; outside it is −high.

        Returns:
            2^(b+1) codes for `look_up`, b being the highest bit number. The index has
            the bit of each member that has the pixel in its mask.
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
        """Return the function that chooses a member for each object of one video.

        Args:
            members: The members' masks of the video, by run name.
        """
        raise NotImplementedError


class LabelMethod(Method):
    """Merges label maps of whole frames; the result is a label map."""

    def merge_labels(
        self, maps: NDArray[np.uint8], objects: NDArray[np.uint8], shares: Tables
    ) -> Labels:
        """Merge M×H×W labels.

        Args:
            maps: The members' label maps.
            objects: The N object ids.
            shares: M×(1 + N): the weight of each member for the background and for each
                object, 0 for an object that it does not know.
        """
        raise NotImplementedError


#: All methods by name.
METHODS: Registry[type[Method]] = Registry("submit.ensemble.methods")
