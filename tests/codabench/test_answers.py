from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from submit.codabench.answers import Reply, refusal, sentence
from submit.codabench.client import Client
from submit.codabench.redaction import clean, redact
from submit.errors import (
    CodabenchError,
    LimitError,
    LoginError,
    NetworkError,
    ParticipationError,
    PhaseError,
    QuotaError,
    RefusedError,
    ServerError,
)


def reply(
    content: Any, status: int = 400, kind: str = "application/json", **headers: str
) -> Reply:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Reply(status, {"content-type": kind, **headers}, body, "https://x/api/y/")


XML = (
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>"
    b"<Message>Request has expired</Message></Error>"
)


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        ({"detail": "Invalid token."}, "application/json", "Invalid token"),
        ({"error": "Cannot delete."}, "application/json", "Cannot delete"),
        ({"error_msg": "Disabled!"}, "application/json", "Disabled!"),
        ({"file_size": ["A valid number."]}, "", "file_size: A valid number"),
        (
            {"file_size": "This field is required."},
            "",
            "file_size: This field is required",
        ),
        ({"non_field_errors": ["One.", "Two."]}, "", "One; Two"),
        (["You already applied!"], "", "You already applied!"),
        ("plain", "", "plain"),
        ({"a": {"b": ["deep"]}}, "", "b: deep"),
        (XML, "application/xml", "AccessDenied: Request has expired"),
        (b"<!DOCTYPE html><p>Server Error", "text/html", "it gives no reason"),
        (b"<html>no content type", "", "it gives no reason"),
        (b"", "", "it gives no reason"),
        (b"\xff\xfe broken", "", "it gives no reason"),
        ({}, "", "it gives no reason"),
        (None, "", "it gives no reason"),
        ([[[[[[[["too deep"]]]]]]]], "", "it gives no reason"),
    ],
)
def test_all_shapes_of_a_refusal_become_one_sentence(
    content: Any, kind: str, said: str
) -> None:
    assert sentence(reply(content, kind=kind)) == said


@pytest.mark.parametrize(
    ("content", "status", "error"),
    [
        ({"detail": "Invalid token."}, 403, LoginError),
        ({"detail": "Authentication credentials were not provided."}, 403, LoginError),
        ({"detail": "CSRF Failed: CSRF token missing."}, 403, LoginError),
        ({"detail": "User inactive or deleted."}, 403, LoginError),
        ({"detail": "You do not have permission."}, 403, RefusedError),
        ({"error": "You are banned from using Codabench"}, 403, ParticipationError),
        (
            {"detail": "Cannot access details while phase marked to hide output."},
            403,
            RefusedError,
        ),
        (
            {"detail": "You do not have access to this competition to make"},
            403,
            ParticipationError,
        ),
        (["Reached maximum allowed submissions for this phase"], 400, LimitError),
        ({"non_field_errors": ["This phase is not active"]}, 400, PhaseError),
        ({"data_file": ["Insufficient space. Your"]}, 400, QuotaError),
        ({"phase": ["This field is required."]}, 400, RefusedError),
        ({"detail": "Not found."}, 404, RefusedError),
        (XML, 403, RefusedError),
        ({"detail": "Throttled."}, 429, NetworkError),
        (b"<html>", 500, ServerError),
        (b"<html>we are under Maintenance", 503, ServerError),
    ],
)
def test_a_refusal_is_told_by_status_and_words(
    content: Any, status: int, error: type[CodabenchError]
) -> None:
    kind = "application/xml" if content is XML else "application/json"
    found = refusal(reply(content, status, kind), "do it")
    assert type(found) is error
    assert str(found).startswith("cannot do it: ")
    assert "; " in str(found)  # What to do next.


def test_maintenance_is_told_from_a_wrong_address() -> None:
    away = reply(b"", 302, location="/maintenance.html")
    assert "under maintenance" in str(refusal(away, "do it"))
    wrong = reply(b"", 301, location="https://www.codabench.org/")
    assert "check --url" in str(refusal(wrong, "do it"))


SECRET = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Token {SECRET}",
        f"token: {SECRET.upper()}",
        f"Bearer {SECRET}x-._~",
        f"Basic {SECRET}==",
        f"https://s.example.org/b/k?AWSAccessKeyId=K&Signature={SECRET}x&Expires=1",
        f"/b/k?X-Amz-Credential=K&X-Amz-Signature={SECRET}0",
        f"https://storage.googleapis.com/b?X-Goog-Signature={SECRET}1",
        f"https://a.blob.core.windows.net/c?sv=1&sig={SECRET}2 rest",
        f"pyamqp://organisers:{SECRET}z@queue:5671/v",
        f"AMQP://u:{SECRET}z@h",
        f"the token {SECRET}, bare",
    ],
)
def test_secrets_are_hidden_in_any_text(text: str) -> None:
    assert SECRET not in redact(text).lower()
    assert SECRET not in clean(text).lower()
    assert "[hidden]" in redact(text)


def test_known_secrets_are_hidden_whatever_they_look_like() -> None:
    assert redact("say swordfish", ["swordfish", ""]) == "say [hidden]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x07\n c", "a [31mb c"),
        ("x\u202ey\u200bz", "xyz"),
        ("J&Ḟ – ok 中", "J&Ḟ – ok 中"),
        (5, "5"),
        ("x" * 1000, "x" * 399 + "…"),
    ],
)
def test_texts_of_the_server_are_made_fit_to_be_shown(text: object, shown: str) -> None:
    assert clean(text) == shown


def test_an_endless_text_costs_no_time() -> None:
    assert len(clean("https://a@" * 1_000_000)) <= 400


@pytest.mark.parametrize(
    "name", ["urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry"]
)
def test_the_log_of_the_http_library_has_no_signatures(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    from submit.codabench import Client

    Client().close()
    caplog.set_level("DEBUG")
    logging.getLogger(name).debug("GET %s", f"https://h/x?Signature={SECRET}")
    assert caplog.messages == ["GET https://h/x?[hidden]"]


class Answering:
    """A transport that gives one answer to everything."""

    url = "https://example.org/"
    proxy = None

    def __init__(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.reply = Reply(200, {"content-type": "application/json"}, body, self.url)

    def call(self, *_: Any, **__: Any) -> Reply:
        return self.reply


INFINITE = float("inf")


@pytest.mark.parametrize(
    ("value", "ask"),
    [
        ({"id": INFINITE}, lambda client: client.submission(1)),
        (
            {"id": 1, "scores": [{"column_key": "a", "score": 1, "index": INFINITE}]},
            lambda client: client.submission(1),
        ),
        ({"id": 1, "children": [INFINITE]}, lambda client: client.submission(1)),
        ({"id": INFINITE}, lambda client: client.competition()),
        ({"quota": INFINITE}, lambda client: client.quota()),
        ({"results": [{"key": "k"}]}, lambda client: client.record("k")),
        (
            {"results": [{"key": "k", "id": 1, "file_size": []}]},
            lambda client: client.record("k"),
        ),
        ([{"id": [1]}], lambda client: client.submissions()),
    ],
)
def test_numbers_that_are_none_are_an_unknown_answer(value: Any, ask: Any) -> None:
    client = Client(transport=Answering(value))  # type: ignore[arg-type]
    with pytest.raises(ServerError, match="unknown way"):
        ask(client)


def test_a_list_of_logs_that_is_none_has_no_logs() -> None:
    client = Client(transport=Answering({"logs": 3}))  # type: ignore[arg-type]
    assert client.details(1).logs == {}
