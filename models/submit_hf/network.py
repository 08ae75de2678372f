"""A model of transformers as the network of the tracker.

The modules are the library's; the loop around them is the tracker's, so that all
objects of a frame go through them together and only what is looked back to is kept. The
library's own loop (`forward` of modeling_sam2_video.py, transformers 5.24.0) takes one
object after the other and keeps all frames and outputs.

Where the library differs from the code of a model's authors, `rules` decides:

- The pointer of a frame with a given mask is that of token 0 officially, and that of
  the best of three masks in the library.
- Its memory is made of the mask at low resolution officially, and of the mask itself,
  binary, in the library; of masks from points, too.
- Ages of pointers are divided by 15, officially by less in shorter videos.
- Official masks for SAM 3 have soft edges, and masks for its memory encoder are
  enlarged after they are scaled. Of more than 16 points in a frame, the first and the
  last eight count officially, and all in the library.
- The library keeps EdgeTAM's memories in float32, and others in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from submit_sam2.config import TrackerConfig
from submit_sam2.model import ABSENT, Features, Seen, shrink, to_tokens
from submit_sam2.modeling.memory_attention import MemoryTokens
from submit_sam2.modeling.position import sine_steps
from submit_sam2.modeling.prompt_encoder import Click

from .candidates import GivenMasks, HfCandidates
from .families import Family
from .grids import HfGrids

__all__ = ["HfNetwork"]

#: A given mask as logits: inside and outside; the same for SAM 3 with soft edges, as in
#: submit_sam3/model.py.
_SURE, _SURE_SOFT = 10.0, 8.0
#: Limit of logits that are used as a prompt.
_PROMPT_LIMIT = 32.0
#: Pixels of a mask for the memory encoder for each cell of the features.
_MASK_STRIDE = 16
#: The kind of a point that stands for none.
_NO_POINT = -1


class HfNetwork(nn.Module):
    """A video model of transformers behind the tracker.

    Attributes:
        config: The numbers that the tracker needs.
        stride: Pixels of the input for each cell of the coarsest features.
        sharp_prompts: Whether memories of frames with a prompt are made of the binary
            mask instead of probabilities.
        corrects_with_memory: Whether points that correct an object are processed with
            features that are conditioned on its memories.
        memory_dtype: How memories are kept.
    """

    def __init__(
        self,
        family: Family,
        load: Callable[[int], Any],
        *,
        image_size: int,
        official: bool = True,
    ) -> None:
        """Load the model.

        Args:
            family: What kind of model it is.
            load: Loads it, on the processor, for an input of a side.
            image_size: The usual side.
            official: Whether the rules of the authors' code hold, not the library's.
        """
        super().__init__()
        self._family, self._load_model, self._official = family, load, official
        self._compiles = False
        model = load(image_size)
        self.models = nn.ModuleDict({str(image_size): model})
        config = model.config
        self.config = TrackerConfig(
            timed_pointers=config.enable_temporal_pos_encoding_for_object_pointers,
            channels=config.memory_attention_hidden_size,
            memory_channels=config.memory_encoder_output_channels,
            memory_layers=config.memory_attention_num_layers,
            memories=config.num_maskmem,
            pointers=config.max_object_pointers_in_encoder,
            heads=config.mask_decoder_config.num_attention_heads,
        )
        self.stride = family.stride
        self.sharp_prompts = family.sharp_prompts or not official
        self.corrects_with_memory = family.corrects_with_memory
        full = self._perceiver is not None and not official
        self.memory_dtype = torch.float32 if full else torch.bfloat16

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = self._model.no_object_pointer.device
        return device

    def compile_encoder(self) -> None:
        """Compile the image encoders, when they first run."""
        self._compiles = True
        for model in self.models.values():
            encoder = model.vision_encoder
            assert isinstance(encoder, nn.Module)
            encoder.compile()

    def pointer_window(self, length: int) -> int:
        """Greatest age of a pointer in a video of so many frames, plus one."""
        most = self.config.pointers
        return min(length, most) if self._official else most

    def grids(self, image_size: int) -> HfGrids:
        """Prepare for inputs of image_size×image_size."""
        side = image_size // self.stride
        return HfGrids.of(self._sized(image_size), image_size, side)

    def encode_image(
        self, image: Tensor, grids: HfGrids, *, reads_memory: bool = True
    ) -> Features:
        """Encode a normalised image, 1×3×S×S."""
        del reads_memory  # It makes no difference here.
        found = grids.model.get_image_features(image, return_dict=True)
        # Each level is h·w×1×C.
        fine, middle, pixels = (
            _to_map(level.transpose(0, 1)) for level in found.fpn_hidden_states
        )
        return Features(
            pixels=pixels, middle=middle, fine=fine, projected=pixels, start=None
        )

    def take_masks(
        self,
        features: Features,
        masks: Tensor,
        grids: HfGrids,
        *,
        threshold: float = 0.0,
    ) -> Seen:
        """Use given masks, N×H×W of zeros and ones, as the masks of the objects.

        The decoder runs only to compute the pointers. For them an object is visible if
        the mask is not empty and the decoder's presence is above the threshold.
        """
        logits, masks = self._fit(masks, grids)
        prompts = grids.model.mask_downsample(masks[:, None])[:, 0]
        if prompts.shape[-1] != 4 * grids.side:
            prompts = shrink(prompts.float(), 4 * grids.side)
        image = to_tokens(features.pixels).expand(len(masks), -1, -1)
        candidates = self._decode(
            features, image, grids, mask=prompts[:, None], several=not self._official
        )
        given = masks.flatten(1).any(1)
        seen = Seen(
            logits=logits,
            presence=torch.where(given, _SURE, -_SURE),
            iou=torch.ones_like(logits[:, 0, 0]),
            pointers=self._pointers(
                _best(candidates, candidates.tokens),
                given & (candidates.presence > threshold),
            ),
        )
        return seen if self._official else GivenMasks(**vars(seen), masks=masks)

    def condition(
        self, features: Features, memory: MemoryTokens, grids: HfGrids
    ) -> Tensor:
        """Condition a frame's features on the memories of N objects: N×h·w×C."""
        count = len(memory.pointers)
        pixels = to_tokens(features.pixels).transpose(0, 1).expand(-1, count, -1)
        codes = [grids.memories + time for time in memory.times]
        aged = memory.pointer_times
        if memory.map_weights is not None and memory.pointer_weights is not None:
            # Keys are values plus codes, and only keys are weighted.
            codes = [
                (content + code) * weight - content
                for content, code, weight in zip(
                    memory.maps, codes, memory.map_weights, strict=True
                )
            ]
            aged = (memory.pointers + aged) * memory.pointer_weights - memory.pointers
        tokens = torch.cat((*memory.maps, memory.pointers), 1)  # N×L×M
        more = {}
        if self._perceiver is not None:
            more["num_spatial_memory_tokens"] = len(memory.maps)
        conditioned: Tensor = grids.model.memory_attention(
            current_vision_features=pixels,
            current_vision_position_embeddings=grids.queries,
            memory=tokens.transpose(0, 1),
            memory_posision_embeddings=torch.cat((*codes, aged), 1).transpose(0, 1),
            num_object_pointer_tokens=memory.pointers.shape[1],
            **more,
        )
        return conditioned[0]  # 1×N×h·w×C

    def without_memory(self, features: Features) -> Tensor:
        """A frame's features for objects without a memory: 1×h·w×C."""
        tokens: Tensor = to_tokens(features.pixels) + self._model.no_memory_embedding
        return tokens

    def propose(
        self, features: Features, image: Tensor, grids: HfGrids
    ) -> HfCandidates:
        """Look for N objects in conditioned features, N×h·w×C."""
        return self._decode(features, image, grids, several=True)

    def take_clicks(
        self,
        features: Features,
        image: Tensor,
        clicks: Click,
        grids: HfGrids,
        *,
        logits: Tensor | None = None,
        threshold: float = 0.0,
    ) -> Seen:
        """Predict the masks of N objects from points; all have the same number of them.

        Args:
            features: Features of the frame.
            image: N×h·w×C, from `condition` or `without_memory`.
            clicks: The points.
            grids: From `grids`.
            logits: N×4h×4w masks without the points, to be corrected; None if there are
                none.
            threshold: See `track`.
        """
        ends = self._family.end_points
        if ends is not None and self._official:
            clicks = clicks.ends(ends)
        mask = None
        if logits is not None:
            mask = logits[:, None].clamp(-_PROMPT_LIMIT, _PROMPT_LIMIT)
        # A single point is ambiguous.
        candidates = self._decode(
            features, image, grids, mask=mask, clicks=clicks, several=len(clicks) == 1
        )
        return self._seen(candidates, candidates.ious.argmax(1), threshold)

    def track(
        self,
        features: Features,
        decoded: HfCandidates,
        *,
        choice: Tensor | None = None,
        threshold: float = 0.0,
    ) -> Seen:
        """Predict the masks of N objects that have memories.

        Args:
            features: Features of the frame.
            decoded: From `propose`.
            choice: N numbers of the candidates to use, from 1 to 3; None for those
                with the highest predicted IoU.
            threshold: An object is visible if its presence is above this.
        """
        del features
        best = decoded.ious.argmax(1) if choice is None else choice - 1
        return self._seen(decoded, best, threshold)

    def draw_candidates(self, features: Features, decoded: HfCandidates) -> Tensor:
        """Logits N×3×4h×4w of the candidates that `track` chooses from."""
        del features
        return decoded.logits

    def at_input(self, seen: Seen, grids: HfGrids) -> Tensor:
        """Logits N×S'×S' of N objects, of which memories are made."""
        size = (grids.image_size, grids.image_size)
        if isinstance(seen, GivenMasks):
            logits = seen.masks * (2 * _SURE) - _SURE
        else:
            logits = F.interpolate(
                seen.logits[:, None], size=size, mode="bilinear", align_corners=False
            )[:, 0]
        wanted = _MASK_STRIDE * grids.side
        if not self._official and grids.image_size != wanted:
            logits = shrink(logits, wanted)
        return logits

    def remember(
        self,
        features: Features,
        logits: Tensor,
        presence: Tensor,
        *,
        scale: float,
        bias: float,
    ) -> Tensor:
        """Encode the masks of N objects into memories.

        Args:
            features: Features of the frame.
            logits: N×S'×S', from `at_input`.
            presence: N logits.
            scale: Factor of the mask's probabilities.
            bias: Added to them after that.

        Returns:
            N×L×M.
        """
        masks = torch.sigmoid(logits) * scale + bias
        wanted = _MASK_STRIDE * features.pixels.shape[-1]
        if masks.shape[-1] != wanted:
            masks = shrink(masks, wanted)
        pixels = features.pixels.expand(len(masks), -1, -1, -1)
        memories, places = self._model.memory_encoder(pixels, masks[:, None])
        mark = self._model.occlusion_spatial_embedding_parameter
        if mark is not None:
            absent = (presence <= 0).to(memories.dtype)
            memories = memories + absent[:, None, None, None] * mark[..., None, None]
        perceiver = self._perceiver
        if perceiver is None:
            return to_tokens(memories)
        # It cannot take several: it views an expanded tensor in another shape.
        parts = [perceiver(one[None], places[:1])[0] for one in memories]
        return torch.cat(parts)

    def time_codes(self, places: Tensor) -> Tensor:
        """Time codes: N indices to N×1×M."""
        codes: Tensor = self._model.memory_temporal_positional_encoding
        return codes[places][:, 0]

    def pointer_tokens(self, pointers: Tensor) -> Tensor:
        """Cut pointers N×P×C into tokens N×P·C/M×M."""
        return pointers.reshape(len(pointers), -1, self.config.memory_channels)

    def pointer_times(self, ages: Tensor) -> Tensor:
        """Codes of the ages of pointers, for each of their tokens.

        Args:
            ages: N×P, in frames, divided by the greatest age in the window.

        Returns:
            N×P·C/M×M; zeros where the model does not encode the age.
        """
        channels, narrow = self.config.channels, self.config.memory_channels
        if self.config.timed_pointers:
            project = self._model.temporal_positional_encoding_projection_layer
            codes: Tensor = project(sine_steps(ages, channels))
        else:
            codes = ages.new_zeros(*ages.shape, narrow)
        return codes.repeat_interleave(channels // narrow, 1)

    @property
    def _model(self) -> Any:
        """The first model; weights are the same in all."""
        return next(iter(self.models.values()))

    @property
    def _perceiver(self) -> Any | None:
        """What makes memories smaller, in EdgeTAM."""
        return getattr(self._model, "spatial_perceiver", None)

    def _sized(self, image_size: int) -> Any:
        """The model for inputs of a side, which shares its weights with the others."""
        key = str(image_size)
        if key not in self.models:
            model, first = self._load_model(image_size), self._model
            model.load_state_dict(first.state_dict(keep_vars=True), assign=True)
            # What it computes from the side is still where it was loaded.
            self.models[key] = model.to(self.device)
            if self._compiles:
                model.vision_encoder.compile()
        return self.models[key]

    def _fit(self, masks: Tensor, grids: HfGrids) -> tuple[Tensor, Tensor]:
        """Resize given masks, N×H×W of zeros and ones.

        Returns:
            Logits N×4h×4w, and masks N×S'×S' in [0, 1] for the prompt encoder.
        """
        if self._family.soft_masks and self._official:
            logits = shrink(masks * (2 * _SURE_SOFT) - _SURE_SOFT, 4 * grids.side)
            return logits, shrink(masks, _MASK_STRIDE * grids.side)
        if masks.shape[1:] != (grids.image_size, grids.image_size):
            masks = (shrink(masks, grids.image_size) >= 0.5).to(masks.dtype)
        return shrink(masks * (2 * _SURE) - _SURE, 4 * grids.side), masks

    def _decode(
        self,
        features: Features,
        image: Tensor,
        grids: HfGrids,
        *,
        several: bool,
        mask: Tensor | None = None,
        clicks: Click | None = None,
    ) -> HfCandidates:
        """Run the mask decoder for N objects.

        Args:
            features: Features of the frame.
            image: N×h·w×C, conditioned or not.
            grids: From `grids`.
            several: Whether to offer three masks; otherwise the decoder chooses one.
            mask: N×1×4h×4w as a prompt; None without one.
            clicks: Points as a prompt; None without any.
        """
        count, device = len(image), image.device
        if clicks is None:
            places = torch.zeros(count, 1, 2, device=device)
            kinds = torch.full((count, 1), _NO_POINT, device=device, dtype=torch.int32)
            clicks = Click(places, kinds)
        sparse, dense = grids.model.prompt_encoder(
            input_points=clicks.places[:, None],
            input_labels=clicks.kinds[:, None],
            input_boxes=None,
            input_masks=mask,
        )
        logits, ious, tokens, presence = grids.model.mask_decoder(
            image_embeddings=_to_map(image),
            image_positional_embeddings=grids.image,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            high_resolution_features=[features.fine, features.middle],
        )
        # The second axis is for several prompts of one image.
        return HfCandidates(
            logits=logits[:, 0].float(),
            ious=ious[:, 0].float(),
            tokens=tokens[:, 0],
            presence=presence[:, 0, 0].float(),
        )

    def _seen(self, candidates: HfCandidates, choice: Tensor, threshold: float) -> Seen:
        """What N objects show if the candidates of these numbers, from 0, are used."""
        rows = torch.arange(len(choice), device=choice.device)
        present = candidates.presence > threshold
        tokens = candidates.tokens
        return Seen(
            logits=torch.where(
                present[:, None, None], candidates.logits[rows, choice], ABSENT
            ),
            presence=candidates.presence,
            iou=candidates.ious[rows, choice],
            pointers=self._pointers(tokens[rows, choice], present),
        )

    def _pointers(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Pointers N×C from mask tokens; absent objects all have the same pointer."""
        pointers: Tensor = self._model.object_pointer_proj(tokens)
        return torch.where(present[:, None], pointers, self._model.no_object_pointer)


def _to_map(tokens: Tensor) -> Tensor:
    """N×h·w×C to N×C×h×w."""
    side = int(tokens.shape[1] ** 0.5)
    return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)


def _best(candidates: HfCandidates, values: Tensor) -> Tensor:
    """Of N×K×…, those of the masks with the highest predicted IoU."""
    rows = torch.arange(len(values), device=values.device)
    return values[rows, candidates.ious.argmax(1)]
