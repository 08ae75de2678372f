"""Interrupted uploads that can be continued, and the commands for that."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ..errors import CodabenchError
from ..system.files import digest
from .addresses import DEFAULT_URL
from .client import Client
from .competition import Competition
from .journal import JournalEntry, unfinished
from .package import Package
from .plan import matching

__all__ = ["command_of", "pending"]

#: Bytes of a zip above which only its time of change is compared.
_LARGE = 500_000_000


def pending(
    client: Client, folder: Path, competition: Competition | None = None
) -> list[JournalEntry]:
    """The account's interrupted uploads that can still become a submission.

    An upload cannot continue if its zip is missing or has changed, its phase has ended,
    the server has refused it, or the same zip was submitted meanwhile by any command.

    Args:
        client: Sends the account's requests.
        folder: The state folder.
        competition: A competition that was read, whose phases are known.

    Raises:
        CodabenchError: The server does not tell the token's account.
    """
    entries = unfinished(folder, url=client.url, username=client.account)
    return [
        entry
        for entry in entries
        if (entry.key is not None or entry.creating is not None)
        and _has_zip(entry)
        and not _has_ended(client, entry, competition)
        and not _was_submitted(client, entry)
    ]


def command_of(entry: JournalEntry) -> str:
    """The command that continues an upload, as it can be pasted into a shell."""
    # Journals of an earlier version do not have it.
    words = ["submit", "upload", _shown(entry.zip)]
    words += entry.command or ["--split", "DIR"]
    words += ["--label", entry.label]
    for key, value in entry.facts.items():
        words += ["--fact", f"{key}={value}"]
    words += ["--phase", str(entry.phase), "--competition", str(entry.competition)]
    if entry.url != DEFAULT_URL:
        words += ["--url", entry.url]
    return shlex.join(words)


def _shown(path: str) -> str:
    """A path, relative to the current folder if it is inside."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _has_zip(entry: JournalEntry) -> bool:
    """Whether the zip is still there, and still the same."""
    path = Path(entry.zip)
    try:
        found = path.stat()
        if found.st_size != entry.size:
            return False
        if found.st_mtime_ns == entry.modified or found.st_size > _LARGE:
            return True
        return digest(path) == entry.sha256
    except OSError:
        return False


def _has_ended(
    client: Client, entry: JournalEntry, competition: Competition | None
) -> bool:
    if competition is None or competition.id != entry.competition:
        return False
    phase = competition.phase(entry.phase)
    if phase is None or phase.end is None:
        return False
    return phase.end <= client.server_now


def _was_submitted(client: Client, entry: JournalEntry) -> bool:
    """Whether there is a newer submission of the zip than the upload knows."""
    mark = Package.mark_of(entry.sha256)
    try:
        there = client.own_submissions(phase=entry.phase, search=mark)
    except CodabenchError:
        return False
    return any(
        not each.has_failed and each.id not in entry.known
        for each in matching(there, mark)
    )
