"""The test error of a checkpoint or of several together, on their own data or other, with their own views or others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.override_parser.types import Override, ValueType
from omegaconf import DictConfig, OmegaConf
from torch import nn

from trainlab.classifier import Classifier
from trainlab.command.main import GROUPS, compose_run, find_misspelt, parse, values_of
from trainlab.configuration.build import build
from trainlab.configuration.schema import check_values
from trainlab.data.module import ImageData
from trainlab.errors import InputError
from trainlab.models.ensemble import Ensemble
from trainlab.objective import L2, Loss
from trainlab.recording.run_directory import read_rows
from trainlab.recording.terminal import console, result_table
from trainlab.runtime.assembly import FETCHES, Assembly, hardware_for, in_memory_order, read_data
from trainlab.runtime.trainer import make_test_trainer
from trainlab.survival import checkpoint
from trainlab.survival.atomic import written
from trainlab.survival.trained import network_of
from trainlab.sweeps.point import FINISHED
from trainlab.sweeps.table import gather

CHANGEABLE = ("aug", "data", "trainer", "loss")  # the rest is what the checkpoint was trained with


def evaluate(overrides: Sequence[str]) -> dict[str, Any]:
    """Test checkpoints: ``["ckpt=…", "aug=tencrop", …]`` → the test metrics by name, which are also printed as a
    table.

    What is not named is as it was in the run that wrote the checkpoint; the mean that is subtracted always is. Raises
    InputError.
    """
    words = parse(list(overrides))
    names = checkpoints_of([word for word in words if word.key_or_group == "ckpt"])
    every = [checkpoint.read(name, prefer="best") for name in names]
    name, saved = names[0], every[0]
    typed = [word.input_line or "" for word in words if word.key_or_group != "ckpt"]
    cfg = changed(saved.config, typed)
    cfg.debug = None  # a few batches of the test set would be no test error

    hardware = hardware_for(cfg, strategy="auto", devices=1)
    shape = saved.facts.input_shape
    data = read_data(
        cfg,
        input_size=shape[-1] if len(shape) == 3 else None,
        channels_last=hardware.channels_last,
        may_fetch=any(override.key_or_group in ("data", *FETCHES.values()) for override in parse(typed)),
        mean=None if saved.facts.mean is None else torch.tensor(saved.facts.mean),
    )
    if list(data.input_shape) != shape or len(data.classes) != len(saved.facts.classes):
        raise InputError(
            f"data={cfg.data.name} gives inputs of {list(data.input_shape)} in {len(data.classes)} "
            f"classes, and {name} was trained on {shape} in {len(saved.facts.classes)}.",
            option="data",
            value=cfg.data.name,
        )
    loss = build("loss", cfg.loss)
    net = in_memory_order(averaged([network(one, saved) for one in every], every, loss), hardware)
    classifier = Classifier(net, loss, classes=len(data.classes), views=data.test_views)
    trainer = make_test_trainer(hardware)
    trainer.test(classifier, data, verbose=False)
    metrics = {key: float(value) for key, value in trainer.callback_metrics.items()} | {"views": data.test_views}
    show(every, data, cfg.data.name, hardware.remark, metrics)
    return metrics


def draw_missing(folders: Sequence[Path]) -> None:
    """Draw the figures of each finished run in these folders that has none: those that it would have drawn itself
    (figures=true), from its checkpoint and metrics.csv. A run whose figures cannot be drawn is said, and the others
    follow. Raises InputError where there is no run.
    """
    for run in gather(folders):
        if run.state != FINISHED or any((run.folder / "figures").glob("*.png")):
            continue
        try:
            drawn = draw_run(run.folder)
        except InputError as error:
            print(f"{run.folder} is not drawn: {error}", file=sys.stderr)
        else:
            print(f"{run.folder}: {', '.join(drawn)}", file=sys.stderr)


def draw_run(run_dir: Path) -> dict[str, Path]:
    """Draw the figures of a run into its directory, by its best checkpoint, or its last where there is no best; returns
    their files by name. Raises InputError.
    """
    from trainlab.recording.run_figures import draw_figures  # matplotlib, which a test needs not wait for

    saved = checkpoint.read(str(run_dir), prefer="best")
    parts = parts_of(saved, saved.config)
    classifier = Classifier(parts.net, parts.loss, classes=len(parts.data.classes), views=parts.data.test_views)
    make_test_trainer(parts.hardware).test(classifier, parts.data, verbose=False)
    assert classifier.predictions is not None, "it has been tested"
    rows, net = read_rows(run_dir), parts.net.cpu().eval()
    with written(run_dir):
        return draw_figures(run_dir / "figures", parts, net, rows=rows, predictions=classifier.predictions)


def parts_of(saved: checkpoint.Saved, cfg: DictConfig) -> Assembly:
    """A trained network with its data, as its run put them together; the mean that is subtracted is the run's. Raises
    InputError.
    """
    hardware, shape, mean = hardware_for(cfg, strategy="auto", devices=1), saved.facts.input_shape, saved.facts.mean
    data = read_data(
        cfg,
        input_size=shape[-1] if len(shape) == 3 else None,
        channels_last=hardware.channels_last,
        may_fetch=False,
        mean=None if mean is None else torch.tensor(mean),
    )
    net = in_memory_order(network_of(saved, str(saved.path)), hardware)
    l2 = L2(cfg.reg.l2, cfg.reg.form, examples=len(data.sets.train))
    return Assembly(cfg, hardware, data, net, build("loss", cfg.loss), l2)


def averaged(nets: Sequence[nn.Module], every: Sequence[checkpoint.Saved], loss: Loss) -> nn.Module:
    """One network whose predictions are the mean of these networks', each with the mean image that it was trained
    with.
    """
    if len(nets) == 1:
        return nets[0]
    means = [one.facts.mean for one in every]
    shifts = [None if m == means[0] else torch.tensor(means[0]) - torch.tensor(m) for m in means]
    return Ensemble(nets, loss, shifts)


def show(every: Sequence[checkpoint.Saved], data: ImageData, name: str, remark: str, metrics: dict[str, Any]) -> None:
    """Print which checkpoints were tested, on what and where, and a table of the metrics."""
    out = console()
    for one in every:
        out.print(
            f"{one.path} · epoch {one.progress.epochs} · {one.facts.config['model']['name']} on {name} · "
            f"{len(data.sets.test):,} images",
            soft_wrap=True,
        )
    if len(every) > 1:
        out.print(f"the probabilities of {len(every)} networks are averaged")
    out.print(*data.remarks[1:], remark, sep="\n", soft_wrap=True)
    out.print(result_table(metrics))


def checkpoints_of(given: Sequence[Override]) -> list[str]:
    """The names in ``ckpt=a``, ``ckpt=a,b`` or ``ckpt=[a,b]``, as Hydra reads them, quotes and all.

    Raises InputError for what names none.
    """
    if len(given) != 1 or given[0].is_delete():
        raise InputError("name a checkpoint or run directory to evaluate, or several: ckpt=runs/…, ckpt=[a,b,c].")
    (word,) = given
    if word.value_type in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
        word = parse([f"ckpt=[{','.join(word.sweep_string_iterator())}]"])[0]
    named = values_of([word.input_line or ""])["ckpt"]
    names = named if isinstance(named, list) else [named]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(
            f"{given[0].input_line} names no checkpoint",
            hint="write ckpt=runs/…, or several as ckpt=[a,b,c], with quotes around anything but a plain word",
        )
    return names


def network(one: checkpoint.Saved, first: checkpoint.Saved) -> nn.Module:
    """The network of a checkpoint. Raises InputError for one that cannot be averaged with the first."""
    if one.facts.classes != first.facts.classes or one.facts.input_shape != first.facts.input_shape:
        raise InputError(
            f"{one.path} and {first.path} differ in their classes or in the size of their inputs, so their "
            "probabilities cannot be averaged."
        )
    return network_of(one, str(one.path))


def changed(cfg: DictConfig, overrides: list[str]) -> DictConfig:
    """The run's configuration with whole groups (aug=tencrop) or single values (data.root=…) replaced."""
    given, values = parse(overrides), values_of(overrides)
    for override in given:
        if override.key_or_group.partition(".")[0] not in CHANGEABLE:
            raise InputError(
                f"{override.key_or_group} is fixed by the checkpoint",
                hint=f"what can change are {', '.join(CHANGEABLE)}",
            )
    groups = [override.key_or_group for override in given if override.key_or_group in GROUPS]
    if groups:  # a new choice comes with its own options, those typed beside it included
        inside = [o.input_line or "" for o in given if o.key_or_group.partition(".")[0] in groups]
        fresh = compose_run(inside, checked=False)
        for group in groups:
            cfg[group] = fresh[group]
    for override in given:
        key = override.key_or_group
        if key.partition(".")[0] in groups:
            continue
        if OmegaConf.select(cfg, key, default=KeyError) is KeyError:
            find_misspelt([override.input_line or ""])
            raise InputError(f"{key} is no option of this checkpoint's run.")
        OmegaConf.update(cfg, key, values[key])
    check_values(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    return cfg
