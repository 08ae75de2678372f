"""The calls of the API, typed. Only here are paths and versions of the server known."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import LoginError, ParticipationError, RefusedError, ServerError
from ..system.files import Closing
from .addresses import DEFAULT_URL, check_signed
from .answers import Reply
from .clock import Clock, utc
from .competition import Competition, Quota
from .redaction import clean
from .submission import UNKNOWN_FORM, Details, LeaderboardRow, Submission
from .tokens import Token
from .transport import STALL, Observer, Transport

__all__ = ["MOSEV2", "Client", "DataRecord", "NewRecord", "Profile"]

#: Number of the MOSEv2 competition.
MOSEV2 = 10062

#: Rows asked for at once; newer servers take 50, 100 or 500.
_PAGE = 100
#: Pages after which a list that does not end is given up.
_MOST_PAGES = 200


@dataclass(frozen=True)
class Profile:
    """The account of a token.

    Attributes:
        username: The user name, as it can be shown.
        account: The user name exactly as the server has it, which is unique there.
        name: The name that the leaderboard may show; it is not unique.
        email: Mail address.
    """

    username: str
    account: str = field(repr=False)
    name: str
    email: str


@dataclass(frozen=True)
class NewRecord:
    """A new record on the server, to upload a file to.

    Attributes:
        key: The key by which a submission refers to the file.
        url: Signed URL, a secret.
        expires: When it stops working; None when the URL does not say.
    """

    key: str
    url: str = field(repr=False)
    expires: datetime | None


@dataclass(frozen=True)
class DataRecord:
    """An uploaded file as the server has it.

    Attributes:
        id: Number to delete it by.
        key: Its key.
        size: Bytes of the zip; None before `complete`.
    """

    id: int
    key: str
    size: int | None


class Client(Closing):
    """Sends requests to Codabench, for one account or without one.

    Args:
        url: Address of the server.
        token: The account's token; see `TokenStore`.
        clock: The clock for times and waiting.
        stall: Seconds without progress after which an upload counts as stalled.
        observer: Gets an event when a request begins, ends or is retried.

    Example:
        with Client(token=TokenStore(state_folder()).require(DEFAULT_URL)) as client:
            competition = client.competition(MOSEV2)
            for submission in client.own_submissions(competition=MOSEV2):
                print(submission.id, submission.status, submission.values())
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: Token | None = None,
        *,
        clock: Clock | None = None,
        stall: float = STALL,
        observer: Observer | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.transport = transport or Transport(
            url, token, clock=clock, stall=stall, observer=observer
        )
        self._account: str | None = None

    def fork(self) -> Client:
        """Make another client of the same account, for another thread; see `Aside`."""
        made = Client(transport=self.transport.fork())
        made._account = self._account
        return made

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    @property
    def url(self) -> str:
        """Address of the server."""
        return self.transport.url

    @property
    def route(self) -> str:
        """Address of the server, and the proxy on the way to it."""
        proxy = self.transport.proxy
        return self.url if proxy is None else f"{self.url} through the proxy {proxy}"

    @property
    def clock(self) -> Clock:
        """The clock for times and waiting."""
        return self.transport.clock

    @property
    def server_now(self) -> datetime:
        """The time by the server's clock, as of its last answer."""
        return self.transport.server_now

    def login(self, username: str, password: str) -> str:
        """Get the account's token for a password.

        Raises:
            LoginError: The password is wrong.
        """
        name = username.strip()
        # Mail addresses are kept in lower case; names are not.
        if "@" in name:
            name = name.lower()
        reply = self.transport.call(
            "POST",
            "api-token-auth/",
            "log in",
            json={"username": name, "password": password},
            with_token=False,
            accept=(400,),
        )
        if reply.status == 400:
            raise LoginError(
                "cannot log in: wrong user name or password",
                "names are case-sensitive, and those who signed up through GitHub "
                "first set a password on the website",
            )
        return str(_field(reply, "token"))

    def profile(self) -> Profile:
        """Read the account of the token.

        Raises:
            LoginError: The token is not accepted.
        """
        value = self._get("my_profile/", "read the token's account")
        self._account = str(value.get("username") or "")
        return Profile(
            username=clean(self._account),
            account=self._account,
            name=clean(value.get("name") or ""),
            email=clean(value.get("email") or ""),
        )

    @property
    def account(self) -> str:
        """The exact user name of the token's account; read once.

        Raises:
            CodabenchError: The server does not tell it.
        """
        if not self._account:
            self.profile()
        if not self._account:
            raise ServerError("the server does not tell the account of this token")
        return self._account

    def competition(self, number: int = MOSEV2) -> Competition:
        """Read a competition: phases, limits, used attempts, leaderboards."""
        return Competition.parse(
            self._get(f"competitions/{number}/", f"read competition {number}")
        )

    def competitions(self) -> list[int]:
        """Numbers of the competitions that the account takes part in."""
        rows = self._pages(
            "competitions/",
            "list your competitions",
            {"participating_in": "true", "type": "any", "page_size": _PAGE},
        )
        return [int(row["id"]) for row in rows if str(row.get("id", "")).isdecimal()]

    def can_submit(self, phase: int) -> tuple[bool, str]:
        """Ask whether an attempt is left; if not, with the server's reason."""
        value = self._get(f"can_make_submission/{phase}/", "ask for attempts left")
        return bool(value.get("can")), clean(value.get("reason") or "")

    def quota(self) -> Quota:
        """Storage of the account."""
        value = self._get("user_quota/", "ask for the storage left")
        try:
            # The quota is in gigabytes, what is used in bytes.
            return Quota(
                total=round(float(value["quota"]) * 1e9),
                used=round(float(value.get("storage_used") or 0)),
            )
        except UNKNOWN_FORM:
            pass
        raise ServerError(
            "the server describes the storage in an unknown way",
            "look for a newer version of mose-submit",
        )

    def create_record(
        self, competition: int, file_name: str, size: int, description: str
    ) -> NewRecord:
        """Create a record to upload a file to.

        Args:
            competition: Its number. Without it, the file would count as unused, and a
                button on the website deletes those.
            file_name: At most 35 characters before `.zip`.
            size: Bytes, which are compared with the quota.
            description: Free text.
        """
        reply = self.transport.call(
            "POST",
            "datasets/",
            "create the upload",
            json={
                "type": "submission",
                "competition": competition,
                "request_sassy_file_name": file_name,
                "file_name": file_name,
                "file_size": size,
                "description": description,
            },
        )
        key, url = _field(reply, "key"), _field(reply, "sassy_url")
        check_signed(url, self.url)
        return NewRecord(key, url, _expiry(url))

    def complete_record(self, key: str) -> bool:
        """Tell the server that all bytes are uploaded; it then reads their number.

        Returns:
            Whether there is such a record. A deleted one cannot be restored, although
            the storage still accepts bytes for it.
        """
        path = f"datasets/completed/{key}/"
        reply = self.transport.call("PUT", path, "complete the upload", accept=(404,))
        return reply.ok

    def record(self, key: str) -> DataRecord | None:
        """Read the record of an uploaded file; None if there is none."""
        value = self._get("datasets/", "look at the upload", key=key)
        for each in _rows(value):
            if each.get("key") == key:
                size = each.get("submission_file_size")
                if size is None:
                    size = each.get("file_size")
                try:
                    number = int(each["id"])
                    count = None if size is None else round(float(size))
                except UNKNOWN_FORM:
                    break
                return DataRecord(number, key, count)
        else:
            return None
        raise ServerError(
            "the server describes the upload in an unknown way",
            "look for a newer version of mose-submit",
        )

    def delete_record(self, number: int) -> None:
        """Delete an uploaded file that no submission refers to."""
        self.transport.call(
            "DELETE", f"datasets/{number}/", "delete the unused upload", accept=(404,)
        )

    def create_submission(
        self,
        phase: int,
        key: str,
        *,
        tasks: tuple[int, ...] = (),
        answers: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
    ) -> Submission:
        """Submit an uploaded file; this costs an attempt.

        It is sent once. After a `ServerError` or a `NetworkError` only a look at the
        list of submissions tells whether it was created.

        Args:
            phase: Number of the phase.
            key: Key of the uploaded file.
            tasks: Numbers of the phase's tasks; all without any.
            answers: Fact sheet.
            idempotency_key: A name for this attempt, for future servers that read it.
        """
        if not key:
            # The server would create an empty submission and count it.
            raise ValueError("a submission needs the key of an uploaded file")
        reply = self.transport.call(
            "POST",
            "submissions/",
            "create the submission",
            json={
                "phase": phase,
                "data": key,
                "tasks": list(tasks),
                "fact_sheet_answers": answers,
                "organization": None,
                "queue": None,
            },
            headers={"Idempotency-Key": idempotency_key} if idempotency_key else {},
            repeat=False,
        )
        return Submission.parse(reply.json())

    def submission(self, number: int) -> Submission:
        """Read a submission, without its parts."""
        return Submission.parse(
            self._get(f"submissions/{number}/", f"read submission {number}")
        )

    def whole_submission(self, number: int) -> Submission:
        """Read a submission with its parts, as far as they may be read."""
        whole = self.submission(number)
        parts = []
        for child in whole.children:
            with contextlib.suppress(ParticipationError, RefusedError):
                parts.append(self.submission(child))
        return whole.with_parts(parts)

    def submissions(
        self,
        *,
        phase: int | None = None,
        competition: int | None = None,
        search: str | None = None,
    ) -> list[Submission]:
        """List the submissions that the account may see, newest first.

        Organisers see all submissions. Parts are listed in their submission.

        Args:
            phase: Only those of a phase.
            competition: Only those of a competition.
            search: Only those with this text in the name of their file.
        """
        params: dict[str, Any] = {"page_size": _PAGE}
        if phase is not None:
            params["phase"] = phase
        if competition is not None:
            params["phase__competition"] = competition
        if search:
            params["search"] = search
        rows = self._pages("submissions/", "list the submissions", params)
        found = [Submission.parse(row) for row in rows]
        parts = [each for each in found if each.parent is not None]
        wholes = [each for each in found if each.parent is None]
        return [w.with_parts(parts) if w.children else w for w in wholes]

    def own_submissions(
        self,
        *,
        phase: int | None = None,
        competition: int | None = None,
        search: str | None = None,
    ) -> list[Submission]:
        """List the account's own submissions, newest first; see `submissions`."""
        account = self.account
        found = self.submissions(phase=phase, competition=competition, search=search)
        return [each for each in found if each.account == account]

    def details(self, number: int) -> Details:
        """Read the addresses of a submission's logs and results."""
        path = f"submissions/{number}/get_details/"
        reply = self.transport.call("GET", path, f"open the files of {number}")
        return Details.parse(reply.json())

    def cancel(self, number: int) -> bool:
        """Cancel a submission, which still costs its attempt; False if it has ended."""
        path = f"submissions/{number}/cancel_submission/"
        return bool(self._get(path, f"cancel submission {number}").get("canceled"))

    def leaderboard(self, phase: int) -> list[LeaderboardRow]:
        """The public leaderboard of a phase, best first."""
        path = f"phases/{phase}/get_leaderboard/"
        rows = self._pages(
            path, "read the leaderboard", {"page_size": 500}, key="submissions"
        )
        return [
            LeaderboardRow.parse(rank, row) for rank, row in enumerate(rows, start=1)
        ]

    def _get(self, path: str, doing: str, **params: Any) -> Any:
        reply = self.transport.call("GET", path, doing, params=params)
        value = reply.json()
        if not isinstance(value, Mapping):
            raise ServerError(
                f"cannot {doing}: the server answers something unknown",
                "look for a newer version of mose-submit",
            )
        return value

    def _pages(
        self, path: str, doing: str, params: Mapping[str, Any], *, key: str = "results"
    ) -> list[Mapping[str, Any]]:
        """Collect a list, which old servers send in one piece and new ones in pages.

        The server's own links to the next page are not followed: behind some proxies
        they begin with `http:` and would send the token without encryption.
        """
        rows: dict[Any, Mapping[str, Any]] = {}
        for page in range(1, _MOST_PAGES + 1):
            asked = params if page == 1 else {**params, "page": page}
            accept = (404,) if page > 1 else ()
            reply = self.transport.call("GET", path, doing, params=asked, accept=accept)
            if reply.status == 404:
                break
            value = reply.json()
            before = len(rows)
            for row in _rows(value, key):
                number = row.get("id")
                # Without a number that can be compared, each row is another one.
                known = isinstance(number, int | str)
                rows.setdefault(number if known else ("", len(rows)), row)
            total = value.get("count") if isinstance(value, Mapping) else None
            if not isinstance(total, int) or len(rows) >= total or len(rows) == before:
                break
        return list(rows.values())


def _rows(value: Any, key: str = "results") -> list[Mapping[str, Any]]:
    """The rows of a list, bare or in a page.

    Raises:
        ServerError: There are none.
    """
    if isinstance(value, Mapping):
        value = value.get(key, value.get("results"))
    if isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        return value
    raise ServerError(
        "the server sends a list in an unknown form",
        "look for a newer version of mose-submit",
    )


def _field(reply: Reply, name: str) -> str:
    """One string of a JSON answer.

    Raises:
        ServerError: It is not there.
    """
    value = reply.json()
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, str) or not found:
        raise ServerError(
            f"{reply.url}: expected {name} in the answer, found none", "try again later"
        )
    return found


def _expiry(url: str) -> datetime | None:
    """When a signed URL expires; None if it does not say."""
    query = parse_qs(urlsplit(url).query)
    try:
        return utc(float(query["Expires"][0]))
    except (KeyError, ValueError, OverflowError, OSError):
        return None
