"""The `submit` command: one lazy group, and the one place where errors become output.

A command is a line in `SECTIONS`, and a function in the module of its name. The module
is imported only when the command runs, so `submit --help` stays fast.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from ..errors import SubmitError

__all__ = ["COMPLETE", "SECTIONS", "LazyGroup", "cli"]

#: The commands under their headings, both in the order of work, each with the first
#: sentence of its docstring without the full stop. A test compares the two; reading it
#: from the module would import the module.
SECTIONS: dict[str, dict[str, str]] = {
    "Data": {
        "sample": "Write a synthetic split with complete ground truth",
        "videos": "List the videos of a split and the problems found in them",
        "holdout": "Choose videos of the train set as a local split with ground truth",
    },
    "Predict": {
        "predict": "Run a model over a split",
        "predictors": "List the installed models, or describe one",
        "weights": "List the weights of published networks, or fetch some",
        "anchors": "Choose frames with trusted masks as prompts for a second pass",
        "runs": "List the runs here, show one in full, or delete some",
    },
    "Train": {
        "train": "Fine-tune a model, and score it on a hold-out meanwhile",
        "trainers": "List what can be trained, or explain the keys of a recipe",
    },
    "Merge": {
        "import": "Convert masks of any other program to a run, or to prompts",
        "ensemble": "Merge runs into one",
        "merge-parts": "Join what jobs with --part have made",
    },
    "Package": {
        "export": "Write the palette masks of a run",
        "pack": "Pack masks into a submission zip",
        "check": "Find what the server would reject, or score lower silently",
        "repair": "Repair a submission where the right content is certain",
    },
    "Score": {
        "score": "Score masks against ground truth, exactly as the server does",
        "compare": "Tell whether the difference between entries is significant",
        "tune": "Search settings on a hold-out: weights, gate, post-processing",
        "preview": "Compare runs without ground truth, and list what to look at first",
    },
    "Look": {
        "report": "Write a page with scores, timelines and a viewer for a browser",
        "overlay": "Draw masks over the frames of a video: a film, or a sheet",
        "plot": "Draw a figure for a paper: scores, a timeline, an ensemble",
        "show": "Draw a frame and its masks in the terminal",
    },
    "Codabench": {
        "login": "Get a token from Codabench and keep it",
        "logout": "Delete the token of this machine",
        "whoami": "Show the user of the token, and the attempts left today",
        "doctor": "Check that everything is ready for an upload",
        "upload": "Upload a zip, submit it exactly once, wait for the scores",
        "status": "Show the newest submissions, or everything about one",
        "watch": "Follow a submission until its scores are complete",
        "logs": "Show the logs of a submission's evaluation",
        "cancel": "Cancel a submission; its attempt is not given back",
        "history": "List your submissions, with what this machine recorded about them",
        "leaderboard": "Show the leaderboard of a phase, with your submissions marked",
    },
    "The whole chain": {
        "plan": "Say what a recipe will take: time, memory, disk",
        "build": "Run all steps of a recipe, from the split to the checked zip",
    },
    "The shell": {
        "completion": "Print the script that completes commands in a shell",
    },
}


#: The variable by which a shell asks for completion.
COMPLETE = "_SUBMIT_COMPLETE"


class _Failure(click.ClickException):
    """An expected failure: one `Error:` line on stderr and its exit status."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        # Click reads it from the instance.
        self.exit_code = exit_code  # type: ignore[misc]

    def format_message(self) -> str:
        from ._output import escape_lines

        return escape_lines(self.message)


class _Interrupted(click.ClickException):
    """The user pressed Ctrl-C: no traceback, and the shell's usual exit status."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")

    def show(self, file: Any = None) -> None:
        click.echo(f"\nError: {self.message}", file=file, err=file is None)


class _Bug(click.ClickException):
    """An unexpected error: the traceback, and a line that asks for a report."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self._error = error

    def show(self, file: Any = None) -> None:
        from ..system.machine import release
        from ._output import escape, escape_lines

        lines = "".join(traceback.format_exception(self._error)).rstrip().split("\n")
        message = escape_lines(
            f"{self.message}: a bug of {release()}; please report it with the lines "
            "above"
        )
        text = "\n".join([*map(escape, lines), f"Error: {message}"])
        click.echo(text, file=file, err=file is None)


@contextmanager
def _errors_become_messages() -> Iterator[None]:
    """Turn expected errors into messages, and mark all others as bugs."""
    if os.environ.get("SUBMIT_DEBUG", "") not in ("", "0"):
        yield
        return
    try:
        yield
    except SubmitError as error:
        raise _Failure(str(error), error.exit_code) from error
    except OSError as error:
        from ..system.refusals import explain

        if error.errno == errno.EPIPE:  # Click ends quietly if stdout is closed.
            raise
        if text := explain(error):
            raise _Failure(text) from error
        raise _Bug(error) from error
    except (KeyboardInterrupt, click.Abort) as error:
        raise _Interrupted from error
    except click.ClickException as error:
        _make_safe(error)
        raise
    except click.exceptions.Exit:
        raise
    except Exception as error:
        from ..system.machine import is_out_of_memory

        if is_out_of_memory(error):
            said = f" ({error})" if str(error) else ""
            raise _Failure(
                f"memory ran out{said}; close other programs, take fewer --workers or "
                "smaller inputs, or use a machine with more memory"
            ) from error
        raise _Bug(error) from error


def _make_safe(error: click.ClickException) -> None:
    """Keep what was typed, such as names of files, from driving the terminal."""
    from ._output import escape

    lines = error.message.split("\n")
    # Click reads it when it is shown.
    error.message = "\n".join(escape(line.expandtabs(4)) for line in lines)  # type: ignore[misc]


def _warn(text: str) -> None:
    from ._output import warn

    warn(text)


class LazyGroup(click.Group):
    """A group that imports a command when it is invoked, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List all commands in the order of work."""
        return [name for entries in SECTIONS.values() for name in entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None when there is no such command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        # Names that Python reserves, such as `import`, end with an underscore.
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name.replace("-", "_")
        command = getattr(import_module(f".{name}", __name__), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the commands under their headings, without importing any."""
        width = max(map(len, self.list_commands(ctx)))
        for heading, entries in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(width), words) for name, words in entries.items()]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete the names of commands, without importing any."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=words)
            for entries in SECTIONS.values()
            for name, words in entries.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a line; a message names the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from ..system.words import did_you_mean

            near = did_you_mean(args[0], self.list_commands(ctx))
            if not near or args[0].startswith("-"):
                raise
            words = f"No such command {args[0]!r}{near}"
            raise click.UsageError(words, ctx) from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line; an empty one shows where the chain stands, or the help."""
        if not args and not ctx.resilient_parsing:
            from ._standing import show_standing

            if show_standing():
                ctx.exit()
        try:
            return super().parse_args(ctx, args)
        except click.ClickException as error:
            _make_safe(error)
            raise

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line, with output in any encoding and one thread."""
        from ..system.threads import prepare_threads
        from ._encoding import prepare_streams

        if COMPLETE in os.environ:
            from ._completion import prepare_shells

            prepare_shells()
        prepare_threads()
        prepare_streams()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an expected error becomes one `Error:` line."""
        from ..system.machine import end_quickly
        from ..system.warned import warnings_to

        end_quickly()
        with _errors_become_messages(), warnings_to(_warn):
            return super().invoke(ctx)


@click.group(
    cls=LazyGroup,
    context_settings={
        "auto_envvar_prefix": "SUBMIT",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 88,
        "show_default": True,
    },
)
@click.version_option(package_name="mose-submit", message="mose-submit %(version)s")
def cli() -> None:
    """Predict, ensemble, check, score and submit entries to the MOSEv2 challenge.

    Results go to stdout (`--json` for programs), progress and errors to stderr. The
    exit status is 0 when all is done, 1 after an expected failure (10 and above where
    Codabench is the reason) and 2 for a wrong command line. Every option also reads an
    environment variable, such as SUBMIT_RUNS, or SUBMIT_PREDICT_DEVICE for `submit
    predict --device`; SUBMIT_DEBUG=1 shows the traceback of an error.

    \b
    Example:
      submit predictors
    """
