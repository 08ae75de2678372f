"""A synthetic split with complete ground truth, to try the toolkit without a data set.

Six kinds of short videos are rendered from photographs that come with scikit-image.
Each shows one difficulty of MOSEv2.

    write               writes the split to disk
    scenes              lists the scenarios, one in each module
    stage, render       time, camera, layers and actors of a scene; the renderer
    sprites, animals, person, surfaces, materials
                        the objects and surfaces, made of photographs and noise
    grade               lens, sensor and colour of the final frames
"""

from .write import require_place, require_sample, write_sample

__all__ = ["require_place", "require_sample", "write_sample"]
