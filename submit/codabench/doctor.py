"""Checks before an upload; each failed check has the next step to type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import CodabenchError, RefusedError, StorageError, SubmitError
from .addresses import check_signed
from .client import Client
from .clock import format_time
from .competition import participation_problem
from .pending import command_of, pending
from .plan import SKEW, Check, Level, attempts_text, duration, phase_problem
from .state import private_folder
from .tokens import TokenStore

__all__ = ["examine"]


def examine(
    client: Client,
    store: TokenStore,
    folder: Path,
    *,
    competition: int,
    phase: str | None = None,
) -> Iterator[Check]:
    """Yield one check after the other; what depends on a failed one is left out.

    Nothing is written to the server.

    Args:
        client: Talks to the server, with the token if there is one.
        store: Where the token comes from.
        folder: The state folder.
        competition: Number of the competition.
        phase: Number or name of the phase; None for the open one.
    """
    yield _state(folder)
    # Public data can be read without a token, so a bad token does not matter here.
    with Client(client.url, clock=client.clock) as public:
        try:
            public.competition(competition)
        except CodabenchError as error:
            yield Check.stop("server", error)
            return
        yield Check("server", f"{public.route} answers")
        skew = public.transport.skew
        level = Level.WARNING if abs(skew) > SKEW else Level.FINE
        far = "right" if level is Level.FINE else f"off by {duration(abs(skew))}"
        yield Check("clock", f"{far} ({format_time(public.server_now)})", level)
    try:
        token = store.require(client.url)
        profile = client.profile()
    except CodabenchError as error:
        yield Check.stop("token", error)
        return
    yield Check("token", f"from {token.source}, of {profile.username}")
    try:
        found = client.competition(competition)
    except CodabenchError as error:
        yield Check.stop("competition", error)
        return
    problem = participation_problem(found, client.url)
    yield (
        Check.stop("competition", problem)
        if problem
        else Check("competition", f"{found.title}; you are approved")
    )
    now = client.server_now
    try:
        chosen = found.require_phase(phase, now)
    except CodabenchError as error:
        yield Check.stop("phase", error)
    else:
        closed = phase_problem(chosen, now)
        yield (
            Check.stop("phase", closed)
            if closed
            else Check("phase", f"{chosen.id} {chosen.name}, {chosen.window()}")
        )
        if problem is None:
            yield Check("attempts", attempts_text(chosen, now))
        queue = f"the organisers' queue {found.queue}" if found.queue else "Codabench"
        yield Check("evaluation", f"by {queue}")
    yield _guarded("storage", lambda: _storage(client))
    yield _guarded("storage host", lambda: _storage_host(client, competition))
    for entry in pending(client, folder, found):
        text = f"{entry.zip} is {entry.step}; to continue: {command_of(entry)}"
        yield Check("unfinished", text, Level.WARNING)


def _state(folder: Path) -> Check:
    """Whether the state folder can be written."""

    def check() -> Check:
        private_folder(folder)
        probe = folder / ".probe"
        try:
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"{folder}: cannot be written ({error.strerror}); name another folder "
                "in SUBMIT_STATE"
            ) from error
        if folder.stat().st_mode & 0o077:
            text = f"{folder} can be read by others; do: chmod 700 {folder}"
            return Check("state", text, Level.WARNING)
        return Check("state", str(folder))

    return _guarded("state", check)


def _storage(client: Client) -> Check:
    quota = client.quota()
    left = f"{quota.left / 1e9:.2f} GB of {quota.total / 1e9:.0f} GB left"
    if quota.left < 1e9:
        text = f"{left}; delete old files under Resources on the website"
        return Check("storage", text, Level.WARNING)
    return Check("storage", left)


def _storage_host(client: Client, competition: int) -> Check:
    """Whether the host of uploads answers; only a signed URL tells its name."""
    newest = client.own_submissions(competition=competition)[:3]
    for part in (part for submission in newest for part in submission.scored):
        try:
            logs = client.details(part.id).logs
        except RefusedError:
            return Check("storage host", "not known: the organisers show no files")
        for url in logs.values():
            client.transport.download(url, "reach the storage")
            return Check("storage host", f"{check_signed(url, client.url)} answers")
    return Check("storage host", "not known before the first submission")


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """Run a check; an exception becomes its result."""
    try:
        return check()
    except SubmitError as error:
        if isinstance(error, CodabenchError):
            return Check.stop(name, error)
        return Check.stop(name, CodabenchError(str(error)))
