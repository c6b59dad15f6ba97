"""One point of a stack, ready to be trained, and how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from omegaconf import DictConfig
from torch import Tensor

from trainlab.classifier import Predictions
from trainlab.runtime.assembly import Assembly
from trainlab.runtime.plan import Plan


@dataclass(frozen=True)
class Member:
    """One point of a stack. parts: as `runtime.assembly.assemble` puts a single run's together, its network with the
    weights that the single run begins with; the sets are shared with other points. plan: as a single run's.
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
        raise NotImplementedError


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
    plateau: dict[str, float | int | None | list[float]] | None
    waited: int
    lowest: float


@dataclass
class Standing:
    """How far one member has come: plain values and tensors on the CPU, loadable with weights_only=True by way of
    `plain` and `from_plain`.

    last: after the last of its epochs. ended: no epoch is missing (all done, or the target or patience has ended it).
    error: the sentence of the failed run whose loss was no number (no trailing hint is cut off; as str(RunError)). best:
    the state after the validated epoch with the least trainer.monitor, None before the first, and `best_score` its
    value; best.epochs is "test/epoch". images, seconds: what `Throughput` counts; the seconds are the member's
    share of the stack's, so that those of all members add up to the stack's.
    """

    name: str
    last: Snapshot
    rows: Rows
    ended: bool = False
    error: str | None = None
    best: Snapshot | None = None
    best_score: float | None = None
    images: int = 0
    seconds: float = 0.0

    def plain(self) -> dict[str, object]:
        """As plain containers and tensors, to be saved. Tensors of the standings of one stack are views of few large
        ones: saving the standings of a whole stack in one file writes each of those once.
        """
        raise NotImplementedError

    @classmethod
    def from_plain(cls, plain: dict[str, object]) -> Standing:
        """The standing of which `plain()` is given. Raises KeyError or TypeError for anything else."""
        raise NotImplementedError


@dataclass(frozen=True)
class Tested:
    """The test of one member, of its best weights if there are any, else of its last.

    values: "test/loss", "test/top1_error", … as a single run's. epoch: of the weights.
    """

    values: dict[str, float]
    predictions: Predictions
    epoch: int
    notes: dict[str, float] = field(default_factory=dict)


def make_members(named: Sequence[tuple[str, DictConfig]]) -> list[Member]:
    """The members of a stack: (name, configuration without Hydra's part) of each point. Sets are read once for all
    points with the same options of `data`; every network gets the weights that its single run begins with. Raises
    InputError as a single run does.
    """
    raise NotImplementedError


# training.py has
#
# class Stack:
#     def __init__(self, members: Sequence[Member], standings: Sequence[Standing] | None = None) -> None
#         # standings: of an earlier process, one for each member, in the members' order; None: from the beginning
#     members: list[Member]
#     epochs: int                       # epochs that are done, of the furthest member
#     names_ended: set[str]             # members that need no more epochs, failed ones included
#     def train(self, after_epoch: Callable[[Stack], None] = ...) -> None
#         # after_epoch is called at an epoch's end, but at most some ten times a second, and once at the end;
#         # it may raise (StoppedError): the stack then stands at that epoch's end, and standings() is what to keep.
#     def standings(self) -> list[Standing]        # copies, in the members' order; at an epoch's boundary
#     def test(self) -> list[Tested | None]        # in the members' order; None for a failed member
