"""Write frames as MP4, animated WebP or GIF, as a PNG, or as a folder of PNGs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import OutputError
from ..system.files import atomic_folder, atomic_open
from ..system.outputs import BEGINNING, OutputKind

__all__ = ["FILMS", "OVERLAY", "OVERLAY_FOLDER", "require_encoder", "write_film"]

Pixels = NDArray[np.uint8]

#: A text in every file of this module, so that no other file is replaced.
_MARK = "drawn by mose-submit overlay"
#: Constant rate factor of x264: 18 looks lossless, and 6 more halve the size.
_QUALITY = 20
#: Number of threads of the encoder: fixed, since its output depends on it.
_THREADS = 2


def _write_mp4(stream: IO[bytes], frames: Iterable[Pixels], fps: float) -> None:
    import av

    rate = Fraction(fps).limit_denominator(1000)
    with av.open(stream, mode="w", format="mp4") as container:
        container.metadata["comment"] = _MARK
        video = None
        for pixels in frames:
            if video is None:
                video = container.add_stream("libx264", rate=rate)
                video.height, video.width = pixels.shape[:2]
                # The only pixel format that all browsers and slide programs play.
                video.pix_fmt = "yuv420p"
                video.options = {"crf": str(_QUALITY), "preset": "veryfast"}
                video.codec_context.thread_count = _THREADS
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(video.encode(picture))
        if video is not None:
            container.mux(video.encode(None))


def _write_webp(stream: IO[bytes], frames: Iterable[Pixels], fps: float) -> None:
    exif = Image.Exif()
    exif[0x010E] = _MARK  # ImageDescription
    _save(stream, frames, fps, "WEBP", quality=80, method=2, exif=exif)


def _write_gif(stream: IO[bytes], frames: Iterable[Pixels], fps: float) -> None:
    _save(stream, frames, fps, "GIF", comment=_MARK.encode())


def _save(
    stream: IO[bytes],
    frames: Iterable[Pixels],
    fps: float,
    kind: str,
    **options: object,
) -> None:
    pictures = map(Image.fromarray, frames)
    first = next(pictures)
    first.save(
        stream,
        kind,
        save_all=True,
        append_images=pictures,
        duration=round(1000 / fps),
        loop=0,
        **options,
    )


def _write_png(stream: IO[bytes], frames: Iterable[Pixels], fps: float) -> None:
    del fps
    (pixels,) = frames
    info = PngInfo()
    info.add_text("Comment", _MARK)
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=info)


#: The writer of H×W×3 uint8 frames for each suffix.
FILMS: Mapping[str, Callable[[IO[bytes], Iterable[Pixels], float], None]] = {
    ".mp4": _write_mp4,
    ".webp": _write_webp,
    ".gif": _write_gif,
    ".png": _write_png,
}


def require_encoder(path: Path) -> None:
    """Check, before any work, that a file of this kind can be written.

    Raises:
        OutputError: Its suffix is unknown, or the encoder is not installed.
    """
    if path.suffix and path.suffix.lower() not in FILMS:
        raise OutputError(
            f"{path}: expected a name with {', '.join(FILMS)}, or without a suffix for "
            f"a folder of PNGs; found {path.suffix}"
        )
    if path.suffix.lower() == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise OutputError(
                f"{path}: MP4 needs the package av; install it with pip install "
                "'mose-submit[video]', or write .webp, .gif or a folder of PNGs"
            ) from error


def write_film(
    path: Path, frames: Iterable[tuple[str, Pixels]], *, fps: float = 12.0
) -> None:
    """Write frames into a file, or as PNGs into a folder.

    MP4 and WebP need the memory of one frame, a GIF the memory of all frames.

    Args:
        path: The file; a folder if the path has no suffix.
        frames: Name and H×W×3 uint8 of each frame, all of one size; one for a PNG.
        fps: Frames per second.

    Raises:
        OutputError: See `require_encoder`.
        StorageError: The disk refuses.
    """
    require_encoder(path)
    if not path.suffix:
        with atomic_folder(path) as folder:
            for name, pixels in frames:
                with (folder / f"{name}.png").open("wb") as stream:
                    _write_png(stream, [pixels], fps)
        return
    with atomic_open(path) as stream:
        FILMS[path.suffix.lower()](stream, (pixels for _, pixels in frames), fps)


def _is_ours(path: Path) -> bool:
    """Whether this module wrote a file: the mark is near its start or its end."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        parts = [stream.read(BEGINNING)]
        stream.seek(max(0, size - BEGINNING))
        parts.append(stream.read(BEGINNING))
    return any(_MARK.encode() in part for part in parts)


def _find_foreign(path: Path) -> Path | None:
    return None if _is_ours(path) else path


def _find_foreign_in(folder: Path) -> Path | None:
    """Find a file in a folder that this module did not write."""
    for child in sorted(folder.iterdir()):
        if child.name[0] != "." and not (child.is_file() and _is_ours(child)):
            return child
    return None


#: A file and a folder of this module, as outputs of a command.
OVERLAY = OutputKind("an overlay", "submit overlay", _find_foreign)
OVERLAY_FOLDER = OutputKind(
    "overlays", "submit overlay", _find_foreign_in, is_folder=True, forcible=False
)
