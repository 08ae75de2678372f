"""Write what is made from the code in docs/: cli, methods, models and precheck.

python tools/write_docs.py           write them
python tools/write_docs.py --check   fail when one is stale
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from submit.augment import AUGMENTATIONS
from submit.checks import RULES, Severity
from submit.cli import SECTIONS, cli
from submit.ensemble import METHODS as MERGE_METHODS
from submit.formats.format import FORMATS
from submit.postprocess import FILTERS
from submit.predictors import PUBLISHED, SOURCES, PublishedModel
from submit.system.schema import Setting, settings_of
from submit_sam2.memory import POLICIES

DOCS = Path(__file__).parents[1] / "docs"

#: Columns of the help texts, independent of the terminal.
WIDTH = 80

COMMANDS = """\
# Command line

`make docs` writes this page from the commands. Each section is the output of `submit
COMMAND --help`.
"""

METHODS = """\
# What can be chosen

`make docs` writes this page from the registries in the code. Each row is one file in
the folder that its section names. A new file there adds a row here, an option of the
commands and a key of settings files.
"""

POSTPROCESSING = """\
## Post-processing

These are options of `submit export` and keys of the table `[postprocess]` of a settings
file, and `submit tune` tries them. Each filter is one file in
`submit/postprocess/filters/`. Filters that look ahead are applied first, then filters
of logits, the overlap rule, and filters of masks. [tuning.md](tuning.md) has their cost
and whether they help.
"""

MERGING = """\
## Merging

These are the names for `submit ensemble --method` and for `method` in the table
`[ensemble]` of a settings file. The settings of a method are in a table with its name,
such as `[ensemble.cascade]`. Each method is one file in `submit/ensemble/methods/`.
[ensembling.md](ensembling.md#methods) has the formulas and measurements.
"""

AUGMENTATION = """\
## Augmentations

`submit predict --variant` and `--tta` accept these; `+` combines them. Each
augmentation is one file in `submit/augment/augmentations/`.
[ensembling.md](ensembling.md#variants) explains them and has measurements.
"""

MEMORY = """\
## Memory

These are the names for `-o memory=NAME` of the predictor `sam2`. Each policy is one
file in `models/submit_sam2/memory/`; its settings are options of the predictor.
[sam2.md](sam2.md) explains them.
"""

IMPORTS = """\
## Layouts of foreign masks

`submit import` recognises these by itself, and `--format NAME` names one; each is an
object in `submit/formats/layouts/`. Soft ones hold scores, which the run keeps, so
that `submit ensemble` merges them.
[data.md](data.md#masks-of-other-programs) says more.
"""

#: Between these lines of docs/models.md is the table of published models.
MODELS_BEGIN, MODELS_END = "<!-- models: begin -->", "<!-- models: end -->"
#: The number of each source below that table.
NOTES = {key: number for number, key in enumerate(SOURCES, 1)}

PRECHECK = """\
# The precheck

`submit check ZIP|DIR|RUN --split SPLIT` reads each mask of a submission once and lists
all problems. `make docs` writes the table below from the rules in the code. The
behaviour of the server was tested with the organisers' scorer for each problem
(`tests/checks/test_defects.py` reproduces each one, with the scorer's output).

* **fatal**: the server fails the whole submission, or scores 0.
* **costly**: points are lost without a message.
* **note**: harmless today, or possibly a mistake.

The exit status is 1 if something is fatal or costly. A problem in a frame that is not
scored (the first and the last) is a note. With `--sample` the organisers' sample
submission decides the expected videos and frames. `--team` requires the `team.json` of
the test phases. `--json` prints all findings for scripts, `-o DIR` also writes them to
`check.json` there. `--part` and `--executor ray` divide the work
([cluster.md](cluster.md)).

`submit repair ZIP -o FIXED.zip --split SPLIT` repairs what needs no guesses and lists
the corrections: root folder, unrelated files, names, palette, first masks, and with
`--fill-missing` empty masks for missing ones. It never changes its input.

A zip of 66,526 masks of 1920×1080, as many as in the valid split, is checked in about a
minute on two cores. Opening its masks with Pillow takes six to seven times as long
(`python tools/bench.py check`). Masks are not kept in memory: the check takes 199 MB,
and 187 MB for a tenth of the zip.

## Names in a zip

The server unpacks a zip with Python's `zipfile.extractall` on Linux. All commands name
the files of a zip in the same way: a name ends at its first NUL; empty parts, `.`, `..`
and a leading `/` are removed; backslashes and drive letters are ordinary characters.
`./video/00000.png`, `video//00000.png` and `/video/00000.png` are all
`video/00000.png`. If several files have the same name, the last one in the zip is used.
A file that Python cannot unpack is fatal, even if it is not a mask.
"""


def render_commands() -> str:
    """Return the page of the commands."""
    top = click.Context(
        cli, info_name="submit", terminal_width=WIDTH, **cli.context_settings
    )
    parts = []
    for heading, entries in SECTIONS.items():
        links = ", ".join(f"[`{name}`](#submit-{name})" for name in entries)
        parts.append(f"- {heading}: {links}\n")
    # The list of commands is one block; everything after it is another one.
    page = [COMMANDS, "".join(parts), block("submit", top.get_help())]
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        page.extend(blocks(command, name, top))
    return "\n".join(page)


def blocks(command: click.Command, name: str, above: click.Context) -> Iterator[str]:
    """Yield the section of a command, and those of the commands in it."""
    context = click.Context(command, info_name=name, parent=above)
    yield block(context.command_path, command.get_help(context))
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from blocks(found, inner, context)


def block(title: str, text: str) -> str:
    """Return one command's section."""
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


def render_rules() -> str:
    """Return the page of the precheck's rules."""
    page = [PRECHECK]
    for severity in Severity:
        rows = [
            f"| `{code}` | {rule.consequence} | {rule.fix} |"
            for code, rule in RULES.items()
            if rule.severity is severity
        ]
        head = "| finding | what the server does | what to do |\n|---|---|---|"
        page.append(f"## Usually {severity.value}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(page)


def render_methods() -> str:
    """Return the page of what can be chosen by name."""
    policies = {name: policy.Options for name, policy in POLICIES.items()}
    return "\n".join(
        [
            METHODS,
            MERGING,
            choices(MERGE_METHODS, MERGE_METHODS),
            POSTPROCESSING,
            choices(FILTERS, FILTERS),
            AUGMENTATION,
            choices(AUGMENTATIONS, AUGMENTATIONS),
            MEMORY,
            choices(POLICIES, policies),
            IMPORTS,
            layouts(),
        ]
    )


def choices(registry: Mapping[str, type], settings: Mapping[str, type]) -> str:
    """Return the table of a registry, with the settings of each entry."""
    rows = [
        f"| `{name}` | {values(settings_of(settings[name]))} | {about(entry)} |"
        for name, entry in registry.items()
    ]
    return "| name | settings | does |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def layouts() -> str:
    """Return the table of layouts of foreign masks."""
    rows = [
        f"| `{one.name}` | `{one.layout}` | {shown(one.soft)} | {one.help} |"
        for one in FORMATS.values()
    ]
    head = "| name | files | soft | what |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def values(settings: Iterable[Setting]) -> str:
    """Return names, defaults and legal values."""
    return "<br>".join(
        f"`{one.name} = {shown(one.default)}`: {one.expected}" for one in settings
    )


def shown(value: object) -> str:
    """Return a default in the syntax of a settings file."""
    plain = value is None or isinstance(value, bool)
    return str(value).lower() if plain else str(value)


def about(entry: object) -> str:
    """Return the first paragraph of a docstring as one line."""
    text = inspect.getdoc(entry) or ""
    return " ".join(text.partition("\n\n")[0].split())


def render_models() -> str:
    """Return docs/models.md with the table of published models as the code has it."""
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    before, begin, rest = page.partition(MODELS_BEGIN)
    _, end, after = rest.partition(MODELS_END)
    return f"{before}{begin}\n\n{published()}\n{end}{after}"


def published() -> str:
    """Return the table of published models."""
    head = (
        "| model | J&Ḟ | d | r | FPS, GiB | input | licence | predictor | good for |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    rows = [
        f"| {one.model} | {cell(one.score)}{note(one.source)} "
        f"| {cell(one.disappearance)} | {cell(one.reappearance)} "
        f"| {cost(one)} | {one.sizes} | {licence(one)} "
        f"| {runs(one)} | {one.strength} |"
        for one in PUBLISHED
    ]
    notes = [f"{number}. {SOURCES[key]}" for key, number in NOTES.items()]
    return head + "\n".join(rows) + "\n\n" + "\n".join(notes) + "\n"


def cell(value: float | None) -> str:
    """Return a score, or a dash."""
    return "–" if value is None else f"{value:.1f}"


def note(source: str | None) -> str:
    """Return the number of a source, raised."""
    return "" if source is None else f"<sup>{NOTES[source]}</sup>"


def cost(one: PublishedModel) -> str:
    """Return published speed and memory, and the machine."""
    found = [] if one.speed is None else [f"{one.speed:g}"]
    found += [] if one.memory is None else [f"{one.memory:g}"]
    return f"{', '.join(found)} ({one.machine})" if found else "–"


def licence(one: PublishedModel) -> str:
    """Return the licence; one that forbids commercial use is marked."""
    return one.licence if one.commercial else f"{one.licence}; **non-commercial**"


def runs(one: PublishedModel) -> str:
    """Return the predictor with its options."""
    words = f"{one.predictor} {one.options}".rstrip()
    return "–" if one.predictor is None else f"`{words}`"


PAGES = {
    "cli.md": render_commands,
    "methods.md": render_methods,
    "models.md": render_models,
    "precheck.md": render_rules,
}


def main() -> int:
    """Write or check the pages; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the generated pages of docs/.")
    parser.add_argument("--check", action="store_true", help="fail when stale")
    checking = parser.parse_args().check
    stale = []
    for name, render in PAGES.items():
        path, page = DOCS / name, render()
        if not checking:
            path.write_text(page, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != page:
            stale.append(name)
    if stale:
        verb = "is" if len(stale) == 1 else "are"
        print(
            f"{' and '.join(stale)} {verb} stale: run `make docs` and commit",
            file=sys.stderr,
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
