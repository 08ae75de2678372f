"""Pages of the site that are made from other files, for mkdocs (see mkdocs.yml).

The quickstart is the README, the changes are CHANGELOG.md, and the API reference is
made from the docstrings. Links to files that are not pages become the name of the file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import submit

ROOT = Path(__file__).parents[1]

#: Pages that are files elsewhere in the repository.
ELSEWHERE = {"index.md": "README.md", "changelog.md": "CHANGELOG.md"}

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:]+)(#[^)]*)?\)")
_IMAGE = re.compile(r"(!\[[^\]]*\]\()docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    for name, path in ELSEWHERE.items():
        content = (ROOT / path).read_text("utf-8")
        files.append(File.generated(config, name, content=content))
    files.append(File.generated(config, "reference.md", content=reference()))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Let links lead to pages of the site, or be the name of a file."""
    name = page.file.src_uri
    folder = "" if name in ELSEWHERE else "docs"

    def target(match: re.Match[str]) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        path = posixpath.normpath(posixpath.join(folder, link))
        for made, source in ELSEWHERE.items():
            if path == source:
                return f"[{text}]({made}{anchor})"
        uri = path.removeprefix("docs/")
        if path.startswith("docs/") and files.get_file_from_path(uri):
            return f"[{text}]({uri}{anchor})"
        return text if path in text else f"{text} (`{path}`)"

    markdown = _LINK.sub(target, markdown)
    return _IMAGE.sub(r"\1", markdown)


def reference() -> str:
    """The page with the docstrings of everything that `submit` exports."""
    names = "\n\n".join(f"::: submit.{name}" for name in submit.__all__)
    return (
        "# API reference\n\nWhat `import submit` gives. [In scripts and notebooks]"
        f"(api.md) shows how it is used.\n\n{names}\n"
    )
