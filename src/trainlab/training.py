"""A whole run, top to bottom: configuration → data, network, objective → training → test → results and figures."""

from __future__ import annotations

import gc
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from omegaconf import DictConfig, OmegaConf

from trainlab import checkpoint, closed_form
from trainlab.allocator import keep_freed_memory
from trainlab.augment import NoAugmentation
from trainlab.build import build, build_data, build_net, target
from trainlab.captured_step import CudaGraphs
from trainlab.classifier import Classifier
from trainlab.errors import InputError, RunError, StoppedError
from trainlab.guards import FlatGradient, NonFiniteLoss, Threads, ValidateAtTheEnd
from trainlab.hardware import choose_hardware, choose_steps_together, choose_threads, compile_net
from trainlab.history import History
from trainlab.interruption import Interruption
from trainlab.layers import layers
from trainlab.metrics import TOP_K
from trainlab.objective import L2, HalfMSE
from trainlab.optim import optimiser
from trainlab.profiling import NoProfiler, StepProfiler
from trainlab.progress_bar import ProgressBar
from trainlab.ranks import environment
from trainlab.results import peak_memory_mb, provenance, write_results
from trainlab.run_directory import CHECKPOINTS, LAST, METRICS, PREVIOUS, PROFILE, RESULTS, own_checkpoint, read_results
from trainlab.signals import heard_by
from trainlab.stored import plain_config
from trainlab.sweeps.point import read_point
from trainlab.terminal import console, layer_table, profile_table, result_table


def train(cfg: DictConfig, run_dir: Path, *, watching: Sequence[Callback] = ()) -> float:
    """Run `cfg` and write into `run_dir`; returns the value that chose the checkpoint (for sweepers), a fraction.

    watching: more callbacks, called after this run's own.

    Raises InputError for what cannot be run and RunError for a run that failed.
    """
    started = time.perf_counter()
    run_dir.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    quieten_libraries()
    out = console()

    # What is trained, and on what
    L.seed_everything(cfg.seed, verbose=False)
    net_class = target("model", cfg.model)
    hardware = choose_hardware(
        **{key: cfg.trainer[key] for key in ("accelerator", "strategy", "devices", "precision", "channels_last")},
        convolutions=net_class.min_size > 1,
    )
    if cfg.trainer.capture and hardware.accelerator != "gpu":
        raise InputError("trainer.capture=true needs a GPU, which replays the steps; leave it out.")
    resumed = checkpoint_to_go_on_from(cfg, run_dir)
    if resumed and resumed.path.parent.parent == run_dir and (done := read_results(run_dir)) is not None:
        out.print("this run is finished already", result_table(done, run_dir), sep="\n")
        return done["best"]
    data = build_data(cfg, min_size=net_class.min_size, channels_last=hardware.channels_last)
    data.setup()
    net = build_net(cfg.model, data.input_shape, len(data.classes), weights_follow=resumed is not None)
    if resumed:
        data.first_batch = resumed.progress.batches
        checkpoint.put_weights(net, resumed, cfg.ckpt)  # refuses another network's
        if resumed.facts.classes != list(data.classes):
            raise InputError(f"ckpt={cfg.ckpt} knows the classes {', '.join(resumed.facts.classes)}, not these data's.")
    if hardware.channels_last:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    l2 = L2(cfg.reg.l2, cfg.reg.form, examples=len(data.sets.train))
    facts = checkpoint.Facts(
        config=plain_config(cfg),
        classes=list(data.classes),
        input_shape=list(data.input_shape),
        mean=data.mean,
        stored=None if data.augmentation is None else data.sets.train.images.shape[-1],
    )
    table = layers(net, data.input_shape)
    step = min(data.batch_size or sys.maxsize, len(data.sets.train))  # examples
    work = step * sum(layer.connections for layer in table)
    threads = choose_threads(cfg.trainer.threads, work, cfg.trainer.devices)
    processes = cfg.trainer.devices * cfg.trainer.nodes
    values = step * math.prod(data.input_shape)
    data.together = choose_steps_together(hardware.accelerator, work, values, processes)
    profiler = NoProfiler()
    if cfg.profile:
        steps = cfg.trainer.max_epochs * data.train_batches
        profiler = StepProfiler(steps, torch.cuda.synchronize if hardware.accelerator == "gpu" else lambda: None)
    classifier = Classifier(
        net,
        build("loss", cfg.loss),
        l2,
        partial(
            optimiser,
            lr=cfg.optim.lr,
            momentum=cfg.optim.get("momentum"),
            l2_coefficient=l2.coefficient,
            bias_lr=cfg.optim.get("bias_lr"),
        ),
        classes=len(data.classes),
        schedule=cfg.optim.schedule,
        **{
            key: cfg.optim[key]
            for key in ("plateau_patience", "plateau_drops", "freeze_first_after")
            if key in cfg.optim
        },
        monitor=cfg.trainer.monitor,
        views=data.test_views,
        seed=cfg.seed,
        facts=facts,
        timed=profiler.profile,
        compiled=compile_net(net, hardware.accelerator) if cfg.trainer.compile else None,
        graphs=CudaGraphs() if cfg.trainer.capture else None,
    )

    # What watches it
    progress = ProgressBar(out)
    history = History(run_dir / METRICS if cfg.logger.name != "none" else None, progress)
    if cfg.trainer.monitor.endswith("top5_error") and len(data.classes) <= TOP_K:
        raise InputError(
            f"trainer.monitor={cfg.trainer.monitor} is always 0 with {len(data.classes)} classes; use top1_error."
        )
    for name, part in (("validation", data.sets.val), ("test", data.sets.test)):
        if 0 < len(part) < cfg.trainer.devices:
            raise InputError(
                f"trainer.devices={cfg.trainer.devices} is more than the {len(part)} {name} examples there are."
            )
    best, last, guards = watchers(cfg, run_dir / CHECKPOINTS, resumed, has_validation=len(data.sets.val) > 0)
    interruption = Interruption(last, run_dir, cfg.trainer.save_minutes)
    trainer = L.Trainer(
        accelerator=hardware.accelerator,
        devices=cfg.trainer.devices,
        num_nodes=cfg.trainer.nodes,
        strategy=hardware.strategy,
        precision=hardware.precision,
        # A run that had decided to stop has no epochs left.
        max_epochs=resumed.progress.epochs if resumed and resumed.progress.ended else cfg.trainer.max_epochs,
        check_val_every_n_epoch=cfg.trainer.validate_every,
        callbacks=[
            Threads(threads),
            progress,
            *guards,
            history,
            *([best] if best else []),
            last,
            interruption,
            *watching,
        ],
        plugins=[checkpoint.WholeFiles(), environment()],
        logger=False,
        profiler=profiler,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the sampler shards by itself, and pads nothing
        default_root_dir=run_dir,
    )
    interruption.alone(trainer)
    recorded = None
    if trainer.is_global_zero:
        out.print(layer_table(table, title=f"{cfg.model.name} on {cfg.data.name}"))
        if resumed:
            if resumed.remark:
                out.print(resumed.remark, soft_wrap=True)
            so_far = f"{resumed.progress.epochs} of {cfg.trainer.max_epochs} epochs"
            if resumed.progress.batches:
                so_far += f" and {resumed.progress.batches} batches"
            out.print(f"going on from {resumed.path}: {so_far} are done", soft_wrap=True)
        out.print(
            *data.remarks, f"{hardware.remark} · {threads} CPU thread{'s' * (threads > 1)}", sep="\n", soft_wrap=True
        )
        if cfg.logger.name == "wandb":
            from trainlab import wandb_run  # a third of a second that other runs need not wait

            recorded = wandb_run.start(
                run_dir,
                project=cfg.logger.project,
                mode=cfg.logger.mode,
                tags=[cfg[group].name for group in ("model", "data", "optim", "reg", "aug", "loss")],
                config=OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
                sweep=read_point(run_dir),
                monitor=cfg.trainer.monitor,
            )
        if recorded is not None:
            history.listeners.append(partial(wandb_run.log_row, recorded))
            wandb_run.log_layers(recorded, table)

    gc.freeze()  # what is there now stays: no need to look through it again and again
    gc.enable()

    # Training, then the test of the best checkpoint
    results: dict[str, Any] | None = None
    with heard_by(interruption.hear):
        try:
            trainer.fit(classifier, data, ckpt_path=str(resumed.path) if resumed else None, weights_only=True)
            if isinstance(profiler, StepProfiler) and trainer.is_global_zero:
                profiler.write(run_dir / PROFILE)
                out.print(profile_table(profiler.table()))
                where = os.path.relpath(run_dir / PROFILE)
                out.print(f"{where} has it as table.csv, and trace.json for ui.perfetto.dev", soft_wrap=True)
            gaps = least_squares_gaps(classifier, data, l2)
            tested_epoch = trainer.current_epoch
            if best is not None and best.best_model_path:
                chosen = checkpoint.read(best.best_model_path)
                checkpoint.put_weights(net, chosen, best.best_model_path)
                tested_epoch = chosen.progress.epochs
            trainer.test(classifier, data, verbose=False)
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            results = {
                "model": cfg.model.name,
                "data": cfg.data.name,
                "seed": cfg.seed,
                **(history.rows[-1] if history.rows else {}),
                "monitor": cfg.trainer.monitor,
                "best": float(best.best_model_score) if best and best.best_model_score is not None else None,
                "test/epoch": tested_epoch,
                **{name: value for name, value in metrics.items() if name.startswith("test/")},
                **gaps,
                **data.sets.notes,
                "views": data.test_views,
                "parameters": sum(layer.weights + layer.biases for layer in table),
                "images_per_second": progress.mean_images_per_second,
                "seconds": time.perf_counter() - started,
                "peak_memory_mb": peak_memory_mb(on_gpu=hardware.accelerator == "gpu"),
                "hardware": hardware.remark,
                "threads": threads,
                **provenance(),
            }
            if cfg.trainer.target is not None:
                results["target"] = cfg.trainer.target
                results["target_reached"] = results.get(cfg.trainer.monitor, 1.0) < cfg.trainer.target
            if results["best"] is None:
                results |= {"monitor": "train/loss", "best": results["train/loss"]}
            if trainer.is_global_zero:
                assert classifier.predictions is not None
                from trainlab.figures.run import draw_figures  # matplotlib is not needed before

                figures = draw_figures(
                    run_dir / "figures",
                    title=f"{cfg.model.name} on {cfg.data.name}",
                    rows=history.rows,
                    sets=data.sets,
                    net=net.cpu().eval(),
                    loss=classifier.loss,
                    input_shape=data.input_shape,
                    predicted=classifier.predictions.predicted,
                    confidence=classifier.predictions.confidence,
                )
                if recorded is not None:
                    wandb_run.log_figures(recorded, figures)
                write_results(run_dir / RESULTS, results)  # last: it says that the run is finished
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"out of memory on the GPU ({str(error).splitlines()[0]}); try a smaller data.batch_size."
            ) from None
        except OSError as error:
            raise RunError(f"{error.filename or 'a file'}: {error.strerror or error}.") from None
        except (InputError, RunError):
            raise
        except Exception as error:
            if resumed is None or last.step is not None:
                raise
            # Lightning, the optimiser and the callbacks took over what the file said, whatever it was.
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(
                f"the run cannot go on from ckpt={cfg.ckpt} ({reason}); it is damaged or of another version, so use "
                "another checkpoint, or start a new run."
            ) from error
        finally:
            ended = sys.exc_info()[1]
            if ended is not None and last.exists and trainer.is_global_zero and not isinstance(ended, StoppedError):
                out.print(f"the last good checkpoint is {last.path}", soft_wrap=True)
            if recorded is not None:
                sync = wandb_run.finish(recorded, results, stopped=isinstance(ended, StoppedError))
                if sync:
                    out.print(f"W&B recorded offline; to upload: {sync}", soft_wrap=True)
    if trainer.is_global_zero:
        out.print(result_table(results, run_dir))
    return results["best"]


def checkpoint_to_go_on_from(cfg: DictConfig, run_dir: Path) -> checkpoint.Saved | None:
    """The one that ckpt=… names; with ckpt=auto the run directory's own, if it has one. Raises InputError."""
    if cfg.ckpt is None or (cfg.ckpt == "auto" and not own_checkpoint(run_dir)):
        return None
    name = str(run_dir) if cfg.ckpt == "auto" else cfg.ckpt
    resumed = checkpoint.read(name)
    checkpoint.refuse_other_run(resumed, OmegaConf.to_container(cfg, resolve=True), name)  # type: ignore[arg-type]
    if resumed.path.name == PREVIOUS and cfg.ckpt == "auto":
        # The damaged one must not become the one before.
        resumed.path.with_name(LAST).unlink(missing_ok=True)
    elsewhere = resumed.path.parent.parent.resolve() != run_dir.resolve()
    if elsewhere and (resumed.progress.ended or resumed.progress.epochs >= cfg.trainer.max_epochs):
        raise InputError(
            f"ckpt={name} has done {resumed.progress.epochs} epochs already; set trainer.max_epochs above that, "
            "or test it with scripts/evaluate.py."
        )
    return resumed


def watchers(
    cfg: DictConfig, folder: Path, resumed: checkpoint.Saved | None, *, has_validation: bool
) -> tuple[checkpoint.Best | None, checkpoint.Last, list[Callback]]:
    """The checkpoints `best` (none without a validation set) and `last`, and what may end the run early."""
    on_train = cfg.trainer.monitor.startswith("train/")
    best = None
    if has_validation or on_train:
        best = checkpoint.Best(folder, cfg.trainer.monitor, beside=resumed.path.parent if resumed else None)
    guards: list[Callback] = [NonFiniteLoss(), ValidateAtTheEnd()]
    if cfg.optim.name == "gd":
        guards.append(FlatGradient(cfg.optim.tolerance))
    if cfg.trainer.patience is not None or cfg.trainer.target is not None:
        guards.append(
            EarlyStopping(
                cfg.trainer.monitor,
                patience=cfg.trainer.patience or cfg.trainer.max_epochs + 1,
                stopping_threshold=cfg.trainer.target,
                check_on_train_epoch_end=on_train,
                check_finite=False,
            )
        )
    return best, checkpoint.Last(folder), guards


MOST_FEATURES = 2000  # beyond that the closed form costs more than the run


def least_squares_gaps(classifier: Classifier, data: Any, l2: L2) -> dict[str, float]:
    """For a linear perceptron on ½ MSE: how far it is from the closed form. Nothing for any other run."""
    linear = getattr(classifier.net, "linear", None)
    if not isinstance(linear, torch.nn.Linear) or not isinstance(classifier.loss, HalfMSE):
        return {}
    if not isinstance(classifier.net.activation, torch.nn.Identity) or linear.in_features > MOST_FEATURES:
        return {}
    if not isinstance(data.augmentation, NoAugmentation | None):
        return {}
    return closed_form.gaps(linear.weight, linear.bias, data.training_inputs(), data.sets.train.labels, l2.coefficient)


def quieten_libraries() -> None:
    """Lightning's advice on loaders, loggers and devices is about choices that are made here on purpose."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*compute.*method of metric.*")  # a rank without test examples
