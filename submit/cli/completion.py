"""`submit completion`: completion for a shell."""

from __future__ import annotations

import click

from ..errors import SubmitError
from ._output import note, stdout

__all__ = ["completion"]

#: What makes each shell read it.
_INSTALL = {
    "bash": "echo 'eval \"$(submit completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(submit completion zsh)\"' >> ~/.zshrc",
    "fish": "submit completion fish > ~/.config/fish/completions/submit.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(tuple(_INSTALL)))
def completion(shell: str) -> None:
    """Print the script that completes commands in a shell.

    SHELL is bash, zsh or fish. Runs, videos, models, their options and variants are
    completed, too; docs/terminal.md says where each shell reads the script.

    \b
    Example:
      submit completion bash
    """
    from click.shell_completion import get_completion_class

    from . import COMPLETE, cli
    from ._completion import prepare_shells

    prepare_shells()
    kind = get_completion_class(shell)
    if kind is None:
        raise SubmitError(f"this version of Click has no completion for {shell}")
    click.echo(kind(cli, {}, "submit", COMPLETE).source())
    if stdout().is_terminal:
        note(f"to use it in every new shell: {_INSTALL[shell]}")
