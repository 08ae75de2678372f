"""The fake Codabench in place of the real one, for commands that a test types."""

from __future__ import annotations

import pytest

from tests.codabench.world import BROKER_PASSWORD, OTHER_TOKEN, TOKEN, FakeClock

__all__ = ["SECRETS", "replace_codabench", "require_no_secrets"]

#: What must not be found in anything that was printed or written.
SECRETS = (TOKEN, OTHER_TOKEN, "Signature=", "AWSAccessKeyId", BROKER_PASSWORD)

#: Seconds that commands wait for what is welcome and not needed.
_PATIENCE = (
    "_watching.NAMES",
    "_watching.RANK",
    "history.BOARDS",
    "leaderboard.OWN",
    "status.PENDING",
)
#: The machine's own proxies, certificates and places.
_OWN = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_PLACES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "XDG_STATE_HOME", "NETRC")


def require_no_secrets(text: str) -> None:
    """Fail if a secret of the fake server is in a text."""
    found = [secret for secret in SECRETS if secret in text]
    assert found == [], text


def replace_codabench(patch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """Keep the machine out of the commands: its clock, keyring, proxies and state.

    They wait for the server as long as it takes, since time does not pass.
    """
    for name in (*_OWN, *map(str.upper, _OWN), *_PLACES):
        patch.delenv(name, raising=False)
    patch.setattr("submit.codabench.SystemClock", lambda: clock)
    patch.setattr("submit.cli._codabench.keyring", lambda: None)
    for name in _PATIENCE:  # However slow the machine is.
        patch.setattr(f"submit.cli.{name}", 60.0)
