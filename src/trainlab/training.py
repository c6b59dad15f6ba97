"""A whole run, top to bottom: configuration → data, network, objective → training → test → results and figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from trainlab.classifier import Classifier, Recipe
from trainlab.optim import Schedule
from trainlab.recording.recorder import Recorder
from trainlab.recording.results import collect_results
from trainlab.runtime import closed_form
from trainlab.runtime.assembly import Assembly, assemble
from trainlab.runtime.callbacks import callbacks_of
from trainlab.runtime.debugging import Watch
from trainlab.runtime.hardware import compile_net
from trainlab.runtime.plan import Plan, plan_run
from trainlab.runtime.trainer import make_trainer
from trainlab.survival.resume import find_checkpoint, finished, going_on
from trainlab.survival.signals import handling_signals


def train(cfg: DictConfig, run_dir: Path, *, callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """One run of the configuration `cfg`, written into `run_dir`; returns what its results.json holds.

    cfg: as `trainlab.compose` or Hydra composes it, without Hydra's own part. callbacks: more of Lightning's, called
    after this run's own. A run that is finished already is not run again. Raises InputError for what cannot be run,
    RunError for a run that failed, and StoppedError for one that was asked to stop.
    """
    started = time.perf_counter()
    run_dir.mkdir(parents=True, exist_ok=True)
    L.seed_everything(cfg.seed, verbose=False)
    resumed = find_checkpoint(cfg, run_dir)
    if (results := finished(resumed, run_dir)) is not None:
        return results

    parts = assemble(cfg, resumed)  # hardware, data, network, loss and L2
    plan = plan_run(parts)
    classifier = make_classifier(parts, plan)
    recorder = Recorder(run_dir, parts, plan)
    best, last, interruption, standard = callbacks_of(parts, plan, recorder, resumed)
    trainer = make_trainer(parts, plan, run_dir, [*standard, *callbacks], resumed)
    interruption.alone(trainer)

    watched = cfg.get("debug") and cfg.debug.find_anomalies
    with (
        recorder.recording(trainer, resumed, last),
        handling_signals(interruption.hear),
        going_on(resumed, cfg.ckpt, last),
    ):
        with Watch(parts.net, trainer).watching() if watched else nullcontext():
            trainer.fit(classifier, parts.data, ckpt_path=str(resumed.path) if resumed else None, weights_only=True)
        recorder.fitted()
        gaps = closed_form.gaps_of(parts)
        tested_epoch = trainer.current_epoch
        if best is not None and best.best_model_path:
            tested_epoch = best.put_back(parts.net)
        trainer.test(classifier, parts.data, verbose=False)
        tested = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        results = collect_results(
            parts,
            plan,
            last=recorder.history.rows[-1] if recorder.history.rows else {},
            best=float(best.best_model_score) if best and best.best_model_score is not None else None,
            tested_epoch=tested_epoch,
            tested=tested | gaps,
            cost={
                "images_per_second": recorder.throughput.mean_images_per_second,
                "seconds": time.perf_counter() - started,
            },
        )
        recorder.finish(results, classifier.predictions)
    return results


def make_classifier(parts: Assembly, plan: Plan) -> Classifier:
    """The LightningModule of a run: the network, its objective, and how it is trained."""
    cfg = parts.cfg
    compiled = compile_net(parts.net, parts.hardware.accelerator) if cfg.trainer.compile else None
    schedule = Schedule(cfg.optim.schedule, cfg.optim.get("plateau_patience", 5), cfg.optim.get("plateau_drops"))
    recipe = Recipe(
        parts.l2,
        parts.make_optimizer,
        schedule,
        freeze_first_after=cfg.optim.get("freeze_first_after"),
        monitor=cfg.trainer.monitor,
        facts=plan.facts,
        timed=plan.profiler.profile,
        compiled=compiled,
    )
    return Classifier(
        parts.net, parts.loss, recipe, classes=len(parts.data.classes), views=parts.data.test_views, seed=cfg.seed
    )
