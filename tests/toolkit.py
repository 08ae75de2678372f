"""The toolkit with one file more, for tests of what is one file and its registry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]


class Toolkit:
    """A working tree of links to this one, in which a test has added a file."""

    def __init__(self, folder: Path, added: str, text: str) -> None:
        """Link the tree into a folder and add a file.

        Args:
            folder: An existing empty folder.
            added: The file, by its path in the working tree.
            text: What it holds.
        """
        self.folder = folder
        *parents, name = Path(added).parts
        there, here = ROOT, folder
        for parent in (*parents, None):
            for path in there.iterdir():
                if path.name not in (parent, "__pycache__"):
                    (here / path.name).symlink_to(path)
            if parent is not None:
                there, here = there / parent, here / parent
                here.mkdir()
        (here / name).write_text(dedent(text))

    def run(self, code: str) -> list[str]:
        """Run Python code with the packages and tests of the tree.

        Returns:
            The lines that it prints.
        """
        paths = [self.folder, self.folder / "models", self.folder / "tools"]
        done = subprocess.run(
            [sys.executable, "-c", dedent(code)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "COLUMNS": "200",
            },
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()
