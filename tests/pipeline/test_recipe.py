from __future__ import annotations

from pathlib import Path

import pytest

from submit.ensemble import MergeSettings
from submit.errors import RecipeError
from submit.pipeline.recipe import Recipe, read_recipe
from submit.pipeline.steps import (
    EnsembleStep,
    ImportStep,
    PredictStep,
    SampleStep,
    SubmissionStep,
)

FULL = """
split = "data/valid"
runs = "out"
meta = "meta.json"

[sample]
videos = 2
size = [64, 48]

[[predict]]
name = "plain"
predictor = "sam2"
options = { checkpoint = "a.pt", image_size = 512, compile = false }
variant = "scale=1.25"
tta = ["hflip"]
late_objects = true

[[import]]
name = "cutie"
path = "cutie.zip"

[[ensemble]]
name = "both"
members = ["plain", "cutie"]
weights = [2, 0.5]
missing = "reweight"

[[ensemble]]
name = "all"
members = ["both", "plain"]

[submission]
run = "all"
zip = "entry.zip"
team = "team.json"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recipe.toml"


def read(path: Path, text: str) -> Recipe:
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def test_a_full_recipe_is_read(path: Path) -> None:
    assert read(path, FULL) == Recipe(
        split=Path("data/valid"),
        runs=Path("out"),
        meta=Path("meta.json"),
        sample=SampleStep(videos=2, size=(64, 48)),
        predict=(
            PredictStep(
                name="plain",
                predictor="sam2",
                options={"checkpoint": "a.pt", "image_size": 512, "compile": False},
                variant="scale=1.25",
                tta=("hflip",),
                late_objects=True,
            ),
        ),
        imports=(ImportStep("cutie", Path("cutie.zip")),),
        ensemble=(
            EnsembleStep(
                "both",
                MergeSettings(
                    members=("plain", "cutie"), weights={"plain": 2, "cutie": 0.5}
                ),
                "reweight",
            ),
            EnsembleStep("all", MergeSettings(members=("both", "plain"))),
        ),
        submission=SubmissionStep("all", Path("entry.zip"), Path("team.json")),
    )


def test_what_stands_in_a_recipe_wins_over_a_settings_file(
    path: Path, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned.toml"
    tuned.write_text(
        "[ensemble]\nmethod = 'select'\nmembers = ['plain', 'cutie']\n"
        "[ensemble.weights]\nplain = 3\ncutie = 1\n[postprocess]\nfill = true\n"
    )
    text = FULL.replace(
        'members = ["plain", "cutie"]\nweights = [2, 0.5]',
        f"settings = {str(tuned)!r}\nmethod = 'vote'",
    )
    assert read(path, text).ensemble[0].settings == MergeSettings(
        method="vote", members=("plain", "cutie"), weights={"plain": 3, "cutie": 1}
    )


def test_a_tilde_is_the_home_folder_in_every_path(path: Path) -> None:
    text = FULL
    for name in (
        "data/valid",
        "out",
        "meta.json",
        "cutie.zip",
        "entry.zip",
        "team.json",
    ):
        text = text.replace(f'"{name}"', f'"~/{name}"')
    recipe, home = read(path, text), Path.home()
    assert (recipe.split, recipe.runs) == (home / "data/valid", home / "out")
    assert recipe.meta == home / "meta.json"
    assert recipe.imports[0].path == home / "cutie.zip"
    assert recipe.submission.zip == home / "entry.zip"
    assert recipe.submission.team == home / "team.json"


def test_names_and_paths_follow_from_the_recipe(path: Path) -> None:
    recipe = read(path, FULL)
    assert recipe.names == ("plain", "cutie", "both", "all")
    assert recipe.runs_folder == Path("out")
    assert recipe.zip_path == Path("entry.zip")


SMALL = """
split = "data/valid"
[[predict]]
name = "plain"
predictor = "static"
[submission]
run = "plain"
"""


def test_a_small_recipe_has_its_defaults(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = read(path, SMALL)
    assert recipe.predict == (PredictStep("plain", "static"),)
    assert recipe.sample is None
    assert recipe.runs_folder == Path("runs/valid")
    assert recipe.zip_path == Path("runs/valid/submission.zip")
    # The folder has the name of the split, however it is reached.
    monkeypatch.chdir(tmp_path)
    here = read(path, SMALL.replace("data/valid", "."))
    assert here.runs_folder == Path("runs") / tmp_path.name


def test_another_model_takes_the_place_of_all_and_keeps_its_runs_apart(
    path: Path,
) -> None:
    recipe = read(path, FULL).with_predictor("classical", {"cells": "9"})
    (step,) = recipe.predict
    assert (step.name, step.predictor, step.options) == (
        "plain",
        "classical",
        {"cells": "9"},
    )
    assert (step.variant, step.tta) == ("scale=1.25", ("hflip",))
    assert recipe.runs_folder == Path("out-classical")


def test_the_recipe_of_the_sample_is_read(repository: Path) -> None:
    recipe = read_recipe(repository / "examples" / "sample.toml")
    assert recipe.sample is not None
    assert recipe.submission.run in recipe.names


def changed(old: str, new: str) -> str:
    assert old in FULL
    return FULL.replace(old, new)


def routed(more: str) -> str:
    """The full recipe with a route at its end."""
    return f'{FULL}\n[[route]]\nname = "r"\nrun = "plain"\n{more}\n'


def test_routes_and_ensembles_come_in_the_order_in_which_they_need_each_other(
    path: Path,
) -> None:
    text = routed("when = 'disappears'\npredictor = 'static'").replace(
        'run = "plain"', 'run = "both"', 1
    )
    recipe = read(path, text.replace('["both", "plain"]', '["r", "plain"]'))
    assert recipe.names == ("plain", "cutie", "both", "r", "all")


def test_a_second_pass_comes_after_the_runs_that_it_gets_anchors_from(
    path: Path,
) -> None:
    text = FULL.replace(
        "late_objects = true",
        "late_objects = true\n[[predict]]\nname = 'second'\npredictor = 'sam2'\n"
        "anchors = 'trusted'\ndirection = 'both'\n"
        "[[anchors]]\nname = 'trusted'\nruns = ['plain', 'cutie']\ndistance = 9",
    )
    recipe = read(path, text)
    steps = [step.name for step in recipe.steps]
    assert steps == ["plain", "cutie", "trusted", "second", "both", "all"]
    assert recipe.names == ("plain", "cutie", "second", "both", "all")
    assert recipe.prompts_of(recipe.predict[1]) == Path("out/trusted.json")
    assert recipe.anchors[0].rules.distance == 9
    for old, new, said in (
        ("runs = ['plain', 'cutie']", "runs = ['second', 'plain']", "is not made"),
        ("runs = ['plain', 'cutie']", "runs = []", "trusted: expected at least one"),
        ("'trusted'\ndir", "'other'\ndir", "[[predict]] second: anchors 'other' is"),
        ("anchors = 't", "prompts = 'p'\nanchors = 't", "has both prompts and anchors"),
        ('run = "all"', 'run = "trusted"', "no step makes the run 'trusted'"),
    ):
        assert old in text
        with pytest.raises(RecipeError) as caught:
            read(path, text.replace(old, new))
        assert said in str(caught.value)


def test_a_route_goes_the_way_of_its_run_with_other_options(path: Path) -> None:
    recipe = read(path, routed("when = 'returns'\noptions = { memory = 'dam4sam' }"))
    way = recipe.way(recipe.routes[0])
    base = recipe.predict[0]
    assert (way.name, way.predictor, way.variant) == ("r-way", "sam2", None)
    assert way.options == {**base.options, "memory": "dam4sam"}
    assert way.late_objects
    # Another model for the whole recipe is another one for the route.
    other = recipe.with_predictor("static", {})
    assert other.way(other.routes[0]).predictor == "static"
    assert other.way(other.routes[0]).options == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("split = ", "is not valid TOML: "),
        (changed('split = "data/valid"', ""), "expected the key 'split'"),
        (changed('"data/valid"', "3"), "split = 3: expected a path"),
        (
            changed('runs = "out"', 'run = "out"'),
            "unknown key 'run'; did you mean 'runs'? Legal keys are split, submission",
        ),
        (changed('runs = "out"', "runs = 7"), "runs = 7: expected a path"),
        ('split = "a"', "expected the key 'submission'"),
        (
            changed("[submission]", "[other]"),
            "unknown key 'other'; legal keys are split, submission, runs, ",
        ),
        (
            changed("[submission]", "[[submission]]"),
            'submission = [{"run": "all", "zip": "entry.zip", "team": ',
        ),
        (
            changed("[[import]]", "[import]"),
            '"path": "cutie.zip"}: expected an array of tables',
        ),
        (
            'split = "a"\npredict = [3]\n[submission]\nrun = "a"',
            "[[predict]] 1 = 3: expected a table",
        ),
        (changed('run = "all"', ""), "[submission]: expected the key 'run'"),
        (
            changed('predictor = "sam2"', ""),
            "[[predict]] plain: expected the key 'predictor'",
        ),
        (
            changed('"hflip"]', '"hflip"]\ndevice = "cuda"'),
            "[[predict]] plain: unknown key 'device'; legal keys are name, predictor, ",
        ),
        (
            changed('predictor = "sam2"', "predictor = 2"),
            "[[predict]] plain: predictor = 2: expected a text",
        ),
        (
            changed('["hflip"]', '"hflip"'),
            'tta = "hflip": expected a list of texts',
        ),
        (changed('["hflip"]', "[1]"), "tta = [1]: expected a list of texts"),
        (changed("= true", "= 1"), "late_objects = 1: expected true or false"),
        (
            changed('"a.pt"', "[1]"),
            "options.checkpoint = [1]: expected a text, a number, true or false",
        ),
        (
            changed("videos = 2", "videos = 2.5"),
            "[sample] videos = 2.5: expected a whole number",
        ),
        (
            changed("videos = 2", "videos = true"),
            "[sample] videos = true: expected a whole number",
        ),
        (changed("[64, 48]", "[64]"), "size = [64]: expected [width, height]"),
        (
            changed("[64, 48]", "[64, 4.5]"),
            "size = [64, 4.5]: expected [width, height]",
        ),
        (changed('path = "cutie.zip"', "path = 1"), "path = 1: expected a path"),
        (
            changed("[2, 0.5]", "[true, 1]"),
            "[[ensemble]] both: weights = [true, 1]: expected a list of numbers",
        ),
        (
            changed("[2, 0.5]", "[1]"),
            "[[ensemble]] both: weights: expected 2 weights, one p",
        ),
        (
            changed("[2, 0.5]", "[1, -1]"),
            "[[ensemble]] both: weights must not be ",
        ),
        (
            changed("[2, 0.5]", "[0, 0]"),
            "[[ensemble]] both: weights must not be ",
        ),
        (
            changed('"reweight"', '"reweigh"'),
            '[[ensemble]] both: missing = "reweigh": expected one of fail, reweight',
        ),
        (
            changed("[2, 0.5]", "2"),
            "[[ensemble]] both: weights = 2: expected a table or a list of numbers",
        ),
        (
            changed("[2, 0.5]", "{ plain = 2, other = 1 }"),
            "[[ensemble]] both: weights: 'other' is not a member; those are plain, c",
        ),
        (
            changed("[2, 0.5]", "[2, 1]\nmethod = 'mode'"),
            '[[ensemble]] both: method = "mode": expected one of mean_prob',
        ),
        (
            changed("[2, 0.5]", "[2, 1]\ngate = { threshold = 2 }"),
            "[[ensemble]] both: gate.threshold = 2.0: expected a number from 0 to 1",
        ),
        (
            changed("[2, 0.5]", "[2, 1]\nwieghts = 1"),
            "[[ensemble]] both: unknown key 'wieghts'; did you mean 'weights'? Legal",
        ),
        (
            changed("[2, 0.5]", "[2, 1]\nsettings = 'none.toml'"),
            "none.toml: cannot be read (No such file or directory)",
        ),
        (
            changed('["both", "plain"]', "[]"),
            "[[ensemble]] all: expected at least one memb",
        ),
        (
            changed('["both", "plain"]', '["both", "both"]'),
            "[[ensemble]] all: members: a run is a member twice; give it a weight",
        ),
        (
            changed('["plain", "cutie"]', '["plain", "all"]'),
            "[[ensemble]] both: member 'all' is not made before it; there are cutie, ",
        ),
        (
            changed('["both", "plain"]', '["all", "plain"]'),
            "[[ensemble]] all: member 'all' is not made before it; there are both, ",
        ),
        (
            changed('name = "cutie"', 'name = "plain"'),
            "two steps make a run called 'pl",
        ),
        (
            changed('name = "cutie"', 'name = "a/b"'),
            "a run cannot be called 'a/b': it has '/' in it; choose a name",
        ),
        (
            changed('name = "cutie"', 'name = ".."'),
            "a run cannot be called '..': it begins with '.'",
        ),
        (
            changed('name = "cutie"', 'name = ""'),
            "a run cannot be called '': it is empty",
        ),
        (
            changed('run = "all"', 'run = "none"'),
            "[submission]: no step makes the run 'none'; there are all, both",
        ),
        (
            'split = "a"\n[submission]\nrun = "a"',
            "[submission]: no step makes the run 'a'; there are none",
        ),
        (
            routed("when = 'area < small'"),
            "[[route]] r: when = 'area < small': expected a number, found 'small'",
        ),
        (
            routed("when = 'agreement < 0.6'"),
            "[[route]] r: agreement is that with other runs; write both agreement in "
            "when and the runs in against",
        ),
        (routed("when = 'returns'\nagainst = ['cutie']"), "and the runs in against"),
        (
            routed("when = 'returns'\nvariant = 'vflip'"),
            "[[route]] r: variant 'vflip': expected plain",
        ),
        (
            routed("when = 'returns'").replace('run = "plain"', 'run = "cutie"'),
            "[[route]] r: run 'cutie' is not made by [[predict]], so the route needs a "
            "predictor of its own",
        ),
        (
            routed("when = 'returns'").replace('run = "plain"', 'run = "all"', 1)
            + "predictor = 'static'\n[[ensemble]]\nname='x'\nmembers=['none']",
            "[[ensemble]] x: member 'none' is not made before it",
        ),
        (
            routed("when = 'returns'").replace('run = "plain"', 'run = "none"', 1)
            + "predictor = 'static'",
            "[[route]] r: run 'none' is not made before it; there are all, both, cut",
        ),
        (
            routed("when = 'returns'").replace('"cutie"', '"r-way"'),
            "two steps make a run called 'r-way'",
        ),
        (
            changed('"scale=1.25"', '"vflip"'),
            "[[predict]] plain: variant 'vflip': expected",
        ),
        (
            changed('["hflip"]', '["scale=x"]'),
            "[[predict]] plain: variant 'scale=x': expect",
        ),
    ],
)
def test_a_wrong_recipe_is_said_before_anything_is_made(
    path: Path, text: str, said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        read(path, text)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert said in message


def test_a_file_that_cannot_be_read_is_said(path: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"toml: cannot be read \(No such file"):
        read_recipe(path)
    with pytest.raises(RecipeError, match=r"cannot be read \(Is a directory"):
        read_recipe(tmp_path)
    path.write_bytes(b'split = "\xff"')
    with pytest.raises(RecipeError, match="is not UTF-8 text"):
        read_recipe(path)
