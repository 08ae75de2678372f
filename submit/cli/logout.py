"""`submit logout`: delete the token."""

from __future__ import annotations

import click

from ._codabench import token_store, url_option
from ._output import note


@click.command()
@url_option
def logout(url: str) -> None:
    """Delete the token of this machine.

    Codabench cannot revoke tokens: one that others have seen is valid until the
    operators replace it.

    \b
    Example:
      submit logout
    """
    import os

    from ..codabench import check_url

    places = token_store().forget(check_url(url))
    if places:
        note(f"the token is removed from {' and '.join(places)}")
    else:
        note(f"there was no token for {check_url(url)}")
    if os.environ.get("SUBMIT_TOKEN"):
        note("SUBMIT_TOKEN is still set in this shell; do: unset SUBMIT_TOKEN")
