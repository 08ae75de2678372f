"""The report's page in a real browser, from disk; skipped without Chromium."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from submit.cli import cli

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("here")]

#: What every script has: an element by its id, a turn of the event loop, and keys.
TOOLS = """
const $ = (id) => document.getElementById(id);
const $$ = (s) => [...document.querySelectorAll(s)];
const texts = (s) => $$(s).map((one) => one.textContent);
const turn = (time = 50) => new Promise((resolve) => setTimeout(resolve, time));
const press = (key, target = document.activeElement) => target.dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const put = (id, value, kind = "input") => {
  $(id).value = value;
  $(id).dispatchEvent(new Event(kind));
};
const view = async () => {
  $$("button.open")[0].click();
  await until(() => $("viewer").open);
};
const until = async (true_) => { while (!true_()) await turn(); };
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A report on two runs with truth."""
    line = ["report", "one", "two", "--split", "split", "-o", str(tmp_path / "r")]
    done = CliRunner().invoke(cli, line)
    assert done.exit_code == 0, done.output
    return tmp_path / "r" / "index.html"


def driven(
    page: Path, script: str, *flags: str, link: str = "", quiet: bool = True
) -> Any:
    """Open a page, run a script in it and return what it returns.

    Args:
        page: The page, which is copied.
        script: The body of an asynchronous function.
        flags: Of the browser.
        link: Ends the address.
        quiet: Whether nothing may come in the console.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    copy = page.with_name("driven.html")
    # The page's policy forbids scripts inside it.
    page.with_name("driven.js").write_text(
        f"{TOOLS}(async () => {{ {script} }})().then((found) => "
        "{ document.documentElement.dataset.found = JSON.stringify(found); });"
    )
    run = '<script src="driven.js"></script>'
    text = page.read_text("utf-8")
    assert "</body>" in text
    copy.write_text(text.replace("</body>", f"{run}</body>"), "utf-8")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"),
            *flags,
            f"file://{copy}{link}",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert not quiet or "CONSOLE" not in done.stderr
    assert 'data-ready="yes"' in done.stdout
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, "the script did not end"
    return json.loads(html.unescape(found[1]))


def test_a_link_opens_an_object(page: Path) -> None:
    found = driven(
        page,
        """await until(() => $("viewer").open);
        return [$("h-viewer").textContent, texts("figcaption")];""",
        link="#object-0",
    )
    assert found == ["a, object 1", ["truth", "one", "two"]]


def test_the_table_is_sorted_and_filtered(page: Path) -> None:
    found = driven(
        page,
        """const cell = (i) => (row) => row.cells[i].textContent;
        const rows = () => $$("#table tbody tr").map((r) => cell(0)(r) + cell(1)(r));
        const heads = () => $$("#table thead th");
        const click = (i) => heads()[i].firstChild.click();
        const sorts = () => heads().map((h) => h.getAttribute("aria-sort"));
        click(1); const upward = [rows(), sorts()[1]];
        click(1); const downward = [rows(), sorts()[1]];
        put("filter", "B, object");
        const some = [rows().sort(), $("count").textContent];
        put("filter", "nothing has this name");
        return { upward, downward, some, none: rows() };""",
    )
    assert found["upward"] == [["a1", "b1", "a2", "b2"], "ascending"]
    assert found["downward"] == [["a2", "b2", "a1", "b1"], "descending"]
    assert found["some"] == [["b1", "b2"], "2 of 4 objects"]
    assert found["none"] == []


def test_marks_lead_to_their_frames_and_findings_filter_objects(page: Path) -> None:
    found = driven(
        page,
        """await view();
        const marks = texts("#marks li"); $("frame").value = 3;
        press("End"); $$("#marks button")[0].click();
        const at = +$("frame").value; $("viewer").close();
        const rows = (code) => { put("finding", code, "change");
          return $$("#table tbody tr").length; };
        return { marks, at, kinds: texts("#finding option"),
          rows: ["*", "-", "frozen"].map(rows) };""",
    )
    assert found["marks"][0] == "frame 00000: first mask"
    assert found["at"] == 0
    assert found["kinds"][-1] == "frozen (4)"
    assert found["rows"] == [4, 0, 4]


def test_the_viewer_is_driven_by_keys(page: Path) -> None:
    found = driven(
        page,
        """await view();
        const at = () => +$("frame").value, seen = [];
        const key = (k) => { press(k); seen.push(at()); };
        seen.push(document.activeElement.id);
        key("ArrowRight"); key("ArrowRight"); key("ArrowLeft"); key("End"); key("Home");
        press("d");
        const difference = $$("#panes .layer").map((l) => l.style.backgroundImage);
        press("d"); press("w"); const wipe = texts("figcaption");
        press("w"); press("+"); const zoom = $$("#panes .zoomed")[0].style.transform;
        press(" "); const playing = $("play").textContent;
        await until(() => $("play").textContent === "Play");
        const last = at(); $("viewer").close();
        const max = +$("frame").max;
        return { seen, difference, wipe, zoom, playing, last, max };""",
    )
    assert found["seen"] == ["frame", 1, 2, 1, found["max"], 0]
    assert any("1-difference.png" in layer for layer in found["difference"])
    assert found["wipe"] == ["one | two"]
    assert found["zoom"] == "scale(1.5)"
    assert found["playing"] == "Pause"
    assert found["last"] == found["max"]


def test_runs_are_shown_and_hidden_and_galleries_change(page: Path) -> None:
    found = driven(
        page,
        """await view();
        const boxes = $$("#views input"), names = () => texts("figcaption");
        boxes[1].click(); const two = names(); boxes[1].click(); const all = names();
        $("viewer").close();
        const titles = texts("#gallery option"), cards = [];
        for (let i = 0; i < titles.length; i++) {
          put("gallery", i, "change");
          await turn(300);
          cards.push($$("#cards li").length);
        }
        put("trait", "length", "change");
        return { two, all, titles, cards, dots: $$("#plot .dot").length };""",
    )
    assert found["two"] == ["truth", "two"]
    assert found["all"] == ["truth", "one", "two"]
    assert found["titles"][:2] == ["worst", "most disputed"]
    assert found["cards"][:2] == [4, 4]
    assert found["dots"] == 8


@pytest.mark.parametrize(("number", "ground"), [(0, "dark"), (1, "light")])
def test_the_page_is_dark_or_light_as_the_system(
    page: Path, number: int, ground: str
) -> None:
    shade = driven(
        page,
        "return getComputedStyle(document.body).backgroundColor;",
        f"--blink-settings=preferredColorScheme={number}",
    )
    red = int(re.findall(r"\d+", shade)[0])
    assert (red < 64) if ground == "dark" else (red > 192)


@pytest.mark.reference
@pytest.mark.parametrize("number", [0, 1], ids=["dark", "light"])
def test_axe_has_no_serious_findings(page: Path, number: int) -> None:
    # AXE names axe.min.js of the npm package axe-core, 4.14.1 here.
    if not (source := os.environ.get("AXE")):
        pytest.skip("AXE names no axe.min.js")
    shutil.copy(source, page.with_name("axe.js"))
    found = driven(
        page,
        """await new Promise((resolve) => document.head.append(Object.assign(
          document.createElement("script"), { src: "axe.js", onload: resolve })));
        await turn(500);
        const bad = [], look = async () => bad.push(...(await axe.run()).violations);
        await look();
        await view(); await look();
        return bad.map((v) => [v.impact, v.id, v.nodes[0].html.slice(0, 120)]);""",
        f"--blink-settings=preferredColorScheme={number}",
        # It tries to read the style sheet, which pages on a disk cannot.
        quiet=False,
    )
    assert [one for one in found if one[0] in ("serious", "critical")] == []
