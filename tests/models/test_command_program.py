"""A program under the supervisor: how it ends, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from submit.errors import PredictorError
from submit_command.program import Ending, Limits, Program, tail

#: A program that tells its number and ends only when it is killed, or after minutes.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(300)
"""
#: One that ends at once and leaves such a process in a session of its own.
LEAVING = f"""
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", '''{STUBBORN}'''], start_new_session=True,
    stdout=subprocess.PIPE, text=True,
)
print(child.stdout.readline(), end="", flush=True)
"""


class Runner:
    """Runs Python texts as programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work folder"
        self.folder.mkdir()
        self.log = folder / "output.log"
        self.log.touch()
        self.program = Program(self.folder, grace=0.2)

    def run(self, text: str, limits: Limits | None = None, **options: object) -> Ending:
        return self.program.run(
            [sys.executable, "-c", text],
            **{  # type: ignore[arg-type]
                "folder": self.folder,
                "environment": dict(os.environ),
                "log": self.log,
                "limits": limits or Limits(),
                "alive": lambda: self.log.stat().st_size,
                **options,
            },
        )

    def printed(self) -> list[str]:
        return self.log.read_text().split()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    made = Runner(tmp_path)
    yield made
    made.program.close()


def runs(pid: int) -> bool:
    """Whether a process exists, and is not only waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_ended(pid: int) -> None:
    """Wait for a process that is no child of this one."""
    while runs(pid):
        time.sleep(0.01)


def wait_for_line(log: Path) -> str:
    """Wait for the first line that a program prints."""
    while not log.is_file() or "\n" not in log.read_text():
        time.sleep(0.01)
    return log.read_text().partition("\n")[0]


def test_what_a_program_prints_is_in_the_log(runner: Runner) -> None:
    text = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    assert runner.run(text) == Ending(3)
    assert sorted(runner.printed()) == ["err", "out"]


def test_it_has_its_folder_environment_and_an_own_group(runner: Runner) -> None:
    text = "import os; print(os.getcwd(), os.environ, os.getpgrp(), os.getsid(0))"
    environment = {"ONLY": "this", "PATH": os.environ["PATH"]}
    assert runner.run(text, environment=environment).fine
    printed = runner.log.read_text()
    assert printed.startswith(f"{runner.folder.resolve()} environ(")
    assert "'ONLY': 'this'" in printed
    assert "HOME" not in printed
    group, session = printed.split()[-2:]
    assert int(group) != os.getpgrp()
    assert int(session) != os.getsid(0)


def test_it_has_no_input(runner: Runner) -> None:
    assert runner.run("import sys; sys.exit(len(sys.stdin.read()))") == Ending(0)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(0), "ended with exit status 0"),
        (Ending(1), "ended with exit status 1"),
        (Ending(-15), "was ended by signal 15"),
        (Ending(-9), "was ended by signal 9 (memory may have run out)"),
        (Ending(None), "could not be ended, since it waits for a device"),
        (Ending(-9, "it took more than 3 s"), "was ended: it took more than 3 s"),
    ],
)
def test_endings_have_words(ending: Ending, words: str) -> None:
    assert str(ending) == words
    assert ending.fine is (ending == Ending(0))


@pytest.mark.parametrize("word", ["no-such-program", "/etc/passwd"])
def test_a_program_that_cannot_be_started_is_named(word: str, tmp_path: Path) -> None:
    program = Program(tmp_path / "work", grace=0)
    with pytest.raises(PredictorError, match=f"the program {word} cannot be started"):
        program.run(
            [word],
            folder=tmp_path,
            environment={},
            log=tmp_path / "log",
            limits=Limits(),
            alive=lambda: 0,
        )
    program.close()


@pytest.mark.parametrize(
    ("limits", "seconds", "idle", "words"),
    [
        (Limits(), 1e9, 1e9, ""),
        (Limits(total=2, idle=1), 2, 1, ""),
        (Limits(total=2, idle=1), 2.1, 0, "it took more than 2 s"),
        (Limits(total=2, idle=1), 2, 1.1, "it printed and wrote nothing for 1 s"),
    ],
)
def test_limits(limits: Limits, seconds: float, idle: float, words: str) -> None:
    assert limits.exceeded(seconds, idle) == words


class OncePrinted(Limits):
    """A limit that is exceeded when the program has printed a line."""

    log: ClassVar[Path]

    def exceeded(self, seconds: float, idle: float) -> str:
        return "it printed" if "\n" in self.log.read_text() else ""


def test_a_program_is_ended_though_it_ignores_sigterm(runner: Runner) -> None:
    OncePrinted.log = runner.log
    assert runner.run(STUBBORN, OncePrinted(total=0.1)) == Ending(-9, "it printed")
    assert not runs(int(runner.printed()[0]))


def test_a_program_may_clean_up_at_a_limit(runner: Runner) -> None:
    OncePrinted.log = runner.log
    ending = runner.run(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n"
        "print('ready', flush=True)\n"
        "time.sleep(300)",
        OncePrinted(total=0.1),
    )
    assert ending == Ending(7, "it printed")


def test_signs_of_life_extend_the_idle_limit(runner: Runner) -> None:
    looks = iter(range(1 << 30))
    limits = Limits(idle=0.05)
    text = "import time; time.sleep(0.5)"
    assert runner.run(text, limits, alive=lambda: next(looks)) == Ending(0)
    assert next(looks) > 2
    assert runner.run("import time; time.sleep(300)", limits).limit


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and subreapers")
def test_processes_that_a_program_leaves_behind_are_ended(runner: Runner) -> None:
    assert runner.run(LEAVING) == Ending(0)
    assert not runs(int(runner.printed()[0]))


def test_the_folder_is_deleted_in_the_end(runner: Runner) -> None:
    (runner.folder / "result").write_text("x")
    assert runner.run("print()").fine
    assert runner.folder.exists()
    runner.program.close()
    assert not runner.folder.exists()


def test_the_folder_may_stay(runner: Runner) -> None:
    runner.program.close(keep=True)
    assert runner.folder.exists()


WORKER = """
import os, sys
from pathlib import Path
from submit_command.program import Limits, Program
folder = Path(sys.argv[1])
folder.mkdir()
program = Program(folder, grace=0.1)
if sys.argv[3] == "forked" and os.fork() == 0:
    import time
    time.sleep(300)  # Has the worker's end of the socket, too.
print(os.getpid(), flush=True)
program.run(
    [sys.executable, "-c", sys.argv[2]], folder=Path("/"), environment={},
    log=Path(sys.argv[1] + ".log"), limits=Limits(), alive=lambda: 0,
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["alone", "forked"])
@pytest.mark.parametrize("text", [STUBBORN, LEAVING], ids=["stubborn", "leaving"])
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_end_of_the_worker_ends_everything(
    text: str, how: str, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    if text == LEAVING:
        text += "\nimport time; time.sleep(300)"
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), text, how],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pid = int(wait_for_line(Path(f"{folder}.log")))
    os.kill(worker.pid, signal.SIGKILL)
    wait_until_ended(pid)
    while folder.exists():
        time.sleep(0.01)
    # The process that was forked.
    os.killpg(worker.pid, signal.SIGKILL)
    worker.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_a_program_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    made = Runner(tmp_path)
    supervisor = made.program._process
    text = f"import os; print(os.getpid(), flush=True); os.kill({supervisor.pid}, 9)\n"
    with pytest.raises(PredictorError, match="supervises the program was killed"):
        made.run(text + "import time; time.sleep(300)")
    wait_until_ended(int(made.printed()[0]))
    made.program.close()


def test_the_tail_of_a_log_has_no_progress_bars_and_colours(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [f"line {index}" for index in range(90)]
    log.write_bytes(
        "\n".join(lines).encode()
        + b"\n 10%\r 50%\r100%\r\n\n\x1b[31mred\x1b[0m \xff\r\nlast"
    )
    assert tail(log).split("\n")[-4:] == ["line 89", "100%", "red \ufffd", "last"]
    assert len(tail(log).split("\n")) == 20
    assert tail(tmp_path / "none") == ""
    log.write_text("Missing: " + "weight, " * 1000 + "bias")
    assert tail(log).startswith("Missing: weight, ")
    assert tail(log).endswith(" weight, bias")
    assert len(tail(log)) < 700
