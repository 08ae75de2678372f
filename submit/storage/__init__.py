"""Splits and runs in a storage that fsspec opens: S3, Google Cloud, Azure, HTTP, ….

`StoredFolder` lists a folder, and its `StoredFiles` fetch a file when it is asked for,
into a copy in the cache of this machine.
"""

from .copies import copy_of, own_storage
from .files import StoredFiles, bring, bring_each, fetched, size_of
from .folder import StoredFolder

__all__ = [
    "StoredFiles",
    "StoredFolder",
    "bring",
    "bring_each",
    "copy_of",
    "fetched",
    "own_storage",
    "size_of",
]
