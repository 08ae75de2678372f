"""Write docs/cli.md from the commands themselves.

python tools/write_cli_docs.py           write the page
python tools/write_cli_docs.py --check   fail when the page is stale
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import click

from submit.cli import SECTIONS, cli

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"

#: Columns of the help texts, whatever the terminal of the writer is.
WIDTH = 80

INTRODUCTION = """\
# Command line

Written by `make docs` from the commands themselves; each page is what
`submit COMMAND --help` prints.
"""


def render() -> str:
    """Return the page."""
    top = click.Context(
        cli, info_name="submit", terminal_width=WIDTH, **cli.context_settings
    )
    parts = [INTRODUCTION]
    for heading, entries in SECTIONS.items():
        links = ", ".join(f"[`{name}`](#submit-{name})" for name in entries)
        parts.append(f"- {heading}: {links}\n")
    # The list stands together; everything after it is a block of its own.
    page = [parts[0], "".join(parts[1:]), block("submit", top.get_help())]
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=top)
        page.append(block(f"submit {name}", command.get_help(context)))
    return "\n".join(page)


def block(title: str, text: str) -> str:
    """Return one command's section."""
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


def main() -> int:
    """Write or check the page; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write docs/cli.md.")
    parser.add_argument("--check", action="store_true", help="fail when stale")
    page = render()
    if not parser.parse_args().check:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print(f"{PAGE.name} is stale: run `make docs` and commit it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
