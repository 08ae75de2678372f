"""Candidates of the search: settings of merging and post-processing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ..ensemble import DEFAULT_METHOD, MergeSettings
from ..postprocess import Postprocess

__all__ = ["Candidate"]


@dataclass(frozen=True)
class Candidate:
    """Settings that are tried.

    Attributes:
        merge: How runs are merged; its members are the runs.
        post: The post-processing.
    """

    merge: MergeSettings
    post: Postprocess = field(default_factory=Postprocess)

    @property
    def members(self) -> tuple[str, ...]:
        """The runs that are merged."""
        return self.merge.members

    @property
    def is_single(self) -> bool:
        """Whether it is one run as it is, apart from post-processing."""
        plain = self.merge.method == DEFAULT_METHOD and self.merge.gate is None
        return plain and len(self.members) == 1

    @property
    def merge_key(self) -> str:
        """A text that is equal for equal ways to merge."""
        return json.dumps(self.merge.to_table(), sort_keys=True)

    @property
    def key(self) -> str:
        """A text that is equal for equal settings."""
        return json.dumps([self.merge_key, self.post.to_table()], sort_keys=True)
