"""The base class of predictors that use the tracker, for all networks like SAM 2."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from submit.errors import OptionError, PredictorError
from submit.predictors import (
    AcceptedPrompts,
    Description,
    InputSizes,
    Video,
    file_digest,
)

from .memory import POLICIES
from .options import TrackerOptions
from .running import choose_batch, choose_dtype, explained, find_device
from .session import DelayedTrackerSession, TrackerSession

if TYPE_CHECKING:
    # `submit predictors` lists options without the second that torch takes.
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from .network import TrackedNetwork

__all__ = ["TrackerPredictor"]

OptionsT = TypeVar("OptionsT", bound=TrackerOptions)
Made = TypeVar("Made", bound="TrackerPredictor[Any]")


class TrackerPredictor(ABC, Generic[OptionsT]):
    """A predictor with a network like SAM 2's.

    Attributes:
        licence: Licence of the code and the weights.
    """

    Options: ClassVar[type[Any]] = TrackerOptions
    licence: ClassVar[str]
    #: How to get the weights; the end of a message after "found none; ".
    how_to_get: ClassVar[str]

    def __init__(self, options: OptionsT, *, device: str = "auto") -> None:
        self._options = options
        self._device_name = device
        self._network: TrackedNetwork | None = None

    @classmethod
    def of(
        cls: type[Made], network: TrackedNetwork, options: Any, *, device: str
    ) -> Made:
        """Make a predictor from a network that is loaded already, on its device."""
        made = cls(options, device=device)
        made._network = network
        return made

    @abstractmethod
    def read(self, path: Path) -> TrackedNetwork:
        """Read the network's weights.

        Raises:
            PredictorError: They do not fit.
        """

    @abstractmethod
    def prepare(self, frame: NDArray[np.uint8], side: int) -> torch.Tensor:
        """Convert a frame, H×W×3, to the network's input, 1×3×side×side."""

    def named(self) -> str:
        """What the checkpoint option names.

        Raises:
            OptionError: There is none.
        """
        if self._options.checkpoint is None:
            raise OptionError(
                f"option checkpoint: expected the weights of {self._options.model}, "
                f"found none; {self.how_to_get.format(model=self._options.model)}"
            )
        return str(self._options.checkpoint)

    def locate(self) -> Path:
        """Find the checkpoint.

        Raises:
            OptionError: There is no checkpoint option.
        """
        return Path(self.named())

    def digest(self) -> str:
        """The SHA-256 of the checkpoint.

        Raises:
            OptionError: There is no checkpoint option.
            PredictorError: It cannot be read.
        """
        path = self.locate()
        try:
            return file_digest(path)
        except OSError as error:
            raise PredictorError(
                f"checkpoint {path}: cannot be read ({error.strerror}); "
                f"{self.how_to_get.format(model=self._options.model)}"
            ) from error

    def mask_scaling(self) -> tuple[float, float]:
        """Factor of mask probabilities for the memory, and what is added then."""
        options = self._options
        assert options.mask_scale is not None
        assert options.mask_bias is not None
        return options.mask_scale, options.mask_bias

    def details(self) -> dict[str, str]:
        """Additional facts for the manifest."""
        return {}

    def describe(self) -> Description:
        """Describe the model, for the manifest.

        Raises:
            OptionError: There is no checkpoint option.
            PredictorError: It cannot be read.
        """
        options = self._options
        device = find_device(self._device_name)
        assert options.memory is not None
        scale, bias = self.mask_scaling()
        details = {
            "dtype": str(choose_dtype(options.dtype, device)).removeprefix("torch."),
            "device": device.type,
            "image_size": str(options.image_size),
            "memory": options.memory,
            "mask_scale": f"{scale:g}",
            "mask_bias": f"{bias:g}",
            "tf32": str(options.tf32).lower(),
            "compile": str(options.compile).lower(),
            "deterministic": str(options.deterministic).lower(),
            **self.details(),
        }
        for name, value in options.of_policy().items():
            details[name] = f"{value:g}" if isinstance(value, float) else str(value)
        if options.conditioning is not None:
            details["conditioning"] = str(options.conditioning)
        licence, policy = self.licence, POLICIES[options.memory]
        if policy.licence is not None:
            licence += f"; authors' code of memory {options.memory}: {policy.licence}"
        return Description(
            model=options.model,
            licence=licence,
            checkpoint=self.digest(),
            sizes=self._sizes,
            cores=options.threads,
            details=details,
            prompts=AcceptedPrompts(
                boxes=True, points=True, absences=True, corrections=True
            ),
            delayed=self._delayed,
        )

    def session(
        self, video: Video, *, scale: float = 1.0
    ) -> TrackerSession | DelayedTrackerSession:
        """Open a video at `scale` times the model's usual input resolution.

        Raises:
            OptionError: The side of the input is not legal, or there is no checkpoint
                option.
            PredictorError: The checkpoint is of another network, or the device does
                not exist.
        """
        from .tracker import Settings, Tracker

        options, sizes = self._options, self._sizes
        if not sizes.allows(scale):
            raise OptionError(
                f"scale {scale:g} of image_size={options.image_size}: expected a "
                f"multiple of {sizes.step}, found {scale * options.image_size:g}"
            )
        side = round(scale * options.image_size)
        explain = partial(explained, options.model, options.image_size)
        mask_scale, mask_bias = self.mask_scaling()
        with explain():
            network = self._load()
            device = network.device
            pointers = network.pointer_window(video.length)
            cells = (side // network.stride) ** 2
            tracker = Tracker(
                network,
                Settings(
                    size=(video.height, video.width),
                    image_size=side,
                    mask_scale=mask_scale,
                    mask_bias=mask_bias,
                    batch=options.batch or choose_batch(cells, device),
                    dtype=choose_dtype(options.dtype, device),
                ),
                policy=options.policy_maker(
                    memories=network.config.memories, pointers=pointers
                ),
                pointers=pointers,
                delayed=self._delayed,
            )
        session = TrackerSession(
            video, tracker, side=side, prepare=self.prepare, explain=explain
        )
        return DelayedTrackerSession(session) if self._delayed else session

    @property
    def _delayed(self) -> bool:
        """Whether the memory policy decides on masks later."""
        options = self._options
        assert options.memory is not None
        return POLICIES[options.memory].is_delayed(options.of_policy())

    @property
    def _sizes(self) -> InputSizes:
        options = self._options
        return InputSizes(base=options.image_size, step=options.side_step)

    def _load(self) -> TrackedNetwork:
        """Read the weights, once."""
        if self._network is None:
            import torch

            options = self._options
            device = find_device(self._device_name)
            network = self.read(self.locate()).to(device)
            if device.type == "cuda":
                torch.backends.cuda.matmul.allow_tf32 = options.tf32
                torch.backends.cudnn.allow_tf32 = options.tf32
            if options.deterministic:
                torch.use_deterministic_algorithms(True)
            if options.compile:
                network.compile_encoder()
            self._network = network
        return self._network
