"""What a run says and leaves behind: the terminal, metrics.csv, W&B, the profile, the figures and results.json."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import torch

from trainlab.classifier import Predictions
from trainlab.errors import RunError, StoppedError
from trainlab.recording.history import History, Throughput
from trainlab.recording.progress_bar import ProgressBar
from trainlab.recording.results import write_results
from trainlab.recording.run_directory import METRICS, PROFILE, RESULTS
from trainlab.recording.terminal import console, layer_table, profile_table, result_table
from trainlab.runtime.assembly import Assembly
from trainlab.runtime.plan import Plan
from trainlab.runtime.profiling import StepProfiler
from trainlab.survival.atomic import written
from trainlab.survival.checkpoint import Saved, SaveLast

if TYPE_CHECKING:
    from wandb import Run


class Recorder:
    """What is said and written of a run: on the terminal, into its directory and at W&B.

    throughput, progress, history: its callbacks, which count, show how the run gets on, and collect each epoch's row.
    Only rank 0 says and writes anything; on the others the methods do nothing.
    """

    def __init__(self, run_dir: Path, parts: Assembly, plan: Plan) -> None:
        self.cfg, self.run_dir, self.parts, self.plan = parts.cfg, run_dir, parts, plan
        self.out = console()
        self.throughput = Throughput()
        self.progress = ProgressBar(self.out, self.throughput)
        self.history = History(run_dir / METRICS if self.cfg.logger.name != "none" else None, self.throughput)
        self.history.listeners.append(self.progress.epoch_done)
        self.wandb: Run | None = None
        self.results: dict[str, Any] | None = None
        self.is_first = True

    @contextmanager
    def recording(self, trainer: L.Trainer, resumed: Saved | None, last: SaveLast) -> Iterator[None]:
        """Around the whole of the training: says what begins, and at the end, however it comes, ends W&B's run."""
        self.is_first = trainer.is_global_zero
        if self.is_first:
            self.begin(resumed)
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"out of memory on the GPU ({str(error).splitlines()[0]})", hint="try a smaller data.batch_size"
            ) from error
        finally:
            ended = sys.exc_info()[1]
            stopped = isinstance(ended, StoppedError)
            if ended is not None and last.exists and self.is_first and not stopped:
                self.out.print(f"the last good checkpoint is {last.path}", soft_wrap=True)
            if self.wandb is not None:
                from trainlab.recording import wandb_run

                to_upload = wandb_run.finish(self.wandb, self.results, stopped=stopped)
                if to_upload:
                    self.out.print(to_upload, soft_wrap=True)
        if self.is_first and self.results is not None:
            self.out.print(result_table(self.results, self.run_dir))

    def begin(self, resumed: Saved | None) -> None:
        """The layer table, where it goes on from, the data and the hardware; then W&B."""
        self.out.print(layer_table(self.plan.layers, title=self.parts.title))
        if resumed:
            if resumed.remark:
                self.out.print(resumed.remark, soft_wrap=True)
            so_far = f"{resumed.progress.epochs} of {self.cfg.trainer.max_epochs} epochs"
            if resumed.progress.batches:
                so_far += f" and {resumed.progress.batches} batches"
            self.out.print(f"going on from {resumed.path}: {so_far} are done", soft_wrap=True)
        threads = f"{self.plan.threads} CPU thread{'s' * (self.plan.threads > 1)}"
        remarks = [*self.parts.data.remarks, f"{self.parts.hardware.remark} · {threads}"]
        self.out.print(*remarks, sep="\n", soft_wrap=True)
        if self.cfg.logger.name == "wandb":
            self.begin_wandb()

    def begin_wandb(self) -> None:
        """Start the run's record at W&B, or go on with it, and let it have every row of the history from then on."""
        from trainlab.recording import wandb_run  # a third of a second that other runs need not wait

        recorded = wandb_run.last_recorded(self.run_dir)
        self.wandb = wandb_run.start_run(self.run_dir, self.cfg)
        if self.wandb is None:
            return
        log_row = partial(wandb_run.log_row, self.wandb, after=recorded)
        self.history.listeners.append(log_row)
        self.history.late_listeners.append(log_row)
        if recorded == wandb_run.NEVER:
            wandb_run.log_layers(self.wandb, self.plan.layers)

    def fitted(self) -> None:
        """After the training: where the time went, if that was asked for."""
        profiler = self.plan.profiler
        if isinstance(profiler, StepProfiler) and self.is_first:
            with written(self.run_dir / PROFILE):
                profiler.write(self.run_dir / PROFILE)
            self.out.print(profile_table(profiler.table()))
            where = os.path.relpath(self.run_dir / PROFILE)
            self.out.print(f"{where} has it as table.csv, and trace.json for ui.perfetto.dev", soft_wrap=True)

    def finish(self, results: dict[str, Any], predictions: Predictions | None) -> None:
        """The figures, then results.json, which says that the run is finished. Raises RunError for a full disk."""
        self.results = results
        if not self.is_first:
            return
        assert predictions is not None
        with written(self.run_dir):
            figures = self.draw(predictions) if self.cfg.get("figures") is not False else {}
        if self.wandb is not None:
            from trainlab.recording import wandb_run

            wandb_run.log_end(self.wandb, self.run_dir, self.cfg, results, figures)
        with written(self.run_dir / RESULTS):
            write_results(self.run_dir / RESULTS, results)

    def draw(self, predictions: Predictions) -> Mapping[str, Path]:
        """Draw the run's figures into figures/; returns their files by name."""
        from trainlab.recording.run_figures import draw_figures  # matplotlib: no run need wait for it at its start

        net = self.parts.net.cpu().eval()
        return draw_figures(self.run_dir / "figures", self.parts, net, rows=self.history.rows, predictions=predictions)
