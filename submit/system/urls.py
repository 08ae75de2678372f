"""Places that a user may name: folders of this machine, and URLs of a storage."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from .homes import user_path

__all__ = ["HIDDEN", "Place", "StorageUrl", "is_url", "place"]

#: Stands for a password.
HIDDEN = "[hidden]"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]*)://(.*)", re.DOTALL)
#: Protocols of folders of this machine.
_LOCAL = ("file", "local")
#: Names that are no names of files.
_NO_NAMES = frozenset({"", ".", ".."})


@dataclass(frozen=True)
class StorageUrl:
    """A folder in a storage, such as `s3://bucket/MOSEv2/valid`.

    As text it has no password, so that it may be printed and recorded.

    Attributes:
        protocol: The part before `://`.
        address: The part behind it, with a password if it has one.
    """

    protocol: str
    address: str = field(repr=False)

    @property
    def full(self) -> str:
        """The whole URL, with its password."""
        return f"{self.protocol}://{self.address}"

    @property
    def secret(self) -> str | None:
        """The password in it; None for none."""
        login, at, _ = self.address.partition("/")[0].rpartition("@")
        _, colon, password = login.partition(":")
        return password if at and colon else None

    @property
    def parts(self) -> tuple[str, ...]:
        """The names in it, without a password and without empty ones."""
        shown = str(self).partition("://")[2]
        return tuple(name for name in shown.split("/") if name)

    @property
    def name(self) -> str:
        """The last name in it."""
        return self.parts[-1] if self.parts else self.protocol

    def absolute(self) -> StorageUrl:
        """The same: it does not depend on the current folder."""
        return self

    def resolve(self) -> StorageUrl:
        """The same: it has no links."""
        return self

    def __str__(self) -> str:
        secret = self.secret
        if secret is None:
            return self.full
        login, _, rest = self.address.partition(f":{secret}@")
        return f"{self.protocol}://{login}:{HIDDEN}@{rest}"


#: Where a split may be.
Place: TypeAlias = Path | StorageUrl


def is_url(text: object) -> bool:
    """Whether a text is a URL."""
    return isinstance(text, str) and _URL.match(text) is not None


def place(text: str | os.PathLike[str] | StorageUrl) -> Place:
    """The place that a user names: a URL, or a path in which `~` is the home folder.

    A URL `file://…` is the path in it.

    Raises:
        ValueError: The URL has no address, or one that names no folder.
    """
    if isinstance(text, StorageUrl):
        return text
    match = _URL.match(text) if isinstance(text, str) else None
    if match is None:
        return user_path(text)
    protocol, address = match[1].lower(), match[2]
    if protocol in _LOCAL and "::" not in address:
        return Path(address)
    url = StorageUrl(protocol, address.rstrip("/"))
    if "::" in url.full:
        raise ValueError(f"{url}: is a chain of URLs; expected one of a folder")
    if not address.strip("/"):
        raise ValueError(f"{url}://: names no folder; expected one such as s3://bucket")
    first, *others = url.address.split("/")
    # The copy of a storage is in a folder of these names.
    if first in (".", "..") or _NO_NAMES & set(others):
        raise ValueError(f"{url}: has an empty name, '.' or '..' in it; leave it out")
    if protocol in ("http", "https") and re.search("[?#]", address):
        shown = str(url)[: re.search("[?#]", str(url)).start()]  # type: ignore[union-attr]
        raise ValueError(
            f"{shown}: a URL with a query names one file; expected the URL of a folder"
        )
    return url
