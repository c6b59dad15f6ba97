"""A whole run, top to bottom: configuration → data, network, objective → training → test → results and figures."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from trainlab import checkpoint, closed_form, wandb_run
from trainlab.augment import NoAugmentation
from trainlab.build import build, build_data, build_net, target
from trainlab.classifier import Classifier
from trainlab.errors import InputError, RunError
from trainlab.figures.run import draw_figures
from trainlab.guards import FlatGradient, NonFiniteLoss, Threads, ValidateAtTheEnd
from trainlab.hardware import choose_hardware, choose_threads
from trainlab.history import History
from trainlab.layers import layers
from trainlab.metrics import TOP_K
from trainlab.objective import L2, HalfMSE
from trainlab.optim import optimiser
from trainlab.results import peak_memory_mb, provenance, write_results
from trainlab.terminal import ProgressBar, console, layer_table, result_table


def train(cfg: DictConfig) -> float:
    """Run `cfg` in its run directory; returns the value that chose the checkpoint (for sweepers), a fraction.

    Raises InputError for what cannot be run and RunError for a run that failed.
    """
    started = time.perf_counter()
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    quieten_libraries()

    # What is trained, and on what
    L.seed_everything(cfg.seed, verbose=False)
    net_class = target(cfg.model)
    options = {key: cfg.trainer[key] for key in ("accelerator", "strategy", "devices", "precision", "channels_last")}
    hardware = choose_hardware(**options, convolutions=net_class.min_size > 1)
    resumed = checkpoint.read(cfg.ckpt) if cfg.ckpt else None
    if resumed:
        checkpoint.refuse_other_run(resumed, OmegaConf.to_container(cfg, resolve=True), cfg.ckpt)  # type: ignore[arg-type]
        if resumed.epoch + 1 >= cfg.trainer.max_epochs:
            raise InputError(
                f"ckpt={cfg.ckpt} has done {resumed.epoch + 1} epochs already; set trainer.max_epochs above that, "
                "or test it with scripts/evaluate.py."
            )
    data = build_data(cfg, min_size=net_class.min_size, channels_last=hardware.channels_last)
    data.setup()
    net = build_net(cfg.model, data.input_shape, len(data.classes))
    if resumed:
        checkpoint.put_weights(net, resumed, cfg.ckpt)  # refuses another network's
        if resumed.facts.classes != list(data.classes):
            raise InputError(f"ckpt={cfg.ckpt} knows the classes {', '.join(resumed.facts.classes)}, not these data's.")
    if hardware.channels_last:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    l2 = L2(cfg.reg.l2, cfg.reg.form, examples=len(data.sets.train))
    facts = checkpoint.Facts(
        config=OmegaConf.to_container(cfg, resolve=False),  # type: ignore[arg-type]
        classes=list(data.classes),
        input_shape=list(data.input_shape),
        mean=data.mean,
    )
    classifier = Classifier(
        net,
        build(cfg.loss),
        l2,
        partial(optimiser, lr=cfg.optim.lr, momentum=cfg.optim.get("momentum"), l2_coefficient=l2.coefficient),
        classes=len(data.classes),
        schedule=cfg.optim.schedule,
        monitor=cfg.trainer.monitor,
        views=data.test_views,
        seed=cfg.seed,
        facts=facts,
    )

    table = layers(net, data.input_shape)
    work = sum(layer.connections for layer in table) * min(data.batch_size or sys.maxsize, len(data.sets.train))
    threads = choose_threads(cfg.trainer.threads, work, cfg.trainer.devices)

    # What watches it
    out = console()
    progress = ProgressBar(out)
    history = History(run_dir / "metrics.csv" if cfg.logger.name != "none" else None, progress)
    if cfg.trainer.monitor.endswith("top5_error") and len(data.classes) <= TOP_K:
        raise InputError(
            f"trainer.monitor={cfg.trainer.monitor} is always 0 with {len(data.classes)} classes; use top1_error."
        )
    for name, part in (("validation", data.sets.val), ("test", data.sets.test)):
        if 0 < len(part) < cfg.trainer.devices:
            raise InputError(
                f"trainer.devices={cfg.trainer.devices} is more than the {len(part)} {name} examples there are."
            )
    best, last, guards = watchers(cfg, run_dir / "checkpoints", resumed, has_validation=len(data.sets.val) > 0)
    trainer = L.Trainer(
        accelerator=hardware.accelerator,
        devices=cfg.trainer.devices,
        strategy=hardware.strategy,
        precision=hardware.precision,
        max_epochs=cfg.trainer.max_epochs,
        check_val_every_n_epoch=cfg.trainer.validate_every,
        callbacks=[Threads(threads), progress, *guards, history, *([best] if best else []), last],
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the sampler shards by itself, and pads nothing
        default_root_dir=run_dir,
    )
    recorded = None
    if trainer.is_global_zero:
        out.print(layer_table(table, title=f"{cfg.model.name} on {cfg.data.name}"))
        if resumed:
            out.print(
                f"going on from {resumed.path}: {resumed.epoch + 1} of {cfg.trainer.max_epochs} epochs are done",
                soft_wrap=True,
            )
        out.print(
            *data.remarks, f"{hardware.remark} · {threads} CPU thread{'s' * (threads > 1)}", sep="\n", soft_wrap=True
        )
        if cfg.logger.name == "wandb":
            recorded = wandb_run.start(
                run_dir,
                project=cfg.logger.project,
                mode=cfg.logger.mode,
                tags=[cfg[group].name for group in ("model", "data", "optim", "reg", "aug", "loss")],
                config=OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
            )
        if recorded is not None:
            history.listeners.append(partial(wandb_run.log_row, recorded))
            wandb_run.log_layers(recorded, table)

    # Training, then the test of the best checkpoint
    results: dict[str, Any] | None = None
    try:
        trainer.fit(classifier, data, ckpt_path=str(resumed.path) if resumed else None, weights_only=True)
        gaps = least_squares_gaps(classifier, data, l2)
        tested_epoch = trainer.current_epoch
        if best is not None and best.best_model_path:
            chosen = checkpoint.read(best.best_model_path)
            checkpoint.put_weights(net, chosen, best.best_model_path)
            tested_epoch = chosen.epoch + 1
        trainer.test(classifier, data, verbose=False)
        tested = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        results = {
            "model": cfg.model.name,
            "data": cfg.data.name,
            "seed": cfg.seed,
            **(history.rows[-1] if history.rows else {}),
            "test/epoch": tested_epoch,
            **tested,
            **gaps,
            **data.sets.notes,
            "views": data.test_views,
            "parameters": sum(layer.weights + layer.biases for layer in table),
            "images_per_second": progress.mean_images_per_second,
            "training_seconds": progress.training_seconds,
            "seconds": time.perf_counter() - started,
            "peak_memory_mb": peak_memory_mb(on_gpu=hardware.accelerator == "gpu"),
            "hardware": hardware.remark,
            "threads": threads,
            **provenance(),
        }
        if trainer.is_global_zero:
            write_results(run_dir / "results.json", results)
            assert classifier.predictions is not None
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
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"out of memory on the GPU ({str(error).splitlines()[0]}); try a smaller data.batch_size."
        ) from None
    finally:
        if sys.exc_info()[0] is not None and last.best_model_path and trainer.is_global_zero:
            out.print(f"the last good checkpoint is {last.best_model_path}", soft_wrap=True)
        sync = wandb_run.finish(recorded, results) if recorded is not None else None
        if sync and results is None:
            out.print(f"W&B recorded offline; to upload: {sync}", soft_wrap=True)
    if trainer.is_global_zero:
        out.print(result_table(results, run_dir))
        if sync:
            out.print(f"W&B recorded offline; to upload: {sync}", soft_wrap=True)
    return float(best.best_model_score) if best and best.best_model_score is not None else results["train/loss"]


def watchers(
    cfg: DictConfig, folder: Path, resumed: checkpoint.Saved | None, *, has_validation: bool
) -> tuple[ModelCheckpoint | None, ModelCheckpoint, list[Callback]]:
    """The checkpoints `best` (none without a validation set) and `last`, and what may end the run early."""
    common: dict[str, Any] = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    best = None
    if has_validation or cfg.trainer.monitor.startswith("train/"):
        beside = resumed.path.parent if resumed else None
        best = checkpoint.Best(beside, filename="best", monitor=cfg.trainer.monitor, mode="min", **common)
    last = checkpoint.Last(filename="last", **common)
    guards: list[Callback] = [NonFiniteLoss(), ValidateAtTheEnd()]
    if cfg.optim.name == "gd":
        guards.append(FlatGradient(cfg.optim.tolerance))
    if cfg.trainer.patience is not None:
        on_train = cfg.trainer.monitor.startswith("train/")
        guards.append(
            EarlyStopping(
                cfg.trainer.monitor,
                patience=cfg.trainer.patience,
                check_on_train_epoch_end=on_train,
                check_finite=False,
            )
        )
    return best, last, guards


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
