"""The account's token: from the environment, a keyring or a file.

A token of Codabench never expires and cannot be revoked, not even by a new password. So
it is handled like a password: it is never printed, and only sent in one header.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..errors import LoginError
from ..system.files import read_json, write_json
from .answers import login_advice
from .state import private_folder

__all__ = ["Keyring", "Token", "TokenStore", "installed_keyring"]

#: The service name of entries in a keyring.
SERVICE = "mose-submit"


class Keyring(Protocol):
    """The functions of the package `keyring` that are used."""

    def get_password(self, service: str, name: str) -> str | None:
        """Read a password."""
        ...

    def set_password(self, service: str, name: str, secret: str) -> None:
        """Store a password."""
        ...

    def delete_password(self, service: str, name: str) -> None:
        """Delete a password."""
        ...


@dataclass(frozen=True)
class Token:
    """A token, and where it was found.

    Attributes:
        value: The secret; not part of the object's printed form.
        source: `SUBMIT_TOKEN`, `keyring`, or the file.
    """

    value: str = field(repr=False)
    source: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]{8,200}", self.value):
            raise LoginError(
                f"the token from {self.source} is malformed: expected 40 letters and "
                "digits, found spaces or another length",
                login_advice(self.source),
            )

    @property
    def digest(self) -> str:
        """A digest that identifies the token without revealing it."""
        return hashlib.sha256(self.value.encode()).hexdigest()


def installed_keyring() -> Keyring | None:
    """The system's keyring; None if the package or a keyring is missing."""
    try:
        import keyring
        from keyring.backends import fail
    except ImportError:
        return None
    if isinstance(keyring.get_keyring(), fail.Keyring):
        return None
    found: Any = keyring
    return found  # type: ignore[no-any-return]


class TokenStore:
    """Finds and stores the token of a server.

    Args:
        folder: The state folder; tokens without a keyring are in its `tokens.json`.
        keyring: The system's keyring; None to use none.
        environment: Where `SUBMIT_TOKEN` is looked for first.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keyring: Keyring | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.path = folder / "tokens.json"
        self._keyring = keyring
        self._environment = environment

    def find(self, url: str) -> Token | None:
        """The token for a server, None where there is none.

        Raises:
            LoginError: The file is readable by others or damaged.
        """
        if value := self._environment.get("SUBMIT_TOKEN", "").strip():
            return Token(value, "SUBMIT_TOKEN")
        if kept := self._from_keyring(url):
            return Token(kept, "keyring")
        if found := self._read().get(url):
            return Token(str(found), str(self.path))
        return None

    def require(self, url: str) -> Token:
        """The token for a server.

        Raises:
            LoginError: There is none.
        """
        token = self.find(url)
        if token is None:
            raise LoginError(f"no token for {url}", "do: submit login")
        return token

    def keep(self, url: str, value: str, *, in_keyring: bool = True) -> Token:
        """Store a token in the keyring, or in a file that only its owner may read.

        Args:
            url: Address of the server.
            value: The token.
            in_keyring: Whether a keyring may be used. If not, a token in it is removed,
                since it would be found first.
        """
        if self._keyring is not None and in_keyring:
            token = Token(value, "keyring")
            self._try(lambda ring: ring.set_password(SERVICE, url, value))
            # Some keyrings accept a value and do not store it.
            if self._from_keyring(url) == value:
                return token
        token = Token(value, str(self.path))
        private_folder(self.path.parent)
        write_json(self.path, {**self._read(), url: value}, private=True)
        if self._from_keyring(url) is not None:
            self._try(lambda ring: ring.delete_password(SERVICE, url))
        return token

    def forget(self, url: str) -> list[str]:
        """Delete stored tokens; returns the places they were in."""
        places = []
        if self._from_keyring(url) and self._try(
            lambda ring: ring.delete_password(SERVICE, url)
        ):
            places.append("keyring")
        tokens = self._read()
        if tokens.pop(url, None) is not None:
            write_json(self.path, tokens, private=True)
            places.append(str(self.path))
        return places

    def _from_keyring(self, url: str) -> str | None:
        found: list[str | None] = []
        self._try(lambda ring: found.append(ring.get_password(SERVICE, url)))
        return found[0] if found else None

    def _try(self, action: Any) -> bool:
        """Use the keyring; one that is locked or broken counts as none."""
        if self._keyring is None:
            return False
        try:
            action(self._keyring)
        except Exception:  # Each backend has errors of its own.
            return False
        return True

    def _read(self) -> dict[str, Any]:
        try:
            mode = self.path.stat().st_mode
        except OSError:
            return {}
        if mode & 0o077:
            raise LoginError(
                f"{self.path}: expected mode 0600, found {mode & 0o777:04o}, so others "
                "may have read the token",
                f"do: chmod 600 {self.path}",
            )
        try:
            content = read_json(self.path)
        except (OSError, ValueError):
            content = None
        if not isinstance(content, dict):
            raise LoginError(
                f"{self.path}: is damaged", "delete it and do: submit login"
            )
        return content
