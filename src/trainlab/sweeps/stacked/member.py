"""One point of a stack, ready to be trained, and how far it has come."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from trainlab.classifier import Predictions
from trainlab.configuration.build import build
from trainlab.configuration.points import Composed
from trainlab.configuration.stored import with_references
from trainlab.data.module import ImageData
from trainlab.models.summary import LayerSummary, summarize
from trainlab.objective import L2, Loss
from trainlab.runtime.assembly import Assembly, build_net, bytes_per_weight, hardware_for, optimizer_of, read_data
from trainlab.runtime.callbacks import refuse_silent_monitor
from trainlab.runtime.hardware import Hardware
from trainlab.runtime.plan import Plan, plan_run

WHOLE = ("epoch", "step", "images_seen")  # columns of whole numbers


@dataclass(frozen=True)
class Member:
    """One point of a stack. cfg: without Hydra's part, resolved. parts: as `runtime.assembly.assemble` puts a single
    run's together, its network with the weights that the single run begins with. The sets are shared between the
    members, and so is the network with those that begin with the same one: copy it before it is changed. plan: as a
    single run's.
    """

    name: str
    cfg: DictConfig
    parts: Assembly
    plan: Plan


@dataclass
class Rows:
    """A run's rows, as `History` has them for a single run, in a form that costs little for thousands of points.

    columns: their names, in a single run's order ("epoch", "step", …). values: float64 (epochs, columns), NaN where
    the row of that epoch has no such value (no validation in it).
    """

    columns: list[str]
    values: Tensor

    def as_dicts(self) -> list[dict[str, float]]:
        """The rows as `History.rows` of a single run: "epoch", "step" and "images_seen" are int, all else float."""
        whole = [name in WHOLE for name in self.columns]
        return [
            {
                name: int(value) if is_whole else value
                for name, is_whole, value in zip(self.columns, whole, row, strict=True)
                if value == value
            }
            for row in self.values.tolist()
        ]


@dataclass
class Snapshot:
    """The state of one network after whole epochs: what a checkpoint of it needs.

    weights: by their names in the network's state_dict, of the shapes there. velocity: by the same names, of
    `optim.Momentum`; None without momentum. lr: η as the optimizer has it then. plateau: the state_dict of
    torch's ReduceLROnPlateau; None for another schedule. waited, lowest: EarlyStopping's wait_count and best_score
    (0 and inf where there is neither patience nor target).
    """

    epochs: int
    steps: int
    weights: dict[str, Tensor]
    velocity: dict[str, Tensor] | None
    lr: float
    plateau: dict[str, Any] | None
    waited: int
    lowest: float


@dataclass
class MemberState:
    """How far one member has come: plain values and tensors on the CPU, loadable with weights_only=True by way of
    `plain` and `from_plain`.

    last: after the last of its epochs, of a failed member the last good one; None where there is none. ended: no epoch
    is missing (all done, or the target or patience has ended it), or it has failed. error: the sentence of the failed
    run whose loss was no number, as str(RunError). best: the state after the validated epoch with the least
    trainer.monitor, None before the first, and `best_score` its value; best.epochs is "test/epoch". images, seconds:
    what `Throughput` counts; the seconds are the member's share of the stack's, so that those of all members add up to
    the stack's. formed_at: the epoch at which its cohort was formed; a resumed stack forms the same, since a large
    product may have other last bits in another cohort.
    """

    name: str
    last: Snapshot | None
    rows: Rows
    ended: bool = False
    error: str | None = None
    best: Snapshot | None = None
    best_score: float | None = None
    images: int = 0
    seconds: float = 0.0
    formed_at: int = 0

    def plain(self) -> dict[str, Any]:
        """As plain containers and tensors, to be saved. Tensors of the members of one stack are views of few large
        ones: saving a whole stack in one file writes each of those once.
        """
        return {
            **{name: getattr(self, name) for name in PLAIN},
            "last": vars(self.last) if self.last else None,
            "best": vars(self.best) if self.best else None,
            "rows": vars(self.rows),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> MemberState:
        """The state of which `plain()` is given. Raises KeyError or TypeError for anything else."""
        return cls(
            last=Snapshot(**plain["last"]) if plain["last"] else None,
            best=Snapshot(**plain["best"]) if plain["best"] else None,
            rows=Rows(**plain["rows"]),
            **{name: plain[name] for name in PLAIN},
        )


PLAIN = ("name", "ended", "error", "best_score", "images", "seconds", "formed_at")


@dataclass(frozen=True)
class Tested:
    """The test of one member, of its best weights if there are any, else of its last.

    values: "test/loss", "test/top1_error", … as a single run's. epoch: of the weights.
    """

    values: dict[str, float]
    predictions: Predictions
    epoch: int


def make_members(named: Sequence[tuple[str, Composed]]) -> list[Member]:
    """The members of a stack: name and configuration of each point. Whatever two points have in common is made once:
    sets, networks that begin with the same weights. Raises InputError as a single run does.
    """
    factory = MemberFactory()
    return [factory.member(name, composed) for name, composed in named]


class MemberFactory:
    """Makes members, and keeps what others may share, each by the options that it depends on."""

    def __init__(self) -> None:
        self.groups: dict[str, DictConfig] = {}
        self.hardware: dict[str, Hardware] = {}
        self.losses: dict[str, Loss] = {}
        self.bytes_per_weight: dict[str, int] = {}
        self.data: dict[str, dict[int, ImageData]] = {}  # by seed
        self.nets: dict[str, dict[int, nn.Module]] = {}
        self.layers: dict[str, list[LayerSummary]] = {}

    def member(self, name: str, composed: Composed) -> Member:
        """One point, its parts put together as `runtime.assembly.assemble` does it."""
        plain = composed.plain
        cfg = self.config_of(plain)
        key = key_of(plain["optim"])
        if key not in self.bytes_per_weight:
            self.bytes_per_weight[key] = bytes_per_weight(optimizer_of(cfg.optim))
        if (trainer := key_of(plain["trainer"])) not in self.hardware:
            self.hardware[trainer] = hardware_for(cfg)
        if (loss := key_of(plain["loss"])) not in self.losses:
            self.losses[loss] = build("loss", cfg.loss)
        hardware = self.hardware[trainer]
        data = self.data_of(cfg, plain, hardware)
        net, layers = self.net_of(cfg, plain, data, self.bytes_per_weight[key])
        refuse_silent_monitor(plain["trainer"]["monitor"], len(data.classes))
        l2 = L2(plain["reg"]["l2"], plain["reg"]["form"], examples=len(data.sets.train))
        parts = Assembly(cfg, hardware, data, net, self.losses[loss], l2)
        return Member(name, cfg, parts, plan_run(parts, layers, with_references(composed.unresolved, plain)))

    def config_of(self, plain: Mapping[str, Any]) -> DictConfig:
        """The configuration for OmegaConf, its groups shared between the members: a tenth of the time that a copy of
        each takes. To be read, not changed.
        """
        cfg = OmegaConf.create({}, flags={"no_deepcopy_set_nodes": True})
        for name, value in plain.items():
            if isinstance(value, Mapping):
                key = key_of(name, value)
                if key not in self.groups:
                    self.groups[key] = OmegaConf.create(dict(value))
                cfg[name] = self.groups[key]
            else:
                cfg[name] = value
        return cfg

    def data_of(self, cfg: DictConfig, plain: Mapping[str, Any], hardware: Hardware) -> ImageData:
        """The data module; those that differ in the seed alone, of the order and the crops, share the sets."""
        groups = (plain["data"], plain["aug"], plain["model"]["_target_"], plain.get("debug"))
        by_seed = self.data.setdefault(key_of(groups, hardware.channels_last), {})
        seed = plain["seed"]
        if not by_seed:
            by_seed[seed] = read_data(cfg, channels_last=hardware.channels_last)
        if seed not in by_seed:
            by_seed[seed] = copy.copy(next(iter(by_seed.values())))
            by_seed[seed].seed = seed
        return by_seed[seed]

    def net_of(
        self, cfg: DictConfig, plain: Mapping[str, Any], data: ImageData, bytes_per_weight: int
    ) -> tuple[nn.Module, list[LayerSummary]]:
        """The network with its initial weights, and its layers."""
        key = key_of(plain["model"], data.input_shape, len(data.classes))
        by_seed = self.nets.setdefault(key, {})
        seed = plain["seed"]
        if seed not in by_seed:
            torch.manual_seed(seed)  # as a run does before it makes anything
            first = next(iter(by_seed.values()), None)
            if first is None:
                net = build_net(cfg.model, data.input_shape, len(data.classes), bytes_per_weight=bytes_per_weight)
                self.layers[key] = summarize(net, data.input_shape)
            else:  # its options have been checked
                options = {name: value for name, value in plain["model"].items() if name not in ("name", "_target_")}
                net = type(first)(data.input_shape, len(data.classes), **options)
            by_seed[seed] = net
        return by_seed[seed], self.layers[key]


def key_of(*options: Any) -> str:
    """A text that is the same for the same options."""
    return json.dumps(options, default=str)
