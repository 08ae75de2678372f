"""From a video's logits to its masks, with post-processing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..masks import VALUES, Codes, Labels, Values, to_labels
from .frames import steady_frames
from .settings import Postprocess

if TYPE_CHECKING:
    # The options of `submit export` are listed without opening runs.
    from ..runs import VideoMasks

__all__ = ["frame_labels", "labels_of"]


def labels_of(masks: VideoMasks, settings: Postprocess) -> Iterator[Labels]:
    """Make the masks of a video, frame by frame from the first.

    Args:
        masks: The video as a run has it.
        settings: The post-processing.

    Yields:
        H×W uint8 labels of each frame.
    """
    for codes in steady_frames(masks, settings):
        objects = masks.objects[: len(codes)]
        yield frame_labels(codes, objects, masks.size, settings, values=masks.values)


def frame_labels(
    codes: Codes,
    objects: Sequence[int],
    size: tuple[int, int],
    settings: Postprocess,
    *,
    values: Values = VALUES,
) -> Labels:
    """Make one mask: filters on logits, the overlap rule, filters on labels.

    Args:
        codes: n×h×w codes of logits.
        objects: The n ids.
        size: Height and width of the frame.
        settings: The post-processing, without filters that look ahead.
        values: The values of the codes.
    """
    for one in settings.logit_filters:
        values = one.apply_to_values(values)
    labels = to_labels(codes, objects, size, values=values)
    for each in settings.label_filters:
        each.apply_to_labels(labels)
    return labels
