from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from submit_sam2.modeling.memory_attention import MemoryTokens
from submit_sam3.config import MODELS
from submit_sam3.model import Sam3Network
from tests.models.sam3_tiny import NARROW, SMALL, State, draw

# What `Sam3TrackerVideoModel.vision_encoder` of transformers 5.24.0, as built by
# tools/sam3_reference.py, makes of `picture` with the weights of `draw(SMALL)`: for
# each level the mean and five values at equal distances, from the first to the last.
GOLDEN = {
    56: [
        [-0.00061, -0.03716, -0.11559, 1.36663, 0.18534, 0.59786],
        [0.0186, 0.90999, -1.82564, 0.47513, -0.00352, 0.70437],
        [0.12051, -0.18942, -0.10597, -0.35472, 1.49606, -1.16867],
    ],
    112: [
        [-0.00131, 0.08338, -0.18796, 1.48076, 0.27668, 0.58613],
        [0.0204, 0.82841, -1.89421, 0.40679, 0.17116, 0.92721],
        [0.13198, -0.26429, 0.07892, -0.45207, 1.39105, -0.98616],
    ],
    140: [
        [-0.00108, 0.16986, -0.23285, 1.22033, 0.14819, 0.83046],
        [0.02846, 0.77071, -1.69574, 0.56453, -0.80568, 0.59057],
        [0.14805, -0.23857, 0.62223, -0.65146, 1.752, -1.0216],
    ],
}


@pytest.fixture(scope="module")
def state() -> State:
    return draw(SMALL)


@pytest.fixture(scope="module")
def network(state: State) -> Sam3Network:
    network = Sam3Network(SMALL)
    network.load_state_dict(state)
    return network.eval()


def picture(side: int) -> torch.Tensor:
    """Something like an image, normalised."""
    return torch.linspace(-2, 2, 3 * side * side).reshape(1, 3, side, side).sin() * 2


@torch.no_grad()
def encode(network: Sam3Network, side: int) -> tuple[torch.Tensor, ...]:
    levels: tuple[torch.Tensor, ...] = network.image_encoder(
        picture(side), network.image_encoder.positions(side)
    )
    return levels


@pytest.mark.parametrize("side", GOLDEN)
def test_features_are_those_of_transformers(side: int, network: Sam3Network) -> None:
    levels = encode(network, side)
    assert [level.shape[2] for level in levels] == [n * side // 14 for n in (4, 2, 1)]
    for level, golden in zip(levels, GOLDEN[side], strict=True):
        values = level.flatten()
        some = values[torch.linspace(0, len(values) - 1, 5).long()]
        found = torch.cat((values.mean()[None], some))
        torch.testing.assert_close(found, torch.tensor(golden), atol=5e-5, rtol=0)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("side", GOLDEN)
def test_features_are_those_of_transformers_to_rounding(
    side: int, state: State, network: Sam3Network, sam3_reference: Any
) -> None:
    pytest.importorskip("transformers")
    model = sam3_reference.build_transformers(SMALL, state, side)
    with torch.no_grad():
        expected = model.vision_encoder(picture(side)).fpn_hidden_states
    for level, other in zip(encode(network, side), expected[:3], strict=True):
        torch.testing.assert_close(level, other, atol=5e-5, rtol=0)


def test_several_images_are_encoded_as_one_by_one() -> None:
    network = Sam3Network(NARROW)
    network.load_state_dict(draw(NARROW))
    positions = network.image_encoder.positions(84)
    images = torch.cat((picture(84), picture(84).flip(3)))
    with torch.no_grad():
        both = network.image_encoder(images, positions)
        second = network.image_encoder(images[1:], positions)
    for level, alone in zip(both, second, strict=True):
        torch.testing.assert_close(level[1:], alone, atol=1e-5, rtol=1e-5)


def test_the_published_network_is_as_large_as_that_of_transformers() -> None:
    """465.8 million there, with a fourth level of the neck that nothing reads."""
    with torch.device("meta"):
        network = Sam3Network(MODELS["sam3"])
    count = sum(weights.numel() for weights in network.parameters())
    unread = (1024 * 256 + 256) + (256 * 256 * 9 + 256)
    assert count == 464_929_666
    assert round((count + unread) / 1e6, 1) == 465.8


@pytest.mark.slow
def test_a_frame_costs_what_it_does_in_transformers() -> None:
    """5,613 GFLOP there for the image encoder at 1008×1008, counted alike."""
    with torch.device("meta"):
        network = Sam3Network(MODELS["sam3"])
        image = torch.zeros(1, 3, 1008, 1008)
        with FlopCounterMode(display=False) as counter:
            network.image_encoder(image, network.image_encoder.positions(1008))
    assert counter.get_total_flops() / 1e9 == pytest.approx(5613, rel=1e-3)


@pytest.mark.slow
def test_an_object_costs_what_it_does_in_transformers() -> None:
    """GFLOP of an object there: 951 with all memories, memory encoder and decoder 19.3.

    Here the start of the memory attention, 31, is computed once for all objects.
    """

    def count(run: Callable[[], Any]) -> tuple[float, Any]:
        with FlopCounterMode(display=False) as counter:
            made = run()
        return counter.get_total_flops() / 1e9, made

    with torch.device("meta"):
        network = Sam3Network(MODELS["sam3"])
        grids, zeros = network.grids(1008), torch.zeros
        tokens, masks = zeros(1, 72 * 72, 256), zeros(1, 1, 1152, 1152)
        memory = MemoryTokens(
            maps=[zeros(1, 72 * 72, 64)] * 7,
            times=[zeros(1, 1, 64)] * 7,
            pointers=zeros(1, 16 * 4, 64),
            pointer_times=zeros(1, 16 * 4, 64),
        )
        attention, encoder, decoder = (
            network.memory_attention,
            network.memory_encoder,
            network.sam_mask_decoder,
        )
        shared, start = count(lambda: attention.begin(tokens, grids))
        own, image = count(lambda: attention(start, memory, grids))
        project, projected = count(lambda: encoder.project(zeros(1, 256, 72, 72)))
        remember, _ = count(lambda: encoder(projected, masks))
        decode, seen = count(lambda: network.decode(image, grids))
        fine, middle = zeros(1, 32, 288, 288), zeros(1, 64, 144, 144)
        draw, _ = count(lambda: decoder.draw_all(seen.image, seen.masks, fine, middle))
    assert shared == pytest.approx(31, abs=0.5)
    assert shared + own == pytest.approx(951, abs=1)
    assert project + remember == pytest.approx(14.7, abs=0.1)
    assert decode + draw == pytest.approx(4.6, abs=0.1)
