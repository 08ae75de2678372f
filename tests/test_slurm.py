"""The scripts of examples/slurm, run by bash as Slurm runs them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from submit.runs import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash"),
]

PARTS = 2


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of programs: `submit` is this one, others write down their arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    put(folder / "submit", f'exec {sys.executable} -m submit "$@"')
    for name in ("sbatch", "scontrol"):
        put(folder / name, f'echo {name} "$@" >> {tmp_path}/said; echo 77')
    return folder


def put(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def script(repository: Path, name: str) -> str:
    return str(repository / "examples" / "slurm" / name)


def environment(tmp_path: Path, repository: Path, **more: object) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(repository),
        "SPLIT": "split",
        "PREDICTOR": "static",
        "NAME": "plain",
        "PARTS": str(PARTS),
        **{name: str(value) for name, value in more.items()},
    }


def test_the_tasks_and_the_last_job_make_a_checked_zip(
    tmp_path: Path, tools: Path, repository: Path
) -> None:
    del tools

    def run(*words: str, **more: object) -> None:
        found = environment(tmp_path, repository, **more)
        subprocess.run(words, cwd=tmp_path, env=found, check=True)

    run("submit", "sample", "split", "--videos", "3", "--frames", "3")
    run(script(repository, "start.sh"), "--no-soft")
    array, last = (tmp_path / "said").read_text().splitlines()
    assert f"--array=1-{PARTS} " in array
    assert array.endswith("part.sh --no-soft")
    assert "--dependency=afterok:77 " in last
    for task in range(PARTS, 0, -1):
        run(
            script(repository, "part.sh"),
            "--no-soft",
            SLURM_ARRAY_TASK_ID=task,
            SLURM_ARRAY_TASK_COUNT=PARTS,
            SLURM_ARRAY_TASK_MIN=1,
        )
    run(script(repository, "merge.sh"))
    assert len(Run.open(tmp_path / "runs/plain").videos) == 3
    assert (tmp_path / "plain.zip").is_file()


def test_a_task_at_its_time_limit_ends_its_work_and_is_queued_again(
    tmp_path: Path, tools: Path, repository: Path
) -> None:
    os.mkfifo(tmp_path / "begun")
    put(
        tools / "submit",
        f"""
        trap 'echo ended >> {tmp_path}/said; exit 143' TERM
        echo > {tmp_path}/begun
        while true; do sleep 0.1; done
        """,
    )
    task = subprocess.Popen(
        [script(repository, "part.sh")],
        env=environment(
            tmp_path, repository, SLURM_ARRAY_TASK_ID=2, SLURM_ARRAY_JOB_ID=5
        ),
    )
    (tmp_path / "begun").read_text()  # Waits for it.
    # The trap is set right after the work was begun, so the signal is repeated.
    while task.poll() is None:
        task.send_signal(signal.SIGUSR1)
        try:
            task.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert task.returncode == 0
    said = (tmp_path / "said").read_text().splitlines()
    assert said[0] == "ended"
    assert said[-1] == "scontrol requeue 5_2"
