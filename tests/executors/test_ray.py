"""The cluster executor, where Ray is installed: two nodes on this machine."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.errors import PredictorError
from submit.executors import Event, Finished, Job, Progressed, Warned, Worker
from submit.runs import Run
from tests.conftest import ROOT, WriteSplit

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from submit.executors.ray import RayExecutor  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

#: A lost node is noticed after about a second, and not after half a minute.
QUICKLY = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
    # Workers are not to wait for everything else on this machine.
    "worker_niceness": 0,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of one node with one core; this process has joined it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        made: Any = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "include_dashboard": False,
                "_system_config": QUICKLY,
            },
        )
        patch.setenv("RAY_ADDRESS", made.address)
        ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def add_node(cluster: Any) -> Iterator[Callable[..., Any]]:
    """Add a node to the cluster; it is removed after the test."""
    added = []

    def add(**resources: int) -> Any:
        node = cluster.add_node(**resources)
        cluster.wait_for_nodes()
        added.append(node)
        return node

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


def build(device: str) -> Worker:
    def work(payload: Any, progress: Callable[[int], None]) -> Any:
        if payload == "die":
            os._exit(3)
        if payload == "refuse":
            raise PredictorError("no")
        if payload == "threads":
            return os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]
        if isinstance(payload, Path):
            return meet(payload, device)
        progress(2)
        progress(1)
        return f"{payload} on {device}"

    return work


def meet(folder: Path, device: str) -> tuple[str, list[str]]:
    """Wait until two actors do this at once; returns what each has."""
    (folder / str(os.getpid())).touch()
    wait_until(lambda: len(list(folder.iterdir())) == 2)
    return device, [str(key) for key in ray.get_gpu_ids()]


def refuse(device: str) -> Worker:
    raise PredictorError(f"cannot be built on {device}")


def die(device: str) -> Worker:
    os._exit(3)


def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.02)


def run(
    jobs: list[Job], build: Callable[[str], Worker] = build, **options: Any
) -> tuple[dict[str, Finished], list[Event]]:
    heard: list[Event] = []
    threads = options.pop("threads", None)
    RayExecutor(**{"device": "cpu", **options}).map(
        build, jobs, heard.append, threads=threads
    )
    ended = [event for event in heard if isinstance(event, Finished)]
    assert len({event.name for event in ended}) == len(ended)
    return {event.name: event for event in ended}, heard


@pytest.mark.usefixtures("cluster")
def test_an_actor_that_dies_costs_its_job_and_no_other() -> None:
    jobs = [Job(name, cost=1, payload=name) for name in ("a", "die", "refuse", "b")]
    ended, heard = run(jobs, workers=1)
    assert ended["a"].result == "a on cpu"
    assert ended["b"].result == "b on cpu"
    assert ended["refuse"].error == "no"
    assert "its Ray actor died" in str(ended["die"].error)
    assert "it was tried once more, alone" in str(ended["die"].error)
    told = [e.frames for e in heard if isinstance(e, Progressed) and e.name == "a"]
    assert sum(told) == 3


@pytest.mark.usefixtures("cluster")
def test_actors_have_the_threads_of_their_jobs() -> None:
    ended, _ = run([Job("a", 1, "threads")], threads=3)
    assert ended["a"].result == ("3", "1")


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("build", "said"),
    [(refuse, "cannot be built on cpu"), (die, "3 Ray actors died while they started")],
)
def test_what_no_job_can_survive_ends_everything(
    build: Callable[[str], Worker], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submit.executors.ray._NOTICED", 0.0)
    with pytest.raises(PredictorError, match=said):
        run([Job("a", cost=1, payload=None)], build, workers=1)


def test_each_actor_has_a_gpu_of_its_own(
    add_node: Callable[..., Any], tmp_path: Path
) -> None:
    add_node(num_cpus=1, num_gpus=2)
    jobs = [Job(name, 1, tmp_path) for name in "ab"]
    ended, _ = run(jobs, device="auto")
    found = [end.result for end in ended.values()]
    assert sorted(found) == [("cuda", ["0"]), ("cuda", ["1"])]


def test_a_device_that_the_cluster_lacks_is_refused(cluster: Any) -> None:
    del cluster
    with pytest.raises(PredictorError, match="the Ray cluster has 0 GPUs"):
        run([Job("a", 1, "a")], device="cuda")


#: A model that gives the masks of `static`, and notes each frame that it has made. On a
#: node that is to be lost it stops after a frame and waits for that; others wait until
#: it has. Where there is a file `saved`, its state is saved after every frame.
MODEL = """
import math
import time
from pathlib import Path

import ray

from submit.pipeline import saving
from submit.predictors import StaticPredictor

HERE = Path(__file__).parent
saving.EVERY, saving.SHARE = 0.0, math.inf


class Held(StaticPredictor):
    def session(self, video, *, scale=1.0):
        return Session(super().session(video, scale=scale))


class Session:
    def __init__(self, inner):
        self._inner = inner
        self._steps = 0

    def step(self, frame, prompts):
        self._steps += 1
        if self._steps == 2 and ray.is_initialized():
            if ray.get_runtime_context().get_node_id() == (HERE / "doomed").read_text():
                (HERE / "held").touch()
                time.sleep(600)
            while not (HERE / "held").exists():
                time.sleep(0.02)
        found = self._inner.step(frame, prompts)
        found.logits[:] *= 1 + frame.mean() / 256
        with (HERE / "made").open("a") as made:
            made.write(".")
        return found

    def state(self):
        return self._inner.state() if (HERE / "saved").exists() else None

    def restore(self, state):
        self._inner.restore(state)

    def close(self):
        self._inner.close()
"""


@pytest.fixture
def submit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: WriteSplit,
    runner: CliRunner,
) -> Callable[[str], str]:
    """Type a command in a folder with a split of three videos and a model."""
    monkeypatch.chdir(tmp_path)
    write_split(["a", "b", "c"])
    (tmp_path / "model.py").write_text(dedent(MODEL))

    def call(line: str) -> str:
        done = runner.invoke(cli, line.split())
        assert done.exit_code == 0, done.output
        assert "--json" not in line or json.loads(done.stdout)
        return done.stderr

    return call


def soft_files(run: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(run, "soft").iterdir()}


@pytest.mark.parametrize("saved", [False, True], ids=["begun again", "continued"])
def test_a_node_that_is_lost_in_the_middle_changes_no_byte(
    saved: bool,
    cluster: Any,
    add_node: Callable[..., Any],
    submit: Callable[[str], str],
    tmp_path: Path,
) -> None:
    node = add_node(num_cpus=1)
    (tmp_path / "doomed").write_text(node.node_id)
    if saved:
        (tmp_path / "saved").touch()

    def lose() -> None:
        wait_until((tmp_path / "held").exists)
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    predict = "predict split --predictor model.py:Held"
    said = submit(
        f"{predict} --name far --executor ray --workers 2 --device cpu --json"
    )
    thread.join()
    assert "its node was lost; another one takes it" in said
    assert ("continued after frame 00000" in said) == saved
    # Three frames of each of three videos, and the first one of the lost video again.
    assert len((tmp_path / "made").read_text()) == (9 if saved else 10)
    submit(f"{predict} --name near")
    assert soft_files("runs/far") == soft_files("runs/near")
    assert len(soft_files("runs/far")) == 3
    assert not Run.open(Path("runs/far")).failures


def test_the_chain_over_a_cluster_gives_the_same_bytes(
    add_node: Callable[..., Any], submit: Callable[[str], str]
) -> None:
    add_node(num_cpus=1)
    predict = "predict split --predictor static"
    for name, more in (("far", "--executor ray --workers 2"), ("near", "")):
        submit(f"{predict} --name one --runs {name} {more}")
        submit(f"{predict} --variant hflip --name two --runs {name} {more}")
        submit(f"ensemble one two --name both --runs {name} {more}")
        submit(f"export both --runs {name} {more}")
        submit(f"pack both --runs {name} -o {name}.zip")
    assert Path("far.zip").read_bytes() == Path("near.zip").read_bytes()
    assert soft_files("far/both") == soft_files("near/both")


def test_scores_and_findings_of_a_cluster_are_those_of_threads(
    add_node: Callable[..., Any],
    submit: Callable[[str], str],
    write_split: WriteSplit,
    runner: CliRunner,
) -> None:
    add_node(num_cpus=1)
    frames = [f"{number:05}" for number in range(40)]
    write_split(["a", "b"], frames=frames, annotated=40, root="truth")
    submit("predict truth --predictor static --name run")
    submit("pack run -o run.zip --partial")
    damaged = Path("masks")
    shutil.copytree("runs/run/masks", damaged)
    (damaged / "b" / "00007.png").write_bytes(b"damaged")

    def result(line: str) -> tuple[int, str]:
        done = runner.invoke(cli, f"{line} --split truth --json".split())
        # Where a mask is damaged, the score is an error.
        return done.exit_code, done.stdout or done.stderr.splitlines()[-1]

    for line, code in (
        ("score run.zip", 0),
        ("score masks", 1),
        ("check masks", 1),
        ("check run", 0),  # It is exported again, by the cluster too.
    ):
        here = result(line)
        assert here[0] == code
        if line == "check run":
            shutil.rmtree("runs/run/masks")
        assert result(f"{line} --executor ray --workers 2") == here


def test_the_page_of_a_cluster_is_that_of_threads(
    add_node: Callable[..., Any], submit: Callable[[str], str], write_split: WriteSplit
) -> None:
    add_node(num_cpus=1)
    frames = [f"{number:05}" for number in range(6)]
    write_split(["a", "b"], frames=frames, annotated=6, root="truth")
    submit("predict truth --predictor static --name run")
    report = "report run --split truth"
    submit(f"{report} -o near")
    shutil.rmtree("runs/run/masks")  # They are exported again, by the cluster too.
    submit(f"{report} -o far --executor ray --workers 2")
    for part in ("1/2", "2/2"):
        submit(f"{report} -o parts --executor ray --part {part}")
    submit("merge-parts parts")
    near, far, parts = (
        {
            path.relative_to(page): path.read_bytes()
            for path in Path(page).rglob("*")
            if path.is_file()
        }
        for page in ("near", "far", "parts")
    )
    assert near == far == parts


def test_facts_are_those_of_the_node_that_did_the_work(
    add_node: Callable[..., Any], submit: Callable[[str], str]
) -> None:
    """This machine has no GPU, and the node says that it has one."""
    add_node(num_cpus=1, num_gpus=1)
    submit("predict split --predictor static --name far --executor ray --device cuda")
    records = Run.open(Path("runs/far")).videos.values()
    workers = [record.worker or {} for record in records]
    assert [worker["facts"]["device"] for worker in workers] == ["cuda"] * 3


def hold(folder: Path, device: str) -> Worker:
    """A worker that writes its process id and never ends."""

    def work(payload: Any, progress: Callable[[int], None]) -> Any:
        progress(1)
        (folder / "pid.part").write_text(str(os.getpid()))
        (folder / "pid.part").rename(folder / "pid")
        time.sleep(600)

    return work


class Held:
    """Makes such workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, device: str) -> Worker:
        return hold(self._folder, device)


def is_there(process: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


@pytest.mark.usefixtures("cluster")
def test_an_interrupt_leaves_no_actor(tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        wait_until((tmp_path / "pid").exists)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RayExecutor(device="cpu").map(Held(tmp_path), [Job("a", 1, None)], interrupt)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_there(pid))


@pytest.mark.usefixtures("cluster")
def test_a_killed_driver_leaves_no_actor(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from submit.executors import Job
        from submit.executors.ray import RayExecutor
        from tests.executors.test_ray import Held
        build = Held(Path(sys.argv[1]))
        RayExecutor(device="cpu").map(build, [Job("a", 1, None)], print)
    """
    driver = subprocess.Popen([sys.executable, "-c", dedent(code), tmp_path], cwd=ROOT)
    wait_until(lambda: (tmp_path / "pid").exists() or driver.poll() is not None)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_there(pid))


@pytest.mark.usefixtures("cluster")
def test_nothing_of_ray_is_printed_among_results() -> None:
    """What it says of lost nodes may come later; the process has left it by then."""
    code = """
        import sys
        from submit.executors import Job
        from submit.executors.ray import RayExecutor
        from tests.executors.test_ray import build
        RayExecutor(device="cpu").map(build, [Job("a", 1, "a")], lambda event: None)
        print(sys.modules["ray"].is_initialized())
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_a_cluster_without_room_is_waited_for_and_that_is_said(
    add_node: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submit.executors.ray._PATIENCE", 0.0)
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Warned):
            add_node(num_cpus=3)

    RayExecutor(device="cpu", workers=1, cores=3).map(build, [Job("a", 1, "a")], hear)
    assert "no node of the Ray cluster has room" in str(heard[0])
    assert heard[-1] == Finished("a", result="a on cpu")
