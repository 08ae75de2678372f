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

    from .model import TrackerNetwork

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
        self._network: TrackerNetwork | None = None

    @classmethod
    def of(
        cls: type[Made], network: TrackerNetwork, options: Any, *, device: str
    ) -> Made:
        """Make a predictor from a network that is loaded already, on its device."""
        made = cls(options, device=device)
        made._network = network
        return made

    @abstractmethod
    def read(self, path: Path) -> TrackerNetwork:
        """Read the network's weights.

        Raises:
            PredictorError: They do not fit.
        """

    @abstractmethod
    def prepare(self, frame: NDArray[np.uint8], side: int) -> torch.Tensor:
        """Convert a frame, H×W×3, to the network's input, 1×3×side×side."""

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
        details = {
            "dtype": str(choose_dtype(options.dtype, device)).removeprefix("torch."),
            "device": device.type,
            "image_size": str(options.image_size),
            "memory": options.memory,
            "mask_scale": f"{options.mask_scale:g}",
            "mask_bias": f"{options.mask_bias:g}",
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
            checkpoint=self._digest(),
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
        assert options.mask_scale is not None
        assert options.mask_bias is not None
        with explain():
            network = self._load()
            device = network.device
            pointers = min(video.length, network.config.pointers)
            cells = (side // network.stride) ** 2
            tracker = Tracker(
                network,
                Settings(
                    size=(video.height, video.width),
                    image_size=side,
                    mask_scale=options.mask_scale,
                    mask_bias=options.mask_bias,
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

    def _checkpoint(self) -> Path:
        if self._options.checkpoint is None:
            raise OptionError(
                f"option checkpoint: expected the weights of {self._options.model}, "
                f"found none; {self.how_to_get.format(model=self._options.model)}"
            )
        return Path(self._options.checkpoint)

    def _digest(self) -> str:
        """The SHA-256 of the checkpoint."""
        path = self._checkpoint()
        try:
            return file_digest(path)
        except OSError as error:
            raise PredictorError(
                f"checkpoint {path}: cannot be read ({error.strerror}); "
                f"{self.how_to_get.format(model=self._options.model)}"
            ) from error

    def _load(self) -> TrackerNetwork:
        """Read the weights, once."""
        if self._network is None:
            import torch

            options = self._options
            device = find_device(self._device_name)
            network = self.read(self._checkpoint()).to(device)
            if device.type == "cuda":
                torch.backends.cuda.matmul.allow_tf32 = options.tf32
                torch.backends.cudnn.allow_tf32 = options.tf32
            if options.deterministic:
                torch.use_deterministic_algorithms(True)
            if options.compile:
                network.image_encoder.compile()
            self._network = network
        return self._network
