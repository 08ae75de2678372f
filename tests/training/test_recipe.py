from __future__ import annotations

from pathlib import Path

import pytest

from submit.errors import RecipeError, TrainingError
from submit.training import registry
from submit.training.recipe import plain, read_recipe

RECIPES = Path(__file__).parents[2] / "examples" / "train"


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


SHORT = """
trainer = "sam2"
[model]
scratch = true
[[data]]
path = "train"
"""


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_each_example_is_legal(path: Path) -> None:
    recipe, kind = read_recipe(path)
    assert kind.__name__ == "Sam2Trainer"
    assert recipe.validation.split == Path("holdout")


def test_the_official_recipe_is_made_of_defaults(tmp_path: Path) -> None:
    official, _ = read_recipe(RECIPES / "mose.toml")
    short, _ = read_recipe(
        write(tmp_path, SHORT),
        ["validation.split=holdout", "validation.every=1000"],
    )
    found, defaults = official.deciding(), short.deciding()
    del found["options"]["model"]["scratch"], defaults["options"]["model"]["scratch"]
    assert found == defaults


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["schedules.steps=3"], r"unknown key 'schedules'; did you mean 'schedule'"),
        (["schedule.step=3"], r"\[schedule\] unknown key 'step'|unknown key 'step'"),
        (["schedule.steps=0"], r"\[schedule\] steps = 0: expected a whole number of"),
        (["model.name=sam9"], r"\[model\] name = \"sam9\": expected one of sam2.1"),
        (["clips.short=loop"], r"\[clips\] short = \"loop\": expected one of skip"),
        (["augment.zoom=[2, 1]"], r"\[augment\] zoom.* expected \[smallest, largest\]"),
        (["data.steps=[]"], r"\[\[data\]\] 1: steps"),
        (["data.masks=a", "data.annotations=b"], r"\[\[data\]\] 1.*both"),
        (["schedule.clips=8", "schedule.batch=3"], r"batch = 3: expected a divisor"),
        (["average.method=greedy"], "needs scores: name a hold-out"),
        (["prompts.points=1.5"], r"\[prompts\] points = 1.5: expected a number from"),
        (["steps"], "expected table.key=value"),
        (["seed.value=3"], "seed is no table"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_value_is_named_with_what_is_legal(
    tmp_path: Path, changes: list[str], words: str
) -> None:
    text = SHORT + "[prompts]\nboxes = 0.5\n"
    with pytest.raises(RecipeError, match=words):
        read_recipe(write(tmp_path, "seed = 1\n" + text), changes)


def test_values_of_the_command_line_are_toml_or_plain_texts(tmp_path: Path) -> None:
    recipe, _ = read_recipe(
        write(tmp_path, SHORT),
        ["data.path=a/b c", "data.steps=[1, 2]", "seed=7", 'model.freeze=["encoder"]'],
    )
    assert recipe.data[0].path == Path("a/b c")
    assert recipe.data[0].steps == (1, 2)
    assert recipe.seed == 7
    assert plain(recipe)["options"]["model"]["freeze"] == ["encoder"]


def test_a_recipe_without_a_trainer_or_with_an_unknown_one_is_an_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(RecipeError, match="expected a key trainer"):
        read_recipe(write(tmp_path, "seed = 1"))
    with pytest.raises(TrainingError, match="no trainer called 'sam9' is installed"):
        read_recipe(write(tmp_path, 'trainer = "sam9"'))
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")


def test_a_broken_trainer_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from importlib.metadata import EntryPoint

    def points() -> dict[str, EntryPoint]:
        return {
            "lost": EntryPoint("lost", "no_such_module:Trainer", registry.GROUP),
            "odd": EntryPoint("odd", "pathlib:Path", registry.GROUP),
        }

    monkeypatch.setattr(registry, "installed", points)
    with pytest.raises(TrainingError, match=r"lost .* cannot be imported: ModuleNot"):
        registry.load("lost")
    with pytest.raises(TrainingError, match=r"odd .* has no Options and no describe"):
        registry.load("odd")


def test_files_and_the_machine_do_not_decide(tmp_path: Path) -> None:
    path = write(tmp_path, SHORT)
    one, _ = read_recipe(path)
    other, _ = read_recipe(path, ["data.path=elsewhere", "run.save=3"])
    assert one.deciding() == other.deciding()
    assert read_recipe(path, ["seed=2"])[0].deciding() != one.deciding()
