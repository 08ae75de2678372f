"""Faults and kills in random order; exactly one submission results."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submit.codabench.transport import Transport
from submit.errors import SubmitError
from tests.codabench.conftest import UploadZip
from tests.codabench.world import HTML_500, HTML_502, Reply, World

PUTS: list[Any] = [
    0,
    700,
    9000,
    "expired",
    "damage",
    Reply(503, "<Error><Code>SlowDown</Code></Error>", kind="application/xml"),
]
CREATES = ["lose", "fail", "fail after", "late", "busy", "hang up", "nonsense"]
PATHS = [
    "GET /api/submissions/",
    "GET /api/competitions/",
    "POST /api/datasets/",
    "PUT /api/datasets/completed/",
    "GET /api/datasets/",
    "DELETE /api/datasets/",
]


class Killed(BaseException):
    """The process was killed: nothing may catch this."""


def kill_at(
    monkeypatch: pytest.MonkeyPatch, number: int, *, before: bool
) -> Callable[[], None]:
    """Kill the client before or after its nth request; returns an undo function."""
    real, count = Transport._send, [0]

    def send(self: Transport, *args: Any, **options: Any) -> Any:
        count[0] += 1
        if before and count[0] == number:
            raise Killed
        reply = real(self, *args, **options)
        if count[0] == number:
            raise Killed
        return reply

    monkeypatch.setattr(Transport, "_send", send)
    return lambda: monkeypatch.setattr(Transport, "_send", real)


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_there_is_one_submission_in_the_end(
    seed: int,
    upload: UploadZip,
    world: World,
    make_zip: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(seed)
    world.version = chance.choice(["v125", "new"])
    world.day_limit = chance.choice([1, 5])
    path = make_zip()
    for _ in range(5):
        world.put = chance.choices(PUTS, k=chance.randrange(4))
        world.create = chance.choices(CREATES, k=chance.randrange(3))
        world.hidden_for = 0
        failures = [chance.choice([HTML_500, HTML_502])] * chance.randrange(6)
        world.answers = {chance.choice(PATHS): failures}
        calm = kill_at(
            monkeypatch, chance.randrange(1, 30), before=chance.random() < 0.5
        )
        try:
            upload(path)
        except (Killed, SubmitError):
            pass
        finally:
            calm()
        assert len(world.created) <= 1
    world.put, world.create, world.answers, world.hidden_for = [], [], {}, 0
    assert upload(path).id == 9001
    assert len(world.created) == 1
