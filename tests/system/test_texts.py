from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submit.errors import SubmitError
from submit.scoring.compare import read_metrics
from submit.scoring.holdout import read_list
from submit.system.files import open_regular, read_json, read_regular, read_text
from submit.system.tables import read_toml
from submit.system.texts import decode_text, parse_json

#: Every reader of a file, with a content that it takes.
READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "JSON": (read_json, '{"grün": 1}'),
    "TOML": (read_toml, '"grün" = 1\r\n'),
    "text": (read_text, "grün\n"),
    "list": (read_list, "grün\n"),
    "metrics": (read_metrics, '{"total_time": 1}'),
}


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> tuple[Callable[[Path], Any], str]:
    return READERS[request.param]


def test_a_byte_order_mark_changes_nothing(
    reader: tuple[Callable[[Path], Any], str], tmp_path: Path
) -> None:
    read, text = reader
    path = tmp_path / "file"
    path.write_bytes(text.encode())
    plain = read(path)
    path.write_bytes(codecs.BOM_UTF8 + text.encode())
    assert read(path) == plain


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "is UTF-16 text; save it as UTF-8"),
        ("utf-32", "is UTF-32 text; save it as UTF-8"),
        ("utf-16-le", "holds zero bytes, as UTF-16 text and binary files do"),
        ("utf-16-be", "holds zero bytes, as UTF-16 text and binary files do"),
        ("latin-1", "is not UTF-8 text"),
    ],
)
def test_text_in_another_encoding_is_named(
    reader: tuple[Callable[[Path], Any], str],
    encoding: str,
    said: str,
    tmp_path: Path,
) -> None:
    read, text = reader
    path = tmp_path / "file"
    path.write_bytes(f'{{"ü": 1, "x": "{text}"}}'.encode(encoding))
    with pytest.raises((SubmitError, ValueError)) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {said}")
    assert str(error.value).count(str(path)) == 1


@pytest.mark.parametrize("read", [read_json, read_metrics, read_toml])
def test_deep_nesting_is_an_error_and_no_traceback(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text(("a = " if read is read_toml else "") + "[" * 100_000)
    with pytest.raises((SubmitError, ValueError), match="nested too deeply"):
        read(path)


def test_a_number_of_too_many_digits_is_an_error_and_no_traceback(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.write_text("a = " + "1" * 5000)
    with pytest.raises(SubmitError, match="file: is not valid TOML: Exceeds the limit"):
        read_toml(path)


def test_a_key_given_twice_is_found_among_very_many() -> None:
    """Counting each key by itself would take hours."""
    pairs = ", ".join(f'"{key}": 0' for key in [*range(100_000), 99_999])
    with pytest.raises(ValueError, match="the key '99999' is given twice"):
        parse_json(f"{{{pairs}}}", unique=True)


@pytest.mark.parametrize("text", ["", "{", "[1, 2", '{"a": 1} x', "1" * 5000])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not valid JSON"):
        parse_json(text)


def test_where_text_stops_to_be_utf_8_is_said() -> None:
    with pytest.raises(ValueError, match=r"byte 2 is 0xfc"):
        decode_text(b"gr\xfcn")


def test_a_pipe_is_no_regular_file_and_never_waits(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for read in (open_regular, read_regular, read_json):
        with pytest.raises(OSError, match="not a regular file"):
            read(path)
    with pytest.raises(OSError, match="not a regular file"):
        read_regular("/dev/null")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(tmp_path)


@pytest.mark.parametrize("said", [0, 3, 9, 10, 11, 40])
def test_a_file_is_read_whole_whatever_size_it_was_said_to_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    status = os.stat(path)
    fields = [*status]
    fields[6] = said  # st_size, as it was before another program wrote.
    monkeypatch.setattr(os, "fstat", lambda file: os.stat_result(fields))
    assert read_regular(path) == b"0123456789"
    assert read_regular(path, most=4) == b"0123"


def test_reads_that_come_in_pieces_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    read = os.read
    monkeypatch.setattr(os, "read", lambda file, size: read(file, min(size, 3)))
    assert read_regular(path) == b"0123456789"
    assert read_regular(path, most=7) == b"0123456"


def test_text_that_the_user_names_may_come_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("a\nb\n",))
    writer.start()
    assert read_list(path) == ("a", "b")
    writer.join()


def test_text_that_never_ends_is_refused() -> None:
    with pytest.raises(ValueError, match=r"/dev/zero: has more than .* bytes"):
        read_text(Path("/dev/zero"))
