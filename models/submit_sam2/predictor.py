"""SAM 2 behind the predictor protocol: options in, NumPy in, NumPy out.

Frames are resampled and normalised as in sam2/utils/misc.py (facebookresearch/sam2
@ 2b90b9f).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, make_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from submit.errors import OptionError, PredictorError
from submit.predictors import (
    Absent,
    AcceptedPrompts,
    Box,
    Description,
    InputSizes,
    Mask,
    Prediction,
    Prompt,
    Prompts,
    Video,
    option,
    option_infos,
)

from .config import MODELS
from .memory import POLICIES, MemoryPolicy

if TYPE_CHECKING:
    # `submit predictors` lists options without the second that torch takes.
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from .model import Sam2Network
    from .modeling.prompt_encoder import Click
    from .tracker import Tracker

__all__ = ["Sam2Options", "Sam2Predictor"]

#: Mean and deviation of each colour, in [0, 1], that the networks were trained with.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Most objects that go through the network at once.
_BATCH = 8

#: Bytes that one object needs on its way through the network, for each pixel of the
#: input: measured at its peak, in the memory attention, and rounded up.
_BYTES_PER_PIXEL = 400


@dataclass(frozen=True)
class Preset:
    """A published set of choices for the memory."""

    memory: str = "sam2"
    mask_scale: float = 20.0
    mask_bias: float = -10.0


PRESETS = {
    "sam2": Preset(),
    # MOSEv2/sam2_rcms of henghuiding/MOSE-api @ 241977a: its README and configs.
    "rcms": Preset(memory="rcms", mask_scale=7.5, mask_bias=-4.0),
    # Mask output scaling alone, with the values that the MOSEv2 authors give for it.
    "masseg": Preset(mask_scale=7.5, mask_bias=-4.0),
}


def _with_policies(options: type[Any]) -> type[Any]:
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


@_with_policies
@dataclass(frozen=True)
class Sam2Options:
    """Options of the `sam2` predictor; None takes the preset's value.

    Once they are made, the memory options have the values that count.
    """

    model: str = option(
        "sam2.1_hiera_large", "The network's size.", choices=tuple(MODELS)
    )
    checkpoint: str | None = option(
        None,
        "The file with the network's weights; required.",
        metavar="FILE",
        file=True,
    )
    image_size: int = option(
        1024, "Side in pixels of the square that frames are resized to; 32 divides it."
    )
    preset: str = option(
        "sam2",
        "Defaults of the memory options: sam2 for official weights, rcms for those of "
        "the MOSEv2 baseline, masseg for those trained as MASSeg was.",
        choices=tuple(PRESETS),
        decides=False,  # It fills in those.
    )
    memory: str | None = option(
        None,
        "Which earlier frames are looked back to; all suit official weights. "
        + "Licences of the authors' code: "
        + "; ".join(
            f"{name} {policy.licence}"
            for name, policy in POLICIES.items()
            if policy.licence is not None
        )
        + ".",
        choices=tuple(POLICIES),
    )
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
        "Objects that go through the network at once; none: 8, fewer on small GPUs.",
        low=1,
        decides=False,
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
        if self.image_size < 64 or self.image_size % 32:
            raise ValueError(
                f"image_size={self.image_size}: expected a multiple of 32, at least 64"
            )
        for name, value in vars(PRESETS[self.preset]).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for policy in POLICIES.values():
            for name, value in policy.defaults(self.model).items():
                if getattr(self, name) is None:
                    object.__setattr__(self, name, value)

    def resolved(self) -> Preset:
        """The memory options, with the preset's values where none is given."""
        return Preset(**{name: getattr(self, name) for name in vars(Preset())})

    def of_policy(self) -> dict[str, Any]:
        """The options of the memory policy that is chosen."""
        assert self.memory is not None
        infos = option_infos(POLICIES[self.memory].Options)
        return {one.name: getattr(self, one.name) for one in infos}


class Sam2Predictor:
    """The video tracker of SAM 2.1 and 2.0, with RCMS memory selection.

    Needs the official weights: `-o checkpoint=FILE`. Weights and code of SAM 2 are
    under the Apache License 2.0.
    """

    Options: ClassVar[type[Any]] = Sam2Options

    def __init__(self, options: Sam2Options, *, device: str = "auto") -> None:
        self._options = options
        self._memory = options.resolved()
        self._device_name = device
        self._network: Sam2Network | None = None

    def describe(self) -> Description:
        """Say what this model is, for the manifest.

        Raises:
            OptionError: No checkpoint is named.
            PredictorError: It cannot be read.
        """
        from .build import sha256

        options, memory = self._options, self._memory
        device = _device(self._device_name)
        details = {
            "dtype": str(_dtype(options.dtype, device)).removeprefix("torch."),
            "device": device.type,
            "image_size": str(options.image_size),
            "memory": memory.memory,
            "mask_scale": f"{memory.mask_scale:g}",
            "mask_bias": f"{memory.mask_bias:g}",
            "tf32": str(options.tf32).lower(),
            "compile": str(options.compile).lower(),
            "deterministic": str(options.deterministic).lower(),
        }
        for name, value in options.of_policy().items():
            details[name] = f"{value:g}" if isinstance(value, float) else str(value)
        if options.conditioning is not None:
            details["conditioning"] = str(options.conditioning)
        licence, policy = "Apache-2.0", POLICIES[memory.memory]
        if policy.licence is not None:
            licence += f"; authors' code of memory {memory.memory}: {policy.licence}"
        return Description(
            model=options.model,
            licence=licence,
            checkpoint=sha256(self._checkpoint()),
            sizes=InputSizes(base=options.image_size, step=32),
            cores=options.threads,
            details=details,
            prompts=AcceptedPrompts(
                boxes=True, points=True, absences=True, corrections=True
            ),
        )

    def session(self, video: Video, *, scale: float = 1.0) -> Sam2Session:
        """Open a video at `scale` times the model's usual input resolution.

        Raises:
            OptionError: The input's side is not a multiple of 32 then, or no
                checkpoint is named.
            PredictorError: The checkpoint does not fit, or the device is not there.
        """
        from .tracker import Settings, Tracker

        options, memory = self._options, self._memory
        sizes = InputSizes(base=options.image_size, step=32)
        if not sizes.allows(scale):
            raise OptionError(
                f"scale {scale:g} of image_size={options.image_size}: expected a "
                f"multiple of 32, found {scale * options.image_size:g}"
            )
        side = round(scale * options.image_size)
        with _explained(options):
            network = self._load()
            device = network.device
            pointers = min(video.length, network.config.pointers)
            return Sam2Session(
                video,
                options,
                side,
                Tracker(
                    network,
                    Settings(
                        size=(video.height, video.width),
                        image_size=side,
                        mask_scale=memory.mask_scale,
                        mask_bias=memory.mask_bias,
                        batch=options.batch or _batch(side, device),
                        dtype=_dtype(options.dtype, device),
                    ),
                    policy=_policy(
                        options, memories=network.config.memories, pointers=pointers
                    ),
                    pointers=pointers,
                ),
            )

    def _checkpoint(self) -> Path:
        if self._options.checkpoint is None:
            raise OptionError(
                "option checkpoint: expected the file with the weights of "
                f"{self._options.model}, found none; fetch it with "
                f"tools/fetch_checkpoint.py {self._options.model} and name it with "
                "-o checkpoint=FILE"
            )
        return Path(self._options.checkpoint)

    def _load(self) -> Sam2Network:
        """Read the weights, once."""
        if self._network is None:
            import torch

            from .build import load_network

            options = self._options
            path, device = self._checkpoint(), _device(self._device_name)
            network = load_network(options.model, path).to(device)
            if device.type == "cuda":
                torch.backends.cuda.matmul.allow_tf32 = options.tf32
                torch.backends.cudnn.allow_tf32 = options.tf32
            if options.deterministic:
                torch.use_deterministic_algorithms(True)
            if options.compile:
                network.image_encoder.compile()
            self._network = network
        return self._network


class Sam2Session:
    """One video: see `submit.predictors.Session`."""

    def __init__(
        self, video: Video, options: Sam2Options, side: int, tracker: Tracker
    ) -> None:
        self._video, self._options, self._side = video, options, side
        self._tracker: Tracker | None = tracker

    def step(self, frame: NDArray[np.uint8], prompts: Prompts) -> Prediction:
        """Predict the next frame.

        A frame with a prompt becomes a conditioning frame of the object. A mask is
        taken as it is; boxes and points are looked at by the network, which corrects
        with them what it sees of a known object.
        """
        if self._tracker is None:
            raise PredictorError(
                f"video {self._video.name}: the session is closed; open another one"
            )
        given = {key: self._given(prompt) for key, prompt in prompts.items()}
        with _explained(self._options):
            seen = self._tracker.advance(_to_tensor(frame, self._side), given)
            return Prediction(
                objects=self._tracker.objects,
                logits=seen.logits.float().cpu().numpy(),
                presence=seen.presence.float().cpu().numpy(),
                iou=seen.iou.float().cpu().numpy(),
            )

    def close(self) -> None:
        """Free what the session holds. May be called twice."""
        self._tracker = None

    def _given(self, prompt: Prompt) -> torch.Tensor | Click:
        """A prompt as the tracker takes it."""
        import torch

        from .modeling.prompt_encoder import (
            BOTTOM_RIGHT,
            INSIDE,
            OUTSIDE,
            TOP_LEFT,
            Click,
        )

        height, width = self._video.height, self._video.width
        if isinstance(prompt, Mask):
            return torch.from_numpy(prompt.pixels.copy())
        if isinstance(prompt, Absent):
            return torch.zeros(height, width, dtype=torch.bool)
        if isinstance(prompt, Box):
            places = [[prompt.left, prompt.top], [prompt.right, prompt.bottom]]
            kinds = [TOP_LEFT, BOTTOM_RIGHT]
        else:
            places = [[point.x, point.y] for point in prompt.points]
            kinds = [INSIDE if point.inside else OUTSIDE for point in prompt.points]
        # As `add_new_points_or_box` of the official predictor scales them.
        scaled = torch.tensor([places]) / torch.tensor([width, height]) * self._side
        return Click(scaled, torch.tensor([kinds], dtype=torch.int32))


def _to_tensor(frame: NDArray[np.uint8], side: int) -> torch.Tensor:
    """Resample H×W×3 to a square and normalise it: 1×3×side×side."""
    import numpy as np
    import torch
    from PIL import Image

    # The default of `resize` in the official loader; no other library's is equal.
    image = Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    mean = torch.tensor(_MEAN)[:, None, None]
    deviation = torch.tensor(_DEVIATION)[:, None, None]
    return ((pixels - mean) / deviation)[None]


def _policy(
    options: Sam2Options, *, memories: int, pointers: int
) -> Callable[[], MemoryPolicy]:
    """Make the maker of an object's memory policy."""
    return partial(
        POLICIES[options.resolved().memory],
        memories=memories,
        pointers=pointers,
        conditioning=options.conditioning,
        **options.of_policy(),
    )


def _device(name: str) -> torch.device:
    """Find a device.

    Raises:
        PredictorError: It is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise PredictorError(
            f"device {name!r}: expected auto, cpu, cuda or cuda:N"
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise PredictorError(
            f"device {name}: is not there; this machine has "
            f"{torch.cuda.device_count()} CUDA devices that PyTorch "
            f"{torch.__version__} can use; say --device cpu, or install the PyTorch "
            "build for your GPU"
        )
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    """Choose the precision: bfloat16 where the hardware has products of its own."""
    import torch

    if name == "float32":
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        fast = device.type == "cpu" and _cpu_has_matrix_units()
    return torch.bfloat16 if fast else torch.float32


def _cpu_has_matrix_units() -> bool:
    """Whether the processor has tile registers for bfloat16 (Intel AMX)."""
    import torch

    check = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(check and check())


def _batch(side: int, device: torch.device) -> int:
    """How many objects go through the network at once, unless an option says so.

    Products of another size are added up in another order. So it follows the hardware
    and not what is free at the moment: half of the memory of a GPU.
    """
    import torch

    if device.type != "cuda":
        return _BATCH
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(1, min(_BATCH, memory // 2 // (_BYTES_PER_PIXEL * side * side)))


@contextlib.contextmanager
def _explained(options: Sam2Options) -> Iterator[None]:
    """Say what to do when memory runs out."""
    import torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        out_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
            "can't allocate memory" in str(error)
        )
        if not out_of_memory:
            raise
        raise PredictorError(
            f"{options.model} at image_size={options.image_size} ran out of memory; "
            "continue this run with a smaller -o batch (such as batch=1) or fewer "
            "--workers; or begin another one (--name) with -o dtype=bfloat16, a "
            "smaller -o image_size or a smaller -o model, which give other masks"
        ) from error
