"""GPUs, cores and memory dealt out to the points of a sweep."""

from __future__ import annotations

import json
import signal

import pytest

from trainlab.configuration.schema import check_options
from trainlab.errors import InputError
from trainlab.recording.point import read_point
from trainlab.sweeps import pool
from trainlab.sweeps.launch import Processes
from trainlab.sweeps.point import FAILED, Status

pytestmark = pytest.mark.process


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """machine(gpus=…, cores=…): nvidia-smi lists so many, the scheduler gives so many."""

    def make(gpus: int, cores: int = 8, memory: float = 64e9) -> None:
        script = tmp_path / "nvidia-smi"
        script.write_text("#!/bin/sh\n" + "".join(f"echo 'GPU {i}: NVIDIA'\n" for i in range(gpus)))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(pool.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        monkeypatch.setattr(pool, "free_memory", lambda: memory)

    return make


def resources(n_jobs="auto", gpus_per_job="auto", *, points=100, devices=1, accelerator="auto"):
    return pool.allocate(n_jobs, gpus_per_job, points=points, devices=devices, accelerator=accelerator)


def test_each_point_gets_gpus_of_its_own(machine):
    machine(gpus=4)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in resources().environments] == ["0", "1", "2", "3"]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in resources(devices=2).environments] == ["0,1", "2,3"]
    assert resources().threads == 2


def test_points_can_share_a_gpu(machine):
    machine(gpus=2)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in resources(gpus_per_job=0.5).environments] == ["0", "0", "1", "1"]


def test_only_the_visible_gpus_are_dealt_out(machine, monkeypatch):
    machine(gpus=4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in resources().environments] == ["3", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert resources(n_jobs=1).environments == [{}]


@pytest.mark.parametrize(
    ("points", "devices", "memory", "jobs", "threads"),
    [(100, 1, 64e9, 8, 1), (3, 1, 64e9, 3, 2), (100, 2, 64e9, 4, 2), (100, 1, 5e9, 2, 4), (100, 16, 64e9, 1, 8)],
)
def test_cores_and_memory_are_shared_out(machine, points, devices, memory, jobs, threads):
    machine(gpus=0, memory=memory)
    dealt = resources(points=points, devices=devices)
    assert (len(dealt.environments), dealt.threads) == (jobs, threads)
    assert all(environment == {} for environment in dealt.environments)


def test_the_cpu_leaves_the_gpus_alone(machine):
    machine(gpus=4)
    assert resources(accelerator="cpu", points=2).environments == [{}, {}]


@pytest.mark.parametrize(
    ("n_jobs", "devices", "cores", "memory", "sentence"),
    [
        (
            1000,
            1,
            2,
            64e9,
            "1000 points at a time are more than this machine with its 2 cores can hold; .*n_jobs=8 at most",
        ),
        (9, 1, 2, 64e9, "n_jobs=8 at most"),
        (3, 4, 2, 64e9, "3 points at a time, each of 4 processes, are more than .*n_jobs=2 at most"),
        (8, 1, 2, 2e9, "8 points at a time are more than .* 2.0 GB of free memory can hold; .*n_jobs=5 at most"),
        (2, 1, 2, 1e6, "n_jobs=1 at most"),
    ],
)
def test_more_points_than_cores_or_memory_can_hold_are_refused(machine, n_jobs, devices, cores, memory, sentence):
    machine(gpus=0, cores=cores, memory=memory)
    with pytest.raises(InputError, match=sentence):
        resources(n_jobs=n_jobs, devices=devices)


def test_some_more_points_than_cores_are_allowed(machine):
    machine(gpus=0, cores=2)
    dealt = resources(n_jobs=4)
    assert (len(dealt.environments), dealt.threads) == (4, 1)
    machine(gpus=0, cores=2, memory=float("inf"))
    assert len(resources(n_jobs=8).environments) == 8


def test_a_gpu_is_not_shared_by_more_points_than_the_cores_can_hold(machine):
    machine(gpus=1, cores=2)
    with pytest.raises(InputError, match="100 points at a time are more than"):
        resources(gpus_per_job=0.01)


def test_nothing_is_begun_where_there_is_no_room(machine, composed, tmp_path):
    machine(gpus=0, cores=2)
    sweep, batch = composed(tmp_path / "sweep", "seed=0,1", settings=Processes(n_jobs=1000))
    with pytest.raises(InputError, match="1000 points at a time"):
        sweep.launch(batch, 0)
    assert [path.name for path in sweep.folder.iterdir()] == [".lock"]


def test_one_point_that_needs_a_gpu_is_enough(machine, composed, tmp_path):
    machine(gpus=0)
    sweep, batch = composed(tmp_path, "trainer=cpu,gpu")
    with pytest.raises(InputError, match="no CUDA device"):
        sweep.launch(batch, 0)


def test_a_point_goes_on_with_the_threads_that_it_was_started_with(composed, tmp_path):
    """How many there are for each depends on the memory that is free; the last bits depend on them."""
    sweep, batch = composed(tmp_path, "seed=0,1,2,3,4")
    jobs = []
    for number, overrides in enumerate(batch):
        job, point = sweep.prepare(overrides, number)
        sweep.write_points({job.folder / "point.json": sweep.settle(job, point, 3)})
        assert job.threads == read_point(job.folder).threads == 3
        jobs.append(job)
    going_on, finished, failed, old, new = (job.folder for job in jobs)
    for folder in (going_on, old):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints/last.ckpt").touch()
    (finished / "results.json").write_text('{"best/val/loss": 0.1, "monitor": "val/loss"}')
    Status(FAILED, "a reason").write(failed)
    said = json.loads((old / "point.json").read_text())
    del said["threads"]  # as it was written before there were any
    (old / "point.json").write_text(json.dumps(said))
    threads = {}
    for number, overrides in enumerate(batch):
        job, point = sweep.prepare(overrides, number)
        sweep.write_points({job.folder / "point.json": sweep.settle(job, point, 1)})
        threads[job.folder] = (job.threads, read_point(job.folder).threads)
    assert threads == {going_on: (3, 3), finished: (3, 3), failed: (1, 1), old: (1, 1), new: (1, 1)}


def test_an_array_is_as_large_as_its_largest_point(composed, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    from trainlab.sweeps.slurm import Cluster

    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def parameters(*typed: str, **settings) -> dict:
        cluster = Cluster(**settings)
        sweep, batch = composed(tmp_path, *typed, settings=cluster)
        jobs = [sweep.prepare(overrides, number)[0] for number, overrides in enumerate(batch)]
        return cluster.executor(jobs).parameters

    largest = parameters("trainer=ddp", "trainer.devices=1,4,2", "trainer.nodes=3,1")
    assert (largest["nodes"], largest["gpus_per_node"]) == (3, 4)
    assert parameters("trainer=cpu,gpu")["gpus_per_node"] == 1, "the first needs none"
    assert parameters("trainer=cpu", "seed=0,1")["gpus_per_node"] == 0
    assert parameters("trainer.devices=1,4", gpus_per_node=2)["gpus_per_node"] == 2


def test_a_machine_that_a_point_does_not_need_leaves_it_alone(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    from trainlab.sweeps.slurm import PointJob

    class There:
        node = 1

    monkeypatch.setattr(submitit, "JobEnvironment", There)
    point = PointJob(tmp_path / "none", [], nodes=1, threads=1)
    assert point() == 0
    There.node = 0
    with pytest.raises(FileNotFoundError):  # it would begin, in a folder that is not there
        point()


def test_more_than_there_is_ends_in_a_sentence(machine):
    machine(gpus=2)
    with pytest.raises(InputError, match=r"n_jobs=3 .* more than the 2 GPUs"):
        resources(n_jobs=3)
    machine(gpus=0)
    with pytest.raises(InputError, match="no CUDA device"):
        resources(accelerator="gpu")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_jobs": "two"}, "n_jobs=two cannot be used: it should be 'auto' or a whole number of at least 1."),
        ({"n_jobs": 0}, "n_jobs=0 cannot be used: it should be 'auto' or a whole number of at least 1."),
        (
            {"gpus_per_job": float("inf")},
            "gpus_per_job=inf cannot be used: it should be 'auto' or a finite number of at least 0.01.",
        ),
        ({"gpus_per_job": 0}, "gpus_per_job=0 cannot be used: it should be 'auto' or a number of at least 0.01."),
        ({"rerun": "perhaps"}, "rerun=perhaps cannot be used: it should be true or false."),
        ({"jobs": 2}, "there is no option hydra.launcher.jobs; there are rerun, n_jobs, gpus_per_job."),
    ],
)
def test_a_wrong_setting_is_a_sentence_that_names_all_that_can_be_used(settings, sentence):
    with pytest.raises(InputError) as refused:
        check_options(Processes, settings, prefix="hydra.launcher.")
    assert str(refused.value).removeprefix("hydra.launcher.").startswith(sentence)


def test_the_parent_of_all_points_leaves_ctrl_c_to_the_launcher_and_ends_with_it(monkeypatch):
    """From its start, or a Ctrl-C while it imports would be a traceback on the terminal."""
    seen, at_the_end = [], []
    monkeypatch.setattr(pool.forkserver, "ensure_running", lambda: seen.append(signal.getsignal(signal.SIGINT)))
    monkeypatch.setattr(pool.atexit, "register", lambda *call: at_the_end.append(call))
    before = signal.getsignal(signal.SIGINT)
    pool.warm_up.__wrapped__()
    assert seen == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) is before
    assert len(at_the_end) == 1
