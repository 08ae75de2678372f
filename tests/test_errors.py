from __future__ import annotations

import inspect
import re

import submit.errors
from submit.errors import SubmitError


def classes() -> dict[str, type[Exception]]:
    return {
        name: value
        for name, value in vars(submit.errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (submit.errors.__doc__ or "").splitlines():
        match = re.match(r"^([ │├└─]+)(\w+Error)\b", line)
        if match:
            depth = len(match[1])
            parents = [above[d] for d in sorted(above) if d < depth]
            above = {d: name for d, name in above.items() if d < depth}
            above[depth] = match[2]
            drawn[match[2]] = parents[-1] if parents else "Exception"
    assert drawn == {
        name: kind.__bases__[0].__name__ for name, kind in classes().items()
    }


def test_every_error_is_the_users_to_put_right_and_says_what_it_is() -> None:
    for kind in classes().values():
        assert issubclass(kind, SubmitError)
        assert re.fullmatch(r"[A-Z].+\.", inspect.getdoc(kind) or "")
