"""Names of weights stand for files that are found, and never for a download."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.errors import OptionError, PredictorError, WeightsError
from submit.predictors import installed, parse_options
from submit.weights import KNOWN, Weights, find, own_folder, resolve
from submit_command.options import CommandOptions
from submit_sam2 import Sam2Options
from submit_sam2.config import MODELS, NARROW
from submit_sam2.training import Sam2Trainer
from submit_sam2.training.options import ModelTable, Sam2TrainerOptions
from tests.weights.site import Served, serving

NAME = "sam2.1_hiera_tiny"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Known weights of four bytes."""
    found = replace(KNOWN[NAME], size=4)
    monkeypatch.setattr("submit.weights.places.KNOWN", {**KNOWN, NAME: found})
    return found


def put(*parts: str, content: bytes = b"good") -> Path:
    path = Path(os.environ["HOME"], *parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_known_weights_are_complete() -> None:
    assert {name for name in MODELS if name != NARROW} <= KNOWN.keys()
    files = [one.file for one in KNOWN.values()]
    assert len(files) == len(set(files))
    for name, one in KNOWN.items():
        assert one.name == name
        assert one.url.startswith("https://")
        assert one.sha256 is None or re.fullmatch("[0-9a-f]{64}", one.sha256)
        assert one.use.split()[0] in installed()
        assert one.licence


def test_each_file_of_options_that_is_named_exists(repository: Path) -> None:
    for one in KNOWN.values():
        if named := re.search("@(.*)", one.use):
            assert (repository / named[1]).is_file()


def test_weights_are_found_in_all_caches(small: Weights) -> None:
    assert find(small) is None
    hub = ".cache/huggingface/hub/models--facebook--sam2.1-hiera-tiny"
    torch = put(".cache", "torch", "hub", "checkpoints", small.file)
    assert find(small) == torch
    old = put(*hub.split("/"), "snapshots", "aaa", small.file)
    assert find(small) == old
    new = put(*hub.split("/"), "snapshots", "bbb", small.file)
    put(*hub.split("/"), "refs", "main", content=b"bbb\n")
    assert find(small) == new
    own = put(".cache", "mose-submit", "weights", small.file)
    assert find(small) == own
    own.write_bytes(b"only a part")
    assert find(small) == new


def test_the_caches_are_where_their_variables_say(
    small: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / small.file).write_bytes(b"good")
    assert find(small) == tmp_path / "hub" / "checkpoints" / small.file
    snapshot = tmp_path / "h" / "models--facebook--sam2.1-hiera-tiny/snapshots/x"
    snapshot.mkdir(parents=True)
    (snapshot / small.file).write_bytes(b"good")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "h"))
    assert find(small) == snapshot / small.file
    monkeypatch.delenv("HF_HUB_CACHE")
    assert find(small) == tmp_path / "hub" / "checkpoints" / small.file
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "h").rename(tmp_path / "home" / "hub")
    assert find(small) == tmp_path / "home" / "hub" / Path(*snapshot.parts[-3:]) / (
        small.file
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert own_folder() == tmp_path / "cache" / "mose-submit" / "weights"
    monkeypatch.setenv("SUBMIT_WEIGHTS", str(tmp_path / "own"))
    assert own_folder() == tmp_path / "own"


def test_a_name_stands_for_its_file_and_a_path_for_itself(
    small: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = put(".cache", "mose-submit", "weights", small.file)
    assert resolve(NAME) == str(own)
    assert resolve("~/x.pt") == os.path.expanduser("~/x.pt")
    Path(NAME).write_bytes(b"mine")
    assert resolve(NAME) == NAME


def test_an_option_takes_names(small: Weights) -> None:
    put(".cache", "mose-submit", "weights", small.file)
    options = parse_options("sam2", Sam2Options, [f"checkpoint={NAME}"])
    assert options.checkpoint is not None
    assert options.checkpoint.endswith(f"mose-submit/weights/{small.file}")


def test_weights_that_are_not_there_are_an_error_with_the_command() -> None:
    with pytest.raises(OptionError) as caught:
        parse_options("sam2", Sam2Options, [f"checkpoint={NAME}"])
    assert str(caught.value) == (
        f"option checkpoint={NAME}: the weights {NAME} are not on this machine; run: "
        f"submit weights fetch {NAME}"
    )
    with pytest.raises(
        WeightsError, match=r"accept the SAM License .* then run: submit"
    ):
        resolve("sam3")


def test_the_list_says_what_is_where(runner: CliRunner, small: Weights) -> None:
    own = put("mine", small.file)
    result = runner.invoke(cli, ["weights", "--folder", str(own.parent), "--json"])
    assert result.exit_code == 0, result.stderr
    # What the command lists has the true size, which this file has not.
    assert '"path": null' in result.stdout
    shown = runner.invoke(cli, ["weights", "list", "sam3"]).stdout
    assert "no; access on request" in shown
    assert "SAM License" in shown


def test_a_recipe_of_training_and_the_files_of_a_command_take_names(
    small: Weights,
) -> None:
    own = put(".cache", "mose-submit", "weights", small.file)
    table = ModelTable(name=NAME, checkpoint=Path(NAME))
    described = Sam2Trainer(Sam2TrainerOptions(model=table), device="cpu").describe()
    assert described.checkpoint == hashlib.sha256(b"good").hexdigest()
    options = CommandOptions(
        run="track {weights} {frames} {out}", files=f"weights={NAME}"
    )
    assert options.named_files() == {"weights": own}
    table = ModelTable(name=NAME, checkpoint=Path("sam3"))
    with pytest.raises(
        PredictorError, match="checkpoint=sam3: the weights sam3 are not"
    ):
        Sam2Trainer(Sam2TrainerOptions(model=table), device="cpu").describe()


def test_the_command_fetches_and_says_how_the_digest_was_compared(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as site:
        site.files["/w.pt"] = Served(b"good")
        known = replace(KNOWN["xmem"], url=f"{site.url}/w.pt")
        monkeypatch.setattr("submit.weights.KNOWN", {"xmem": known})
        first = runner.invoke(cli, ["weights", "fetch", "xmem"])
        assert first.exit_code == 0, first.stderr
        assert "recorded now; none is published" in first.stdout
        assert first.stderr.splitlines()[0] == "xmem: 4 B"
        again = runner.invoke(cli, ["weights", "fetch", "xmem", "--json"])
        (found,) = json.loads(again.stdout)
        assert (found["compared"], found["new"]) == ("recorded", False)
        listed = runner.invoke(cli, ["weights", "--json"])
        assert json.loads(listed.stdout)[0]["path"] == found["path"]


def test_the_command_needs_names_that_are_known(runner: CliRunner) -> None:
    assert runner.invoke(cli, ["weights", "fetch"]).exit_code == 2
    unknown = runner.invoke(cli, ["weights", "list", "sam9"])
    assert unknown.exit_code == 1
    assert (
        "no weights called sam9 are known; did you mean 'sam3'? Expected "
        "sam2.1_hiera_tiny, "
    ) in unknown.stderr
