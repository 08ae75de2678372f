"""The options of all predictors that use the tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, make_dataclass
from typing import Any, ClassVar, TypeVar

from submit.predictors import option, option_infos

from .memory import POLICIES, MemoryPolicy

__all__ = ["MEMORY_HELP", "TrackerOptions", "with_policies"]

Options = TypeVar("Options")

#: What is said of the option `memory`.
MEMORY_HELP = (
    "Which earlier frames are looked back to; all suit official weights. "
    "Licences of the authors' code: "
    + "; ".join(
        f"{name} {policy.licence}"
        for name, policy in POLICIES.items()
        if policy.licence is not None
    )
    + "."
)


@dataclass(frozen=True)
class TrackerOptions:
    """Options of a predictor that uses the tracker.

    A subclass has the legal values and defaults for its networks, and the decorator
    `with_policies`. In an instance, None is replaced by the default of the memory
    policy or the preset.
    """

    #: Sides of the input are multiples of the first and at least the second.
    side_step: ClassVar[int] = 1
    smallest_side: ClassVar[int] = 1

    model: str = option("", "The network.")
    checkpoint: str | None = option(
        None,
        "The file with the network's weights; required.",
        metavar="FILE",
        file=True,
    )
    image_size: int = option(1, "Side in pixels of the square that frames become.")
    memory: str | None = option(None, MEMORY_HELP, choices=tuple(POLICIES))
    conditioning: int | None = option(
        None,
        "Most frames with a prompt (and frames that rcms keeps) that an object looks "
        "back to, the nearest ones; none for all.",
        low=2,
    )
    mask_scale: float | None = option(
        None, "Mask probabilities are multiplied by it before they are remembered."
    )
    mask_bias: float | None = option(None, "Added to the scaled mask probabilities.")
    dtype: str = option(
        "auto",
        "Precision; auto takes bfloat16 where the hardware multiplies it fast.",
        choices=("auto", "float32", "bfloat16"),
        decides=False,  # What a worker makes of it stands in its details.
    )
    batch: int | None = option(
        None,
        "Objects that go through the network at once; none: 8, fewer on small GPUs. A "
        "video whose memory runs out is tried once more with 1.",
        low=1,
        decides=False,
        sparing=1,
    )
    threads: int = option(
        2,
        "Processor threads of a worker, on which last bits of the masks depend.",
        low=1,
    )
    compile: bool = option(False, "Compile the image encoder; pays off on GPUs.")
    tf32: bool = option(False, "Allow TF32 products on GPUs in float32.")
    deterministic: bool = option(
        False, "Refuse operations whose results vary from run to run."
    )

    def __post_init__(self) -> None:
        if self.image_size < self.smallest_side or self.image_size % self.side_step:
            raise ValueError(
                f"image_size={self.image_size}: expected a multiple of "
                f"{self.side_step}, at least {self.smallest_side}"
            )
        self._fill(self.preset_values())
        for policy in POLICIES.values():
            self._fill(policy.defaults(self.model))

    def _fill(self, values: Mapping[str, Any]) -> None:
        """Give options the values that they have where none was given."""
        for name, value in values.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def preset_values(self) -> Mapping[str, Any]:
        """Default values of options that were not given."""
        return {}

    def of_policy(self) -> dict[str, Any]:
        """The options of the selected memory policy."""
        assert self.memory is not None
        infos = option_infos(POLICIES[self.memory].Options)
        return {one.name: getattr(self, one.name) for one in infos}

    def policy_maker(
        self, *, memories: int, pointers: int
    ) -> Callable[[], MemoryPolicy]:
        """Make the maker of the memory policies of one video's objects.

        Args:
            memories: Places in time.
            pointers: Greatest age of a pointer in the window, plus one.
        """
        assert self.memory is not None
        return POLICIES[self.memory].maker(
            memories=memories,
            pointers=pointers,
            conditioning=self.conditioning,
            **self.of_policy(),
        )


def with_policies(options: type[Options]) -> type[Options]:
    """Add the options of all memory policies; None stands for a policy's default."""
    fields = [
        (
            one.name,
            one.type | None,
            option(None, one.help, choices=one.choices, low=one.low, high=one.high),
        )
        for policy in POLICIES.values()
        for one in option_infos(policy.Options)
    ]
    made = make_dataclass(
        options.__name__,
        fields,
        bases=(options,),
        frozen=True,
        namespace={"__doc__": options.__doc__, "__module__": options.__module__},
    )
    return made
