"""More processes or threads than a machine can hold are refused before any is started."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainlab.errors import InputError
from trainlab.runtime import room
from trainlab.runtime.room import refuse_more_than_there_is_room_for


def refusal(devices: int = 1, threads: int | str = "auto", accelerator: str = "cpu") -> str:
    try:
        refuse_more_than_there_is_room_for(SimpleNamespace(devices=devices, threads=threads, accelerator=accelerator))
    except InputError as error:
        return str(error)
    return ""


@pytest.fixture
def machine(monkeypatch):
    def of(cores: int, memory: float, gpus: int = 0) -> None:
        monkeypatch.setattr(room, "cores", lambda: cores)
        monkeypatch.setattr(room, "free_memory", lambda: memory)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus))))

    return of


def test_processes_are_bounded_by_the_cores(machine):
    machine(2, 64e9)
    assert refusal(4) == refusal(8) == ""
    assert refusal(9) == (
        "trainer.devices=9 is more than the 8 processes that this machine can hold (4 for each of its 2 cores); use at "
        "most 8."
    )


def test_processes_are_bounded_by_the_memory(machine):
    machine(64, 1e9)
    assert refusal(2) == ""
    assert refusal(3) == (
        "trainer.devices=3 is more than the 2 processes that this machine can hold (1.0 GB of memory are free, and "
        "each takes 0.4 GB); use at most 2."
    )
    machine(64, float("inf"))  # unknown
    assert refusal(256) == ""


def test_processes_are_bounded_by_the_gpus(machine):
    machine(2, 1e9, gpus=4)
    assert refusal(4, accelerator="auto") == refusal(4, accelerator="gpu") == ""
    assert refusal(5, accelerator="auto") == (
        "trainer.devices=5 is more than the 4 GPUs of this machine; use fewer, or trainer.accelerator=cpu."
    )
    assert "2 cores" in refusal(9, accelerator="cpu") or "memory" in refusal(9, accelerator="cpu")


@given(st.integers(1, 256), st.floats(0, 1e12), st.integers(1, 10_000))
def test_what_is_named_as_possible_is(cores, memory, devices):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "cores", lambda: cores)
        patch.setattr(room, "free_memory", lambda: memory)
        said = refusal(devices)
        if said:
            most = int(said.rpartition("at most ")[2].rstrip("."))
            assert 1 <= most < devices
            assert f"={devices} is more than the {most} process" in said
            assert refusal(most) == ""
            assert refusal(most + 1) != "" or most + 1 == 1


def test_threads(machine):
    machine(2, 64e9)
    assert refusal(threads="auto") == refusal(threads=1024) == ""
    assert refusal(threads=100_000) == (
        "trainer.threads=100000 is more than this machine with its 2 cores can hold; use at most 1024, or auto."
    )
    assert "for each of 4 processes" in refusal(devices=4, threads=1000)
    assert refusal(devices=4, threads=256) == ""
    machine(256, 64e9)
    assert refusal(threads=2048) == ""
