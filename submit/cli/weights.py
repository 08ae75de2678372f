"""`submit weights`: the weights that are known, and how to get them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import WeightsError
from ..system.words import did_you_mean
from ._completion import complete_weights
from ._options import OUTPUT, json_option
from ._output import emit, facts, format_bytes, number, stack, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..weights import Fetched, Weights


@click.command()
@click.argument("action", type=click.Choice(["list", "fetch"]), default="list")
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=complete_weights)
@click.option(
    "--folder",
    type=OUTPUT,
    metavar="DIR",
    envvar="SUBMIT_WEIGHTS",
    show_envvar=True,
    help="Where weights are fetched to. Default: ~/.cache/mose-submit/weights.",
)
@json_option
def weights(
    action: str, names: tuple[str, ...], folder: Path | None, as_json: bool
) -> None:
    """List the weights of published networks, or fetch some.

    The list says which predictor reads them, their licence, and where they are on this
    machine: in the toolkit's folder, in the cache of Hugging Face or in that of
    torch.hub. `-o checkpoint=NAME` takes the names, and `-o files=weights=NAME` those
    of the predictor `command`. Nothing is downloaded, except by ACTION
    `fetch` with the NAME... of weights; what is fetched to another folder is named by
    its path.

    A download that was cut continues where it stopped. The file gets its name when its
    size and SHA-256 are the expected ones; where no digest is published, that of the
    first download is recorded and compared from then on.

    \b
    Example:
      submit weights
      submit weights fetch sam2.1_hiera_large
    """
    from ..weights import KNOWN, own_folder

    if unknown := sorted(set(names) - KNOWN.keys()):
        raise WeightsError(
            f"no weights called {', '.join(unknown)} are known"
            f"{did_you_mean(unknown[0], KNOWN, 'expected ' + ', '.join(KNOWN))} "
            "(see: submit weights)"
        )
    folder = folder or own_folder()
    if action == "list":
        listed = [KNOWN[name] for name in names or KNOWN]
        found = {one.name: _found(one, folder) for one in listed}
        emit(_list_view(listed, found), _list_data(listed, found), as_json=as_json)
        return
    if not names:
        raise click.UsageError("fetch needs the NAME of weights (see: submit weights)")
    fetched = [_fetch(KNOWN[name], folder) for name in dict.fromkeys(names)]
    emit(
        stack(*map(_fetched_view, fetched)),
        [vars(one) for one in fetched],
        as_json=as_json,
    )


def _found(one: Weights, folder: Path) -> Path | None:
    from ..weights import find

    return find(one, folder)


def _fetch(one: Weights, folder: Path) -> Fetched:
    from ..weights import fetch
    from ._transfer import Transfer

    return fetch(one, folder, listener=Transfer(one.name))


def _list_view(listed: list[Weights], found: dict[str, Path | None]) -> RenderableType:
    rows = [
        [
            one.name,
            one.use,
            None if one.size is None else format_bytes(one.size),
            one.licence,
            _where(one, found[one.name]),
        ]
        for one in listed
    ]
    return table(
        ["weights", "predictor", number("size"), "licence", "on this machine"], rows
    )


def _where(one: Weights, path: Path | None) -> str:
    if path is not None:
        return str(path)
    return "no; access on request" if one.gate else "no"


def _list_data(
    listed: list[Weights], found: dict[str, Path | None]
) -> list[dict[str, object]]:
    return [{**vars(one), "path": found[one.name]} for one in listed]


_COMPARED = {
    "known": "equal to the known one",
    "server": "equal to the one that the server states",
    "recorded": "equal to the one of the first download",
    None: "recorded now; none is published, so only the size was compared",
}


def _fetched_view(one: Fetched) -> RenderableType:
    return facts(
        {
            "file": str(one.path),
            "size": format_bytes(one.size),
            "SHA-256": one.sha256,
            "which is": _COMPARED[one.compared],
        }
    )
