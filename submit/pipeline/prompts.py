"""What a model is given of a video: the split's masks and prompts of a file."""

from __future__ import annotations

from collections.abc import Mapping

from ..data import GivenPrompts, PackedMask, Split, SplitVideo, StoredPrompt
from ..errors import PromptError, SplitError
from ..masks import binary_masks, object_ids
from ..predictors import Description, Mask, Prompts

__all__ = ["FramePrompts", "require_taken", "video_prompts"]

#: By frame, what is given there of a file.
FramePrompts = Mapping[str, Mapping[int, StoredPrompt]]


def video_prompts(
    video: SplitVideo, *, late: bool, given: FramePrompts | None = None
) -> dict[str, Prompts]:
    """The prompts of a video, by frame in order.

    Args:
        video: The video.
        late: Whether objects that are first annotated in a later frame are given there.
        given: Prompts beside the split's masks.

    Raises:
        SplitError: There is no object to track, or a late one has no frame.
        MaskError: An annotation is missing or cannot be read.
        PromptError: A prompt says something else than a mask of the split.
    """
    prompts: dict[str, dict[int, Mask | StoredPrompt]] = {
        frame: dict(masks) for frame, masks in _masks_of(video, late=late).items()
    }
    for frame, entries in (given or {}).items():
        known = prompts.setdefault(frame, {})
        for key, entry in entries.items():
            mask = known.setdefault(key, entry)
            if isinstance(mask, Mask) and PackedMask.of(mask.pixels) != entry:
                raise PromptError(
                    f"video {video.name}: frame {frame}: object {key}: the split has a "
                    "mask of it in this frame, and the prompt is another; remove the "
                    "prompt"
                )
    if not prompts:
        raise SplitError(_no_object(video, late=late))
    return {
        frame: {
            key: prompt.unpack() if isinstance(prompt, PackedMask) else prompt
            for key, prompt in prompts[frame].items()
        }
        for frame in video.frames
        if frame in prompts
    }


def require_taken(
    split: Split,
    given: GivenPrompts | None,
    description: Description,
    *,
    predictor: str,
    late: bool,
) -> None:
    """Make sure that a model takes what it is to be given, before any work.

    Raises:
        PromptError: It does not, or a prompt says something else than a mask of the
            split.
        SplitError: A video that prompts are for has no object to track.
        MaskError: An annotation of such a video is missing or cannot be read.
    """
    accepted, model = description.prompts, f"predictor {predictor}"
    if not accepted.masks:
        raise PromptError(
            f"{model}: does not take masks, and a split gives its objects by masks; it "
            f"takes {accepted}. Choose another predictor (see: submit predictors)"
        )
    for name, frames in ({} if given is None else given.videos).items():
        if given is None or name not in split.videos:
            continue
        known: set[int] = set()
        try:
            prompts = video_prompts(split.videos[name], late=late, given=frames)
            for frame, here in prompts.items():
                where = f"video {name}: frame {frame}"
                accepted.require(here, known=known, model=model, where=where)
                known |= here.keys()
        except PromptError as error:
            raise PromptError(f"{given.path}: {error}") from error


def _masks_of(video: SplitVideo, *, late: bool) -> dict[str, dict[int, Mask]]:
    """The masks of the split: each object's first one."""
    given = list(video.masks) if late else [video.frames[0]]
    prompts: dict[str, dict[int, Mask]] = {}
    known: set[int] = set()
    for frame in given or [video.frames[0]]:
        labels = video.read_mask(frame)
        if new := [key for key in object_ids(labels) if key not in known]:
            if frame not in video.images:
                raise SplitError(
                    f"{video.masks[frame]}: shows the object {new[0]} for the first "
                    f"time, and the video has no frame {frame}; extract the split again"
                )
            masks = binary_masks(labels, new)
            prompts[frame] = {key: Mask(pixels) for key, pixels in masks.items()}
            known.update(new)
    return prompts


def _no_object(video: SplitVideo, *, late: bool) -> str:
    """The error for a video without objects, with a hint where some may be."""
    if late:
        return f"video {video.name}: no annotation holds an object, nothing to track"
    text = f"video {video.name}: the first mask holds no object, nothing to track"
    if len(video.masks) < 2:
        return text
    return (
        f"{text}; where objects may appear late (YouTube-VOS, LVOS), predict with "
        "--late-objects"
    )
