"""What a checkpoint holds besides Lightning's own, writing one whole, reading one without running anything in it.

Whoever reads one cannot know who wrote it: its pickle may name nothing but tensors, its values are checked against
their types, and what they would have the program allocate is not more than the file's own size.
"""

from __future__ import annotations

import pickletools
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt
from torch import nn

from trainlab.configuration.stored import read_config
from trainlab.errors import InputError, RunError
from trainlab.recording.run_directory import CHECKPOINTS, LAST, PREVIOUS
from trainlab.survival.atomic import atomic_open

KEY = "trainlab"
PREFIX = "net."  # the network's place in the LightningModule
TENSORS = re.compile(r"(torch \w+Storage|torch._utils _rebuild_tensor_v2|collections OrderedDict)")  # what pickles name
CHECKED = ConfigDict(strict=True, arbitrary_types_allowed=True, revalidate_instances="always")


@dataclass(frozen=True)
class RunMetadata:
    """All that is needed to use the network again: plain containers, so that `weights_only` loading takes them.

    config: the run's configuration, interpolations left in. classes: their names. input_shape: what the network
    sees of one example. mean: what is subtracted from each channel, in units of the full range; None for points.
    stored: the side of the images before they are cut or enlarged; None for points.
    """

    __pydantic_config__ = CHECKED  # where one is read from a file

    config: dict[str, Any]
    classes: Annotated[list[str], Field(min_length=1)]
    input_shape: Annotated[list[PositiveInt], Field(min_length=1, max_length=3)]
    mean: list[float] | None
    stored: PositiveInt | None = None

    def plain(self) -> dict[str, Any]:
        """These facts as plain containers, to be saved in a checkpoint."""
        return asdict(self)


@dataclass(frozen=True)
class Progress:
    """How far training had come: whole epochs, then batches of the next one.

    ended: the run had decided to stop (a flat gradient, patience), so that no epoch is missing.
    """

    __pydantic_config__ = CHECKED

    epochs: NonNegativeInt
    batches: NonNegativeInt = 0
    ended: bool = False

    def plain(self) -> dict[str, Any]:
        """The progress as plain containers, to be saved in a checkpoint."""
        return asdict(self)


@dataclass(frozen=True)
class Saved:
    """A checkpoint in memory, its tensors on the CPU. remark: what its reader should be told, or nothing."""

    path: Path
    facts: RunMetadata
    weights: dict[str, torch.Tensor]
    progress: Progress
    remark: str = ""

    @cached_property
    def config(self) -> DictConfig:
        """The run's configuration, safe to resolve. Raises InputError for one that is not; `read` has seen to that."""
        return read_config(self.facts.config, f"the configuration in {self.path}")


def read(path_or_run: str, prefer: str = "last") -> Saved:
    """Read a checkpoint, with its tensors on the CPU.

    path_or_run: a checkpoint's path, or a run directory; `prefer` says which checkpoint of a run is meant ("best" or
    "last"; the last where there is no best). A damaged last.ckpt gives way to the one before it. Raises InputError
    when there is none or it is not one of this project's.
    """
    path = Path(path_or_run).expanduser()
    if path.is_dir():
        inside = [path / CHECKPOINTS / name for name in (f"{prefer}.ckpt", LAST, PREVIOUS)]
        path = next((file for file in inside if file.is_file()), path)
    if path.is_dir():
        raise InputError(
            f"ckpt={path_or_run} is a folder without checkpoints/last.ckpt",
            option="ckpt",
            value=path_or_run,
            hint="name a checkpoint or a run directory",
        )
    before = path.with_name(PREVIOUS)
    if not path.is_file() and not (path.name == LAST and before.is_file()):
        raise InputError(
            f"ckpt={path_or_run} does not exist",
            option="ckpt",
            value=path_or_run,
            hint="name a checkpoint (*.ckpt) or a run directory",
        )
    saved = _load(path)
    if saved is None and path.name == LAST and before.is_file():
        saved = _load(before, remark=f"{path} is damaged; the one before it, {before.name}, takes its place")
    if saved is None:
        raise InputError(
            f"ckpt={path_or_run} is not a checkpoint of this project, or is damaged.", option="ckpt", value=path_or_run
        )
    assert saved.config is not None  # raises InputError
    return saved


Scalar = int | float | bool | str | None


class OptimizerState(BaseModel):
    """Any torch optimizer's: tensors and plain values by parameter, and the options of each group."""

    model_config = CHECKED
    state: dict[int, dict[str, torch.Tensor | Scalar]]
    param_groups: list[dict[str, Scalar | list[Scalar] | tuple[Scalar, ...]]]


class WithinEpoch(BaseModel):
    """What a checkpoint from within an epoch has: the epoch's sums so far, and the state of each rank's generators."""

    model_config = CHECKED
    sums: dict[str, torch.Tensor]
    streams: list[dict[str, torch.Tensor]]


class Content(BaseModel):
    """What is used of a checkpoint when a network is read or a run goes on, but for Lightning's own loops."""

    model_config = CHECKED
    trainlab: Annotated[RunMetadata, BeforeValidator(lambda plain: RunMetadata(**plain))]
    progress: Annotated[Progress, BeforeValidator(lambda plain: Progress(**plain))]
    state_dict: dict[str, torch.Tensor]
    callbacks: dict[str, dict[str, Any]] = {}
    optimizer_states: list[OptimizerState] = []
    lr_schedulers: list[dict[str, Any]] = []
    plateau: dict[str, Scalar | list[Scalar]] | None = None
    within_epoch: WithinEpoch | None = None


def _load(path: Path, remark: str = "") -> Saved | None:
    """None for what cannot be read, or not as it was written."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch does not look at the checksums of tensors
                return None
            pickled = [name for name in archive.namelist() if name.endswith(".pkl")]
            if len(pickled) != 1 or not _names_tensors_only(archive.read(pickled[0])):
                return None
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        told = Content.model_validate(content)
        if not _tensors_are_in_the_file(content):
            return None
        weights = {n.removeprefix(PREFIX): w for n, w in told.state_dict.items() if n.startswith(PREFIX)}
        return Saved(path, told.trainlab, weights, told.progress, remark)
    except Exception:  # arbitrary bytes can raise anything here
        return None


def _names_tensors_only(pickled: bytes) -> bool:
    """torch's own list for `weights_only` has more, such as bytearray, which makes as many bytes as it is told."""
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in ("STACK_GLOBAL", "INST", "OBJ"):
            return False
        if operation.name == "GLOBAL" and not TENSORS.fullmatch(str(argument)):
            return False
    return True


def _tensors_are_in_the_file(content: Any) -> bool:
    """Whether each has as many bytes as it has values: a view with strides of zero can be of any size."""
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, torch.Tensor):
            if node.numel() * node.element_size() > node.untyped_storage().nbytes():
                return False
        elif isinstance(node, dict):
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node
    return True


def load_weights(net: nn.Module, saved: Saved, name: str) -> None:
    """Load the weights of a checkpoint into `net`. name: what the user called the checkpoint. Raises InputError,
    naming the first difference, for another network's.
    """
    own = net.state_dict()
    for key in [*own, *saved.weights]:
        here, there = own.get(key), saved.weights.get(key)
        if here is None or there is None or here.shape != there.shape:
            what = [
                f"{key} is {'missing' if w is None else 'of ' + '×'.join(map(str, w.shape))}" for w in (there, here)
            ]
            raise InputError(
                f"ckpt={name} is of another network (model={name_of(saved, 'model')}, "
                f"data={name_of(saved, 'data')}): {what[0]} there and {what[1].split(' ', 2)[-1]} here.",
                option="ckpt",
                value=name,
            )
    net.load_state_dict(saved.weights)


def name_of(saved: Saved, group: str) -> str:
    """Which choice of a group, such as `model`, a run had, for people to read."""
    node = saved.facts.config.get(group)
    return str(node.get("name")) if isinstance(node, dict) else "none"


def validates(trainer: L.Trainer) -> bool:
    """Whether this epoch ends with a validation."""
    return (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0


# What a resumed run has in common with what it goes on from
RESUMED = ("seed", "model", "optim", "reg", "loss", "aug", "data")
MOVABLE = ("root", "download", "load", "_target_", "on_bad_image")  # of these, what says only where data and code are


def refuse_other_run(saved: Saved, config: Mapping[str, Any], name: str) -> None:
    """Raises InputError for the first option that is not as it was: the optimiser's state would silently win over it.

    config: the resolved configuration of the run that is to go on.
    """
    before = OmegaConf.to_container(saved.config, resolve=True)
    assert isinstance(before, dict)
    for group in RESUMED:
        old, new = before.get(group), config[group]
        old, new = (old, new) if isinstance(old, dict) else ({"": old}, {"": new})
        for key in sorted({*old, *new} - set(MOVABLE)):
            if old.get(key) != new.get(key):
                option = f"{group}.{key}".rstrip(".")
                raise InputError(
                    f"ckpt={name} was trained with {option}={old.get(key)}, and {option}={new.get(key)} is asked for",
                    option="ckpt",
                    value=name,
                    hint="a resumed run goes on as it began, so leave that option as it was or start a new run",
                )


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints appear on the disk whole or not at all; last.ckpt leaves the one before it as previous.ckpt."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the checkpoint whole or not at all. Raises RunError where the disk does not take it."""
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_open(path) as file:
                torch.save(checkpoint, file)
                file.flush()  # a full disk shows here, before the old one is touched
                if path.name == LAST and path.exists():
                    _link(path, path.with_name(PREVIOUS))
        except (OSError, RuntimeError) as error:  # torch makes a RuntimeError of a full disk
            cause = (error if isinstance(error, OSError) else error.__context__) or error
            reason = getattr(cause, "strerror", None) or str(cause).splitlines()[0]
            raise RunError(f"the checkpoint {path} cannot be written ({reason}).") from error


def _link(old: Path, new: Path) -> None:
    """`new` names the same content as `old`, at no cost; where the file system has no links, a copy."""
    beside = new.with_name(f".{new.name}.tmp")
    beside.unlink(missing_ok=True)
    try:
        beside.hardlink_to(old)
    except OSError:
        shutil.copyfile(old, beside)
    beside.replace(new)


class SaveLast(Checkpoint):
    """last.ckpt, after every epoch with a validation and after the epoch in which the run ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LAST
        self.step: int | None = None

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save where the epoch ends with a validation, or ends the run."""
        if validates(trainer) or trainer.should_stop:
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Write last.ckpt now. A collective call: every rank has to make it."""
        trainer.save_checkpoint(self.path)
        self.step = trainer.global_step

    def is_of_now(self, trainer: L.Trainer) -> bool:
        """Whether the last checkpoint was written after the last step."""
        return self.step == trainer.global_step

    @property
    def exists(self) -> bool:
        """Whether there is a last.ckpt."""
        return self.path.is_file()


class SaveBest(ModelCheckpoint):
    """best.ckpt, which a resumed run takes along: its new epochs have to be better than the old ones."""

    def __init__(self, folder: Path, monitor: str, beside: Path | None = None) -> None:
        """beside: the folder of the checkpoint from which the run goes on."""
        super().__init__(
            folder, "best", monitor, mode="min", save_on_train_epoch_end=True, enable_version_counter=False
        )
        self.beside = beside

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare, and save, only where the epoch has a validation."""
        if validates(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def put_back(self, net: nn.Module) -> int:
        """Load the best weights into `net`; returns after how many epochs they were saved."""
        chosen = read(self.best_model_path)
        load_weights(net, chosen, self.best_model_path)
        return chosen.progress.epochs

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the best value so far, and bring its checkpoint along into this run's directory."""
        new = Path(str(self.dirpath)) / "best.ckpt"
        # Beside first: after a move another run may have the old name.
        here = [*([self.beside / "best.ckpt"] if self.beside else []), Path(state_dict["best_model_path"])]
        old = next((path for path in here if path.name == "best.ckpt" and _load(path) is not None), None)
        if old is None:  # a file may name any other: only what is such a checkpoint is copied
            return
        if old != new:
            _copy(old, new)
        moved = {"best_model_path": str(new), "kth_best_model_path": str(new), "dirpath": self.dirpath}
        super().load_state_dict(state_dict | moved | {"best_k_models": {str(new): state_dict["best_model_score"]}})


@rank_zero_only
def _copy(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    with open(old, "rb") as source, atomic_open(new) as file:
        shutil.copyfileobj(source, file)
