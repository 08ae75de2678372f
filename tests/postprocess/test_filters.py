"""A new filter is one file; commands, settings, search and docs use the registry."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from submit.errors import SettingsError
from submit.masks import Labels
from submit.postprocess import FILTERS, LabelFilter, Postprocess, read_postprocess
from submit.system.schema import setting, settings_of
from submit.tuning.stages import all_stages
from tests.toolkit import Toolkit

#: The whole of a file that adds a filter.
FILTER = '''
from dataclasses import dataclass
from ...system.schema import setting
from ..filter import FILTERS, LabelFilter

@FILTERS.register
@dataclass(frozen=True)
class Border(LabelFilter):
    """Removes what touches the border."""

    name = "border"
    order = 60
    tried = ({"border": 2},)

    border: int = setting(0, "Clear so many pixels at the border.", low=0, high=9)

    @property
    def is_off(self):
        return not self.border

    def apply_to_labels(self, labels):
        labels[: self.border] = 0
'''


@pytest.fixture
def border() -> Iterator[type[LabelFilter]]:
    """Register another filter."""

    @FILTERS.register
    @dataclass(frozen=True)
    class Border(LabelFilter):
        """Removes what touches the border."""

        name = "border"
        order = 60
        tried = ({"border": 2},)

        border: int = setting(0, "Clear so many pixels at the border.", low=0, high=9)

        @property
        def is_off(self) -> bool:
            return not self.border

        def apply_to_labels(self, labels: Labels) -> None:
            labels[: self.border] = 0

    yield Border
    FILTERS.remove("border")


@pytest.mark.usefixtures("border")
def test_a_new_filter_is_a_setting_a_stage_and_a_row_of_the_docs(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Postprocess(border=3, holes=0.1)
    assert settings.to_table() == {"holes": 0.1, "border": 3}
    path = tmp_path / "tuned.toml"
    path.write_text("[postprocess]\nborder = 3\nholes = 0.1\n")
    assert read_postprocess(path) == settings
    path.write_text("[postprocess]\nborder = 10\n")
    with pytest.raises(SettingsError, match="border = 10: expected a whole number"):
        read_postprocess(path)
    labels = np.ones((5, 2), np.uint8)
    for kind in settings.label_filters:
        kind.apply_to_labels(labels)
    assert labels[:, 0].tolist() == [0, 0, 0, 1, 1]
    assert "border" in [one.name for one in all_stages(["a"], several_objects=False)]
    monkeypatch.syspath_prepend(repository / "tools")
    import write_docs

    row = "| `border` | `border = 0`: a whole number from 0 to 9 | Removes what touches"
    assert row in write_docs.render_methods()


def test_a_new_filter_is_an_option_of_the_command(tmp_path: Path) -> None:
    toolkit = Toolkit(tmp_path, "submit/postprocess/filters/border.py", FILTER)
    shown = "\n".join(
        toolkit.run("from submit.cli import cli; cli(['export', '--help'])")
    )
    assert "--border N" in shown
    assert "Clear so many pixels at the border." in shown


@pytest.mark.usefixtures("border")
def test_no_two_filters_share_a_name(border: type[LabelFilter]) -> None:
    with pytest.raises(ValueError, match="two entries called 'border'"):
        FILTERS.register(border)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_says_what_it_does_and_tries_what_is_legal(name: str) -> None:
    kind = FILTERS[name]
    assert kind.__doc__
    assert all(one.help for one in settings_of(kind))
    assert kind.tried
    assert not any(kind(**values).is_off for values in kind.tried)
    assert kind().is_off


def test_settings_reach_other_processes_unchanged() -> None:
    settings = Postprocess(holes=0.1, flicker=3)
    again = pickle.loads(pickle.dumps(settings))
    assert again == settings
    assert hash(again) == hash(settings)
    assert repr(again) == "Postprocess(holes=0.1, flicker=3)"


def test_an_unknown_setting_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match="unknown key 'hole'; did you mean 'holes'"):
        Postprocess(hole=0.1)
