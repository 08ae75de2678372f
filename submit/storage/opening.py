"""Opening a storage by fsspec, and its errors in words."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from ..errors import StorageError
from ..system.urls import HIDDEN, StorageUrl

__all__ = ["QUOTED", "OpenStorage", "is_final", "open_storage", "trouble"]

#: The package for the usual protocols, where it is not fsspec itself.
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "az": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "sftp": "paramiko",
}

#: Protocols whose names are quoted, with %20 for a space.
QUOTED = frozenset({"http", "https"})

#: Longest reason in a message, in characters.
_LONGEST = 160

#: Names of exceptions that tell of missing or refused credentials.
_REFUSALS = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "CredentialRetrievalError",
        "ClientAuthenticationError",
        "DefaultCredentialsError",
        "TokenRetrievalError",
    }
)


@dataclass(frozen=True)
class OpenStorage:
    """A folder in an opened storage; it can be sent to workers.

    Attributes:
        url: Its URL.
        fs: The file system of fsspec.
        root: The path of the folder there.
    """

    url: StorageUrl
    fs: Any
    root: str

    def path(self, relative: str = "") -> str:
        """The path of a file or folder below."""
        if self.url.protocol in QUOTED:
            relative = quote(relative)
        return f"{self.root}/{relative}" if relative else self.root

    def named(self, relative: str = "") -> str:
        """The URL of a file or folder below, for messages."""
        return f"{self.url}/{relative}" if relative else str(self.url)


def open_storage(url: StorageUrl) -> OpenStorage:
    """Open a storage; most do not use the network yet.

    Raises:
        StorageError: The protocol is not known, its package is missing, or the URL is
            not whole.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations, registry

    if url.secret == HIDDEN:
        raise StorageError(
            f"{url}: its password is not recorded; name the place again, with "
            "--split or --runs",
            everywhere=False,
        )
    if url.protocol not in {*known_implementations, *registry}:
        raise StorageError(
            f"{url}: {url.protocol}:// is no protocol that fsspec knows; expected s3, "
            "gs, abfs, https or another one, or a path",
            everywhere=False,
        )
    try:
        fs, root = url_to_fs(url.full)
    except ImportError as error:
        package = _PACKAGES.get(url.protocol)
        how = f"pip install {package}" if package else _clean(error, url)
        raise StorageError(
            f"{url}: the package for {url.protocol}:// is missing; {how}",
            everywhere=False,
        ) from error
    except Exception as error:
        raise trouble(error, str(url), url) from error
    # What it listed for another command or split may be of long ago.
    fs.invalidate_cache()
    return OpenStorage(url, fs, root.rstrip("/"))


def trouble(
    error: BaseException, named: str, url: StorageUrl, *, sending: bool = False
) -> StorageError:
    """Put an error of a storage into words.

    Args:
        error: The error.
        named: The file or folder, for people.
        url: The URL that was opened, whose password must not be shown.
        sending: Whether something was written.
    """
    kind = type(error).__name__
    verb, done = ("write", "written") if sending else ("read", "read")
    if isinstance(error, StorageError):
        return error
    if isinstance(error, FileNotFoundError):
        what = "the storage has no such file, or no more; check the URL"
    elif isinstance(error, PermissionError) or kind in _REFUSALS:
        what = (
            f"the storage refuses it ({_clean(error, url)}); check the credentials in "
            f"the environment, and that they allow to list and to {verb}"
        )
    else:
        what = (
            f"the storage cannot be {done} ({_clean(error, url)}); check the network "
            "and the URL, and run the same command again"
        )
    return StorageError(f"{named}: {what}", everywhere=False)


def is_final(error: BaseException) -> bool:
    """Whether the same request would fail again."""
    if isinstance(error, StorageError):
        return True
    if isinstance(error, (FileNotFoundError, PermissionError, NotImplementedError)):
        return True
    if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.EACCES):
        return True
    return type(error).__name__ in _REFUSALS


def _clean(error: BaseException, url: StorageUrl) -> str:
    """The first line of an error, without the password of the URL."""
    said = error.strerror if isinstance(error, OSError) else None
    text = (said or str(error)).strip() or type(error).__name__
    if url.secret:
        # A library may name it as it was given, or as the storage gets it.
        for secret in (url.secret, unquote(url.secret)):
            text = text.replace(secret, HIDDEN)
    line = text.splitlines()[0].rstrip(". ")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
