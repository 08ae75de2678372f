"""Files of other programs, weights, and answers of the server."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_kind import FRAMES, HEIGHT, VIDEOS, WIDTH, Kind, Places, labels_at
from fuzz_mutations import (
    damaged_bytes,
    damaged_json,
    damaged_zip,
)
from submit.codabench.answers import Reply, refusal
from submit.codabench.client import Client
from submit.codabench.competition import Competition
from submit.codabench.journal import Journal, JournalEntry
from submit.codabench.results import fetch_metrics
from submit.codabench.tokens import TokenStore
from submit.data import read_coco, read_prompts, read_split
from submit.errors import SubmitError
from submit.formats import ImportHints, open_foreign, open_video, soft_frames
from submit.masks import encode_rle
from submit.masks.arrays import ArrayFile
from submit.pipeline import import_prompts
from submit.scoring.compare import read_metrics
from submit.training.folder import TrainingFolder
from submit.tuning.expected import SCHEMA as EXPECTED_SCHEMA
from submit.tuning.expected import ExpectedScore

__all__ = ["foreign_kinds", "server_kinds", "weights_kinds"]


def foreign_kinds(places: Places) -> Iterator[Kind]:
    """The layouts, prompts and scores of other programs."""
    split = places.split
    rle = encode_rle(labels_at(1) == 1)
    given = {
        "version": 1,
        "videos": {
            "alpha": {
                "00001": {
                    "1": {"box": [1, 1, 6, 6], "why": "seen"},
                    "2": {"absent": True},
                },
                "00002": {"1": {"points": [[2, 2, 1], [15, 9, 0]]}, "2": {"mask": rle}},
            }
        },
    }

    def prompts(path: Path) -> None:
        _ = read_prompts(path, split).digest

    data = json.dumps(given).encode()
    yield Kind("prompts.json", "prompts.json", data, damaged_json, prompts)

    def coco(path: Path) -> None:
        read_coco(path)
        import_prompts(str(path), places.out / "a.json", split, runs=places.root)

    content = {
        "images": [
            {"id": number, "file_name": f"alpha/{number:05d}.jpg"}
            for number in range(FRAMES)
        ],
        "annotations": [
            {
                "image_id": number,
                "object_id": 1,
                "bbox": [1, 1, 4, 4],
                "segmentation": rle if number % 2 else None,
                "score": 0.5,
            }
            for number in range(1, FRAMES)
        ],
    }
    yield Kind(
        "COCO JSON", "boxes.json", json.dumps(content).encode(), damaged_json, coco
    )
    names = [f"alpha/{number:05d}.jpg" for number in range(FRAMES)]
    tracks = {
        "videos": [{"id": 1, "file_names": names, "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {
                "id": 1,
                "video_id": 1,
                "object_id": 1,
                "segmentations": [rle, None, rle, rle],
                "bboxes": [None] * FRAMES,
            }
        ],
    }
    yield Kind(
        "YouTube-VIS JSON", "vis.json", json.dumps(tracks).encode(), damaged_json, coco
    )

    def layout(path: Path) -> None:
        with open_foreign(path.parent, VIDEOS, ImportHints()) as foreign:
            foreign.require_videos(split)
            foreign.fingerprint("alpha")
            video = split.videos["alpha"]
            with open_video(foreign.files("alpha"), video, ImportHints()) as reader:
                for _ in soft_frames(reader, video):
                    pass

    table = {f"{number:05d}": {"1": rle, "2": None} for number in range(FRAMES)}
    yield Kind(
        "RLE of a video", "alpha.json", json.dumps(table).encode(), damaged_json, layout
    )

    stream = io.BytesIO()
    logits = np.random.default_rng(0).normal(0, 4, (FRAMES, 2, HEIGHT, WIDTH))
    np.save(stream, logits.astype(np.float32))

    def array(path: Path) -> None:
        with ArrayFile(path) as file:
            for name in file.names:
                for index in range(
                    file.header(name).shape[0] if file.header(name).shape else 0
                ):
                    file.read(name, index)
        layout(path)

    yield Kind("NumPy array", "alpha.npy", stream.getvalue(), damaged_bytes, array)
    stream = io.BytesIO()
    np.savez_compressed(
        stream, logits=logits.astype(np.float16), objects=np.array([1, 2])
    )
    yield Kind("NumPy arrays", "alpha.npz", stream.getvalue(), damaged_zip, array)
    if find_spec("h5py") is not None:
        yield from _volumes(places)

    metrics = {
        f"{video}_{key}": {
            **dict.fromkeys(("J&F_new", "J", "F_new", "F", "J&F"), 50.0),
            **dict.fromkeys(("disappear_J&F_new", "reappear_J&F_new")),
        }
        for video in VIDEOS
        for key in (1, 2)
    }
    content = {**metrics, "total_time": 1.0}
    yield Kind(
        "metrics.json",
        "metrics.json",
        json.dumps(content).encode(),
        damaged_json,
        read_metrics,
    )

    row = {"run": "a", "video": "alpha", "features": [0.5, 1, None, 0.1, 0], "score": 1}
    model = {
        "schema": EXPECTED_SCHEMA,
        "metric": "jf_dot",
        "runs": ["a"],
        "makers": {"a": "static"},
        "penalty": 1.0,
        "rows": [row, {**row, "video": "beta", "score": 0.5}],
        "calibration": {
            "videos": 2,
            "objects": 2,
            "error": 0.1,
            "floor": 0.2,
            "correlation": 0.5,
            "coverage": 0.9,
        },
    }

    def expected(path: Path) -> None:
        model = ExpectedScore.load(path)
        model.estimate(["alpha"], [(0.5, 1.0, None, 0.1, 0.0)])

    data = json.dumps(model).encode()
    yield Kind("expected score", "expected.json", data, damaged_json, expected)

    def meta(path: Path) -> None:
        found = read_split(places.root / "split", meta=path)
        for video in found.videos.values():
            with contextlib.suppress(SubmitError):
                _ = video.size, video.objects, video.frames

    entry = {"length": FRAMES, "height": HEIGHT, "width": WIDTH, "objects": ["1", "2"]}
    data = json.dumps({"videos": dict.fromkeys(VIDEOS, entry)}).encode()
    yield Kind("meta.json", "meta.json", data, damaged_json, meta)


def _volumes(places: Places) -> Iterator[Kind]:
    import h5py

    from submit.masks.volumes import read_channels, read_volume

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        volume = np.zeros((3, HEIGHT, WIDTH), np.uint8)
        volume[0], volume[1, 2:6, 3:9] = 200, 250
        file.create_dataset("data", data=volume, compression="lzf")
    yield Kind(
        "HDF5 volume", "00001.hkl", stream.getvalue(), damaged_bytes, read_volume
    )
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        group = file.create_group("data")
        group["1"], group["2"] = 1, 2
    yield Kind(
        "HDF5 channels", "backward.hkl", stream.getvalue(), damaged_bytes, read_channels
    )


def weights_kinds(places: Places) -> Iterator[Kind]:
    """Checkpoints, and what is beside them."""
    import torch

    from submit_sam2.build import read_state, recognise
    from submit_sam3.folder import read_config

    state = {
        "image_encoder.trunk.pos_embed": torch.zeros(1, 8, 4, 4),
        "image_encoder.trunk.blocks.0.norm1.weight": torch.ones(8),
        "maskmem_tpos_enc": torch.ones(7, 1, 1, 4),
    }
    stream = io.BytesIO()
    torch.save({"model": state}, stream)

    def checkpoint(path: Path) -> None:
        found = read_state(path)
        recognise(found)
        for name in found:
            found[name].sum()

    damage = partial(damaged_zip, inner=damaged_bytes)
    yield Kind("checkpoint", "tiny.pt", stream.getvalue(), damage, checkpoint)
    old = io.BytesIO()
    torch.save({"model": state}, old, _use_new_zipfile_serialization=False)
    yield Kind(
        "checkpoint, old form", "old.pt", old.getvalue(), damaged_bytes, checkpoint
    )

    def resume(path: Path) -> None:
        TrainingFolder(path.parent).load(path)

    yield Kind("training to resume", "last.pt", stream.getvalue(), damage, resume)
    if find_spec("safetensors") is not None:
        from safetensors.torch import save

        yield Kind(
            "safetensors", "w.safetensors", save(state), damaged_bytes, checkpoint
        )
    config = {
        "model_type": "sam3_tracker_video",
        "vision_config": {
            "backbone_config": {"hidden_size": 32, "num_attention_heads": 2}
        },
        "mask_decoder_config": {"num_attention_heads": 8},
    }
    data = json.dumps(config).encode()
    yield Kind("config.json", "config.json", data, damaged_json, read_config)


class _Answering:
    """A transport that gives one answer to everything."""

    url = "https://example.org/"
    proxy = None

    def __init__(self, body: bytes, file: bytes = b"") -> None:
        self.reply = Reply(200, {"content-type": "application/json"}, body, self.url)
        self.file = file

    def call(self, *_: Any, **__: Any) -> Reply:
        return self.reply

    def download(self, *_: Any, **__: Any) -> bytes:
        return self.file

    def close(self) -> None:
        pass


def server_kinds(places: Places) -> Iterator[Kind]:
    """Answers of the server, and what is kept about it."""
    submission = {
        "id": 7,
        "status": "Finished",
        "status_details": "ok",
        "filename": "both.zip",
        "phase": 1,
        "owner": "alice",
        "created_when": "2026-11-29T12:00:00Z",
        "parent": None,
        "children": [],
        "task": {"id": 3, "name": "valid"},
        "scores": [{"id": 1, "column_key": "jf", "score": "0.5", "index": 0}],
        "auto_run": True,
    }
    competition = {
        "id": 10062,
        "title": "MOSEv2",
        "participant_status": "approved",
        "phases": [
            {
                "id": 1,
                "name": "Development",
                "start": "2026-01-01T00:00:00Z",
                "end": None,
                "has_max_submissions": True,
                "max_submissions_per_day": 5,
                "max_submissions_per_person": 50,
                "used_submissions_per_day": 1,
                "tasks": [{"id": 3, "name": "valid"}],
            }
        ],
        "leaderboards": [
            {
                "id": 1,
                "title": "Results",
                "primary_index": 0,
                "columns": [
                    {
                        "id": 1,
                        "key": "jf",
                        "title": "J&F",
                        "index": 0,
                        "sorting": "desc",
                    }
                ],
            }
        ],
        "fact_sheet": {"bool": {"key": "a", "title": "A", "type": "checkbox"}},
    }

    def asking(ask: Callable[[Client], object]) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            ask(Client(transport=_Answering(path.read_bytes())))  # type: ignore[arg-type]

        return read

    def competed(client: Client) -> None:
        found = client.competition()
        _ = found.columns, found.primary
        Competition.parse(competition)

    rows = {"count": 1, "results": [submission]}
    board = {"submissions": [submission], "id": 1}
    details = {
        "logs": [{"name": "scoring_stdout", "data_file": "https://x.org/a"}],
        "scoring_result": "https://x.org/b",
    }
    answers: list[tuple[str, Any, Callable[[Client], object]]] = [
        ("competition", competition, competed),
        ("submissions", rows, lambda client: client.submissions()),
        ("submission", submission, lambda client: client.whole_submission(7).values()),
        ("leaderboard", board, lambda client: client.leaderboard(1)),
        ("details", details, lambda client: client.details(7)),
        ("profile", {"username": "a", "name": "b"}, lambda client: client.profile()),
        ("quota", {"quota": 15, "storage_used": 1e9}, lambda client: client.quota()),
        (
            "attempts",
            {"can": False, "reason": "no"},
            lambda client: client.can_submit(1),
        ),
        (
            "new upload",
            {"key": "k", "sassy_url": "https://example.org/x?Expires=1"},
            lambda client: client.create_record(1, "a.zip", 5, ""),
        ),
        (
            "upload",
            {"results": [{"id": 1, "key": "k", "file_size": 5}]},
            lambda client: client.record("k"),
        ),
        (
            "competitions",
            {"results": [{"id": 1}]},
            lambda client: client.competitions(),
        ),
        ("login", {"token": "t"}, lambda client: client.login("a", "b")),
    ]
    for name, value, ask in answers:
        data = json.dumps(value).encode()
        yield Kind(f"answer: {name}", "", data, damaged_json, asking(ask))

    def refused(path: Path) -> None:
        for status, kind in ((400, "application/json"), (403, "application/xml")):
            reply = Reply(
                status, {"content-type": kind}, path.read_bytes(), "https://x"
            )
            str(refusal(reply, "upload"))

    data = b'{"phase": ["This phase is over."], "detail": "Not found."}'
    yield Kind("answer: refusal", "", data, damaged_json, refused)

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metrics.json", json.dumps({"a_1": {"J": 50.0}}))
        archive.writestr("scores.txt", "jf: 50.0")

    def results(path: Path) -> None:
        body = json.dumps(details).encode()
        transport = _Answering(body, file=path.read_bytes())
        fetch_metrics(Client(transport=transport), 7)  # type: ignore[arg-type]

    yield Kind("archive of results", "", stream.getvalue(), damaged_zip, results)

    def tokens(path: Path) -> None:
        path.chmod(0o600)
        store = TokenStore(path.parent, keyring=None)
        store.find("https://www.codabench.org/")

    data = json.dumps({"https://www.codabench.org/": "a" * 40}).encode()
    yield Kind("tokens", "tokens.json", data, damaged_json, tokens)

    entry = JournalEntry(
        "both.zip",
        "a" * 64,
        5,
        "https://x",
        "alice",
        1,
        2,
        "plain",
        "both.zip",
        key="k",
    )
    state = places.folder("state")
    journal = Journal(state, entry)

    def kept(path: Path) -> None:
        target = journal.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        _ = Journal(state, entry).entry.step

    data = json.dumps({"schema": 1, **vars(entry)}).encode()
    yield Kind("journal of an upload", "", data, damaged_json, kept)
