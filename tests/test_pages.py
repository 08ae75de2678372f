"""The commands on the pages: each is one, and what runs prints what the page shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.system.tables import read_toml
from tests.conftest import ROOT
from tests.submissions import TEAM

PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
)
#: The help of all commands, whose examples are not in one order.
HELP = "docs/cli.md"

#: Start of commands that need what a test has not: an account, weights, runs of models.
ELSEWHERE = (
    "submit anchors",
    "submit import other",
    "submit login",
    "submit doctor",
    "submit upload",
    "submit train",
    "make test",
    "make submission DATA",
)
#: Words of commands on weights, data, storages and packages that a test has not.
FOREIGN = re.compile(
    r"\b(sam2|sam3|cutie|centre|command|trainings|holdout|half2)\b|mp4|://|…"
)

#: A detection in a video of the sample, as COCO has it.
BOXES = {
    "images": [{"id": 1, "file_name": "vanish/00003.jpg"}],
    "annotations": [{"image_id": 1, "object_id": 1, "bbox": [5, 5, 20, 20]}],
}

#: Keys of a recipe's table of the sample.
SAMPLE = ("videos", "frames", "size", "seed")

#: Durations and speeds, which vary; a step that is done says "unchanged" there.
VARYING = re.compile(
    r"\b(?:unchanged|\d+ h \d+ min|(?:\d+ min )?[\d.]+ s|[\d.]+ frames/s)(?= |,|$)"
)


@dataclass(frozen=True)
class Shown:
    """A command on a page, and the lines below it."""

    line: str
    output: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.line, comments=True)

    @property
    def runs_here(self) -> bool:
        return not (
            self.line.startswith(ELSEWHERE)
            or not self.line.startswith(("submit ", "make "))
            or FOREIGN.search(self.line)
            or any(word.isupper() for word in self.arguments)
        )


def blocks(page: Path) -> Iterator[list[str]]:
    """Yield the lines of each fenced or indented block of a page."""
    block: list[str] | None = None
    fenced, is_help = False, page.samefile(ROOT / HELP)
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            if block:
                yield block
            fenced, block = not fenced, []
        elif fenced and block is not None:
            block.append(line.removeprefix("    ") if is_help else line)
        elif line.startswith("    ") and not fenced:
            block = [*(block or []), line[4:]]
        elif block:
            yield block
            block = None
    if block:
        yield block


def shown_on(page: Path) -> Iterator[Shown]:
    """Yield the commands of a page, with their output where it is shown."""
    for block in blocks(page):
        joined = "\n".join(block).replace("\\\n", " ").split("\n")
        prompts = any(line.startswith("$ ") for line in joined)
        begin = [
            number
            for number, line in enumerate(joined)
            if line.startswith("$ " if prompts else ("submit ", "make "))
        ]
        for start, end in pairwise([*begin, len(joined)]):
            # Without prompts a description may stand behind a gap.
            line = re.split(r" {3,}(?=[a-z])", joined[start].removeprefix("$ "))[0]
            output = joined[start + 1 : end] if prompts else []
            yield Shown(line, tuple(text.rstrip() for text in output))


def parse(arguments: list[str]) -> None:
    """Parse a command as the command line does, without looking at its files."""
    command: click.Command = cli
    # With its settings, since a command keeps the names of its option for help.
    context = click.Context(cli, **cli.context_settings)
    words = list(arguments)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{words[0]} is no command"
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    values, _, _ = command.make_parser(context).parse_args(list(words))
    for parameter in command.params:
        value = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)


@pytest.mark.parametrize("page", PAGES)
def test_each_command_on_a_page_is_one(page: str) -> None:
    for shown in shown_on(ROOT / page):
        if shown.line.startswith("submit "):
            try:
                parse(shown.arguments[1:])
            except click.UsageError as error:
                pytest.fail(f"{page}: {shown.line}\n{error.format_message()}")


def test_each_target_of_make_that_is_named_is_one() -> None:
    named = set()
    for path in (".ci/run", ".github/workflows/ci.yml", "CHANGELOG.md", *PAGES):
        text = (ROOT / path).read_text("utf-8")
        lines = r"^(?:\$ | *- run: )?make ([a-z-]+(?: [a-z-]+)*)"
        for words in re.findall(rf"`make ([a-z-]+)|{lines}", text, re.MULTILINE):
            named.update(" ".join(words).split())
    listed = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    assert named >= {"submission", "test", "test-slow", "docs", "docs-check", "build"}
    assert sorted(named - set(listed)) == []


@pytest.mark.slow
def test_the_commands_of_the_readme_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = [shown for shown in shown_on(ROOT / "README.md") if shown.runs_here]
    (recipe,) = (shown for shown in commands if shown.line == "make submission")
    # The first block is for people who have masks; here they have those of the others.
    begin = [shown for shown in commands if re.search(r"\bmine\b", shown.line)]
    settings = read_toml(ROOT / "examples" / "sample.toml")["sample"]
    videos, frames, size, seed = (settings[key] for key in SAMPLE)
    run(
        f"sample work/sample --videos {videos} --frames {frames} --seed {seed} "
        f"--size {size[0]}x{size[1]}"
    )
    for shown in commands:
        if shown not in (*begin, recipe):
            check(shown)
    # The recipe makes the same runs in a folder of its own, and finds them made.
    shutil.copytree("runs", "work/runs")
    shutil.move("work/runs", "runs/sample")
    check(recipe)
    link_data(tmp_path)
    shutil.copy("both.zip", "masks.zip")
    for shown in begin:
        check(shown)
    assert len(begin) == 3
    assert len(commands) > 8


@pytest.mark.slow
def test_the_commands_of_other_pages_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    link_data(tmp_path)
    predict = "predict work/sample --predictor static"
    for line in (
        "sample work/sample --frames 13 --size 64x48",
        f"{predict} --name plain",
        f"{predict} --variant hflip --name flipped",
        f"{predict} --variant scale=0.5 --name zoomed",
        "ensemble plain flipped --name both",
        "ensemble plain zoomed --name other",
        "tune plain flipped --split work/sample -o tuned.toml",
    ):
        run(line)
    (tmp_path / "team.json").write_text(json.dumps(TEAM))
    (tmp_path / "boxes.json").write_text(json.dumps(BOXES))
    commands = [
        shown
        for page in PAGES
        if page not in ("README.md", HELP)
        for shown in shown_on(ROOT / page)
        if shown.runs_here and not shown.output
    ]
    for shown in commands:
        check(shown)
    assert len(commands) > 12


def link_data(folder: Path) -> None:
    """Let the sample be the data of MOSEv2."""
    (folder / "MOSEv2").mkdir()
    for name in ("valid", "train"):
        (folder / "MOSEv2" / name).symlink_to(folder / "work" / "sample")


def run(line: str) -> Result:
    """Run a command that must succeed."""
    done = CliRunner().invoke(cli, shlex.split(line))
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return done


def check(shown: Shown) -> None:
    """Run a command of a page; it prints the lines that the page shows."""
    words = shown.arguments
    if words == ["make", "submission"]:
        # The command of that target in the Makefile.
        words = ["submit", "build", "examples/sample.toml"]
    printed = iter(masked(run(shlex.join(words[1:])).output))
    # A page may leave lines of progress out.
    missing = [line for line in masked("\n".join(shown.output)) if line not in printed]
    assert missing == [], shown.line


def masked(text: str) -> list[str]:
    """Return the words of each line of a text, without what varies."""
    lines = [VARYING.sub("#", line).split() for line in text.splitlines()]
    return [" ".join(words) for words in lines if words]
