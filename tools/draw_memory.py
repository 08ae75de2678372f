"""Draw which frames are in an object's memory while it is tracked through a clip.

    submit sample runs/sample --frames 48
    python tools/draw_memory.py runs/sample vanish 2 --output docs/memory.png

The object's masks in the split give the frames in which it is visible, and how large it
is there. The memory policies of the `sam2` predictor then choose the frames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from submit_sam2.memory import MemoryPolicy, Noted, RcmsMemory, Sam2Memory

COLUMN, ROW, LEFT, THUMB = 19, 7, 74, 66
INK, GRID, PAPER = (38, 42, 51), (226, 229, 234), (255, 255, 255)
CONDITIONING, WINDOW, POINTER = (226, 106, 44), (46, 110, 190), (176, 196, 222)
GONE = (250, 232, 228)


@dataclass(frozen=True)
class Scene:
    """One object of a clip.

    Attributes:
        frames: Paths of the images.
        masks: T×H×W bool.
    """

    frames: list[Path]
    masks: NDArray[np.bool_]

    @property
    def quality(self) -> NDArray[np.float64]:
        """The object's area in each frame, relative to its largest area so far."""
        area = self.masks.sum((1, 2)).astype(float)
        best = np.maximum.accumulate(area)
        quality: NDArray[np.float64] = area / best
        return quality


def read_scene(split: Path, video: str, key: int) -> Scene:
    """Read an object's masks in all frames of a video."""
    masks = sorted((split / "Annotations" / video).glob("*.png"))
    return Scene(
        sorted((split / "JPEGImages" / video).glob("*.jpg")),
        np.stack([np.array(Image.open(path)) == key for path in masks]),
    )


def paint(
    draw: ImageDraw.ImageDraw, top: int, title: str, policy: MemoryPolicy, scene: Scene
) -> int:
    """Draw one policy's memory below `top`; returns the lower end of the drawing."""
    quality, length = scene.quality, len(scene.masks)
    font = ImageFont.load_default(13)
    draw.text((LEFT, top), title, INK, ImageFont.load_default(15))
    top += 24
    bottom = top + length * ROW
    for frame in range(length):
        left = LEFT + frame * COLUMN
        if not quality[frame]:
            draw.rectangle((left, top, left + COLUMN - 1, bottom), GONE)
        if frame % 6 == 0:
            draw.line((left, top, left, bottom), GRID)
            row = bottom - (frame + 1) * ROW
            draw.text((LEFT - 26, row - 4), str(frame), INK, font)
            draw.text((left, bottom + 3), str(frame), INK, font)
    policy.given(0)
    for frame in range(1, length):
        recall = policy.recalls(frame)[0]
        maps = dict(recall.maps)
        for known in {number for number, _ in recall.pointers} | maps.keys():
            colour = POINTER
            if known in maps:
                colour = CONDITIONING if maps[known] == 6 else WINDOW
            left, row = LEFT + frame * COLUMN, bottom - (known + 1) * ROW
            draw.rectangle(
                (left + 2, row + 1, left + COLUMN - 3, row + ROW - 2), colour
            )
        presence = 1.0 if quality[frame] else -1.0
        policy.tracked(frame, Noted(presence=presence, quality=float(quality[frame])))
    draw.text((8, top - 2), "looked\nback to", INK, font)
    draw.text((8, bottom + 3), "in frame", INK, font)
    return bottom + 28


def film(canvas: Image.Image, top: int, scene: Scene) -> int:
    """Draw every sixth frame with the object's outline; returns the lower end."""
    step = 6 * COLUMN
    for frame in range(0, len(scene.frames), 6):
        image = Image.open(scene.frames[frame]).convert("RGB")
        pixels = np.array(image)
        pixels[~scene.masks[frame]] //= 2
        image = Image.fromarray(pixels).resize((step - 4, THUMB))
        canvas.paste(image, (LEFT + frame * COLUMN, top))
    return top + THUMB + 10


def draw_memory(scene: Scene) -> Image.Image:
    """Draw the memory of both policies, one below the other."""
    length = len(scene.frames)
    size = LEFT + length * COLUMN + 12, 2 * (length * ROW + 52) + THUMB + 52
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    top = film(canvas, 8, scene)
    top = paint(draw, top, "memory=sam2", Sam2Memory(), scene)
    top = paint(draw, top, "memory=rcms", RcmsMemory(), scene)
    left, font = LEFT, ImageFont.load_default(13)
    for colour, text in (
        (CONDITIONING, "conditioning memory"),
        (WINDOW, "memory of the window"),
        (POINTER, "object pointer only"),
        (GONE, "object not seen"),
    ):
        draw.rectangle((left, top + 3, left + 14, top + 13), colour)
        draw.text((left + 20, top), text, INK, font)
        left += 200
    return canvas


def main() -> None:
    """Parse the command line and write the drawing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("video")
    parser.add_argument("object", type=int)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    canvas = draw_memory(read_scene(args.split, args.video, args.object))
    canvas.quantize(96, dither=Image.Dither.NONE).save(args.output, optimize=True)


if __name__ == "__main__":
    main()
