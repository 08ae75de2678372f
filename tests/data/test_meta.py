from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from submit.data import VideoMeta, audit_split, read_split
from submit.errors import SplitError

WriteSplit = Callable[..., Path]


def write_meta(path: Path, videos: Any) -> Path:
    path.write_text(json.dumps({"videos": videos}))
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"length": 3, "height": 24, "width": 32, "objects": ["1", "2"], **changes}


@pytest.fixture
def root(write_split: WriteSplit) -> Path:
    return write_split(("a", "b"), root="MOSEv2/valid")


def test_equal_meta_files_need_no_choice(root: Path) -> None:
    for name in ("meta_2019.json", "meta.json"):
        write_meta(root / name, {"a": entry(), "b": entry()})
    split = read_split(root)
    assert split.meta_path == root / "meta.json"
    assert split.notes == ()


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["meta.json", "meta_2019.json"], "meta.json"),
        (["meta.json", "meta_valid.json", "meta_x.json"], "meta_valid.json"),
        (["meta_10.json", "meta_9.json"], "meta_9.json"),
        (["valid_meta.json", "meta.json"], "valid_meta.json"),
    ],
)
def test_the_choice_among_meta_files_depends_on_names_only(
    root: Path, names: list[str], chosen: str
) -> None:
    for number, name in enumerate(names):
        write_meta(root / name, {"a": entry(length=3 + number), "b": entry()})
    split = read_split(root)
    assert split.meta_path == root / chosen
    assert len(split.notes) == len(names) - 1
    for note in split.notes:
        assert note.startswith(f"{root / chosen}: is read, and meta")
        assert "they differ in 1 video, such as a: length" in note
        assert "--meta names the right one" in note


def test_the_meta_file_that_lists_most_videos_is_taken(root: Path) -> None:
    write_meta(root / "meta.json", {"x": entry(), "a": entry()})
    fitting = write_meta(root / "meta_zzz.json", {"a": entry(), "b": entry()})
    write_meta(root / "meta_other.json", {"x": entry()})
    split = read_split(root)
    assert split.meta_path == fitting
    assert split.notes == (
        f"{root / 'meta_other.json'}: lists no video of the split; it is not read",
    )


@pytest.mark.parametrize("content", ["{", '{"images": []}', '{"videos": {"a": 1}}'])
def test_a_broken_meta_file_beside_a_good_one_is_said_and_not_read(
    root: Path, content: str
) -> None:
    good = write_meta(root / "meta.json", {"a": entry(), "b": entry()})
    (root / "meta_old.json").write_text(content)
    split = read_split(root)
    assert split.meta_path == good
    (note,) = split.notes
    assert note.startswith(f"{root / 'meta_old.json'}: ")
    assert note.endswith("; it is not read")


def test_the_meta_file_may_be_named(root: Path) -> None:
    write_meta(root / "meta.json", {"a": entry(), "b": entry()})
    other = write_meta(root.parent / "x.json", {"a": entry(objects=[7])})
    split = read_split(root, meta=other)
    assert split.meta_path == other
    assert split.videos["a"].objects == (7,)
    stranger = write_meta(root.parent / "y.json", {"z": entry()})
    with pytest.raises(SplitError, match="lists no video of the split, which has a"):
        read_split(root, meta=stranger)
    with pytest.raises(SplitError, match=r"no\.json: cannot be read \(No such file"):
        read_split(root, meta=root / "no.json")


def test_a_meta_file_beside_the_split_is_found(root: Path) -> None:
    write_meta(root.parent / "meta_train.json", {"a": entry(length=99)})
    assert read_split(root).meta_path is None
    beside = write_meta(root.parent / "meta_valid.json", {"a": entry()})
    assert read_split(root).meta_path == beside
    inside = write_meta(root / "meta.json", {"a": entry()})
    assert read_split(root).meta_path == inside


def test_a_meta_file_above_serves_the_videos_that_it_lists(root: Path) -> None:
    path = write_meta(root.parent / "meta.json", {"z": entry()})
    assert read_split(root).meta_path is None
    write_meta(path, {"a": entry(objects=[5]), "b": entry(), "z": entry()})
    split = read_split(root)
    assert split.meta_path == path
    assert split.videos["a"].objects == (5,)
    # Videos of the other splits are not missing here.
    assert split.absent == ()
    path.write_text("{")
    assert read_split(root).meta_path is None


def test_a_data_card_is_no_meta_file(root: Path) -> None:
    (root / "metadata.json").write_text("[1]")
    split = read_split(root)
    assert (split.meta_path, split.notes) == (None, ())


@pytest.mark.parametrize(
    "content", ["[]", "3", "null", '{"a": {}}', '{"videos": ["a"]}', '{"videos": null}']
)
def test_what_is_no_meta_file_is_said(root: Path, content: str) -> None:
    (root / "meta.json").write_text(content)
    with pytest.raises(SplitError, match=r"meta\.json: is not a meta file; expected"):
        read_split(root)


@pytest.mark.parametrize(
    "content", ["{", "", "[" * 100_000, '{"videos": {"a": ' + "[" * 100_000]
)
def test_a_damaged_meta_file_is_said(root: Path, content: str) -> None:
    (root / "meta.json").write_text(content)
    with pytest.raises(SplitError, match=r"^\S*meta\.json: is (not valid|nested)"):
        read_split(root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "expected an object such as .* found 3"),
        ('{"length": 1e999}', "length: expected 1 to 10,000,000, found inf"),
        ('{"length": -1e999}', "length: expected 1 to 10,000,000, found -inf"),
        ('{"length": NaN}', "length: expected 1 to 10,000,000, found nan"),
        ('{"length": 0}', "length: expected 1 to 10,000,000, found 0"),
        ('{"length": -5}', "length: expected 1 to 10,000,000, found -5"),
        ('{"length": 1e12}', "length: expected 1 to 10,000,000, found 1000000000000"),
        ('{"length": 2.5}', "length: expected 1 to 10,000,000, found 2.5"),
        ('{"length": true}', "length: expected 1 to 10,000,000, found True"),
        ('{"length": "long"}', "length: expected 1 to 10,000,000, found 'long'"),
        ('{"length": [3]}', "length: expected 1 to 10,000,000, found list"),
        ('{"width": 100000}', "width: expected 1 to 65,535, found 100000"),
        ('{"height": 60000, "width": 60000}', "60000×60000 pixels are more than any"),
        ('{"objects": 3}', "objects: expected a list of ids, found 3"),
        ('{"objects": "12"}', "objects: expected a list of ids, found '12'"),
        ('{"objects": ["cat"]}', "object id: expected 1 to 254, found 'cat'"),
        ('{"objects": [256]}', "object id: expected 1 to 254, found 256"),
        ('{"objects": ["300"]}', "object id: expected 1 to 254, found '300'"),
        ('{"objects": [-1]}', "object id: expected 1 to 254, found -1"),
        ('{"objects": [1.5]}', "object id: expected 1 to 254, found 1.5"),
        ('{"objects": [true]}', "object id: expected 1 to 254, found True"),
        ('{"objects": [1e999]}', "object id: expected 1 to 254, found inf"),
        ('{"objects": [{"id": 1}]}', "object id: expected 1 to 254, found dict"),
        ('{"objects": [' + "9" * 4000 + "]}", "object id: expected 1 to 254, found 99"),
    ],
)
def test_what_cannot_be_is_said_with_its_video(
    root: Path, text: str, said: str
) -> None:
    (root / "meta.json").write_text(f'{{"videos": {{"a": {text}}}}}')
    with pytest.raises(SplitError, match=rf"meta\.json: video a: {said}") as error:
        read_split(root)
    assert len(str(error.value)) < 400


def test_lengths_that_come_to_too_much_are_refused(root: Path) -> None:
    write_meta(root / "meta.json", {name: {"length": 9_000_000} for name in "ab"})
    said = r"meta\.json: the lengths of its videos come to 18,000,000 frames, expected"
    with pytest.raises(SplitError, match=said):
        read_split(root)


def test_numbers_may_be_written_as_text_or_with_a_point(root: Path) -> None:
    objects = ["2", 1, 3.0, "04"]
    write_meta(root / "meta.json", {"a": {"length": "3", "height": 24.0, "width": 32}})
    assert read_split(root).videos["a"].meta == VideoMeta(3, 24, 32)
    forms: tuple[Any, Any] = (objects, {str(key): {} for key in (2, 1, 3, 4)})
    for form in forms:
        write_meta(root / "meta.json", {"a": {"objects": form}})
        assert read_split(root).videos["a"].objects == (1, 2, 3, 4)


def test_ids_of_background_and_void_are_left_out_and_said(root: Path) -> None:
    write_meta(
        root / "meta.json",
        {"a": entry(objects=[0, 1, 2, 255]), "b": entry(objects=["0", "1", "2"])},
    )
    split = read_split(root)
    assert [video.objects for video in split.videos.values()] == [(1, 2), (1, 2)]
    path = root / "meta.json"
    assert split.notes == (
        f"{path}: lists the object 0 in 2 videos, such as a; it is left out, since 0 "
        "marks the background",
        f"{path}: lists the object 255 in 1 video, such as a; it is left out, since "
        "255 marks void pixels",
    )
    assert [audit.problems for audit in audit_split(split)] == [(), ()]


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_byte_order_mark_is_no_problem(root: Path, mark: bytes) -> None:
    path = write_meta(root / "meta.json", {"a": entry(), "b": entry()})
    path.write_bytes(mark + path.read_bytes())
    split = read_split(root)
    assert split.videos["a"].meta == VideoMeta(3, 24, 32, (1, 2))


def test_a_meta_file_in_utf_16_is_named_as_such(root: Path) -> None:
    (root / "meta.json").write_text(json.dumps({"videos": {}}), encoding="utf-16")
    with pytest.raises(SplitError, match=r"meta\.json: is UTF-16 text; save it as"):
        read_split(root)
