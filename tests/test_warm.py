"""A script that starts warm beside the same script in a new interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
import warm
from whole_runs import children

pytestmark = pytest.mark.process

# What a script can see of the process that it is in, after the one import that the parent has made.
LOOK = """
import gc, json, multiprocessing, os, signal, sys, threading
import numpy
gc.collect()
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv[1:], "path": sys.path, "flags": sys.flags,
    "main": [__name__, __file__, __package__, __spec__, str(type(__loader__))],
    "globals": vars(sys.modules[__name__]) is globals(), "folder": os.getcwd(),
    "umask": os.umask(0), "files": len(os.listdir("/dev/fd")),
    "environment": dict(os.environ),
    "signals": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "collecting": [gc.isenabled(), gc.get_threshold()],
    "threads": [thread.name for thread in threading.enumerate()],
    "process": [multiprocessing.current_process().name, multiprocessing.parent_process()],
    "start_method": multiprocessing.get_start_method(allow_none=True),
    "original": multiprocessing.process.ORIGINAL_DIR,
    "terminal": [os.isatty(n) for n in (0, 1, 2)],
    "streams": [[s.encoding, s.errors, s.line_buffering] for s in (sys.stdin, sys.stdout, sys.stderr)],
    "recursion": sys.getrecursionlimit(),
}))
"""

SET_BY_IMPORTS = "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "PYTORCH_NVML_BASED_CUDA_CHECK", "TORCHINDUCTOR_CACHE_DIR"


SMALL = cache(warm.parent.__wrapped__)  # a parent of which the forks end quickly


def start(kind: str, folder: Path, code: str, *arguments: str, **settings) -> subprocess.Popen:
    """`code` as a script in `folder`: "cold", "warm" from a parent that has only numpy, "loaded" from the usual one."""
    (folder / "script.py").write_text(code)
    popen, words = (subprocess.Popen, [sys.executable]) if kind == "cold" else (warm.Popen, [])
    environment = warm.ENVIRONMENT | {"WANDB_OF_A_TEST": "ü"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with pytest.MonkeyPatch.context() as patch:
        if kind == "warm":
            patch.setattr(warm, "PRELOADED", ("numpy",))
            patch.setattr(warm, "parent", SMALL)
        return popen([*words, "script.py", *arguments], cwd=folder, env=environment, **pipes | settings)


def both(folder: Path, code: str, *arguments: str) -> list[tuple[int, str, str]]:
    """Status, output and errors, cold and warm."""
    ended = []
    for kind in ("cold", "warm"):
        process = start(kind, folder, code, *arguments)
        out, err = process.communicate(timeout=60)
        ended.append((process.returncode, out, err))
    return ended


def test_a_script_sees_what_it_would_in_a_new_interpreter(tmp_path):
    cold, other = (json.loads(out) for _, out, _ in both(tmp_path, LOOK, "a=ü", "--b"))
    asked, there = cold.pop("environment"), other.pop("environment")
    assert other == cold
    assert asked["WANDB_OF_A_TEST"] == "ü"
    assert {name: there.get(name) for name in asked} == asked
    assert {*there} - {*asked} <= {*SET_BY_IMPORTS}


@pytest.mark.parametrize(
    "code",
    [
        "print('done')",
        "import sys; print('no'); sys.exit(3)",
        "import sys; sys.exit()",
        "import sys; sys.exit('error: a sentence')",
        "import sys; sys.exit(256 + 75)",
        "raise KeyError('x')",
        "raise KeyboardInterrupt",
        "import os; print('lost', end=''); os._exit(7)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import signal; signal.raise_signal(signal.SIGTERM)",
        "import atexit; atexit.register(print, 'last'); print('first')",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('a thread'))).start()",
        "import os, sys; os.write(2, b'one '); print('two', file=sys.stderr)",
        "import os; print(os.fork() and os.wait()[1])",
        "import does_not_exist",
        "a syntax error",
    ],
)
def test_it_ends_as_in_a_new_interpreter(tmp_path, code):
    """The same status and output, and the same last line of errors; the traceback above it begins elsewhere."""
    ended = [(status, out, err.splitlines()[-1:]) for status, out, err in both(tmp_path, code)]
    assert ended[0] == ended[1]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_it_is_waited_for_and_gets_signals(tmp_path, asked):
    code = "import os, time\nprint(os.getpid(), flush=True)\nwhile True: time.sleep(0.01)"
    process = start("warm", tmp_path, code)
    assert int(process.stdout.readline()) == process.pid
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.send_signal(asked)
    assert process.wait(60) == -asked
    assert process.poll() == process.returncode == -asked
    process.send_signal(asked)  # to nobody
    process.communicate()


def test_it_can_stop_and_say_so(tmp_path):
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
    process = start("warm", tmp_path, code + "print('ready', flush=True)\ntime.sleep(60)")
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(60) == 75
    process.communicate()


def test_it_is_a_group_of_processes(tmp_path):
    code = "import os, time\nos.write(1, b'%d\\n' % os.fork())\ntime.sleep(60)"
    process = start("warm", tmp_path, code, stderr=subprocess.DEVNULL)
    numbers = sorted(int(process.stdout.readline()) for _ in range(2))
    assert numbers == [0, children(process.pid)[0]]
    os.killpg(process.pid, signal.SIGKILL)
    assert process.communicate(timeout=60)[0] == "", "both ends of the pipe are closed"
    assert process.returncode == -signal.SIGKILL


def test_it_reads_what_it_is_given(tmp_path):
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    given = bytes(range(256)) * 1000
    process = start("warm", tmp_path, code, stdin=subprocess.PIPE, text=False)
    assert process.communicate(given, timeout=60) == (given[::-1], b"")
    process = start("warm", tmp_path, code)
    assert process.communicate(timeout=60) == ("", "")
    (tmp_path / "given").write_bytes(given)
    with open(tmp_path / "given", "rb") as file:
        process = start("warm", tmp_path, code, stdin=file, text=False)
    assert process.communicate(timeout=60) == (given[::-1], b"")


def test_its_output_can_be_a_file(tmp_path):
    code = "import os, sys\nprint('one', flush=True)\nprint('two', file=sys.stderr)\nos.system('echo three')"
    for _ in range(2):
        with open(tmp_path / "log", "ab") as log:
            assert start("warm", tmp_path, code, stdout=log, stderr=subprocess.STDOUT).wait(60) == 0
    assert (tmp_path / "log").read_text() == "one\ntwo\nthree\n" * 2


def test_nothing_of_one_script_is_in_the_next(tmp_path):
    draw = "import json, random, sys, os\nimport numpy, torch\n"
    draw += "print(json.dumps([random.random(), numpy.random.rand()]))\n"
    state = "print(os.environ.get('LEFT'), 'left' in sys.modules, torch.get_num_threads(), torch.initial_seed() == 7)\n"
    leave = "os.environ['LEFT'] = sys.modules['left'] = 'x'\ntorch.manual_seed(7)\ntorch.set_num_threads(1)\n"
    leave += "torch.rand(1000, 1000) @ torch.rand(1000, 1000)\n"
    first, second = (start("loaded", tmp_path, draw + state + leave).communicate(timeout=60)[0] for _ in range(2))
    alone = start("cold", tmp_path, draw + state).communicate(timeout=60)[0]
    said = [out.splitlines() for out in (first, second, alone)]
    assert said[0][1] == said[1][1] == said[2][1]
    assert len({number for drawn, _ in said for number in json.loads(drawn)}) == 6, "random numbers of their own"


def test_the_parent_has_imported_and_nothing_else(tmp_path):
    code = """
import json, os, sys, threading
import torch
print(json.dumps([
    [name for name in ("torch", "lightning", "hydra") if name not in sys.modules],
    [name for name in sys.modules if name.startswith(("trainlab.command", "trainlab.sweeps", "wandb", "conftest"))],
    threading.active_count(), torch.cuda.is_initialized(), torch.distributed.is_initialized(),
    [name for name in sys.modules if name in ("trainlab", "torch")], os.environ.get("GOMP_SPINCOUNT"),
]))
"""
    out, _ = start("loaded", tmp_path, code).communicate(timeout=60)
    *found, order, spins = json.loads(out)
    assert found == [[], [], 1, False, False]
    assert order == ["trainlab", "torch"], "what the package sets for torch's libraries comes before them"
    said = start("cold", tmp_path, "import os, trainlab; print(os.environ.get('GOMP_SPINCOUNT'))").communicate()[0]
    assert f"{spins}\n" == said


def test_what_is_read_at_once_needs_a_cold_start():
    assert not warm.needs_cold(warm.ENVIRONMENT)
    assert not warm.needs_cold(warm.ENVIRONMENT | {"WANDB_MODE": "offline", "HYDRA_FULL_ERROR": "1"})
    for name in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "CUDA_VISIBLE_DEVICES", "PYTHONPATH", "MPLBACKEND", "RANK"):
        assert warm.needs_cold(warm.ENVIRONMENT | {name: "another"})
    assert warm.needs_cold({name: value for name, value in warm.ENVIRONMENT.items() if name != "PATH"})


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_nothing_is_left_when_pytest(tmp_path, how):
    """pytest's part is played by a process that starts a script, says who there is, and ends or waits to be killed."""
    (tmp_path / "script.py").write_text("import time\ntime.sleep(600)")
    code = f"""
import pathlib, sys, time
sys.path.insert(0, {str(Path(warm.__file__).parent)!r})
import warm
warm.PRELOADED = ()
script = warm.Popen(["script.py"], cwd={str(tmp_path)!r}, env=warm.ENVIRONMENT, stdout=-3, stderr=-3)
print(script.pid, flush=True)
time.sleep({600 if how == "is killed" else 0})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    script = int(process.stdout.readline())
    (parent,) = children(process.pid) or [None]
    if how == "is killed":
        process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in (script, parent)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in (script, parent) if Path(f"/proc/{pid}").exists()]


# A point of a sweep, and the parent that it comes from, as they look to the script that starts them.
FORKSERVER = """
import json, multiprocessing, os, signal, sys, threading

def look(answers):
    parent = os.getppid()
    with open(f"/proc/{parent}/stat") as file:
        group = int(file.read().rpartition(")")[2].split()[2])
    names = [os.readlink(f"/proc/{parent}/fd/{number}") for number in os.listdir(f"/proc/{parent}/fd")]
    answers.send({
        "group of the launcher": group == int(os.environ["GROUP"]),
        "folder": os.getcwd(), "argv": sys.argv, "later": os.environ["LATER"],
        "path": [entry for entry in sys.path if entry.startswith(os.getcwd())],
        "files of the parent": sorted({name for name in names if name.startswith("/") and "/proc" not in name}),
        "input": os.readlink(f"/proc/{parent}/fd/0"), "output": os.fstat(1).st_ino == int(os.environ["OUTPUT"]),
        "threads": [thread.name for thread in threading.enumerate()],
        "signals": [str(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGHUP)],
    })

if __name__ == "__main__":
    os.environ |= {"LATER": "said by the script", "GROUP": str(os.getpgrp()), "OUTPUT": str(os.fstat(1).st_ino)}
    method = multiprocessing.get_context("forkserver")
    for _ in range(2):
        here, there = method.Pipe()
        process = method.Process(target=look, args=(there,))
        process.start()
        print(json.dumps(here.recv()))
        process.join()
    from multiprocessing.forkserver import _forkserver
    print(_forkserver._forkserver_pid, flush=True)
    if "die" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["ends", "die"])
def test_the_parent_of_a_sweeps_points_is_as_it_would_be_in_a_new_interpreter(tmp_path, end):
    seen = []
    for kind in ("cold", "warm"):
        process = start(kind, tmp_path, FORKSERVER, "-m", end)
        out, err = process.communicate(timeout=60)
        assert err == ""
        *looks, pid = out.splitlines()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}/cmdline").exists() and time.monotonic() < deadline:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                break
            time.sleep(0.01)
        else:
            assert not Path(f"/proc/{pid}").exists(), "it outlives the script"
        seen.append([json.loads(look) for look in looks])
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2
    assert seen[0][0]["group of the launcher"]


def test_what_stands_by_ends_with_a_script_that_does_not_need_it(tmp_path):
    process = start("warm", tmp_path, "print('done')", "-m")
    assert process.communicate(timeout=60)[0] == "done\n"
    deadline = time.monotonic() + 20
    while processes_of_the_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not processes_of_the_group(process.pid)


def processes_of_the_group(group: int) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, its, *_ = (process / "stat").read_text().rpartition(")")[2].split()
            found += [process.name] * (int(its) == group and state != "Z")
    return found
