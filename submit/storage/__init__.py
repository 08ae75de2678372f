"""Splits and runs in a storage that fsspec opens: S3, Google Cloud, Azure, HTTP, ….

`StoredFolder` lists a folder, and its `StoredFiles` fetch a file when it is asked for,
into a copy in the cache of this machine. A `StoredTree` is written, too.
"""

from .copies import copy_of, own_storage
from .files import StoredFile, StoredFiles, bring, bring_each, fetched, size_of
from .folder import StoredFolder
from .requests import in_threads
from .tree import StoredTree

__all__ = [
    "StoredFile",
    "StoredFiles",
    "StoredFolder",
    "StoredTree",
    "bring",
    "bring_each",
    "copy_of",
    "fetched",
    "in_threads",
    "own_storage",
    "size_of",
]
