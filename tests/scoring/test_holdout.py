from __future__ import annotations

import errno
import json
import os
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from submit.archive import open_masks
from submit.cli import cli
from submit.data import Split, read_split
from submit.errors import OutputError, SplitError
from submit.png.palette import write
from submit.scoring import score_split
from submit.scoring.holdout import (
    LIST_NAME,
    VideoTraits,
    choose_videos,
    describe_videos,
    make_holdout,
    read_list,
)
from submit.system.links import Linking
from tests.splits import write_split

SIZE = (20, 30)


def write_video(
    root: Path, name: str, length: int, *, away: tuple[int, ...] = ()
) -> None:
    """Two objects; the second one is absent in the frames `away`."""
    maps = []
    for frame in range(length):
        labels = np.zeros(SIZE, np.uint8)
        labels[2:8, 3:9] = 1
        if frame not in away:
            labels[10:12, 10:13] = 4
        if frame > 1:
            labels[15:17, :] = 9  # A late object, which cannot be tracked.
        maps.append(labels)
    write_split(root, {name: maps})


@pytest.fixture
def train(tmp_path: Path) -> Split:
    root = tmp_path / "train"
    for index in range(8):
        write_video(root, f"v{index}", 4 + index, away=(2,) if index % 2 else ())
    return read_split(root)


def test_a_holdout_is_a_split_of_links_that_can_be_scored(
    train: Split, tmp_path: Path
) -> None:
    result = make_holdout(train, tmp_path / "holdout", videos=3)
    assert len(result.videos) == 3
    assert not result.existed
    split = read_split(result.path)
    assert tuple(split.videos) == result.videos
    assert result.frames == sum(video.length for video in split.videos.values())
    for name, video in split.videos.items():
        assert video.objects == (1, 4)
        assert video.frames == train.videos[name].frames
        folder = result.path / "JPEGImages" / name
        assert folder.is_symlink()
        assert folder.resolve() == (train.root / "JPEGImages" / name).resolve()
    with open_masks(train.root / "Annotations") as truth:
        # Ḟ of so small a frame is not 1 even for equal masks, officially.
        assert score_split(split, truth).totals.j == 1


def test_the_meta_file_has_the_official_form(train: Split, tmp_path: Path) -> None:
    result = make_holdout(train, tmp_path / "holdout", names=("v5",))
    assert json.loads((result.path / "meta.json").read_text()) == {
        "videos": {
            "v5": {"length": 9, "height": 20, "width": 30, "objects": ["1", "4"]}
        }
    }


def test_the_same_seed_gives_the_same_videos(train: Split, tmp_path: Path) -> None:
    first = make_holdout(train, tmp_path / "a", videos=4, seed=1, workers=1)
    again = make_holdout(train, tmp_path / "b", videos=4, seed=1, workers=3)
    assert first.videos == again.videos
    assert (first.path / LIST_NAME).read_bytes() == (
        again.path / LIST_NAME
    ).read_bytes()
    others = {
        make_holdout(train, tmp_path / f"c{seed}", videos=4, seed=seed).videos
        for seed in range(2, 8)
    }
    assert len(others) > 1


def test_the_list_makes_the_same_holdout(train: Split, tmp_path: Path) -> None:
    first = make_holdout(train, tmp_path / "a", videos=4, seed=1)
    names = read_list(first.path / LIST_NAME)
    again = make_holdout(train, tmp_path / "b", names=names)
    assert again.videos == first.videos
    assert (again.path / "meta.json").read_bytes() == (
        first.path / "meta.json"
    ).read_bytes()


def test_the_list_says_how_it_was_made(train: Split, tmp_path: Path) -> None:
    result = make_holdout(train, tmp_path / "a", videos=2, seed=5)
    first, *names = (result.path / LIST_NAME).read_text().splitlines()
    assert first == "# submit holdout --videos 2 --seed 5, of 8 videos"
    assert tuple(names) == result.videos


def test_making_it_again_changes_nothing(train: Split, tmp_path: Path) -> None:
    first = make_holdout(train, tmp_path / "a", videos=4)
    stamp = (first.path / LIST_NAME).stat().st_mtime_ns
    assert make_holdout(train, tmp_path / "a", videos=4).existed
    assert (first.path / LIST_NAME).stat().st_mtime_ns == stamp


def test_nothing_that_exists_is_overwritten(train: Split, tmp_path: Path) -> None:
    make_holdout(train, tmp_path / "a", videos=4)
    with pytest.raises(SplitError, match="is a hold-out of other videos"):
        make_holdout(train, tmp_path / "a", videos=5)
    made = make_holdout(train, tmp_path / "a", videos=5, force=True)
    assert len(made.videos) == 5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "videos.txt").touch()
    (tmp_path / "mine" / "thesis.tex").touch()
    for folder, lost in ((tmp_path / "mine", "thesis.tex"), (train.root, "Annotation")):
        with pytest.raises(OutputError, match=f"{lost}|is an input"):
            make_holdout(train, folder, videos=4, force=True)
    (tmp_path / "empty").mkdir()
    assert not make_holdout(train, tmp_path / "empty", videos=4).existed


def test_videos_that_cannot_be_scored_are_left_out_with_a_reason(
    train: Split, tmp_path: Path
) -> None:
    (train.root / "Annotations" / "v1" / "00002.png").unlink()
    (train.root / "Annotations" / "v2" / "00003.png").write_bytes(b"no PNG")
    write(train.root / "Annotations" / "v3" / "00000.png", np.zeros(SIZE, np.uint8))
    write(train.root / "Annotations" / "v4" / "00001.png", np.zeros((3, 3), np.uint8))
    write_video(train.root, "w", 2)
    split = read_split(train.root)
    result = make_holdout(split, tmp_path / "holdout", videos=4)
    assert result.videos == ("v0", "v5", "v6", "v7")
    assert result.skipped["v1"] == "1 of 5 frames have no mask"
    assert "is not a PNG" in result.skipped["v2"]
    assert result.skipped["v3"] == "its first mask is empty"
    assert (
        "expected the size of the video's frames, 30×20, found 3×3"
        in result.skipped["v4"]
    )
    assert "has 2 frames" in result.skipped["w"]
    with pytest.raises(SplitError, match=r"expected 5 videos .* found 4; v1: 1 of 5"):
        make_holdout(split, tmp_path / "more", videos=5)
    with pytest.raises(SplitError, match=r"v3 of the list .*: its first mask is empty"):
        make_holdout(split, tmp_path / "listed", names=("v0", "v3"))


def test_a_list_of_another_set_is_refused(train: Split, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"lacks 1 of 2 videos of the list, such as x"):
        make_holdout(train, tmp_path / "a", names=("v0", "x"))


@pytest.mark.parametrize("content", [b"", b"# nothing\n\n", b"\xff"])
def test_a_list_without_names_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(SplitError, match=r"list.txt: (names no|is not UTF-8)"):
        read_list(path)


def test_a_list_may_have_remarks_and_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# mine\n b \na\n\n  # not this\nb\n")
    assert read_list(path) == ("b", "a")


def test_videos_are_described_by_their_masks(train: Split) -> None:
    write_video(train.root, "away", 6, away=(4, 5))
    seen: Counter[str] = Counter()

    def report(video: str, frames: int) -> None:
        seen[video] += frames

    split = read_split(train.root)
    traits, skipped = describe_videos(split.videos.values(), progress=report)
    assert skipped == {}
    assert seen["v3"] == traits["v3"].frames == 7
    assert traits["v3"].size == SIZE
    assert traits["v3"].objects == (1, 4)
    assert [traits[name].absence for name in ("v0", "v1", "away")] == [
        "stays",
        "returns",
        "leaves",
    ]
    # Of both objects' masks, which have 36 and 6 pixels, the median.
    assert traits["v0"].area == pytest.approx(21 / 600)


def crowd(count: int) -> dict[str, VideoTraits]:
    """Videos of all kinds, in which being small, long and absent go together."""
    dice = random.Random(0)
    traits = {}
    for index in range(count):
        small = dice.random() < 0.4
        traits[f"v{index:04d}"] = VideoTraits(
            frames=dice.randint(20, 60) * (3 if small else 1),
            objects=tuple(range(1, dice.choice((2, 2, 2, 3, 5)))),
            size=SIZE,
            area=dice.uniform(0.0005, 0.01) if small else dice.uniform(0.01, 0.4),
            absence=dice.choice(("returns", "leaves") if small else ("stays",) * 5),
        )
    return traits


@pytest.mark.parametrize("count", [20, 60, 400])
def test_the_kinds_keep_their_shares(count: int) -> None:
    traits = crowd(1000)
    chosen = choose_videos(traits, count, seed=3)
    assert len(set(chosen)) == count
    for trait in (
        lambda each: each.absence,
        lambda each: min(len(each.objects), 3),
        lambda each: (each.area < 0.01, each.absence),
    ):
        whole = Counter(trait(each) for each in traits.values())
        taken = Counter(trait(traits[name]) for name in chosen)
        for kind, number in whole.items():
            assert taken[kind] / count == pytest.approx(number / 1000, abs=2.5 / count)


def test_all_videos_may_be_chosen() -> None:
    traits = crowd(30)
    assert sorted(choose_videos(traits, 30)) == sorted(traits)


def test_the_choice_does_not_depend_on_the_order_of_the_videos() -> None:
    traits = crowd(100)
    shuffled = dict(sorted(traits.items(), reverse=True))
    assert choose_videos(traits, 12) == choose_videos(shuffled, 12)
    # Frozen, so that a hold-out can be made again years later.
    assert choose_videos(traits, 5, seed=0) == (
        "v0070",
        "v0012",
        "v0030",
        "v0068",
        "v0088",
    )


def test_shares_are_reported(train: Split, tmp_path: Path) -> None:
    result = make_holdout(train, tmp_path / "a", videos=4)
    shares = {(each.trait, each.kind): each for each in result.shares}
    returns = shares["absence", "returns"]
    assert (returns.whole, returns.holdout) == (0.5, 0.5)
    assert sum(s.holdout for s in result.shares if s.trait == "length") == 1


@pytest.mark.parametrize("also_hard", [False, True], ids=["hard links", "copies"])
def test_a_holdout_without_links_is_the_same_split(
    train: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, also_hard: bool
) -> None:
    linked = make_holdout(train, tmp_path / "linked", videos=3)

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    if also_hard:
        monkeypatch.setattr(os, "link", refuse)
    made = make_holdout(train, tmp_path / "made", videos=3)
    assert made.linking is (Linking.COPIES if also_hard else Linking.HARD)
    assert bool(made.copied) == also_hard
    assert made.videos == linked.videos
    split = read_split(made.path)
    assert split.fingerprint == read_split(linked.path).fingerprint
    assert all(video.fully_annotated for video in split.videos.values())
    assert not any(path.is_symlink() for path in made.path.rglob("*"))
    result = CliRunner().invoke(
        cli, ["holdout", str(train.root), "-o", str(tmp_path / "cli"), "--videos", "3"]
    )
    assert result.exit_code == 0, result.output
    how = "copies (" if also_hard else "hard links"
    line = f"{tmp_path / 'cli'}: knows no symbolic links; files are {how}"
    assert result.stderr.count(line) == 1
