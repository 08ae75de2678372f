from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from submit.predictors import parse_options
from submit_sam2 import Sam2Predictor
from tests.sources import imported_modules

PACKAGE = "mose-submit"

#: Where a package is not imported under the name it is installed by.
DISTRIBUTION_OF = {
    "cv2": "opencv-python-headless",
    "huggingface_hub": "huggingface-hub",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "tomli_w": "tomli-w",
    "zlib_ng": "zlib-ng",
}


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("arguments", "memory"),
    [
        ((), "rcms"),
        (("ARGS=-o preset=rcms",), "rcms"),
        (("ARGS=-o preset=masseg",), "sam2"),
        (("ARGS=-o memory=sam2",), "sam2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_make_leaves_the_memory_to_the_preset(
    arguments: tuple[str, ...], memory: str, repository: Path
) -> None:
    done = subprocess.run(
        ["make", "-n", "submission", "PREDICTOR=sam2", "DATA=valid", *arguments],
        cwd=repository,
        # `make test` must not change what this make prints.
        env={name: it for name, it in os.environ.items() if "MAKE" not in name},
        capture_output=True,
        text=True,
        check=True,
    )
    words = shlex.split(done.stdout.splitlines()[-1])
    given = [words[at + 1] for at, word in enumerate(words) if word == "-o"]
    options = parse_options("sam2", Sam2Predictor.Options, given)
    assert options.resolved().memory == memory


@pytest.fixture
def config(repository: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(repository / "setup.cfg", encoding="utf-8")
    return parser


def lines(config: configparser.ConfigParser, section: str, option: str) -> list[str]:
    return config.get(section, option).split("\n")[1:]


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements}


def packages_on_disk(root: Path) -> list[str]:
    found = []
    for source in (root, root / "models"):
        for folder in ("submit",) if source == root else os.listdir(source):
            found += [
                ".".join(path.parent.relative_to(source).parts)
                for path in (source / folder).rglob("__init__.py")
            ]
    return sorted(found)


def test_the_package_list_is_what_is_on_disk(
    config: configparser.ConfigParser, repository: Path
) -> None:
    listed = lines(config, "options", "packages")
    assert sorted(listed) == packages_on_disk(repository)


def test_each_package_under_models_has_its_folder_named(
    config: configparser.ConfigParser,
) -> None:
    folders = dict(
        re.split(r"\s*=\s*", line) for line in lines(config, "options", "package_dir")
    )
    families = {
        name.split(".")[0]
        for name in lines(config, "options", "packages")
        if name.split(".")[0] != "submit"
    }
    assert folders == {"": "."} | {name: f"models/{name}" for name in families}


def test_each_top_level_package_ships_its_types(
    config: configparser.ConfigParser, repository: Path
) -> None:
    for name in lines(config, "options", "packages"):
        if "." not in name:
            assert "py.typed" in config.get("options.package_data", name)
            folder = repository if name == "submit" else repository / "models"
            assert (folder / name / "py.typed").is_file()


def test_the_version_is_the_newest_of_the_changelog(
    config: configparser.ConfigParser, repository: Path
) -> None:
    text = (repository / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[([^\]]+)\]", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    released = [name for name in headings if name != "Unreleased"]
    assert released[:1] in ([], [config.get("metadata", "version")])


def test_the_installed_version_is_that_of_the_source(
    config: configparser.ConfigParser,
) -> None:
    assert distribution(PACKAGE).version == config.get("metadata", "version")


def test_each_entry_point_leads_somewhere() -> None:
    points = distribution(PACKAGE).entry_points
    groups = {"console_scripts", "submit.predictors", "submit.trainers"}
    assert {point.group for point in points} == groups
    for point in points:
        assert callable(point.load())


def test_each_required_package_is_pinned_for_continuous_integration(
    config: configparser.ConfigParser, repository: Path
) -> None:
    required = lines(config, "options", "install_requires")
    required += lines(config, "options.extras_require", "dev")
    pinned = {
        line.split("==")[0]
        for line in (repository / "constraints.txt").read_text("utf-8").splitlines()
    }
    assert sorted(requirement_names(required) - pinned) == []


def test_each_import_of_the_packages_is_a_requirement(
    config: configparser.ConfigParser, repository: Path
) -> None:
    required = lines(config, "options", "install_requires")
    for extra in config.options("options.extras_require"):
        if extra != "dev":
            required += lines(config, "options.extras_require", extra)
    imported = set()
    for root in (repository / "submit", repository / "models"):
        source = repository if root.name == "submit" else root
        for path in root.rglob("*.py"):
            imported |= {name.split(".")[0] for name in imported_modules(path, source)}
    ours = {name.split(".")[0] for name in lines(config, "options", "packages")}
    foreign = imported - ours - set(sys.stdlib_module_names)
    needed = {DISTRIBUTION_OF.get(name, name) for name in foreign}
    assert sorted(needed - requirement_names(required)) == []


@pytest.mark.slow
def test_the_archives_hold_the_packages_and_nothing_else(
    repository: Path, tmp_path: Path
) -> None:
    # From a copy of what git tracks, as the archive of a release is made.
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True
    ).stdout.decode()
    source = tmp_path / "source"
    for name in filter(None, tracked.split("\0")):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((repository / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", tmp_path / "dist", source],
        check=True,
        capture_output=True,
    )

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    modules = {
        path.relative_to(root).as_posix()
        for root, folder in ((source, "submit"), (source / "models", "."))
        for path in (root / folder).rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = {name for name in names if ".dist-info/" in name}
    assert names - info == modules
    assert {name.rpartition("/")[2] for name in info} >= {"LICENSE", "NOTICE"}

    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {"LICENSE", "NOTICE", "CHANGELOG.md", "constraints.txt", "Makefile"}
    wanted |= {name for name in tracked.split("\0") if name.startswith("tests/")}
    assert sorted(wanted - packed) == []
