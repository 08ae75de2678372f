"""The fault matrix: after every fault there is one submission or none, never two."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.codabench.conftest import Run
from tests.codabench.world import HTML_500, HTML_502, Reply, World, days

SLOW_DOWN = Reply(503, "<Error><Code>SlowDown</Code></Error>", kind="application/xml")


def xml(status: int, code: str, message: str = "no") -> Reply:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, body, kind="application/xml")


def answer(request: str, *replies: Reply) -> Callable[[World], None]:
    return lambda world: world.answers.update({request: list(replies)})


def change(**values: object) -> Callable[[World], None]:
    def apply(world: World) -> None:
        for name, value in values.items():
            assert hasattr(world, name)
            setattr(world, name, copy.copy(value))

    return apply


def while_uploading(**values: object) -> Callable[[World], None]:
    def apply(world: World) -> None:
        world.hooks["before UPLOAD"] = lambda: change(**values)(world)

    return apply


def lost_with_broken_lists(world: World) -> None:
    def when_creating() -> None:
        change(create=["lose"])(world)
        answer("GET /api/submissions/", *[HTML_500] * 99)(world)

    world.hooks["before POST /api/submissions"] = when_creating


#: Name → fault, number of submissions, exit status, part of what is said.
FAULTS: dict[str, tuple[Callable[[World], None], int, int, str]] = {
    # The bytes.
    "the connection drops at a random byte": (
        change(put=[random.Random(1).randrange(1, 10_000)]),
        1,
        0,
        "the connection broke; trying again",
    ),
    "the connection drops at the first byte": (change(put=[0]), 1, 0, "trying again"),
    "the connection drops again and again": (
        change(put=[5, 500, 5000, 9999]),
        1,
        0,
        "trying again in 30 s or so",
    ),
    "the connection never holds": (change(put=[9] * 20), 0, 19, "Error: cannot upload"),
    "the storage is busy five times": (change(put=[SLOW_DOWN] * 5), 1, 0, "SlowDown"),
    "the storage stays busy": (change(put=[SLOW_DOWN] * 20), 0, 18, "SlowDown"),
    "the address has expired": (change(put=["expired"]), 1, 0, "taking a new one"),
    "every address has expired": (change(put=["expired"] * 9), 0, 18, "has expired"),
    "the bytes arrive damaged": (change(put=["damage"]), 1, 0, "arrived damaged"),
    "the storage lacks bytes": (
        change(put=[xml(400, "IncompleteBody")]),
        1,
        0,
        "IncompleteBody",
    ),
    "the storage is full": (change(put=[xml(507, "Full")]), 0, 14, "storage is full"),
    "the storage finds it too large": (
        change(put=[xml(400, "EntityTooLarge")]),
        0,
        14,
        "EntityTooLarge",
    ),
    "the signature does not match": (
        change(put=[xml(403, "SignatureDoesNotMatch")]),
        0,
        15,
        "a proxy may have changed the request",
    ),
    "the server does not tell the size": (change(forget_size=True), 1, 0, ""),
    # The creation.
    "the answer is lost": (change(create=["lose"]), 1, 0, "checking whether it was"),
    "the answer is lost and lists lag": (change(create=["late"]), 1, 0, "checking"),
    "the answer is lost and lists lag for long": (
        change(create=["very late"]),
        1,
        17,
        "the server counts an attempt that it does not list",
    ),
    "the answer is lost and the name is changed": (
        change(create=["lose"], renames=True),
        1,
        17,
        "since the answer was lost and submission 9001 (",
    ),
    "500 with words": (
        answer(
            "POST /api/submissions/",
            Reply(500, {"detail": "Reached maximum allowed submissions"}),
        ),
        1,
        0,
        "checking whether it was",
    ),
    "408": (
        answer("POST /api/submissions/", Reply(408, {"detail": "Timeout"})),
        1,
        0,
        "checking whether it was",
    ),
    "429 with a long wait": (
        answer(
            "GET /api/user_quota/", Reply(429, {"detail": "x"}, {"Retry-After": "7200"})
        ),
        0,
        19,
        "the server asks to wait for 7200 seconds",
    ),
    "500 after creating": (change(create=["fail after"]), 1, 0, "checking"),
    "500 without creating": (change(create=["fail"]), 1, 0, "checking whether it was"),
    "500 without creating, twice": (
        change(create=["fail", "fail"]),
        0,
        18,
        "nothing was submitted and no attempt is spent",
    ),
    "lost without creating, then lost after": (
        change(create=["hang up", "lose"]),
        1,
        0,
        "checking",
    ),
    "429": (change(create=["busy"]), 1, 0, "throttled"),
    "the answer is nonsense": (change(create=["nonsense"]), 1, 0, "checking"),
    "the answer is lost and the list broken": (
        lost_with_broken_lists,
        1,
        17,
        "whether it was submitted is not known",
    ),
    "rejected": (
        change(create=['{"tasks": ["Invalid pk \\"456\\" - object does not exist."]}']),
        0,
        15,
        'tasks: Invalid pk "456" - object does not exist',
    ),
    "the attempts are used up meanwhile": (
        while_uploading(total_limit=7),
        0,
        12,
        "no attempt is left",
    ),
    "the phase ends meanwhile": (while_uploading(end=1.0), 0, 13, "ended at"),
    # The server.
    "maintenance": (change(maintenance=True), 0, 18, "under maintenance"),
    "502 in HTML, three times": (
        answer("GET /api/competitions/", *[HTML_502] * 3),
        1,
        0,
        "",
    ),
    "502 in HTML, always": (
        answer("GET /api/competitions/", *[HTML_502] * 99),
        0,
        18,
        "it has an internal error (HTTP 502)",
    ),
    "a redirect": (
        answer("GET /api/my_profile/", Reply(301, headers={"Location": "/x"})),
        0,
        18,
        "redirects elsewhere, which is not followed",
    ),
    "HTML where JSON belongs": (
        answer("GET /api/my_profile/", Reply(200, "<html>", kind="text/html")),
        0,
        18,
        "expected JSON, found an HTML page",
    ),
    "429 before anything": (
        answer("GET /api/user_quota/", Reply(429, {"detail": "Slow"})),
        1,
        0,
        "",
    ),
    # The account.
    "a stale token": (change(token="f" * 40), 0, 10, "Invalid token"),
    "an inactive account": (
        answer("GET /", Reply(403, {"detail": "User inactive or deleted."})),
        0,
        10,
        "do: submit login",
    ),
    "a banned account": (
        answer("GET /", Reply(403, {"error": "You are banned from using Codabench"})),
        0,
        11,
        "You are banned",
    ),
    "pending": (change(participant="pending"), 0, 11, "waits for the organisers"),
    "denied": (change(participant="denied"), 0, 11, "is denied"),
    "not registered": (change(participant=None), 0, 11, "accept its terms at"),
    "the quota is full": (change(storage_used=15e9), 0, 14, "delete old files under"),
    "no attempt today": (change(day_limit=1, used_before=0), 1, 0, "this one is the"),
    "no attempt in all": (change(total_limit=7), 0, 12, "7 of 7 are used"),
    # The phase.
    "the phase is over": (change(end=1.0), 0, 13, "no phase of MOSEv2 is open"),
    "the phase has not begun": (change(start=9e9, end=None), 0, 13, "no phase"),
    "two phases are open": (
        change(more_phases=[{"id": 7, "name": "Test", "start": None, "end": None}]),
        0,
        13,
        "2 phases of MOSEv2 are open",
    ),
    "the phase has no end and no limits": (
        change(end=None, has_limits=False),
        1,
        0,
        "no limit",
    ),
    "limits of 0 and null": (change(day_limit=0, total_limit=None), 1, 0, "no limit"),
    # Other things.
    "clocks differ": (change(skew=7200.0), 1, 0, "the server is 2 h 00 min ahead of"),
    "the phase ends by the server's clock": (
        change(skew=days(4)),
        0,
        13,
        "no phase of MOSEv2 is open",
    ),
    "the newest replaces the best": (change(rule="Force_Last"), 1, 0, "even a better"),
    "the server sets cookies": (
        answer(
            "GET /api/user_quota/",
            Reply(
                200,
                {"quota": 15, "storage_used": 0},
                headers={"Set-Cookie": "sessionid=1; Path=/"},
            ),
        ),
        1,
        0,
        "",
    ),
}


@pytest.mark.parametrize("version", ["v125", "new"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_in_one_submission_or_none(
    name: str, version: str, world: World, run: Run, make_zip: Callable[..., Path]
) -> None:
    fault, submissions, status, said = FAULTS[name]
    world.version = version
    fault(world)
    result = run("upload", make_zip(), "--skip-check", "--yes", "--no-watch")
    assert len(world.created) == submissions, result.output
    assert result.exit_code == status, result.output
    assert said in result.output
    if status:
        assert result.stderr.splitlines()[-1].startswith("Error: ")


#: Faults that pass; a name that was changed stays changed, and needs the user.
PASSING = [
    name
    for name, (_, _, status, _) in FAULTS.items()
    if status in (17, 18, 19) and "name is changed" not in name
]


@pytest.mark.parametrize("name", PASSING)
def test_when_the_fault_has_passed_the_same_command_makes_one_submission(
    name: str, world: World, run: Run, make_zip: Callable[..., Path]
) -> None:
    FAULTS[name][0](world)
    command = ("upload", make_zip(), "--skip-check", "--yes", "--no-watch")
    assert run(*command).exit_code == FAULTS[name][2]
    world.hooks.clear()
    world.answers.clear()
    change(put=[], create=[], maintenance=False, end=None, skew=0.0)(world)
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert len(world.created) == 1
    assert [d.in_use for d in world.datasets.values()] == [True]


def test_what_stays_uncertain_is_for_the_user_to_decide(
    world: World, run: Run, make_zip: Callable[..., Path]
) -> None:
    change(create=["lose"], renames=True)(world)
    command = ("upload", make_zip(), "--skip-check", "--yes", "--no-watch")
    for _ in range(3):
        assert run(*command).exit_code == 17
        assert len(world.created) == 1
    assert run(*command, "--force").exit_code == 0
    assert len(world.created) == 2
