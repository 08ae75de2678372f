"""A synthetic split with complete ground truth, for trying things without data.

Six small films are rendered from photographs that come with scikit-image, each about
one difficulty of MOSEv2. `write` puts them on disk, `scenes` tells the stories,
`sprites` and `materials` make what is seen, `stage` and `render` film it.
"""

from .write import require_place, require_sample, write_sample

__all__ = ["require_place", "require_sample", "write_sample"]
