"""Where a step's time goes: Lightning's own stopwatch idle in an ordinary run, and one that a user can ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from lightning.pytorch.profilers import Profiler

from trainlab.atomic import write_whole

NOTHING: AbstractContextManager[None] = nullcontext()

WARM_UP, TIMED, TRACED = 10, 100, 10  # steps
REST = "the rest"  # Lightning's loop and all that has no name of its own
STEP_BEGINS, STEP_ENDS = "train_dataloader_next", "Classifier.on_train_batch_end"

# A part of the step, by the end of the name that Lightning or the classifier gives it
PARTS = {
    STEP_BEGINS: "data",
    "batch_to_device": "transfer",
    "on_after_batch_transfer": "augmentation",
    "forward": "forward",
    "backward": "backward",
    "optimiser": "optimiser",
    "metrics": "metrics",
    "on_train_batch_start": "logging",
    "on_train_batch_end": "logging",
}


class NoProfiler(Profiler):
    """Lightning asks its profiler some forty times in each step; its own idle one makes a generator each time."""

    def profile(self, action_name: str) -> Any:
        return NOTHING

    def start(self, action_name: str) -> None: ...

    def stop(self, action_name: str) -> None: ...

    def summary(self) -> str:
        return ""


class StepProfiler(NoProfiler):
    """Times the parts of `TIMED` steps, then traces `TRACED`; of a short run, as many as there are. Then it is idle.

    Each part's time is without the parts within it, so that they add up to the step. steps: of the whole run.
    synchronise: waits for the device, at both ends of every part, so that its work counts where it was asked for.
    """

    def __init__(self, steps: int, synchronise: Callable[[], Any] = lambda: None) -> None:
        super().__init__()
        self.warm_up, self.traced = min(WARM_UP, steps // 4), min(TRACED, steps // 4)
        self.timed = min(TIMED, steps - self.warm_up - self.traced)
        self.synchronise = synchronise
        self.seconds = dict.fromkeys([*PARTS.values(), REST], 0.0)
        self.steps = self.done = 0  # timed ones, and all
        self.within: list[str] = []  # the parts that are open, the innermost last; empty between two steps
        self.mark = 0.0
        self.trace: torch.profiler.profile | None = None

    @property
    def tracing(self) -> bool:
        return self.warm_up + self.timed <= self.done < self.warm_up + self.timed + self.traced

    def profile(self, action_name: str) -> Any:
        if not self.within:
            return NOTHING
        if action_name.endswith(STEP_ENDS):
            return _Span(lambda: None, self.end_step)
        name = PARTS.get(action_name.rpartition(".")[2])
        if name is None:
            return NOTHING
        if self.tracing:
            return torch.profiler.record_function(name)
        return _Span(lambda: self.enter(name), self.leave)

    def start(self, action_name: str) -> None:
        if action_name.endswith(STEP_BEGINS) and self.done < self.warm_up + self.timed + self.traced:
            self.begin_step()
            self.enter("data")

    def stop(self, action_name: str) -> None:
        if action_name.endswith(STEP_BEGINS) and self.within:
            self.leave()

    def begin_step(self) -> None:
        if self.tracing and self.trace is None:
            on = [torch.profiler.ProfilerActivity.CPU]
            if torch.cuda.is_available():
                on.append(torch.profiler.ProfilerActivity.CUDA)
            self.trace = torch.profiler.profile(activities=on)
            self.trace.start()
        self.synchronise()
        self.within, self.mark = [REST], time.perf_counter()

    def end_step(self) -> None:
        self.leave()
        if self.warm_up <= self.done < self.warm_up + self.timed:
            self.steps += 1
        self.done += 1
        if self.trace is not None and not self.tracing:
            self.synchronise()
            self.trace.stop()

    def enter(self, part: str) -> None:
        self.count()
        self.within.append(part)

    def leave(self) -> None:
        self.count()
        self.within.pop()

    def count(self) -> None:
        """The time since the last change of part is the innermost part's."""
        if self.tracing:
            return
        self.synchronise()
        now = time.perf_counter()
        if self.done >= self.warm_up:
            self.seconds[self.within[-1]] += now - self.mark
        self.mark = now

    def table(self) -> list[tuple[str, float, float]]:
        """(part, ms of a step, share of the step), the whole step last; empty if the run ended before a timed step."""
        if self.steps == 0:
            return []
        rows = [*self.seconds.items(), ("the whole step", sum(self.seconds.values()))]
        return [(part, 1000 * spent / self.steps, spent / rows[-1][1]) for part, spent in rows]

    def write(self, folder: Path) -> None:
        """table.csv, and trace.json for chrome://tracing or ui.perfetto.dev when the run was long enough."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [f"{part},{milliseconds:.4f},{share:.4f}\n" for part, milliseconds, share in self.table()]
        write_whole(folder / "table.csv", "".join(["part,milliseconds,share\n", *rows]))
        if self.trace is not None and not self.tracing:
            self.trace.export_chrome_trace(str(folder / "trace.json"))


class _Span:
    """`with` these two calls around it."""

    def __init__(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        self.enter, self.leave = enter, leave

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
