"""The known weights by name.

Sizes and SHA-256 of SAM 2 and SAM 2.1 are those of Meta's files: the lists of several
projects agree on them, and on those of sam3.pt and Cutie. Of others only the size is
known, or nothing: their digest is recorded when they are first fetched. Hugging Face
states the digest of each file when it is fetched, and it is compared then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KNOWN", "Weights"]


@dataclass(frozen=True)
class Weights:
    """A published file with the weights of a network.

    Attributes:
        name: How it is called here: `-o checkpoint=NAME`, or see `option`.
        use: Which predictor reads it, or the ready options of the predictor `command`.
        file: The file's name.
        url: Where it is.
        licence: Its licence; non-commercial ones say so.
        size: Bytes; None if not known.
        sha256: In hex; None if not known.
        repository: Where Hugging Face has it: its cache may hold it.
        gate: What to do before it may be fetched; None if it is public.
    """

    name: str
    use: str
    file: str
    url: str
    licence: str
    size: int | None = None
    sha256: str | None = None
    repository: str | None = None
    gate: str | None = None

    @property
    def option(self) -> str:
        """The option of the predictor that names them."""
        return "files=weights" if self.use.startswith("command ") else "checkpoint"


_META = "https://dl.fbaipublicfiles.com/segment_anything_2"
_HUB = "https://huggingface.co"
_CHENG = "https://github.com/hkchengrex"

#: Of each file of Meta: its folder, named after the day of the release, size, SHA-256.
_SAM2 = {
    "sam2.1_hiera_tiny": (
        "092824",
        156_008_466,
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    ),
    "sam2.1_hiera_small": (
        "092824",
        184_416_285,
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    ),
    "sam2.1_hiera_base_plus": (
        "092824",
        323_606_802,
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    ),
    "sam2.1_hiera_large": (
        "092824",
        898_083_611,
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
    ),
    "sam2_hiera_tiny": (
        "072824",
        155_906_050,
        "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    ),
    "sam2_hiera_small": (
        "072824",
        184_309_650,
        "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    ),
    "sam2_hiera_base_plus": (
        "072824",
        323_493_298,
        "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    ),
    "sam2_hiera_large": (
        "072824",
        897_952_466,
        "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
    ),
}

#: Fine-tuned on MOSEv2 by its authors, by the size of the network.
_MOSEV2 = {
    "base_plus": ("sam2.1_hiera_b+_MOSEv2_mss_lvt16.pt", 323_651_479),
    "large": ("sam2.1_hiera_l_MOSEv2_mss_lvt16.pt", 898_153_772),
}


def _entries() -> list[Weights]:
    found = [
        Weights(
            name=name,
            use="sam2",
            file=f"{name}.pt",
            url=f"{_META}/{folder}/{name}.pt",
            licence="Apache-2.0",
            size=size,
            sha256=sha256,
            repository=f"facebook/{name.replace('_', '-')}",
        )
        for name, (folder, size, sha256) in _SAM2.items()
    ]
    found += [
        Weights(
            name=f"mosev2_{size}",
            use="sam2 -o preset=rcms",
            file=file,
            url=f"{_HUB}/FudanCVL/MOSEv2_baseline/resolve/main/"
            f"{file.replace('+', '%2B')}",
            licence="not stated (trained on MOSEv2: CC BY-NC-SA 4.0, non-commercial)",
            size=length,
            repository="FudanCVL/MOSEv2_baseline",
        )
        for size, (file, length) in _MOSEV2.items()
    ]
    found += [
        Weights(
            name="sam3",
            use="sam3",
            file="sam3.pt",
            url=f"{_HUB}/facebook/sam3/resolve/main/sam3.pt",
            licence="SAM License (commercial use allowed, military use not)",
            size=3_450_062_241,
            sha256="9999e2341ceef5e136daa386eecb55cb414446a00ac2b55eb2dfd2f7c3cf8c9e",
            repository="facebook/sam3",
            gate="accept the SAM License at huggingface.co/facebook/sam3, make a token "
            "at huggingface.co/settings/tokens and set it in HF_TOKEN (or: hf auth "
            "login)",
        ),
        Weights(
            name="cutie_base_mega",
            use="command -o @examples/models/cutie.toml",
            file="cutie-base-mega.pth",
            url=f"{_CHENG}/Cutie/releases/download/v1.0/cutie-base-mega.pth",
            licence="MIT",
            size=140_443_788,
            sha256="9c05402ee36d3a356fb72715d263ba7e1ea06ad3bada48c1306491792da43023",
        ),
        Weights(
            name="xmem",
            use="command -o @examples/models/xmem.toml",
            file="XMem.pth",
            url=f"{_CHENG}/XMem/releases/download/v1.0/XMem.pth",
            licence="MIT",
        ),
        Weights(
            name="deva",
            use="command -o @examples/models/deva.toml",
            file="DEVA-propagation.pth",
            url=f"{_CHENG}/Tracking-Anything-with-DEVA/releases/download/v1.0/"
            "DEVA-propagation.pth",
            licence="CC BY-NC-SA 4.0, non-commercial",
        ),
    ]
    return found


#: All known weights by name.
KNOWN: Mapping[str, Weights] = {one.name: one for one in _entries()}
