from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

#: Pages that the site makes from other files.
MADE = {"index.md", "changelog.md", "reference.md"}


def test_each_page_is_in_the_navigation_once(repository: Path) -> None:
    text = (repository / "mkdocs.yml").read_text("utf-8")
    listed = re.findall(r"^ +- .+: (\S+\.md)$", text, flags=re.MULTILINE)
    pages = {page.name for page in (repository / "docs").glob("*.md")} | MADE
    assert sorted(listed) == sorted(pages)


class Places(HTMLParser):
    """The ids of a page, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value and tag in ("a", "img"):
                self.links.add(value)


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_its_links_lead_somewhere(
    repository: Path, tmp_path: Path
) -> None:
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(package)
    site = tmp_path / "site"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"),
            *("--site-dir", site),
        ],
        cwd=repository,
        env={"PATH": "", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    pages = {}
    for path in site.glob("*.html"):
        pages[path.name] = Places()
        pages[path.name].feed(path.read_text("utf-8"))
    wrong = []
    for name, page in pages.items():
        for link in page.links if name != "404.html" else ():
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = unquote(url.path) or name
            there = (site / target).is_file()
            if there and url.fragment:
                there = unquote(url.fragment) in pages[target].ids
            if not there:
                wrong.append(f"{name}: {link}")
    assert wrong == []
    assert len(pages) > 20
    assert "open_split" in (site / "reference.html").read_text("utf-8")
