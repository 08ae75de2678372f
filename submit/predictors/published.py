"""Published results of models on MOSEv2, and what each is good for in an ensemble.

Scores are those of the validation split, times 100, as their authors print them. They
come from different trainings and settings: compare rows of one source only. The memory
variants of Table 4 were measured with weights that were fine-tuned on MOSEv2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PUBLISHED", "SOURCES", "PublishedModel", "published_for"]

#: Where scores are from.
SOURCES: Mapping[str, str] = {
    "paper": "MOSEv2 paper (arXiv 2508.05630), Table 4",
    "rcms": "MOSEv2 paper, Table 12",
    "sam3": "SAM 3 paper, Table 6",
    "release": "release notes of SAM 3.1, 27 March 2026",
    "readme": "README of SeC",
}


@dataclass(frozen=True)
class PublishedModel:
    """A model with a published score, or one that belongs beside those.

    Attributes:
        model: The model as its authors call it.
        predictor: The predictor that runs it; None if none does.
        options: What to give that predictor, after its name.
        licence: Of code and weights.
        commercial: Whether the licence allows commercial use.
        source: A key of `SOURCES`; None without a published score.
        score: J&Ḟ; None if not published.
        disappearance: J&Ḟ_d, likewise.
        reappearance: J&Ḟ_r, likewise.
        speed: Frames per second, as published; None if not.
        memory: GPU memory in GiB, as published; None if not.
        machine: On what speed and memory were published.
        sizes: Legal input sizes.
        strength: What it is good for in an ensemble.
    """

    model: str
    predictor: str | None
    options: str
    licence: str
    commercial: bool
    source: str | None
    score: float | None
    disappearance: float | None = None
    reappearance: float | None = None
    speed: float | None = None
    memory: float | None = None
    machine: str = ""
    sizes: str = "1024; multiples of 32"
    strength: str = ""


_A6000 = "A6000"
_SHORT_SIDE = "short side 480; any"

PUBLISHED: tuple[PublishedModel, ...] = (
    PublishedModel(
        model="SAM 3.1",
        predictor=None,
        options="",
        licence="SAM License",
        commercial=True,
        source="release",
        score=62.3,
        speed=32,
        machine="H100, many objects",
        sizes="1008",
        strength="the best single model; import its masks (`submit import`)",
    ),
    PublishedModel(
        model="SAM 3",
        predictor="sam3",
        options="-o memory=sam3",
        licence="SAM License",
        commercial=True,
        source="sam3",
        score=60.3,
        speed=16,
        machine="H100, many objects",
        sizes="1008; multiples of 14, of 336 without padding",
        strength="the first member: the others correct it",
    ),
    PublishedModel(
        model="RCMS-L",
        predictor="sam2",
        options="-o checkpoint=mosev2_large -o preset=rcms",
        licence="Apache-2.0; weights: not stated, trained on CC BY-NC-SA data",
        commercial=False,
        source="rcms",
        score=54.4,
        disappearance=66.8,
        reappearance=33.2,
        speed=14.3,
        machine=_A6000,
        strength="high in d and r at once: the best member beside SAM 3",
    ),
    PublishedModel(
        model="RCMS-B+",
        predictor="sam2",
        options="-o checkpoint=mosev2_base_plus -o preset=rcms",
        licence="Apache-2.0; weights: not stated, trained on CC BY-NC-SA data",
        commercial=False,
        source="rcms",
        score=51.5,
        disappearance=56.6,
        reappearance=36.5,
        speed=22.6,
        machine=_A6000,
        strength="the highest published r; 1.6 times as fast as L",
    ),
    PublishedModel(
        model="SeC-4B",
        predictor="command",
        options="-o @examples/models/sec.toml",
        licence="Apache-2.0",
        commercial=True,
        source="readme",
        score=53.8,
        sizes="1024",
        strength="changes of scene and knowledge: its language model sees them",
    ),
    PublishedModel(
        model="SAM2Long-L",
        predictor="sam2",
        options="-o memory=sam2long",
        licence="CC BY-NC 4.0",
        commercial=False,
        source="paper",
        score=51.5,
        disappearance=62.5,
        reappearance=30.6,
        speed=7.1,
        memory=6.8,
        machine=_A6000,
        sizes="1024",
        strength="long videos: it decides later, among several paths",
    ),
    PublishedModel(
        model="SAM2Long-B+",
        predictor="sam2",
        options="-o memory=sam2long",
        licence="CC BY-NC 4.0",
        commercial=False,
        source="paper",
        score=48.6,
        disappearance=58.4,
        reappearance=29.2,
        speed=9.4,
        memory=6.0,
        machine=_A6000,
        sizes="1024",
        strength="as L, where memory is short",
    ),
    PublishedModel(
        model="DAM4SAM-L",
        predictor="sam2",
        options="-o memory=dam4sam",
        licence="Apache-2.0 (by its setup.py only)",
        commercial=True,
        source="paper",
        score=51.2,
        disappearance=57.2,
        reappearance=34.2,
        speed=12.3,
        memory=3.5,
        machine=_A6000,
        strength="finds objects again among similar ones; weak in d, so gate it",
    ),
    PublishedModel(
        model="DAM4SAM-B+",
        predictor="sam2",
        options="-o memory=dam4sam",
        licence="Apache-2.0 (by its setup.py only)",
        commercial=True,
        source="paper",
        score=47.9,
        disappearance=51.3,
        reappearance=32.0,
        speed=17.3,
        memory=2.7,
        machine=_A6000,
        strength="as L, faster",
    ),
    PublishedModel(
        model="SAMURAI-L",
        predictor="sam2",
        options="-o memory=samurai",
        licence="Apache-2.0",
        commercial=True,
        source="paper",
        score=51.1,
        disappearance=52.4,
        reappearance=34.9,
        speed=12.1,
        memory=3.5,
        machine=_A6000,
        strength="finds moving objects again; weakest in d, so gate it",
    ),
    PublishedModel(
        model="SAMURAI-B+",
        predictor="sam2",
        options="-o memory=samurai",
        licence="Apache-2.0",
        commercial=True,
        source="paper",
        score=47.4,
        disappearance=45.9,
        reappearance=33.6,
        speed=17.7,
        memory=2.7,
        machine=_A6000,
        strength="as L, faster",
    ),
    PublishedModel(
        model="SAM 2.1-L, fine-tuned",
        predictor="sam2",
        options="-o checkpoint=trainings/…/best.pt",
        licence="Apache-2.0",
        commercial=True,
        source="paper",
        score=49.7,
        disappearance=64.5,
        reappearance=27.1,
        speed=14.4,
        memory=3.6,
        machine=_A6000,
        strength="keeps absent objects absent: high d",
    ),
    PublishedModel(
        model="SAM 2.1-L",
        predictor="sam2",
        options="-o checkpoint=sam2.1_hiera_large -o memory=sam2",
        licence="Apache-2.0",
        commercial=True,
        source="paper",
        score=49.4,
        disappearance=63.4,
        reappearance=27.8,
        speed=14.4,
        memory=3.6,
        machine=_A6000,
        strength="the usual base of ensembles; -o memory=rcms adds r",
    ),
    PublishedModel(
        model="SAM 2.1-B+, fine-tuned",
        predictor="sam2",
        options="-o checkpoint=trainings/…/best.pt",
        licence="Apache-2.0",
        commercial=True,
        source="paper",
        score=46.0,
        disappearance=61.6,
        reappearance=23.2,
        speed=23.4,
        memory=2.7,
        machine=_A6000,
        strength="a cheap second opinion",
    ),
    PublishedModel(
        model="SAM 2.1-B+",
        predictor="sam2",
        options="-o checkpoint=sam2.1_hiera_base_plus -o memory=sam2",
        licence="Apache-2.0",
        commercial=True,
        source="paper",
        score=43.1,
        disappearance=60.6,
        reappearance=20.6,
        speed=23.4,
        memory=2.7,
        machine=_A6000,
        strength="a cheap second opinion",
    ),
    PublishedModel(
        model="Cutie-B",
        predictor="command",
        options="-o @examples/models/cutie_soft.toml",
        licence="MIT",
        commercial=True,
        source="paper",
        score=42.8,
        disappearance=64.5,
        reappearance=18.3,
        speed=44.1,
        memory=0.9,
        machine=_A6000,
        sizes=_SHORT_SIDE,
        strength="the opposite of SAM 2: d 81.8 on long videos, best where knowledge "
        "is needed; use it as a gate of presence",
    ),
    PublishedModel(
        model="DEVA",
        predictor="command",
        options="-o @examples/models/deva.toml",
        licence="CC BY-NC-SA 4.0",
        commercial=False,
        source="paper",
        score=38.3,
        disappearance=55.1,
        reappearance=18.5,
        speed=43.0,
        memory=1.0,
        machine=_A6000,
        sizes=_SHORT_SIDE,
        strength="another kind of memory; little beside Cutie",
    ),
    PublishedModel(
        model="XMem",
        predictor="command",
        options="-o @examples/models/xmem.toml",
        licence="MIT",
        commercial=True,
        source="paper",
        score=36.3,
        disappearance=56.6,
        reappearance=14.8,
        speed=49.8,
        memory=1.6,
        machine=_A6000,
        sizes=_SHORT_SIDE,
        strength="soft masks at little cost; little beside Cutie",
    ),
    PublishedModel(
        model="classical",
        predictor="classical",
        options="",
        licence="Apache-2.0",
        commercial=True,
        source=None,
        score=None,
        sizes="the frame's",
        strength="needs no weights: for trying the whole chain",
    ),
    PublishedModel(
        model="static",
        predictor="static",
        options="",
        licence="Apache-2.0",
        commercial=True,
        source=None,
        score=None,
        sizes="the frame's",
        strength="the lowest baseline",
    ),
)


def published_for(predictor: str) -> tuple[PublishedModel, ...]:
    """The models that a predictor runs, the best first."""
    return tuple(one for one in PUBLISHED if one.predictor == predictor)
