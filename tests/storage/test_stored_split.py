"""Splits in a storage: fetched when needed, and the same as on disk."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.data import SplitVideo, read_split
from submit.errors import SplitError, StorageError
from submit.runs import Run
from submit.storage import StoredFiles, fetched, files, own_storage, size_of
from submit.system.files import digest
from tests.splits import write_split
from tests.storage.faulty import Faulty, FaultyStorage

Submit = Callable[..., Result]

SPLIT = "a bucket/välid"


@pytest.fixture
def submit(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Submit:
    """Run a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, status: int = 0) -> Result:
        result = runner.invoke(cli, [str(word) for word in words])
        assert result.exit_code == status, result.output
        return result

    return run


def predict(submit: Submit, split: object, name: str, **more: int) -> Result:
    return submit("predict", split, "--predictor", "static", "--name", name, **more)


def test_split_is_the_same_as_on_disk(storage: FaultyStorage) -> None:
    there, here = read_split(storage.url(SPLIT)), read_split(storage.root / SPLIT)
    assert there.fingerprint == here.fingerprint
    assert there.videos.keys() == here.videos.keys()
    for name, video in there.videos.items():
        assert video.frames == here.videos[name].frames
        assert video.size == here.videos[name].size
        assert np.array_equal(video.first_mask(), here.videos[name].first_mask())
    assert str(there.place) == storage.url(SPLIT)


def test_opening_fetches_first_masks_only(storage: FaultyStorage) -> None:
    read_split(storage.url(SPLIT))
    assert storage.fetched == [
        f"{SPLIT}/Annotations/{video}/00000.png" for video in ("a", "b")
    ]


def test_files_are_fetched_once(storage: FaultyStorage) -> None:
    for _ in range(2):
        video = read_split(storage.url(SPLIT)).videos["a"]
        with fetched(video.images):
            names = [path.name for path in video.images.values()]
        assert names == ["00000.jpg", "00001.jpg", "00002.jpg"]
    assert len(storage.fetched) == 2 + 3


def test_file_that_changed_in_the_storage_is_fetched_again(
    storage: FaultyStorage,
) -> None:
    first = storage.root / SPLIT / "Annotations/a/00000.png"
    read_split(storage.url(SPLIT))
    changed = (storage.root / SPLIT / "Annotations/a/00001.png").read_bytes()
    first.write_bytes(changed)
    os.utime(first, (1e9, 1e9))
    video = read_split(storage.url(SPLIT)).videos["a"]
    assert video.masks["00000"].read_bytes() == changed
    assert video.masks["00000"].stat().st_mtime == 1e9


def test_video_is_fetched_where_it_is_unpickled(
    storage: FaultyStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = pickle.dumps(read_split(storage.url(SPLIT)).videos["b"])
    monkeypatch.setenv("SUBMIT_STORAGE", str(tmp_path / "other machine"))
    video: SplitVideo = pickle.loads(sent)
    with fetched(video.images):
        assert all(
            path.is_relative_to(tmp_path / "other machine")
            for path in video.images.values()
        )


def test_several_files_are_fetched_at_once(
    storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Faulty, "async_impl", True)
    video = read_split(storage.url(SPLIT)).videos["b"]
    assert isinstance(video.images, StoredFiles)
    assert video.images.threads > 1
    with fetched(video.images):
        assert sorted(storage.fetched[2:]) == [
            f"{SPLIT}/JPEGImages/b/{number:05d}.jpg" for number in range(4)
        ]


def test_frames_are_deleted_when_the_disk_is_nearly_full(
    storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROOM", 1 << 62)
    video = read_split(storage.url(SPLIT)).videos["a"]
    with fetched(video.images):
        place = video.images["00000"].parent
        assert len(list(place.iterdir())) == 3
    assert list(place.iterdir()) == []
    assert (place.parents[1] / "Annotations/a/00000.png").exists()


@pytest.mark.parametrize("fault", ["lost", "truncated"])
def test_transfer_that_fails_is_tried_again(storage: FaultyStorage, fault: str) -> None:
    video = read_split(storage.url(SPLIT)).videos["a"]
    storage.fail(fault, times=3, where="00001.jpg")
    with fetched(video.images):
        assert digest(video.images["00001"]) == digest(
            storage.root / SPLIT / "JPEGImages/a/00001.jpg"
        )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("lost", "cannot be read (the connection was lost); check the network"),
        ("truncated", "bytes came); check the network"),
        ("refused", "the storage refuses it (Access Denied); check the credentials"),
        ("full", "the disk is full; make room"),
    ],
)
def test_transfer_that_keeps_failing_is_an_error_and_leaves_no_file(
    storage: FaultyStorage, fault: str, words: str
) -> None:
    video = read_split(storage.url(SPLIT)).videos["a"]
    storage.fail(fault, where="00001.jpg")
    with pytest.raises(StorageError) as caught, fetched(video.images):
        pass
    assert words in str(caught.value)
    assert "00001.jpg" in str(caught.value)
    assert caught.value.everywhere == (fault == "full")
    place = own_storage().joinpath("faulty", *storage.root.parts[1:], SPLIT)
    names = {path.name for path in (place / "JPEGImages/a").iterdir()}
    assert names <= {"00000.jpg", "00002.jpg"}


def test_file_that_changes_after_the_listing_is_named(storage: FaultyStorage) -> None:
    video = read_split(storage.url(SPLIT)).videos["a"]
    (storage.root / SPLIT / "JPEGImages/a/00002.jpg").write_bytes(b"longer" * 900)
    with pytest.raises(StorageError, match=r"00002.jpg: was changed since the comm"):
        video.images["00002"]


def test_file_that_is_removed_after_the_listing_is_named(
    storage: FaultyStorage,
) -> None:
    video = read_split(storage.url(SPLIT)).videos["a"]
    (storage.root / SPLIT / "JPEGImages/a/00002.jpg").unlink()
    with pytest.raises(StorageError, match=r"00002.jpg: the storage has no such file"):
        video.images["00002"]


def test_listing_is_tried_again(storage: FaultyStorage) -> None:
    storage.fail("list", times=3)
    assert list(read_split(storage.url(SPLIT)).videos) == ["a", "b"]
    storage.fail("list")
    with pytest.raises(StorageError, match="the connection was lost"):
        read_split(storage.url(SPLIT))


def test_mask_that_cannot_be_fetched_does_not_make_another_fingerprint(
    storage: FaultyStorage,
) -> None:
    storage.fail("lost", where="Annotations")
    with pytest.raises(StorageError, match="the connection was lost"):
        read_split(storage.url(SPLIT))


def test_folder_that_is_not_there_is_named(storage: FaultyStorage) -> None:
    with pytest.raises(StorageError, match=r"tests: the storage has no such folder"):
        read_split(storage.url("tests"))
    with pytest.raises(SplitError, match=r"did you mean faulty:/.*/a bucket/välid\?"):
        read_split(storage.url("a bucket"))


def test_meta_files_are_those_of_the_storage(storage: FaultyStorage) -> None:
    meta = {name: {"objects": ["1", "7"]} for name in ("a", "b")}
    write_split(storage.root / SPLIT, {}, meta=meta)
    split = read_split(storage.url(SPLIT))
    assert split.videos["a"].objects == (1, 7)
    (storage.root / SPLIT / "meta.json").rename(
        storage.root / "a bucket" / "meta_välid.json"
    )
    split = read_split(storage.url(SPLIT))
    assert split.videos["a"].objects == (1, 7)
    assert split.meta_path is not None
    assert split.meta_path.name == "meta_välid.json"
    (storage.root / "a bucket" / "meta_välid.json").unlink()
    assert read_split(storage.url(SPLIT)).meta_path is None


def test_sizes_that_are_not_listed_are_asked_for(
    storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Faulty.ls

    def without_sizes(self: Faulty, path: str, detail: bool = True) -> list[object]:
        found = whole(self, path, detail)
        return [{**one, "size": None, "mtime": None} for one in found]

    monkeypatch.setattr(Faulty, "ls", without_sizes)
    video = read_split(storage.url(SPLIT)).videos["a"]
    here = storage.root / SPLIT / "JPEGImages/a"
    for frame in video.frames:
        assert size_of(video.images, frame) == (here / f"{frame}.jpg").stat().st_size
    assert not any("JPEGImages" in path for path in storage.fetched)


def test_leftovers_of_a_killed_process_are_removed(storage: FaultyStorage) -> None:
    video = read_split(storage.url(SPLIT)).videos["a"]
    place = video.images["00000"].parent
    old, new = place / ".00001.jpg.7-7.partial", place / ".00001.jpg.8-8.partial"
    for path in (old, new):
        path.touch()
    os.utime(old, (1e9, 1e9))
    with fetched(video.images):
        assert not old.exists()
        assert new.exists()


def test_names_that_lead_out_of_the_copy_are_not_read(
    storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Faulty.ls

    def with_odd_names(self: Faulty, path: str, detail: bool = True) -> list[object]:
        odd = [
            {"name": f"{path}/{name}", "size": 1, "type": "file"}
            for name in ("..", ".", "")
        ]
        return [*odd, *listed(self, path, detail)]

    monkeypatch.setattr(Faulty, "ls", with_odd_names)
    split = read_split(storage.url(SPLIT))
    assert list(split.videos["a"].images) == ["00000", "00001", "00002"]


@pytest.mark.slow
def test_run_of_a_url_is_that_of_the_folder(
    storage: FaultyStorage, submit: Submit
) -> None:
    predict(submit, storage.url(SPLIT), "there")
    predict(submit, storage.root / SPLIT, "here")
    there, here = (Run.open(Path("runs") / name) for name in ("there", "here"))
    assert there.identity == here.identity
    assert there.split["path"] == storage.url(SPLIT)
    # Either continues the other.
    before = len(storage.fetched)
    result = predict(submit, storage.root / SPLIT, "there")
    assert "already complete: 2 of 2" in result.output
    result = predict(submit, storage.url(SPLIT), "here")
    assert "already complete: 2 of 2" in result.output
    assert len(storage.fetched) == before
    submit("pack", "there", "-o", "there.zip")
    submit("pack", "here", "-o", "here.zip")
    assert digest(Path("there.zip")) == digest(Path("here.zip"))


@pytest.mark.slow
def test_video_that_cannot_be_fetched_fails_and_the_others_go_on(
    storage: FaultyStorage, submit: Submit
) -> None:
    storage.fail("lost", where="JPEGImages/b")
    result = predict(submit, storage.url(SPLIT), "run", status=1)
    assert "1 of 2 videos failed: b: " in result.output
    assert "the connection was lost" in result.output
    assert list(Run.open(Path("runs/run")).videos) == ["a"]
    storage.heal()
    assert (
        "already complete: 1 of 2" in predict(submit, storage.url(SPLIT), "run").output
    )


@pytest.mark.slow
def test_workers_fetch_their_videos(storage: FaultyStorage, submit: Submit) -> None:
    submit(
        *("predict", storage.url(SPLIT), "--predictor", "static", "--name", "run"),
        *("--workers", 2),
    )
    assert sorted(storage.fetched[2:]) == sorted(
        f"{SPLIT}/JPEGImages/{video}/{number:05d}.jpg"
        for video, frames in (("a", 3), ("b", 4))
        for number in range(frames)
    )


@pytest.mark.slow
def test_commands_read_a_split_of_a_url(storage: FaultyStorage, submit: Submit) -> None:
    url = storage.url(SPLIT)
    predict(submit, url, "run")
    submit("pack", "run", "-o", "run.zip")
    for words in (
        ("check", "run.zip", "--split", url),
        ("score", "run", "--split", url),
        ("preview", "run", "--split", url),
        ("report", "run", "--split", url, "-o", "report"),
        ("videos", url),
        ("overlay", "run", "a", "--split", url, "-o", "a.png"),
        ("runs", "run"),
        ("runs",),
    ):
        submit(*words)
    assert url in submit("runs", "run").stdout.replace("\n", "")


@pytest.mark.slow
def test_recipe_of_a_url_is_built_and_planned(
    storage: FaultyStorage, submit: Submit, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'split = "{storage.url(SPLIT)}"\n[[predict]]\nname = "plain"\n'
        'predictor = "static"\n[submission]\nrun = "plain"\n'
    )
    submit("plan", recipe)
    submit("build", recipe)
    assert (tmp_path / "runs/välid/submission.zip").exists()
    recipe.write_text(f"{recipe.read_text()}[sample]\nvideos = 1\n")
    assert "is a URL, and a sample" in submit("build", recipe, status=1).output


def test_url_is_refused_where_a_path_is_needed(submit: Submit) -> None:
    for words in (
        ("holdout", "s3://bucket/train", "-o", "holdout"),
        ("export", "run", "-o", "s3://bucket/masks"),
        ("check", "s3://bucket/my.zip", "--split", "s3://bucket/valid"),
    ):
        assert "it is a URL; expected" in submit(*words, status=2).output
