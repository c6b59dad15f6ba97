"""GPUs, cores and memory dealt out to the points of a sweep."""

from __future__ import annotations

import pytest

from trainlab.errors import InputError
from trainlab.sweeps import pool
from trainlab.sweeps.launch import Processes, check_settings


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


def room(n_jobs="auto", gpus_per_job="auto", *, points=100, devices=1, accelerator="auto"):
    return pool.make_room(n_jobs, gpus_per_job, points=points, devices=devices, accelerator=accelerator)


def test_each_point_gets_gpus_of_its_own(machine):
    machine(gpus=4)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in room().slots] == ["0", "1", "2", "3"]
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in room(devices=2).slots] == ["0,1", "2,3"]
    assert room().threads == 2


def test_points_can_share_a_gpu(machine):
    machine(gpus=2)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in room(gpus_per_job=0.5).slots] == ["0", "0", "1", "1"]


def test_only_the_visible_gpus_are_dealt_out(machine, monkeypatch):
    machine(gpus=4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in room().slots] == ["3", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert room(n_jobs=1).slots == [{}]


@pytest.mark.parametrize(
    ("points", "devices", "memory", "jobs", "threads"),
    [(100, 1, 64e9, 8, 1), (3, 1, 64e9, 3, 2), (100, 2, 64e9, 4, 2), (100, 1, 5e9, 2, 4), (100, 16, 64e9, 1, 8)],
)
def test_cores_and_memory_are_shared_out(machine, points, devices, memory, jobs, threads):
    machine(gpus=0, memory=memory)
    dealt = room(points=points, devices=devices)
    assert (len(dealt.slots), dealt.threads) == (jobs, threads)
    assert all(slot == {} for slot in dealt.slots)


def test_the_cpu_leaves_the_gpus_alone(machine):
    machine(gpus=4)
    assert room(accelerator="cpu", points=2).slots == [{}, {}]


def test_more_than_there_is_ends_in_a_sentence(machine):
    machine(gpus=2)
    with pytest.raises(InputError, match=r"n_jobs=3 .* more than the 2 GPUs"):
        room(n_jobs=3)
    machine(gpus=0)
    with pytest.raises(InputError, match="no CUDA device"):
        room(accelerator="gpu")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_jobs": "two"}, "n_jobs=two cannot be used: it should be 'auto' or a valid integer."),
        ({"n_jobs": 0}, "n_jobs=0 cannot be used: it should be 'auto' or greater than or equal to 1."),
        ({"rerun": "perhaps"}, "rerun=perhaps cannot be used: it should be a valid boolean."),
        ({"jobs": 2}, "there is no option hydra.launcher.jobs; there are rerun, n_jobs, gpus_per_job."),
    ],
)
def test_a_wrong_setting_is_a_sentence_that_names_all_that_can_be_used(settings, sentence):
    with pytest.raises(InputError) as refused:
        check_settings(Processes, settings)
    assert str(refused.value).removeprefix("hydra.launcher.") == sentence
