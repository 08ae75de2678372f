from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from submit.errors import OutputError, SplitError, StorageError
from submit.png.palette import DAVIS_PALETTE
from submit.sample import write_sample
from submit.sample.materials import PICTURES, picture

FRAMES = 9
WIDTH, HEIGHT = 96, 64
SCENARIOS = ("vanish", "similar", "small", "lowlight", "cuts", "crossing")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splits") / "sample"
    write_sample(folder, frames=FRAMES, size=(WIDTH, HEIGHT))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def stack(split: Path, video: str, kind: str) -> NDArray[np.uint8]:
    paths = sorted((split / kind / video).iterdir())
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def masks(split: Path, video: str) -> NDArray[np.uint8]:
    return stack(split, video, "Annotations")


def frames(split: Path, video: str) -> NDArray[np.uint8]:
    return stack(split, video, "JPEGImages")


def meta(split: Path) -> dict[str, dict[str, object]]:
    videos = json.loads((split / "meta_valid.json").read_text("utf-8"))["videos"]
    assert isinstance(videos, dict)
    return videos


def presence(split: Path, video: str) -> dict[int, list[bool]]:
    """For each object, whether it is visible in each frame."""
    labels = masks(split, video)
    ids = [int(id) for id in meta(split)[video]["objects"]]  # type: ignore[attr-defined]
    return {id: [bool((frame == id).any()) for frame in labels] for id in ids}


def returns(visible: list[bool]) -> Iterator[int]:
    """Yield the length of every absence after which the object is seen again.

    The official scorer leaves out the first and the last frame, and an absence that
    begins with the second.
    """
    gap = None
    for here in visible[1:-1]:
        if here and gap:
            yield gap
        if here:
            gap = 0
        elif gap is not None:
            gap += 1


@pytest.mark.slow
def test_the_layout_is_that_of_mosev2(split: Path) -> None:
    assert sorted(child.name for child in split.iterdir()) == [
        "Annotations",
        "JPEGImages",
        "meta_valid.json",
    ]
    stems = [f"{number:05d}" for number in range(FRAMES)]
    assert list(meta(split)) == list(SCENARIOS)
    for video in SCENARIOS:
        for kind, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".png")):
            names = sorted(path.name for path in (split / kind / video).iterdir())
            assert names == [stem + suffix for stem in stems]


@pytest.mark.parametrize("video", SCENARIOS)
def test_the_meta_file_says_what_the_files_hold(split: Path, video: str) -> None:
    labels = masks(split, video)
    found = sorted(set(np.unique(labels).tolist()) - {0})
    assert meta(split)[video] == {
        "length": FRAMES,
        "height": HEIGHT,
        "width": WIDTH,
        "objects": [str(id) for id in found],
    }
    assert frames(split, video).shape == (FRAMES, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("video", SCENARIOS)
def test_every_object_is_in_the_first_frame(split: Path, video: str) -> None:
    for id, visible in presence(split, video).items():
        assert visible[0], id


def test_masks_are_palette_pngs_with_the_davis_colours(split: Path) -> None:
    for path in sorted((split / "Annotations" / "vanish").iterdir()):
        with Image.open(path) as mask:
            assert mask.mode == "P"
            palette = mask.getpalette()
        assert palette is not None
        assert palette == DAVIS_PALETTE.ravel()[: len(palette)].tolist()


def test_frames_are_jpegs_with_halved_colour(split: Path) -> None:
    with Image.open(split / "JPEGImages" / "vanish" / "00000.jpg") as frame:
        assert (frame.format, frame.mode) == ("JPEG", "RGB")
        assert frame.layer[0][1:3] == (2, 2)  # type: ignore[attr-defined]
        assert frame.layer[1][1:3] == (1, 1)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_objects_vanish_for_three_frames_and_return(tmp_path: Path, seed: int) -> None:
    for frames_ in (8, 13):
        folder = tmp_path / str(frames_)
        write_sample(folder, videos=1, frames=frames_, size=(96, 64), seed=seed)
        visible = presence(folder, "vanish")
        for id in (1, 2):
            assert max(returns(visible[id]), default=0) >= 3, (frames_, id)
        assert all(visible[3])


def test_similar_objects_hide_each_other(split: Path) -> None:
    labels, pictures = masks(split, "similar"), frames(split, "similar")
    areas = [(labels == 1).sum((1, 2)), (labels == 2).sum((1, 2))]
    # The one behind loses a good part of itself while the other passes.
    middle = areas[0][FRAMES // 3 : -FRAMES // 3]
    assert middle.min() < 0.7 * max(areas[0].max(), 1)
    colours = [pictures[labels == id].mean(0) for id in (1, 2)]
    assert np.abs(colours[0] - colours[1]).max() < 25


def test_small_objects_cover_less_than_one_percent(split: Path) -> None:
    labels = masks(split, "small")
    for id in presence(split, "small"):
        share = (labels == id).mean((1, 2))
        assert share[0] > 0
        assert share.max() < 0.01


def test_low_light_is_dark_noisy_and_flickers(split: Path) -> None:
    dark = frames(split, "lowlight").astype(float)
    assert dark.mean() < 50
    assert dark.mean() < 0.6 * frames(split, "similar").mean()
    brightness = dark.mean((1, 2, 3))
    assert np.abs(np.diff(brightness)).max() > 0.03 * brightness.mean()
    sky = dark[:, 2:12, 60:90].mean(3)
    assert (sky - sky.mean(0)).std() > 1.5


def test_a_cut_changes_everything_at_once(split: Path) -> None:
    pictures = frames(split, "cuts").astype(float)
    change = np.abs(np.diff(pictures, axis=0)).mean((1, 2, 3))
    cuts = np.argsort(change)[-2:]
    rest = np.delete(change, cuts)
    assert change[cuts].min() > 1.6 * rest.max()
    labels = masks(split, "cuts")
    last, first = max(cuts), max(cuts) + 1
    before, after = ((labels[at] == 1).sum() for at in (last, first))
    assert after > 0
    assert not 0.5 < before / after < 2
    assert max(returns(presence(split, "cuts")[2]), default=0) >= 2


def test_at_least_three_objects_cross(split: Path) -> None:
    labels = masks(split, "crossing")
    ids = sorted(presence(split, "crossing"))
    assert len(ids) >= 3
    columns = np.arange(WIDTH)
    centres = {
        id: [
            ((frame == id).sum(0) @ columns) / max((frame == id).sum(), 1)
            for frame in labels[[0, -1]]
        ]
        for id in ids
    }
    first, last = ({id: places[at] for id, places in centres.items()} for at in (0, 1))
    assert sorted(ids, key=first.__getitem__) != sorted(ids, key=last.__getitem__)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(split: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "again", frames=FRAMES, size=(WIDTH, HEIGHT))
    assert tree(tmp_path / "again") == tree(split)


def test_a_video_does_not_depend_on_how_many_follow(
    split: Path, tmp_path: Path
) -> None:
    write_sample(tmp_path / "one", videos=1, frames=FRAMES, size=(WIDTH, HEIGHT))
    one, all_ = tree(tmp_path / "one"), tree(split)
    del one["meta_valid.json"]
    assert len(one) == 2 * FRAMES
    assert one.items() <= all_.items()


@pytest.mark.slow
def test_another_seed_gives_other_pictures_and_masks(
    split: Path, tmp_path: Path
) -> None:
    write_sample(tmp_path / "b", frames=FRAMES, size=(WIDTH, HEIGHT), seed=1)
    one, other = tree(split), tree(tmp_path / "b")
    assert one.keys() == other.keys()
    same = [name for name in one if one[name] == other[name]]
    assert [name for name in same if name.endswith(".jpg")] == []
    for video in SCENARIOS:
        assert (masks(split, video) != masks(tmp_path / "b", video)).any()


@pytest.mark.slow
def test_beyond_the_sixth_video_scenarios_begin_anew(tmp_path: Path) -> None:
    write_sample(tmp_path / "s", videos=7, frames=2, size=(72, 48))
    assert list(meta(tmp_path / "s")) == [*SCENARIOS, "vanish_2"]
    first, second = (frames(tmp_path / "s", name) for name in ("vanish", "vanish_2"))
    assert (first != second).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [(97, 55), (64, 64), (55, 97), (200, 48)], ids="{0[0]}x{0[1]}".format
)
def test_odd_narrow_and_wide_sizes_hold_all_objects(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    write_sample(tmp_path / "s", frames=2, size=size)
    for video in SCENARIOS:
        assert frames(tmp_path / "s", video).shape == (2, size[1], size[0], 3)
        for id, visible in presence(tmp_path / "s", video).items():
            assert visible[0], (video, id)
        # A surface that ends within the frame would leave black or smeared edges.
        assert (frames(tmp_path / "s", video)[0].max(2) > 0).mean() > 0.97


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"videos": 0}, "videos: expected 1 to"),
        ({"frames": 1}, "frames: expected 2 to .*, found 1"),
        ({"size": (40, 64)}, "width: expected 48 to"),
        ({"size": (64, 9999)}, "height: expected 48 to"),
        ({"seed": -1}, "seed: expected 0 to"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_out_of_range_are_named(
    tmp_path: Path, arguments: dict[str, int], message: str
) -> None:
    with pytest.raises(SplitError, match=message):
        write_sample(tmp_path / "s", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


def test_progress_counts_every_frame(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    for _ in range(2):  # The second time it is all there.
        seen.clear()
        write_sample(
            tmp_path / "s",
            videos=2,
            frames=3,
            size=(72, 48),
            progress=lambda name, count: seen.append((name, count)),
        )
        for name in ("vanish", "similar"):
            assert sum(count for video, count in seen if video == name) == 3


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt: would be replaced"):
        write_sample(tmp_path, videos=1, frames=3, size=(72, 48), force=True)
    assert [child.name for child in tmp_path.iterdir()] == ["notes.txt"]


def test_a_sample_with_something_added_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_sample(folder, videos=1, frames=3, size=(72, 48))
    (folder / "runs").mkdir()
    write_sample(folder, videos=1, frames=3, size=(72, 48))
    with pytest.raises(OutputError, match="runs: would be replaced"):
        write_sample(folder, videos=1, frames=4, size=(72, 48), force=True)
    assert len(list((folder / "JPEGImages" / "vanish").iterdir())) == 3


def test_a_real_split_is_never_taken_for_a_sample(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "meta_valid.json").write_text('{"videos": {}}')
    with pytest.raises(OutputError, match="Annotations: would be replaced"):
        write_sample(tmp_path, videos=1, frames=3, size=(72, 48), force=True)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    with pytest.raises(StorageError, match=r"s: cannot be written, .* not a folder"):
        write_sample(tmp_path / "s", videos=1, frames=3, size=(72, 48))


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_sample(tmp_path, videos=1, frames=3, size=(72, 48))
    assert list(meta(tmp_path)) == ["vanish"]


def test_an_own_sample_stays_or_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_sample(folder, videos=1, frames=3, size=(72, 48))
    first = folder / "JPEGImages" / "vanish" / "00000.jpg"
    written = first.stat().st_mtime_ns, tree(folder)
    write_sample(folder, videos=1, frames=3, size=(72, 48))
    assert first.stat().st_mtime_ns == written[0]

    first.unlink()
    write_sample(folder, videos=1, frames=3, size=(72, 48))
    assert tree(folder) == written[1]

    with pytest.raises(
        SplitError, match=r"frames = 3, asked for 4.* replace it with --force"
    ):
        write_sample(folder, videos=1, frames=4, size=(72, 48))
    assert tree(folder) == written[1]
    write_sample(folder, videos=1, frames=4, size=(72, 48), force=True)
    assert meta(folder)["vanish"]["length"] == 4
    assert [child.name for child in tmp_path.iterdir()] == ["s"]


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(name: str, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "s", frames=3, size=(72, 48), progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", PICTURES)
def test_scikit_image_ships_the_pictures(name: str) -> None:
    assert picture(name).shape[0] == 3
    assert 0 <= picture(name).min() < picture(name).max() <= 1


def test_a_picture_that_is_missing_is_named() -> None:
    with pytest.raises(StorageError, match=r"unicorn\.png cannot be read"):
        picture("unicorn.png")
