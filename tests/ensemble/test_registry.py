"""A new method is one file; commands, settings, search and docs use the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from submit.ensemble import METHODS
from submit.system.schema import settings_of
from tests.toolkit import Toolkit

#: The whole of a file that adds a method.
LEAST = '''
from dataclasses import dataclass
from ...system.schema import setting
from ..method import METHODS, PixelMethod

@METHODS.register
@dataclass(frozen=True)
class Least(PixelMethod):
    """The member that is least sure."""

    name = "least"
    order = 25
    explored = True

    lift: int = setting(0, "Codes to add.", low=0, high=9)

    def merge(self, stack, shares):
        return stack.min(0) + self.lift
'''


@pytest.mark.slow
def test_a_new_method_is_an_option_a_setting_a_stage_and_a_row_of_the_docs(
    tmp_path: Path,
) -> None:
    """Add one file to the folder, and run the command, the search and the tool."""
    toolkit = Toolkit(tmp_path, "submit/ensemble/methods/least.py", LEAST)
    lines = toolkit.run("""
    from submit.ensemble import MergeSettings
    from submit.errors import SettingsError
    settings = MergeSettings.from_table({"method": "least", "least": {"lift": 2}})
    print(settings.to_table())
    assert MergeSettings.from_table(settings.to_table()) == settings
    try:
        MergeSettings.from_table({"least": {"lift": 10}}, where="a.toml")
    except SettingsError as error:
        print(error)

    import numpy as np
    from submit.ensemble import VideoMerger
    from tests.ensemble.members import member
    members = {"a": member(1), "b": member(2)}
    frame = VideoMerger(members, settings).merge(0)
    both = np.minimum(members["a"].codes(0), members["b"].codes(0))
    print((frame.codes == both + 2).all())

    from submit.tuning import Candidate
    from submit.tuning.stages import all_stages
    for stage in all_stages(["a", "b"], several_objects=False)[:3]:
        runs = ("a",) if stage.name == "members" else ("a", "b")
        start = Candidate(MergeSettings(members=runs))
        found = {one.merge.method for one in stage.neighbours(start)}
        print(stage.name, "least" in found)

    import write_docs
    print(write_docs.render_methods())

    from submit.cli import cli
    cli(["ensemble", "--help"])
    """)
    assert lines[:6] == [
        "{'method': 'least', 'least': {'lift': 2}}",
        "a.toml: [least] lift = 10: expected a whole number from 0 to 9",
        "True",
        "members True",
        "weights False",
        "method True",
    ]
    row = "| `least` | `lift = 0`: a whole number from 0 to 9 | The member"
    assert any(line.startswith(row) for line in lines)
    choice = "[mean_probabilities|mean_logits|least|vote|select|cascade]"
    assert any(choice in line for line in lines)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_tells_what_it_does(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert method.__doc__
    assert all(one.help for one in settings_of(method))
    assert method().least >= 2
