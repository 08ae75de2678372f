"""Print the lowest versions that setup.cfg allows, as constraints for pip.

    python tools/lowest.py > lowest.txt
    python tools/lowest.py --keep torch==2.13.0 > lowest.txt

`make lowest` installs them and runs the tests. `--keep` puts another version in the
place of a lowest one, such as one that is on this machine already.
"""

from __future__ import annotations

import argparse
import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Name, brackets with extras, the lowest version, and what follows, such as a marker.
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?(?:>=([\w.]+))?\s*(;.*)?")


def lowest(setup: Path, keep: list[str]) -> list[str]:
    """List `name==version` of each requirement and extra that names a lowest version.

    Args:
        setup: The `setup.cfg`.
        keep: `name==version` of packages that get another version.

    Raises:
        ValueError: A requirement is written in another way than `name>=version`, or one
            package has two lowest versions.
    """
    parser = configparser.ConfigParser()
    parser.read(setup, encoding="utf-8")
    texts = [parser.get("options", "install_requires")]
    texts += [text for _, text in parser.items("options.extras_require")]
    found: dict[str, str] = {}
    for line in filter(None, "\n".join(texts).split("\n")):
        match = _REQUIREMENT.fullmatch(line)
        if match is None:
            raise ValueError(f"{setup}: {line!r}: expected name>=version")
        name, version, marker = match.groups()
        if version is None:
            continue
        pinned = f"{name}=={version}{marker or ''}"
        if found.setdefault(name, pinned) != pinned:
            raise ValueError(f"{setup}: {name} has two lowest versions")
    for one in keep:
        found[one.split("==")[0]] = one
    return [found[name] for name in sorted(found)]


def main() -> None:
    """Print them, one a line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--keep", action="append", default=[], metavar="NAME==VERSION")
    print("\n".join(lowest(ROOT / "setup.cfg", parser.parse_args().keep)))


if __name__ == "__main__":
    main()
