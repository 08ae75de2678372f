from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from submit.errors import PredictorError, SettingsError
from submit.predictors import Mask, Video
from submit.training import Batch, ParameterGroup
from submit_sam2.build import fresh_weights
from submit_sam2.config import MODELS, NARROW
from submit_sam2.training import Sam2Trainer
from submit_sam2.training.groups import parameter_groups
from submit_sam2.training.losses import judge
from submit_sam2.training.options import (
    LossTable,
    ModelTable,
    PromptTable,
    Sam2TrainerOptions,
)
from submit_sam2.training.prompts import draw_plan
from submit_sam2.training.trainer import _tensors
from submit_sam2.training.unroll import UnrollSettings, unroll
from tests.models.conftest import SCORE_BIAS, State, WriteCheckpoint
from tests.models.unrolled import gradients

#: Masks in the first frame only.
MASKS = PromptTable(points=0, frames=1)


def make(
    checkpoint: Path,
    *,
    prompts: PromptTable = MASKS,
    loss: LossTable | None = None,
    **model: Any,
) -> Sam2Trainer:
    table = ModelTable(
        **{
            "name": NARROW,
            "checkpoint": checkpoint,
            "image_size": 64,
            "dropout": 0.0,
            "drop_path": 0.0,
            **model,
        }
    )
    return Sam2Trainer(
        Sam2TrainerOptions(table, prompts, loss or LossTable()), device="cpu"
    )


def make_batch(objects: tuple[int, ...] = (2,), frames: int = 3) -> Batch:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (frames, len(objects), 64, 64, 3), np.uint8)
    labels = np.zeros((frames, len(objects), 64, 64), np.uint8)
    for clip, count in enumerate(objects):
        for key in range(1, count + 1):
            for time in range(frames):
                labels[time, clip, 12 * key : 12 * key + 10, 5 + time :][:, :20] = key
    names = tuple(f"clip {clip}" for clip in range(len(objects)))
    return Batch(torch.from_numpy(images), torch.from_numpy(labels), objects, names)


@pytest.fixture
def state() -> State:
    return fresh_weights(MODELS[NARROW])


@pytest.fixture
def checkpoint(state: State, write_checkpoint: WriteCheckpoint) -> Path:
    return write_checkpoint(state)


@pytest.mark.slow
def test_losses_are_those_of_the_unrolled_clip(checkpoint: Path) -> None:
    trainer, batch = make(checkpoint), make_batch((2, 1))
    network: Any = trainer.build()
    torch.manual_seed(0)
    found = trainer.losses(batch, np.random.default_rng(0))
    clip = _tensors(batch)
    assert clip.masks.shape == (3, 3, 64, 64)
    assert clip.clip_of.tolist() == [0, 0, 1]
    plan = draw_plan(np.random.default_rng(0), 3, MASKS)
    settings = UnrollSettings(trainer._policy)
    parts = sum(
        judge(one.logits, one.iou, one.presence, clip.masks[one.frame], LossTable())
        for one in unroll(network, clip, plan, settings)
    )
    assert isinstance(parts, torch.Tensor)
    assert list(found.parts) == ["mask", "dice", "iou", "presence"]
    assert list(found.parts.values()) == pytest.approx(parts.tolist())
    expected = 20 * parts[0] + parts[1] + parts[2] + parts[3]
    assert found.total.item() == pytest.approx(expected.item())


def test_images_are_normalised_as_the_predictor_does_it(checkpoint: Path) -> None:
    from submit_sam2.predictor import _to_tensor

    batch = make_batch()
    clip = _tensors(batch)
    expected = _to_tensor(batch.images[1, 0].numpy(), 64)
    torch.testing.assert_close(clip.images[1], expected)


@pytest.mark.slow
def test_missed_objects_are_counted(checkpoint: Path, state: State) -> None:
    state[SCORE_BIAS] = state[SCORE_BIAS] - 100
    torch.save({"model": state}, checkpoint)
    trainer = make(checkpoint)
    trainer.build()
    found = trainer.losses(make_batch((2,), frames=4), np.random.default_rng(0))
    assert found.counts["missed"] == 6  # 2 objects in 3 frames


@pytest.mark.slow
def test_the_similarity_loss_is_ours_and_off_by_default(checkpoint: Path) -> None:
    trainer = make(checkpoint, loss=LossTable(similarity=1.0))
    network: Any = trainer.build()
    batch = make_batch()
    found = trainer.losses(batch, np.random.default_rng(0))
    plain = make(checkpoint)
    plain.build()
    without = plain.losses(batch, np.random.default_rng(0))
    assert 0 < found.parts["similarity"] < 2 * 2 * 2
    assert (found.total - without.total).item() == pytest.approx(
        found.parts["similarity"].item(), rel=1e-4
    )
    torch.autograd.backward(found.total)
    assert gradients(network)["memory_attention.layers.0.linear1.weight"] is not None


@pytest.mark.slow
def test_frozen_parts_are_not_trained(checkpoint: Path) -> None:
    trainer = make(checkpoint, freeze=("encoder", "prompts"), drop_path=0.5)
    network: Any = trainer.build()
    losses = trainer.losses(make_batch(), np.random.default_rng(0))
    torch.autograd.backward(losses.total)
    found = gradients(network)
    for name, gradient in found.items():
        if name.startswith(("image_encoder.", "sam_prompt_encoder.")):
            assert gradient is None, name
    assert found["sam_mask_decoder.conv_s0.weight"] is not None
    assert not network.image_encoder.trunk.blocks[1].drop_path.training
    assert network.memory_attention.training
    names = [name for group in trainer.groups(1.0, 0.1) for name in group.names]
    assert not any(name.startswith("image_encoder") for name in names)


@pytest.mark.slow
def test_low_rank_changes_are_trained_and_merged(checkpoint: Path) -> None:
    trainer = make(checkpoint, lora=2)
    network = trainer.build()
    plain = make(checkpoint)
    state = plain.build().state_dict()
    merged = trainer.weights(network.state_dict())
    assert merged.keys() == state.keys()
    assert all(torch.equal(merged[name], state[name]) for name in state)
    losses = trainer.losses(make_batch(), np.random.default_rng(0))
    torch.autograd.backward(losses.total)
    groups = trainer.groups(1e-3, 0.1)
    names = {name for group in groups for name in group.names}
    trunk = {name for name in names if "trunk" in name}
    assert trunk
    assert all(name.endswith((".up", ".down")) for name in trunk)
    parameters = [p for n, p in network.named_parameters() if n in trunk]
    torch.optim.SGD(parameters, lr=1e-3).step()
    merged = trainer.weights(network.state_dict())
    changed = {name for name in state if not torch.equal(merged[name], state[name])}
    assert changed
    assert all("trunk" in name and name.endswith("weight") for name in changed)
    # What is written is what was trained.
    batch = make_batch()
    torch.save(trainer.export(merged), checkpoint)
    written = make(checkpoint)
    written.build()
    assert written.losses(batch, np.random.default_rng(0)).total.item() == (
        pytest.approx(
            trainer.losses(batch, np.random.default_rng(0)).total.item(), rel=1e-5
        )
    )


@pytest.mark.slow
def test_the_predictor_of_a_training_is_that_of_its_checkpoint(
    checkpoint: Path, clip: Any
) -> None:
    from submit.predictors import build, immediate

    trainer = make(
        checkpoint, mask_scale=7.5, mask_bias=-4.0, predict={"memory": "rcms"}
    )
    network = trainer.build()
    weights = trainer.weights(network.state_dict())
    video = Video("discs", 48, 80, 3)
    given = {key: Mask(mask) for key, mask in clip.masks.items()}
    settings = [f"checkpoint={checkpoint}", *trainer.describe().predict]
    predictors = (
        trainer.predictor(weights),
        build("sam2", settings, device="cpu"),
    )
    before = torch.get_num_threads()
    found = []
    for predictor in predictors:
        session = immediate(predictor.session(video))
        found.append(
            [
                session.step(frame, {} if place else given).logits
                for place, frame in enumerate(clip.frames[:3])
            ]
        )
    torch.set_num_threads(before)
    assert all(map(np.array_equal, *found))
    # Prediction leaves the network as it was.
    assert network.training
    assert all(value.requires_grad for value in network.parameters())


@pytest.mark.slow
def test_a_narrow_network_begins_with_gradients_everywhere() -> None:
    table = ModelTable(name=NARROW, scratch=True, image_size=64)
    trainer = Sam2Trainer(
        Sam2TrainerOptions(table, PromptTable(points=1, boxes=0.5)), device="cpu"
    )
    network = trainer.build()
    assert trainer.describe().checkpoint is None
    for seed in range(4):
        losses = trainer.losses(make_batch(), np.random.default_rng(seed))
        torch.autograd.backward(losses.total)
    parts = ("image_encoder.", "memory_attention.", "memory_encoder.", "obj_ptr_")
    for name, gradient in gradients(network).items():
        if name.startswith(parts):
            assert gradient is not None, name
            assert gradient.any(), name
    one, other = (fresh_weights(MODELS[NARROW]) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_of_another_network_is_refused(
    checkpoint: Path, state: State
) -> None:
    del state["no_obj_ptr"]
    torch.save({"model": state}, checkpoint)
    with pytest.raises(PredictorError, match=r"1 missing .no_obj_ptr"):
        make(checkpoint).build()


@pytest.mark.slow
def test_a_checkpoint_of_another_size_says_which_name_to_give(
    checkpoint: Path,
) -> None:
    words = r"weights\.pt: holds the weights of sam2\.1_narrow, expected .*_tiny; say "
    with pytest.raises(PredictorError, match=f"{words}-o model.name=sam2.1_narrow"):
        make(checkpoint, name="sam2.1_hiera_tiny").build()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "expected the key checkpoint .*sam2.1_hiera_base_plus.*found none"),
        ({"scratch": True, "checkpoint": Path("a.pt")}, "found both"),
        ({"scratch": True, "image_size": 100}, "expected a multiple of 32"),
        ({"scratch": True, "lora": 4, "freeze": ("trunk",)}, "choose one"),
        ({"scratch": True, "memory_options": {"promote": 2}}, "those of memory"),
        ({"scratch": True, "freeze": ("head",)}, "expected one of trunk, encoder"),
    ],
    ids=["no weights", "both", "size", "lora", "memory", "freeze"],
)
def test_options_that_contradict_each_other_are_errors(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        ModelTable(**options)


def rates(
    groups: list[ParameterGroup] | Any,
) -> dict[str, tuple[float, float]]:
    return {name: (one.rate, one.decay) for one in groups for name in one.names}


def test_biases_and_layer_norms_are_not_decayed_and_early_blocks_learn_less() -> None:
    from submit_sam2.model import Sam2Network

    with torch.device("meta"):
        network = Sam2Network(MODELS["sam2.1_hiera_base_plus"])
    found = rates(
        parameter_groups(
            network, rate=5e-6, encoder_rate=3e-6, layer_decay=0.9, decay=0.1
        )
    )
    assert found.keys() == dict(network.named_parameters()).keys()
    trunk = "image_encoder.trunk."
    assert found[f"{trunk}blocks.23.mlp.layers.0.weight"] == pytest.approx(
        (2.7e-6, 0.1)
    )
    assert found[f"{trunk}blocks.0.norm1.weight"] == pytest.approx(
        (3e-6 * 0.9**24, 0.0)
    )
    assert found[f"{trunk}patch_embed.proj.weight"][0] == pytest.approx(3e-6 * 0.9**25)
    assert found[f"{trunk}pos_embed"] == (3e-6, 0.1)
    assert found["image_encoder.neck.convs.0.conv.weight"] == (3e-6, 0.1)
    assert found["memory_encoder.fuser.layers.0.norm.weight"] == (5e-6, 0.1)
    assert found["memory_attention.norm.weight"] == (5e-6, 0.0)
    assert isinstance(network.memory_attention.norm, nn.LayerNorm)


@pytest.mark.slow
def test_rcms_can_be_trained_with(checkpoint: Path) -> None:
    trainer = make(checkpoint, memory="rcms", memory_options={"promote": 1})
    trainer.build()
    policy: Any = trainer._policy(8)
    assert policy._good.maxlen == 1
    losses = trainer.losses(make_batch(frames=4), np.random.default_rng(0))
    assert losses.total.requires_grad


@pytest.mark.slow
def test_further_prompts_may_be_limited_to_visible_frames(checkpoint: Path) -> None:
    batch = make_batch(frames=4)
    batch.labels[1:3, 0][batch.labels[1:3, 0] == 2] = 0
    table = replace(MASKS, frames=2, visible=True)
    trainer = make(checkpoint, prompts=table)
    trainer.build()
    from submit_sam2.training.trainer import _all_visible

    assert _all_visible(_tensors(batch)) == [3]
    assert trainer.losses(batch, np.random.default_rng(1)).total.requires_grad


@pytest.mark.slow
def test_the_heaviest_step_has_clicks_where_the_recipe_has_any(
    checkpoint: Path,
) -> None:
    for table, passes in ((MASKS, 7), (PromptTable(), 8 + 2 * 7)):
        random = make(checkpoint, prompts=table).heaviest(8)
        assert draw_plan(random, 8, table).passes(8) == passes


@pytest.mark.slow
def test_shapes_alone_say_what_memory_is_saved() -> None:
    from submit.training.meter import Meter, as_on, backward

    batch = make_batch((2,))
    shapes = replace(
        batch, images=batch.images.to("meta"), labels=batch.labels.to("meta")
    )
    peaks = []
    whole = ModelTable(name=NARROW, scratch=True, image_size=64)
    for table in (
        whole,
        replace(whole, recompute=True),
        replace(whole, freeze=("encoder",)),
    ):
        trainer = Sam2Trainer(
            Sam2TrainerOptions(table, replace(MASKS, visible=True)), device="meta"
        )
        meter = Meter()
        with meter, as_on("cuda", torch.bfloat16, meter):
            weights = meter.live
            trainer.build()
            losses = trainer.losses(shapes, trainer.heaviest(3))
            backward(losses.total)
        assert meter.operations > 0
        peaks.append(meter.peak - weights)
    assert peaks[1] < peaks[0]
    assert peaks[2] < peaks[0]


def test_a_trainer_names_what_takes_less_memory(checkpoint: Path) -> None:
    def thrifty(**options: Any) -> tuple[str, ...]:
        return make(checkpoint, **options).describe().thrifty

    assert thrifty() == ("model.recompute=true", 'model.freeze=["encoder"]')
    assert thrifty(recompute=True, freeze=("prompts",)) == (
        'model.freeze=["prompts", "encoder"]',
    )
    assert thrifty(recompute=True, lora=2) == ()
