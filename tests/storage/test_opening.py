"""Storages that cannot be opened."""

from __future__ import annotations

import sys

import pytest

from submit.errors import StorageError
from submit.storage.opening import open_storage, trouble
from submit.system.urls import StorageUrl


def test_unknown_protocol_is_named() -> None:
    with pytest.raises(StorageError, match=r"s4:// is no protocol that fsspec knows"):
        open_storage(StorageUrl("s4", "bucket"))


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(StorageError, match=r"gs:// is missing; pip install gcsfs"):
        open_storage(StorageUrl("gs", "bucket"))


def test_password_that_was_not_recorded_is_asked_for() -> None:
    with pytest.raises(StorageError, match="its password is not recorded"):
        open_storage(StorageUrl("ftp", "me:[hidden]@host/x"))


def test_password_in_an_error_is_hidden() -> None:
    url = StorageUrl("ftp", "me:geheim@host/x")
    error = trouble(OSError("cannot log in to ftp://me:geheim@host"), str(url), url)
    assert "geheim" not in str(error)
    assert "me:[hidden]@host" in str(error)


def test_missing_credentials_are_told_from_a_lost_network() -> None:
    url = StorageUrl("s3", "bucket")
    kind = type("NoCredentialsError", (Exception,), {})
    assert "check the credentials" in str(trouble(kind("none"), "x", url))
    assert "check the network" in str(trouble(OSError("timeout"), "x", url))


@pytest.mark.parametrize("said", ["p%40ss", "p@ss"])
def test_password_in_an_error_is_hidden_as_given_and_as_sent(said: str) -> None:
    url = StorageUrl("sftp", "me:p%40ss@host/x")
    error = trouble(OSError(f"no login of me with {said}"), str(url), url)
    assert "no login of me with [hidden]" in str(error)
