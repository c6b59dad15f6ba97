"""Where a run computes, and in what precision and memory order: decided once, said once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from trainlab.errors import InputError, RunError


@dataclass(frozen=True)
class Hardware:
    """Where a run computes and how: accelerator, precision, strategy over processes, and memory order."""

    accelerator: str
    strategy: str
    precision: Literal["32-true", "bf16-mixed"]
    channels_last: bool
    device: str
    remark: str

    @property
    def fields(self) -> dict[str, str]:
        """The hardware in the fields of results.json."""
        return {
            "device": self.device,
            "precision": "bfloat16" if self.precision == "bf16-mixed" else "float32",
            "memory_format": "channels_last" if self.channels_last else "contiguous",
        }


def choose_hardware(
    *,
    accelerator: str,
    strategy: str,
    devices: int,
    precision: str,
    channels_last: str | bool,
    convolutions: bool,
) -> Hardware:
    """Resolve every "auto". Raises InputError for a device that is not there.

    bfloat16 autocast keeps the weights and the loss in float32 (Krizhevsky et al. trained in float32 throughout).
    """
    gpus = torch.cuda.device_count()
    if accelerator == "gpu" and not gpus:
        raise InputError("trainer=gpu finds no CUDA device on this machine", hint="use trainer=cpu or trainer=auto")
    on_gpu = gpus > 0 and accelerator != "cpu"
    if on_gpu and devices > gpus:
        raise InputError(
            f"trainer.devices={devices} is more than the {gpus} GPUs of this machine",
            option="trainer.devices",
            value=devices,
            hint="use fewer, or trainer.accelerator=cpu",
        )
    native = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else cpu_has_bfloat16()
    half = precision == "bfloat16" or (precision == "auto" and native)
    last = convolutions if channels_last == "auto" else bool(channels_last)
    device = torch.cuda.get_device_name(0) if on_gpu else "CPU"
    several = f" × {devices}" if on_gpu else f", {devices} processes"
    where, how = device + several * (devices > 1), "bfloat16 autocast" if half else "float32"
    order = "channels last" if last else "channels first"
    return Hardware(
        "gpu" if on_gpu else "cpu",
        strategy if strategy != "auto" or devices == 1 else "ddp",
        "bf16-mixed" if half else "32-true",
        last,
        device,
        f"{where} · {how} · {order}",
    )


SMALL_STEP = 4_000_000  # multiplications of one batch's forward pass; a step of that takes less than a millisecond


def choose_threads(threads: int | str, multiplications: int, devices: int) -> int:
    """How many CPU threads each process computes with.

    threads: a number, or "auto": one for networks so small that sharing the computation out costs more than it saves
    (and which suffer most when another program takes a core), else an equal share of the cores, or of the share that
    a sweep gives this run. multiplications: of one step.
    """
    if threads != "auto":
        return int(threads)
    return 1 if multiplications < SMALL_STEP else max(1, torch.get_num_threads() // devices)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Inside, torch computes with `count` CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compile_net(net: nn.Module, accelerator: str) -> Callable[[Tensor], Tensor]:
    """The network compiled by torch.compile for inputs of one shape; on a GPU, forward and backward are one CUDA
    graph each.

    Dropout draws other masks than without. Calling it raises RunError where torch cannot compile.
    """
    call = torch.compile(net.forward, dynamic=False, mode="reduce-overhead" if accelerator == "gpu" else "default")

    def compiled(inputs: Tensor) -> Tensor:
        try:
            return call(inputs)
        except torch._dynamo.exc.BackendCompilerFailed as error:  # no C++ compiler, mostly
            reason = str(error.inner_exception).strip().splitlines()[0].rstrip(".")
            raise RunError(
                f"trainer.compile=true, but torch cannot compile here ({reason})", hint="leave it out"
            ) from error

    return compiled


STEPS_TOGETHER = 16
LITTLE_WORK = {"cpu": 10_000_000_000, "gpu": 1_000_000_000_000}  # multiplications forward: 0.2 s of training or less


FEW_VALUES = 2**21  # inputs in float32: 8 MiB, which stay in a cache


def choose_steps_per_execution(accelerator: str, multiplications: int, values: int, processes: int) -> int:
    """How many steps the training loop is given as one, so that the steps of a small network need not wait for the
    loop: one by one the perceptron's take 1.8 times the CPU time, the MLP's 1.1 times.

    multiplications, values: of one step's forward pass and inputs. Steps given together take some 0.2 s at most, so
    that a run can be stopped, and shows its progress, as before. With several processes, which meet in every step,
    one.
    """
    if processes > 1:
        return 1
    return max(1, min(STEPS_TOGETHER, LITTLE_WORK[accelerator] // multiplications, FEW_VALUES // values))


def cpu_has_bfloat16() -> bool:
    """Whether the CPU computes in bfloat16 (AVX-512 BF16 or AMX); elsewhere it is emulated and slower than float32."""
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


MATRIX_SIDES = {"cpu": 1024, "gpu": 8192}  # of square matrices: large enough for nearly the full rate


def matrix_rate(hardware: Hardware, *, seconds: float, sides: Mapping[str, int] = MATRIX_SIDES) -> float:
    """Operations a second of the fastest product of large matrices within `seconds`; a multiplication and an addition
    are two.

    sides: of the square matrices, by accelerator. In the precision of `hardware`, with torch's threads as they are;
    the random numbers of the run are left alone.
    """
    side = sides[hardware.accelerator]
    device = torch.device("cuda" if hardware.accelerator == "gpu" else "cpu")
    dtype = torch.bfloat16 if hardware.precision == "bf16-mixed" else torch.float32
    random = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(side, side, device=device, generator=random).to(dtype) for _ in "ab")
    best, until = 0.0, time.perf_counter() + seconds
    while best == 0 or time.perf_counter() < until:
        began = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best
