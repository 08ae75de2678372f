"""What counts as a URL, and what is shown of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from submit.system.urls import StorageUrl, is_url, place


@pytest.mark.parametrize(
    ("text", "name", "parts"),
    [
        ("s3://bucket/MOSEv2/valid/", "valid", ("bucket", "MOSEv2", "valid")),
        ("S3://bucket", "bucket", ("bucket",)),
        ("abfs://box@account.net/a b/ü", "ü", ("box@account.net", "a b", "ü")),
        ("memory://x", "x", ("x",)),
    ],
)
def test_url_names_a_folder(text: str, name: str, parts: tuple[str, ...]) -> None:
    found = place(text)
    assert isinstance(found, StorageUrl)
    assert (found.name, found.parts) == (name, parts)
    assert found.absolute() == found.resolve() == found


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("MOSEv2/valid", "MOSEv2/valid"),
        ("file:///data/a b", "/data/a b"),
        ("local:///data", "/data"),
        ("C:/x", "C:/x"),
        ("s3:/bucket", "s3:/bucket"),
    ],
)
def test_what_is_no_url_of_a_storage_is_a_path(text: str, path: str) -> None:
    assert place(text) == Path(path)


@pytest.mark.parametrize("text", ["ftp://me:se@cret@host/x", "sftp://me:s@h"])
def test_password_is_never_shown(text: str) -> None:
    url = place(text)
    assert isinstance(url, StorageUrl)
    assert url.full == text
    assert url.secret is not None
    assert url.secret not in f"{url} {url!r} {url.parts}".replace("sftp", "")
    assert "me:[hidden]@h" in str(url)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://", "names no folder"),
        ("s3:///", "names no folder"),
        ("s3://../x", "has an empty name, '.' or '..' in it"),
        ("s3://..", "has an empty name, '.' or '..' in it"),
        ("s3://bucket/../x", "has an empty name, '.' or '..' in it"),
        ("s3://bucket//x", "has an empty name"),
        ("simplecache::s3://x", "is a chain of URLs"),
        ("zip://a.zip::s3://x", "is a chain of URLs"),
        ("https://host/x?token=abc", "a URL with a query names one file"),
    ],
)
def test_url_of_no_folder_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace(".", r"\.")) as caught:
        place(text)
    assert "abc" not in str(caught.value)


def test_paths_are_no_urls() -> None:
    assert is_url("s3://x")
    assert not any(map(is_url, ("", "a/b", "/x", "a:b", Path("s3://x"), None)))
