from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from submit.errors import OptionError, PredictorError
from submit.predictors import (
    GROUP,
    Absent,
    Box,
    InputSizes,
    Mask,
    Prediction,
    Predictor,
    StaticPredictor,
    Video,
    immediate,
    installed,
    load,
    option,
    option_infos,
    parse_options,
)


@dataclass(frozen=True)
class Options:
    size: int = option(512, "Side of the input.", metavar="PIXELS")
    gain: float = option(1.5, "Factor on the logits.")
    flip: bool = option(False, "Also track the mirrored video.")
    memory: str = option("recent", "Which frames to keep.", choices=("all", "recent"))
    limit: int | None = option(None, "Frames to keep; none for all.", low=0)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be positive, found {self.size}")


def test_without_settings_options_have_their_defaults() -> None:
    assert parse_options("mine", Options, []) == Options()


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("size=256", "size", 256),
        ("gain=2", "gain", 2.0),
        ("gain=-1e-3", "gain", -0.001),
        ("flip=yes", "flip", True),
        ("flip=OFF", "flip", False),
        ("memory=all", "memory", "all"),
        ("limit=7", "limit", 7),
        ("limit=none", "limit", None),
        ("limit=", "limit", None),
        (" size = 64 ", "size", 64),
    ],
)
def test_a_setting_becomes_a_value_of_the_options_type(
    setting: str, name: str, value: object
) -> None:
    parsed = getattr(parse_options("mine", Options, [setting]), name)
    assert parsed == value
    assert type(parsed) is type(value)


def test_the_last_of_two_settings_wins() -> None:
    assert parse_options("mine", Options, ["size=1", "size=2"]).size == 2


def test_a_dash_in_a_key_is_an_underscore() -> None:
    @dataclass(frozen=True)
    class Dashed:
        image_size: int = option(1, "Side.")

    assert parse_options("mine", Dashed, ["image-size=8"]).image_size == 8


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("size=big", "option size=big: expected a whole number"),
        ("size=1.5", "option size=1.5: expected a whole number"),
        ("flip=maybe", "option flip=maybe: expected true or false"),
        ("memory=some", "option memory=some: expected one of all, recent"),
        ("limit=-1", "option limit=-1: expected a whole number of at least 0"),
        ("gain=nan", "option gain=nan: expected a number"),
        ("size", "option 'size' of predictor mine: expected key=value"),
        (
            "scale=2",
            "predictor mine has no option 'scale'; it has flip, gain, limit, memory, "
            "size (see: submit predictors mine)",
        ),
        (
            "sizee=2",
            "predictor mine has no option 'sizee'; did you mean 'size'? It has flip, "
            "gain, limit, memory, size (see: submit predictors mine)",
        ),
        ("size=0", "predictor mine: size must be positive, found 0"),
    ],
)
def test_a_wrong_setting_says_what_is_expected(setting: str, message: str) -> None:
    with pytest.raises(OptionError, match=f"^{re.escape(message)}$"):
        parse_options("mine", Options, [setting])


def test_a_model_without_options_says_so() -> None:
    with pytest.raises(OptionError, match="has no option 'size'; it has none"):
        parse_options("static", StaticPredictor.Options, ["size=1"])


def test_a_file_of_options_is_read_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "my options.toml"
    file.write_text('size = 2\ngain = 0.5\nflip = true\nmemory = "all"\n')
    found = parse_options("mine", Options, ["size=1", f"@{file}", "gain=3"])
    assert found == Options(size=2, gain=3.0, flip=True, memory="all")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sizee = 2", "predictor mine has no option 'sizee'; did you mean 'size'?"),
        ("size = 1.5", "option size=1.5: expected a whole number"),
        ("size = [1]", "size: expected a text, a number, true or false, found another"),
        ("[size]\nx = 1", "size: expected a text, a number, true or false, found a t"),
        ("size", "is not valid TOML"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_wrong_file_of_options_is_named(
    text: str | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(OptionError) as caught:
        parse_options("mine", Options, [f"@{file}"])
    assert str(caught.value).startswith(f"{file}: ")
    assert words in str(caught.value)
    assert str(caught.value).count(str(file)) == 1


def test_options_describe_themselves() -> None:
    infos = {info.name: info for info in option_infos(Options)}
    assert list(infos) == ["size", "gain", "flip", "memory", "limit"]
    assert (infos["size"].metavar, infos["size"].default) == ("PIXELS", 512)
    assert infos["gain"].metavar == "float"
    assert infos["memory"].choices == ("all", "recent")
    assert infos["limit"].type is int
    assert [info.name for info in infos.values() if info.optional] == ["limit"]
    assert infos["flip"].help == "Also track the mirrored video."


def test_the_models_of_the_toolkit_come_in_by_the_door_of_strangers() -> None:
    points = installed()
    assert {"classical", "static"} <= points.keys()
    assert list(points) == sorted(points)
    assert load("static") is StaticPredictor


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PredictorError, match=r"'sam9'.*ound .*static.*submit predic"):
        load("sam9")


@pytest.mark.parametrize(
    "value",
    ["no_such_package:Model", "submit.predictors:Missing"],
    ids=["module", "name"],
)
def test_a_model_that_cannot_be_imported_names_its_source(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "submit.predictors.registry.installed",
        lambda: {"x": EntryPoint("x", value, GROUP)},
    )
    with pytest.raises(
        PredictorError, match=re.escape(f"predictor x ({value}) cannot")
    ):
        load("x")


def test_a_prediction_takes_one_logit_map_for_each_object() -> None:
    logits = np.zeros((2, 3, 4), np.float32)
    prediction = Prediction((1, 5), logits, presence=np.zeros(2, np.float32))
    assert prediction.iou is None
    for wrong in (logits[0], logits[:1]):
        with pytest.raises(PredictorError, match="logits must be N×h×w with N = 2"):
            Prediction((1, 5), wrong)


@pytest.mark.parametrize("name", ["presence", "iou"])
def test_a_prediction_takes_one_score_for_each_object(name: str) -> None:
    logits = np.zeros((2, 3, 4), np.float32)
    values = {name: np.zeros((2, 1), np.float32)}
    with pytest.raises(PredictorError, match=rf"{name} must have one value .*\(2, 1\)"):
        Prediction((1, 5), logits, **values)


@pytest.mark.parametrize(
    ("sizes", "scale", "allowed"),
    [
        (InputSizes(), 0.25, True),
        (InputSizes(), 0.333, True),
        (InputSizes(), 0.2, False),
        (InputSizes(), 2.01, False),
        (InputSizes(base=1024, step=32), 1.0, True),
        (InputSizes(base=1024, step=32), 0.75, True),
        (InputSizes(base=1024, step=32), 0.76, False),
        (InputSizes(base=1008, step=336), 0.75, False),
        (InputSizes(base=1008, step=336), 2 / 3, True),
        (InputSizes(smallest=1.0, largest=1.0), 1.0, True),
        (InputSizes(smallest=1.0, largest=1.0), 1.25, False),
    ],
)
def test_a_scale_is_legal_within_the_range_and_on_the_grid(
    sizes: InputSizes, scale: float, allowed: bool
) -> None:
    assert sizes.allows(scale) is allowed


def test_the_static_predictor_repeats_what_it_was_given() -> None:
    predictor: Predictor = StaticPredictor(StaticPredictor.Options())
    assert isinstance(predictor, Predictor)
    assert predictor.describe().model == "static"
    frame = np.zeros((4, 6, 3), np.uint8)
    first, second, empty = np.zeros((3, 4, 6), bool)
    first[1:3, 1:3] = True
    second[0, 5] = True

    session = immediate(predictor.session(Video("v", height=4, width=6, length=3)))
    start = session.step(frame, {3: Mask(first)})
    added = session.step(frame, {1: Mask(second), 7: Mask(empty)})
    last = session.step(frame, {})
    corrected = session.step(frame, {3: Absent(), 7: Box(2, 1, 4, 3)})
    session.close()
    session.close()

    assert start.objects == (3,)
    assert added.objects == last.objects == (3, 1, 7)
    assert np.array_equal(last.logits > 0, [first, second, empty])
    assert last.logits.dtype == np.float32
    assert last.presence is not None
    assert (last.presence > 0).tolist() == [True, True, False]
    box = np.zeros((4, 6), bool)
    box[1:3, 2:4] = True
    assert np.array_equal(corrected.logits > 0, [empty, second, box])
