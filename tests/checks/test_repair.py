from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from submit.archive import open_masks, pack
from submit.checks import check_masks
from submit.checks.repair import Correction, repair
from submit.cli import cli
from submit.data import Split, read_split
from submit.errors import ArchiveError
from submit.png.palette import DAVIS_PALETTE, decode, encode, read, write
from tests.submissions import (
    FRAMES,
    TEAM,
    VIDEOS,
    A,
    B,
    C,
    colours,
    grey_of_four_bits,
    labels_of,
    saved,
    write_masks,
    write_split,
    zip_up,
)

Labels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return read_split(write_split(tmp_path_factory.mktemp("split")))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path / "masks")


def perfect(tmp_path: Path) -> bytes:
    """The zip of a submission without problems."""
    return pack(write_masks(tmp_path / "ok"), tmp_path / "ok.zip").path.read_bytes()


def repairs_to_perfection(
    split: Split, masks: Path, tmp_path: Path
) -> dict[str, tuple[str, int]]:
    """Repair a zip of the folder; returns the corrections."""
    source = zip_up(masks, tmp_path / "broken.zip")
    before = source.read_bytes()
    done = repair(source, tmp_path / "repaired.zip", split)
    assert source.read_bytes() == before
    assert done.packed.path.read_bytes() == perfect(tmp_path)
    return {one.what: (one.where, one.count) for one in done.corrections}


def test_what_needs_no_mending_is_packed_as_it_is(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    assert repairs_to_perfection(split, masks, tmp_path) == {}


def test_videos_move_to_the_root_and_junk_goes(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    deep = tmp_path / "deep"
    shutil.copytree(masks, deep / "out" / "masks")
    (deep / "__MACOSX" / A).mkdir(parents=True)
    (deep / "__MACOSX" / A / "00000.png").write_text("")
    (deep / "metadata").write_text("")
    (deep / ".DS_Store").write_text("")
    (deep / "out" / "masks" / A / "log.txt").write_text("")
    (deep / "out" / "masks" / "empty").mkdir()
    assert repairs_to_perfection(split, deep, tmp_path) == {
        "videos moved to the root": ("out/masks/", 1),
        "left out: not a mask of a frame": (".DS_Store", 4),
    }


def test_folders_and_files_get_their_names_back(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    for path in (masks / A).glob("*"):
        path.rename(path.with_name(f"mask_{path.name}"))
    for path in (masks / B).glob("*"):
        path.rename(path.with_name(f"{int(path.stem)}.PNG"))
    (masks / C).rename(masks / C.upper())
    assert repairs_to_perfection(split, masks, tmp_path) == {
        "name changed to that of the frame": (f"{A}/mask_00000.png", 12),
        "folder changed to the name of the video": (f"{C.upper()}/00000.png", 6),
    }


def test_backslashes_part_folders_again(split: Split, tmp_path: Path) -> None:
    source = tmp_path / "a.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for video in VIDEOS:
            for frame in range(FRAMES):
                data = encode(labels_of(video, frame))
                archive.writestr(f"x\\{video}\\{frame:05}.png", data)
    done = repair(source, tmp_path / "repaired.zip", split)
    assert done.packed.path.read_bytes() == perfect(tmp_path)


def grey(labels: Labels) -> bytes:
    return saved(Image.fromarray(labels))


def grey_with_alpha(labels: Labels) -> bytes:
    return saved(Image.fromarray(labels).convert("LA"))


def sixteen_bits(labels: Labels) -> bytes:
    return saved(Image.fromarray(labels.astype(np.uint16)))


def colours_with_alpha(labels: Labels) -> bytes:
    image = Image.fromarray(labels).convert("P")
    image.putpalette(DAVIS_PALETTE.tobytes())
    return saved(image.convert("RGBA"))


def end_gone(labels: Labels) -> bytes:
    return encode(labels)[:-12]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (grey, "grey PNG written with a palette"),
        (grey_with_alpha, "grey PNG written with a palette"),
        (grey_of_four_bits, "grey PNG written with a palette"),
        (sixteen_bits, "grey PNG written with a palette"),
        (colours, "colours converted to ids"),
        (colours_with_alpha, "colours converted to ids"),
        (end_gone, "damaged PNG written again"),
    ],
)
def test_ids_are_found_in_other_kinds_of_png(
    split: Split,
    masks: Path,
    tmp_path: Path,
    make: Callable[[Labels], bytes],
    what: str,
) -> None:
    for path in sorted((masks / C).glob("*"))[1:]:
        path.write_bytes(make(read(path)))
    corrections = repairs_to_perfection(split, masks, tmp_path)
    assert corrections == {what: (f"{C}/00001.png", FRAMES - 1)}


@pytest.mark.parametrize("bits", [1, 8])
def test_white_is_the_id_where_there_is_one_object(
    split: Split, masks: Path, tmp_path: Path, bits: int
) -> None:
    for path in sorted((masks / B).glob("*"))[1:]:
        white = read(path) > 0
        image = Image.fromarray(white if bits == 1 else white.astype(np.uint8) * 255)
        path.write_bytes(saved(image))
    repairs_to_perfection(split, masks, tmp_path)


def test_white_stays_white_where_there_are_several(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    path = masks / A / "00003.png"
    path.write_bytes(grey((read(path) > 0).astype(np.uint8) * 255))
    done = repair(masks, tmp_path / "repaired.zip", split)
    with open_masks(done.packed.path) as repaired:
        assert set(np.unique(decode(repaired.read(A, "00003")))) == {0, 255}
    assert check_masks(done.packed.path, split).exit_code == 1


def test_first_masks_become_the_annotations(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    shutil.copy(masks / A / "00004.png", masks / A / "00000.png")
    (masks / B / "00000.png").unlink()
    assert repairs_to_perfection(split, masks, tmp_path) == {
        "first mask replaced by the annotation": (f"{A}/00000.png", 1),
        "annotation put in as the first mask": (f"{B}/00000.png", 1),
    }


def test_ids_that_were_exchanged_are_exchanged_back(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    table = np.array([0, 7, 1, 2], np.uint8)
    for path in (masks / C).glob("*"):
        write(path, table[read(path)])
    assert repairs_to_perfection(split, masks, tmp_path) == {
        "ids changed to those of the annotation": (f"{C}/", 1)
    }


def test_missing_masks_are_filled_only_on_request(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    (masks / A / "00003.png").unlink()
    (masks / A / "00004.png").write_bytes(b"nonsense")
    shutil.rmtree(masks / B)
    done = repair(masks, tmp_path / "a.zip", split)
    assert done.corrections == (
        Correction("left out: unreadable", f"{A}/00004.png", 1),
    )
    assert (done.packed.videos, done.packed.frames) == (2, 2 * FRAMES - 2)
    done = repair(masks, tmp_path / "b.zip", split, fill_missing=True)
    assert {one.what: one.count for one in done.corrections} == {
        "missing mask replaced by an empty one": 2 + FRAMES - 1,
        "left out: unreadable": 1,
        "annotation put in as the first mask": 1,
    }
    report = check_masks(done.packed.path, split)
    assert report.exit_code == 0
    with open_masks(done.packed.path) as repaired:
        assert np.array_equal(decode(repaired.read(B, "00000")), labels_of(B, 0))
        assert not decode(repaired.read(B, "00001")).any()


def test_what_would_be_a_guess_is_left_to_the_check(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    write(masks / A / "00003.png", np.zeros((8, 8), np.uint8))
    path = masks / B / "00003.png"
    path.write_bytes(saved(Image.new("RGB", (32, 24), (1, 2, 3))))
    path = masks / B / "00004.png"
    path.write_bytes(saved(Image.fromarray(np.full((24, 32), 300, np.uint16))))
    done = repair(masks, tmp_path / "repaired.zip", split)
    assert {one.what for one in done.corrections} == {
        "left out: values or colours without an id"
    }
    found = {finding.code for finding in check_masks(done.packed.path, split).findings}
    assert found == {"size", "frames"}


def test_a_mask_that_is_there_twice_is_taken_once(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    shutil.copytree(masks / A, masks / "again" / A)
    corrections = repairs_to_perfection(split, masks, tmp_path)
    assert corrections["left out: a duplicate"][1] == FRAMES


def test_of_two_different_masks_none_is_chosen(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    write(masks / A / "3.png", labels_of(A, 4))
    with pytest.raises(ArchiveError, match=r"differ, and each could be the mask of"):
        repair(masks, tmp_path / "repaired.zip", split)
    assert not (tmp_path / "repaired.zip").exists()


def test_a_source_without_masks_is_refused(split: Split, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(ArchiveError, match=f"holds no mask .*such as {A}/00000.png"):
        repair(tmp_path / "x", tmp_path / "repaired.zip", split)


def test_the_team_file_is_kept_or_put_in(
    split: Split, masks: Path, tmp_path: Path
) -> None:
    team = tmp_path / "new.json"
    team.write_text(json.dumps({**TEAM, "team_name": "new"}))
    (masks / "team.json").write_text(json.dumps({**TEAM, "team_name": "old"}))
    for given_team, name in ((None, "old"), (team, "new")):
        done = repair(masks, tmp_path / "repaired.zip", split, team=given_team)
        with open_masks(done.packed.path) as repaired:
            assert json.loads(repaired.read_entry("team.json"))["team_name"] == name


def test_the_command_lists_what_it_did_and_checks_the_rest(
    runner: CliRunner, split: Split, masks: Path, tmp_path: Path
) -> None:
    shutil.copytree(masks, tmp_path / "deep" / "masks")
    (tmp_path / "deep" / "x.txt").write_text("")
    zip_up(tmp_path / "deep", tmp_path / "a.zip")
    output = tmp_path / "b.zip"
    arguments = ["repair", str(tmp_path / "a.zip"), "--split", str(split.root)]
    result = runner.invoke(cli, [*arguments, "-o", str(output)])
    assert result.exit_code == 0
    assert "videos moved to the root" in result.stdout
    assert "findings  none" in result.stdout
    assert output.read_bytes() == perfect(tmp_path)
    result = runner.invoke(cli, [*arguments, "-o", str(output), "--json"])
    assert json.loads(result.stdout)["check"]["findings"] == []


def test_the_command_fails_when_something_is_left(
    runner: CliRunner, split: Split, masks: Path, tmp_path: Path
) -> None:
    shutil.rmtree(masks / A)
    arguments = ["repair", str(masks), "--split", str(split.root)]
    result = runner.invoke(cli, [*arguments, "-o", str(tmp_path / "b.zip")])
    assert result.exit_code == 1
    assert "nothing had to be repaired" in result.stdout
    assert "costly absent-video, 6" in result.stdout
