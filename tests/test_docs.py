from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from submit.cli import SECTIONS, cli
from tests.sources import parsed

NAMES = [name for entries in SECTIONS.values() for name in entries]


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help_with_an_example_of_itself(name: str) -> None:
    text = inspect.cleandoc(command(name).help or "")
    _, found, example = text.partition("\n\n\b\nExample:\n")
    assert found, "no \\b Example: block"
    assert re.match(rf"  submit {name}\b", example)


@pytest.mark.parametrize("name", NAMES)
def test_each_option_of_a_command_has_help(name: str) -> None:
    without = [
        option.name
        for option in command(name).params
        if isinstance(option, click.Option) and not option.help
    ]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_each_argument_of_a_command_is_explained(name: str) -> None:
    found = command(name)
    without = [
        argument.human_readable_name
        for argument in found.params
        if isinstance(argument, click.Argument)
        and argument.human_readable_name not in (found.help or "")
    ]
    assert without == []


def test_the_page_of_commands_is_up_to_date(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, repository / "tools" / "write_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_each_command_is_on_the_page(name: str, repository: Path) -> None:
    page = (repository / "docs" / "cli.md").read_text("utf-8")
    assert f"\n## submit {name}\n" in page


def test_the_readme_is_short(repository: Path) -> None:
    assert len((repository / "README.md").read_text("utf-8").splitlines()) <= 150


def test_every_fault_names_tests_that_are_there(repository: Path) -> None:
    rows = [
        line.rpartition(" | ")[2]
        for line in (repository / "docs" / "faults.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    named = [re.findall(r"`(tests/[a-z0-9_/]+\.py)`", row) for row in rows]
    # Each table has a head.
    assert rows.count("test |") == named.count([])
    missing = [
        path for row in named for path in row if not (repository / path).exists()
    ]
    assert missing == []


def pages() -> list[Path]:
    root = Path(__file__).parents[1]
    return [root / "README.md", root / "CHANGELOG.md", *sorted(root.glob("docs/*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    inside = [t.partition("#")[0] for t in targets if "://" not in t]
    assert [t for t in inside if t and not (page.parent / t).exists()] == []


def test_each_place_that_the_page_on_the_design_names_exists(repository: Path) -> None:
    page = (repository / "docs" / "design.md").read_text("utf-8")
    rows = re.findall(r"^\| … .*\? \| `(.+)` \| `(\w+)` \|$", page, re.MULTILINE)
    assert len(rows) >= 17
    for path, name in rows:
        tree = parsed(repository / path)
        defined = {
            target.id if isinstance(target, ast.Name) else target.name
            for node in tree.body
            for target in (
                node.targets
                if isinstance(node, ast.Assign)
                else [getattr(node, "target", node)]
            )
            if isinstance(target, (ast.Name, ast.ClassDef, ast.FunctionDef))
        }
        assert name in defined, f"{path} defines no {name}"


#: Idioms, old words and personifications that are hard to read for people who learned
#: English as a second language. Regular expressions.
NOT_PLAIN = (
    *("anew", "anybody", "anyhow", "beforehand", "everybody", "foretell", "foretold"),
    *("forever", "hereby", "lest", "mends?", "mended", "nobody", "obituary", "seldom"),
    *("somebody", "thereof", "whatever", "whence", "whereof", "wherever", "whoever"),
    *("awake", "beyond doubt", "by and by", "comes? back", "equal without it"),
    *("for ever", "for want of", "goes away", "ha[sd] a say", "have (a|no) say"),
    *("in a nutshell", "in arrears", "in the clear"),
    *("is gone", "are gone", "makes? way", "must be there", "of its own accord"),
    *("on a leash", "slip of the pen", "takes? turns", "tells? apart", "told apart"),
    *("that (is|are) there", "what the machine bears", "what there is"),
)


@pytest.mark.parametrize(
    "place",
    [
        *("CHANGELOG.md", "Makefile", "README.md"),
        *("docs", "examples", "models", "submit", "tests", "tools"),
    ],
)
def test_words_are_plain(place: str, repository: Path) -> None:
    root = repository / place
    pages = [root] if root.is_file() else sorted(root.rglob("*"))
    words = re.compile(rf"\b({'|'.join(NOT_PLAIN)})\b", re.IGNORECASE)
    found = [
        f"{page.relative_to(repository)}: {match[0]}"
        for page in pages
        if page.suffix in (".md", ".py", ".toml") or page.name == "Makefile"
        if page != Path(__file__)
        for match in words.finditer(" ".join(page.read_text("utf-8").split()))
    ]
    assert found == []
