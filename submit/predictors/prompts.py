"""Prompts: what tells a model about an object in a frame.

    Mask    its pixels
    Box     a rectangle around it
    Points  clicks inside and outside of it
    Absent  it is not visible

A detector, a language model, a person or another run may have made them. The first
prompt of an object introduces it; a later one corrects it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

from ..errors import PromptError
from ..system.words import size_text

if TYPE_CHECKING:
    # No heavy imports here, so that `import submit` and `submit --help` are fast.

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Absent",
    "AcceptedPrompts",
    "Box",
    "Mask",
    "Point",
    "Points",
    "Prompt",
    "Prompts",
]


@dataclass(frozen=True, eq=False)
class Mask:
    """An object's pixels.

    Attributes:
        pixels: H×W bool, of the frame's size. Empty says the same as `Absent`.

    Raises:
        PromptError: The array has another shape or type.
    """

    kind: ClassVar[str] = "masks"

    pixels: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != bool:
            raise PromptError(
                f"a mask: expected H×W bool, found shape {self.pixels.shape} of "
                f"{self.pixels.dtype}"
            )

    def problem(self, height: int, width: int) -> str | None:
        """The error of the prompt in a frame of height×width pixels, or None."""
        if self.pixels.shape == (height, width):
            return None
        found = "×".join(map(str, self.pixels.shape))
        return f"expected a mask of {height}×{width} pixels, found {found}"


@dataclass(frozen=True)
class Box:
    """A rectangle around an object, given by its edges.

    Attributes:
        left: Edge in pixels from the frame's left edge: column c lies between c and
            c + 1. 0 to the frame's width.
        top: Edge in pixels from the frame's top edge. 0 to the frame's height.
        right: Edge on the other side, larger than `left`.
        bottom: Edge on the other side, larger than `top`.

    Raises:
        PromptError: The box is empty, or a number is not finite.
    """

    kind: ClassVar[str] = "boxes"

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        numbers = dataclasses.astuple(self)
        if not all(map(math.isfinite, numbers)) or not (
            self.left < self.right and self.top < self.bottom
        ):
            raise PromptError(
                "a box: expected left < right and top < bottom, found "
                f"[{', '.join(f'{number:g}' for number in numbers)}] (left, top, "
                "right, bottom)"
            )

    def problem(self, height: int, width: int) -> str | None:
        """The error of the prompt in a frame of height×width pixels, or None."""
        inside = self.left >= 0 and self.top >= 0
        if inside and self.right <= width and self.bottom <= height:
            return None
        numbers = ", ".join(f"{number:g}" for number in dataclasses.astuple(self))
        return (
            f"expected a box within the frame of {size_text((height, width))} "
            f"(width × height), found [{numbers}] (left, top, right, bottom)"
        )

    def to_mask(self, height: int, width: int) -> Mask:
        """The box as a mask of a height×width frame: pixels whose centre is inside."""
        import numpy as np

        rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
        down = (rows >= self.top) & (rows <= self.bottom)
        across = (columns >= self.left) & (columns <= self.right)
        return Mask(down[:, None] & across)


class Point(NamedTuple):
    """A click.

    Attributes:
        x: In pixels; a whole number is the centre of that column, the first is 0.
        y: In pixels; a whole number is the centre of that row, the first is 0.
        inside: Whether the pixel belongs to the object.
    """

    x: float
    y: float
    inside: bool = True


@dataclass(frozen=True)
class Points:
    """Clicks inside and outside of an object.

    Attributes:
        points: One or more; -0.5 ≤ x ≤ width - 0.5, -0.5 ≤ y ≤ height - 0.5.

    Raises:
        PromptError: There is none, or a number is not finite.
    """

    kind: ClassVar[str] = "points"

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise PromptError("points: expected at least one, found none")
        for point in self.points:
            if not (math.isfinite(point.x) and math.isfinite(point.y)):
                raise PromptError(
                    f"points: expected finite numbers, found x = {point.x}, "
                    f"y = {point.y}"
                )

    def problem(self, height: int, width: int) -> str | None:
        """The error of the prompt in a frame of height×width pixels, or None."""
        for x, y, _ in self.points:
            if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
                return (
                    f"expected points within the frame of {size_text((height, width))} "
                    f"(width × height), found x = {x:g}, y = {y:g}"
                )
        return None


@dataclass(frozen=True)
class Absent:
    """The object is not visible in this frame."""

    kind: ClassVar[str] = "absences"

    def problem(self, height: int, width: int) -> str | None:
        """Always None: an absence fits every frame."""
        del height, width
        return None


Prompt: TypeAlias = "Mask | Box | Points | Absent"

#: By object id; an id is the pixel value in the split's masks, 1 to 255.
Prompts: TypeAlias = Mapping[int, Prompt]


@dataclass(frozen=True)
class AcceptedPrompts:
    """The kinds of prompts that a model accepts.

    Attributes:
        masks: Whether it accepts `Mask`.
        boxes: Whether it accepts `Box`.
        points: Whether it accepts `Points`.
        absences: Whether it accepts `Absent`.
        corrections: Whether it accepts a prompt for an object that has had one.
    """

    masks: bool = True
    boxes: bool = False
    points: bool = False
    absences: bool = False
    corrections: bool = False

    def __str__(self) -> str:
        kinds = self._kinds()
        text = ", ".join(kinds[:-1]) + " and " * (len(kinds) > 1) + "".join(kinds[-1:])
        corrected = "also for known objects" if self.corrections else "once per object"
        return f"{text or 'none'}, {corrected}"

    def require(
        self, prompts: Prompts, *, known: Collection[int], model: str, where: str
    ) -> None:
        """Make sure that a model accepts the prompts of a frame.

        Args:
            prompts: By object id.
            known: Objects that have had a prompt.
            model: Name of the model in messages.
            where: Name of the frame in messages.

        Raises:
            PromptError: It does not accept one of them.
        """
        for key, prompt in prompts.items():
            if prompt.kind not in self._kinds():
                problem = f"does not take {prompt.kind}"
            elif key in known and not self.corrections:
                problem = "takes one prompt per object, and this one is known already"
            else:
                continue
            turned = ""
            if not isinstance(prompt, (Mask, Absent)) and self.masks:
                turned = "turn it into a mask with --prompter, "
            raise PromptError(
                f"{where}: object {key}: {model} {problem}; it takes {self}. Leave the "
                f"prompt out, {turned}or choose another predictor (see: submit "
                "predictors NAME)"
            )

    def _kinds(self) -> list[str]:
        kinds = (Mask.kind, Box.kind, Points.kind, Absent.kind)
        return [kind for kind in kinds if getattr(self, kind)]
