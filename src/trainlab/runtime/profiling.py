"""Where a step's time goes: Lightning's own stopwatch idle in an ordinary run, and one that a user can ask for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from lightning.pytorch.profilers import Profiler

from trainlab.survival.atomic import atomic_write

NOTHING: AbstractContextManager[None] = nullcontext()


def untimed(part: str) -> AbstractContextManager[None]:
    """A context manager that does nothing, in the place of a profiler's."""
    return NOTHING


WARM_UP, TIMED, TRACED = 10, 100, 10  # steps, of each at the least
WARMING, TIMING, TRACING = "warming up", "timing", "tracing"  # one after the other
REST = "the rest"  # Lightning's loop and all that has no name of its own
BATCH_BEGINS, BATCH_ENDS = "train_dataloader_next", "Classifier.on_train_batch_end"
STEP = "optimizer"  # once in each step, of which a batch may have several

# A part of the step, by the end of the name that Lightning or the classifier gives it
PARTS = {
    BATCH_BEGINS: "data",
    "batch_to_device": "transfer",
    "on_after_batch_transfer": "augmentation",
    "forward": "forward",
    "backward": "backward",
    STEP: "optimizer",
    "metrics": "metrics",
    "on_train_batch_start": "logging",
    "on_train_batch_end": "logging",
}


class NoProfiler(Profiler):
    """A Lightning profiler that does nothing: the smallest step, the perceptron's, takes 5 % more CPU time with
    Lightning's own idle one, which makes a generator each of the forty times that the loop asks for it.
    """

    def profile(self, action_name: str) -> Any:
        """A context manager that does nothing."""
        return untimed(action_name)

    def start(self, action_name: str) -> None:
        """Nothing is measured."""

    def stop(self, action_name: str) -> None:
        """Nothing is measured."""

    def summary(self) -> str:
        """Nothing was measured."""
        return ""


class StepProfiler(NoProfiler):
    """Times the parts of `TIMED` steps or some more, then traces `TRACED`; of a short run, as many as there are. Then
    it is idle. Steps that are given to the loop together are timed or traced together.

    Each part's time is without the parts within it, so that they add up to the step. steps: of the whole run.
    synchronise: waits for the device, at both ends of every part, so that its work counts where it was asked for.
    """

    def __init__(self, steps: int, synchronise: Callable[[], Any] = lambda: None) -> None:
        super().__init__()
        warm_up, traced = min(WARM_UP, steps // 4), min(TRACED, steps // 4)
        self.to_do = {WARMING: warm_up, TIMING: min(TIMED, steps - steps // 2), TRACING: traced}
        self.done = dict.fromkeys(self.to_do, 0)
        self.phase = self.next_phase()
        self.synchronise = synchronise
        self.seconds = dict.fromkeys([*PARTS.values(), REST], 0.0)
        self.begun = 0  # steps of the batch that is under way
        self.within: list[str] = []  # the parts that are open, the innermost last; empty between two steps
        self.mark = 0.0
        self.trace: torch.profiler.profile | None = None
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's tracer: else it tells the terminal of its own affairs

    @property
    def steps(self) -> int:
        """How many steps have been timed."""
        return self.done[TIMING]

    def next_phase(self) -> str | None:
        """The first phase that has steps left to do; None when all is done."""
        return next((phase for phase, steps in self.to_do.items() if self.done[phase] < steps), None)

    def profile(self, action_name: str) -> Any:
        """A context manager round one of Lightning's actions, which counts its time for its part of the step."""
        if not self.within:
            return NOTHING
        if action_name.endswith(BATCH_ENDS):
            return _Span(lambda: None, self.end_batch)
        name = PARTS.get(action_name.rpartition(".")[2])
        if name is None:
            return NOTHING
        self.begun += name == STEP
        if self.phase == TRACING:
            return torch.profiler.record_function(name)
        return _Span(lambda: self.enter(name), self.leave)

    def start(self, action_name: str) -> None:
        """Called by Lightning as an action begins: with that of fetching a batch a step begins, and its data part."""
        if action_name.endswith(BATCH_BEGINS) and self.phase is not None:
            self.begin_batch()
            self.enter("data")

    def stop(self, action_name: str) -> None:
        """Called by Lightning as an action ends: with that of fetching a batch the data part ends."""
        if action_name.endswith(BATCH_BEGINS) and self.within:
            self.leave()

    def begin_batch(self) -> None:
        """Begin to time or to trace one item of the loop, once the device is idle."""
        if self.phase == TRACING and self.trace is None:
            on = [torch.profiler.ProfilerActivity.CPU]
            if torch.cuda.is_available():
                on.append(torch.profiler.ProfilerActivity.CUDA)
            self.trace = torch.profiler.profile(activities=on)
            self.trace.start()
        self.synchronise()
        self.within, self.mark, self.begun = [REST], time.perf_counter(), 0

    def end_batch(self) -> None:
        """Count what the item has taken, and go on to the next phase where this one has its steps."""
        self.leave()
        assert self.phase is not None
        self.done[self.phase] += self.begun
        self.phase = self.next_phase()
        if self.trace is not None and self.phase is None:
            self.synchronise()
            self.trace.stop()

    def enter(self, part: str) -> None:
        """From now on time is counted for this part; parts within parts are not counted twice."""
        self.count()
        self.within.append(part)

    def leave(self) -> None:
        """From now on time is counted for the part around this one."""
        self.count()
        self.within.pop()

    def count(self) -> None:
        """Add the time since the last change of part to the innermost part."""
        if self.phase == TRACING:
            return
        self.synchronise()
        now = time.perf_counter()
        if self.phase == TIMING:
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
        atomic_write(folder / "table.csv", "".join(["part,milliseconds,share\n", *rows]))
        if self.trace is not None and self.phase is None:
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
