"""The folder of a model: found by its path or its name, and known by its content."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from submit.errors import PredictorError
from submit.predictors import file_digest

from .families import Family

__all__ = ["ModelFolder", "find_folder"]

_CONFIG, _SAFE = "config.json", "model.safetensors"
_SHARDS = "model.safetensors.index.json"
#: What is fetched of a model on huggingface.co.
_FILES = (_CONFIG, "model*.safetensors", _SHARDS)
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def find_folder(family: Family, named: str, *, download: bool) -> ModelFolder:
    """Find a model.

    Args:
        family: What kind of model it is.
        named: A folder, or a name on huggingface.co such as facebook/sam3.
        download: Whether to download what is not in the cache.

    Raises:
        PredictorError: It is not there, or not complete.
    """
    path = Path(os.path.expanduser(named))
    if not path.is_dir():
        if path.exists():
            raise PredictorError(
                f"checkpoint {named}: is a file, expected the folder with {_CONFIG} "
                f"and {_SAFE}"
            )
        if not _HUB_NAME.fullmatch(named):
            raise PredictorError(
                f"checkpoint {named}: there is no such folder, and it is no name on "
                f"huggingface.co, such as {family.known}"
            )
        path = _in_cache(family, named, download=download)
    return ModelFolder(family, path, named)


class ModelFolder:
    """A folder for transformers.

    Attributes:
        family: What kind of model it is.
        path: The folder.
    """

    def __init__(self, family: Family, path: Path, named: str) -> None:
        """Check that everything is there.

        Args:
            family: What kind of model it is.
            path: The folder.
            named: How the user calls it.

        Raises:
            PredictorError: Something is missing, or it is of another kind.
        """
        self.family, self.path, self._named = family, path, named
        self._config = self._read_config()
        self._weights = self._find_weights()

    def setting(self, key: str, default: float) -> float:
        """A number of the tracker's configuration."""
        found = self._config.get(key, default)
        if not isinstance(found, (int, float)):
            raise PredictorError(
                f"{self.path / _CONFIG}: {key}: expected a number, found {found!r}"
            )
        return float(found)

    @property
    def backbone(self) -> str | None:
        """The model_type of the image encoder's trunk, where it is written."""
        vision = self._config.get("vision_config")
        trunk = vision.get("backbone_config") if isinstance(vision, dict) else None
        kind = trunk.get("model_type") if isinstance(trunk, dict) else None
        return kind if isinstance(kind, str) else None

    def digest(self) -> str:
        """The SHA-256 of the weights: of the file, or of the names and digests of all.

        Raises:
            PredictorError: One cannot be read.
        """
        try:
            found = {path.name: file_digest(path) for path in self._weights}
        except OSError as error:
            raise PredictorError(
                f"checkpoint {self._named}: {error.filename} cannot be read "
                f"({error.strerror}); download it again"
            ) from error
        if len(found) == 1:
            return found.popitem()[1]
        lines = "".join(f"{name} {found[name]}\n" for name in sorted(found))
        return hashlib.sha256(lines.encode()).hexdigest()

    def config_digest(self) -> str:
        """The first digits of the SHA-256 of the tracker's configuration."""
        text = json.dumps(self._config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _read_config(self) -> dict[str, Any]:
        path, family = self.path / _CONFIG, self.family
        try:
            content = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise PredictorError(
                f"checkpoint {self._named}: found no {_CONFIG} in {self.path}; "
                "expected a folder for transformers, such as "
                f"huggingface.co/{family.known}"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise PredictorError(
                f"{path}: cannot be read ({error}); download it again"
            ) from error
        kind = content.get("model_type") if isinstance(content, dict) else None
        if kind not in family.kinds:
            raise PredictorError(
                f"{path}: model_type is {kind!r}, expected {' or '.join(family.kinds)} "
                f"for the predictor {family.name}, as in huggingface.co/{family.known}"
            )
        if family.tracker and kind == family.kinds[0]:
            content = content.get(family.tracker)
            if not isinstance(content, dict):
                raise PredictorError(
                    f"{path}: expected the table {family.tracker}; download it again"
                )
        return dict(content)

    def _find_weights(self) -> list[Path]:
        if (self.path / _SAFE).is_file():
            return [self.path / _SAFE]
        index = self.path / _SHARDS
        if not index.is_file():
            raise PredictorError(
                f"checkpoint {self._named}: found no {_SAFE} in {self.path}; download "
                f"all of {', '.join(_FILES)}"
            )
        from submit_sam2.safe_weights import files_of  # It takes PyTorch.

        return files_of(index)


def _in_cache(family: Family, named: str, *, download: bool) -> Path:
    """The folder of a model on huggingface.co, in its cache on this machine."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError as error:
        raise PredictorError(
            f"checkpoint {named}: there is no such folder, and names on huggingface.co "
            "need the package huggingface_hub; run: pip install 'mose-submit[hf]'"
        ) from error

    first = f"{family.how_to_get}, then " if family.how_to_get else ""
    try:
        found = snapshot_download(
            named, allow_patterns=list(_FILES), local_files_only=not download
        )
    except LocalEntryNotFoundError as error:
        if download:
            raise PredictorError(
                f"checkpoint {named}: huggingface.co cannot be reached; download it on "
                "another machine and name the folder"
            ) from error
        raise PredictorError(
            f"checkpoint {named}: there is no such folder, and the model is not in the "
            f"cache of huggingface.co on this machine; {first}run: hf download {named}"
            ", or say -o download=true"
        ) from error
    except GatedRepoError as error:
        raise PredictorError(
            f"checkpoint {named}: is given out only to those who accept its licence; "
            f"{first or 'accept it at huggingface.co/' + named + ', then '}try again"
        ) from error
    except RepositoryNotFoundError as error:
        raise PredictorError(
            f"checkpoint {named}: huggingface.co has no such model, or it is private; "
            f"expected a name such as {family.known}"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PredictorError(
            f"checkpoint {named}: cannot be downloaded ({reason}); try again, or "
            "download it on another machine and name the folder"
        ) from error
    return Path(found)
