"""The members of a stack that are computed together: one epoch of all, and what it comes to for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainlab.classifier import diverged
from trainlab.data.stacked import Evaluation, Sets, StackedLoader
from trainlab.metrics import StackedSums
from trainlab.models.stacked import Buffers, StackedNet
from trainlab.sweeps.stacked.descent import Descent, Rates, StackedLoss, rule_of
from trainlab.sweeps.stacked.member import Member, MemberState, Rows, Snapshot

BLOCK_OUTPUTS = 2**18  # float32 outputs of a block of steps: 1 MiB, which is counted in one go
BLOCK_INPUTS = 2**21  # float32 inputs of a block of steps: 8 MiB
EVALUATED_VALUES = 2**22  # float32 values of all layers that a pass without training holds: 16 MiB
MASK_STREAM = 1  # of the stream of dropout's masks, beside seed and epoch


@dataclass
class StackedState:
    """What changes in training, stacked: weights and biases of each layer, and their velocities."""

    weights: list[Tensor]
    biases: list[Tensor]
    velocity: list[Tensor]
    bias_velocity: list[Tensor]

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, in one order."""
        return [*self.weights, *self.biases, *self.velocity, *self.bias_velocity]

    def clone(self) -> StackedState:
        """A copy on the CPU."""
        parts = (self.weights, self.biases, self.velocity, self.bias_velocity)
        return StackedState(*([tensor.clone().cpu() for tensor in part] for part in parts))

    def copy_members(self, other: StackedState, members: Tensor) -> None:
        """Copy some members' part. members: bool (K,)."""
        if members.all():
            for own, its in zip(self.tensors, other.tensors, strict=True):
                own.copy_(its)
            return
        where = members.nonzero()[:, 0]
        for own, its in zip(self.tensors, other.tensors, strict=True):
            own[where] = its[where.to(its.device)].to(own.device)


@dataclass
class Best:
    """The best state of each member so far. score: the least trainer.monitor; the others as in `Snapshot`."""

    state: StackedState
    score: np.ndarray
    snapshots: list[tuple[Any, ...]]  # of each member: all of its snapshot but the tensors


class Cohort:
    """Members that are computed together, neighbours with the same activations, data and seed beside each other.

    epochs: that are done, the same for all. active: bool (K,), which members still train. errors: of failed ones, by
    their indices. finished: the state of each member that ended before the others. before: the tensors at the
    beginning of the epoch, the last good ones of a member that fails in it.
    """

    def __init__(self, members: Sequence[Member], member_states: Sequence[MemberState | None], sets: Sets) -> None:
        first = members[0]
        self.members, self.sets, self.device = list(members), sets, sets.device
        self.trainer: dict[str, Any] = dict(first.cfg.trainer)
        self.monitor = self.trainer["monitor"]
        modules = [member.parts.data for member in members]
        groups = [list(same) for _, same in groupby(modules, key=id)]
        self.net = StackedNet([m.parts.net for m in members], [len(group) for group in groups], self.device)
        self.loader = StackedLoader([group[0] for group in groups], sets)
        self.rules = [rule_of(member.cfg.optim, member.parts.l2) for member in members]
        self.rates = Rates(self.rules, self.trainer["max_epochs"] * self.loader.steps)
        self.descent = Descent(self.net, self.rules, first.parts.loss)
        self.validation = list(self.validations()) if len(first.parts.data.sets.val) else []
        self.buffers: dict[Any, Buffers] = {}
        self.state = StackedState(
            self.net.weights,
            self.net.biases,
            self.descent.velocity,
            self.net.by_layer(self.descent.bias_velocity),
        )
        self.before = StackedState(*([torch.zeros_like(t) for t in part] for part in vars(self.state).values()))
        size = len(members)
        self.epochs, self.images, self.seconds = 0, 0, 0.0
        self.active, self.errors = np.ones(size, bool), dict[int, str]()
        self.finished: dict[int, MemberState] = {}
        self.waited, self.lowest = np.zeros(size, np.int64), np.full(size, np.inf)
        self.columns: list[str] = []
        self.history: list[Tensor] = []  # of each epoch: float64 (K, columns)
        self.best: Best | None = None
        self.watches = bool(self.validation) or self.monitor.startswith("train/")
        self.formed_at = 0
        known = {index: state for index, state in enumerate(member_states) if state is not None}
        if known:
            self.resume(known)

    @property
    def size(self) -> int:
        """How many members there are."""
        return len(self.members)

    def validations(self) -> Iterator[tuple[slice, Evaluation]]:
        """The validation set of those neighbours that have the same one."""
        begin = 0
        for _, same in groupby((member.parts.data for member in self.members), key=lambda data: id(data.sets)):
            some = list(same)
            yield slice(begin, begin + len(some)), self.sets.evaluation(some[0], "val")
            begin += len(some)

    # An epoch

    def epoch(self) -> None:
        """Train one epoch, validate if it is time, write the row, and see who ends."""
        last = self.epochs + 1 == self.trainer["max_epochs"]
        validates = last or (self.epochs + 1) % self.trainer["validate_every"] == 0
        for own, now in zip(self.before.tensors, self.state.tensors, strict=True):
            own.copy_(now)
        began = time.perf_counter()
        sums = StackedSums(self.size, self.loader.classes, self.device)
        broken = self.train(sums)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        sizes = torch.stack([w.flatten(1).norm(dim=1) for w in self.net.weights]).square().sum(0)
        values = {f"train/{name}": value for name, value in sums.compute().items()}
        decay = torch.tensor([rule.weight_decay for rule in self.rules], dtype=torch.float64, device=self.device)
        values["train/objective"] = values["train/loss"] + 0.5 * decay * sizes
        if validates and self.validation:
            values |= {f"val/{name}": value for name, value in self.validate().items()}
        values["weight_norm"] = sizes.sqrt().double()
        values = {name: value.cpu() for name, value in values.items()}
        self.epochs += 1
        self.mark_failed(values, broken)
        self.record(values, seconds)
        ended = self.step_plateaus(values) | self.stop_early(values, validates)
        if validates and self.watches:
            self.update_best(values[self.monitor].numpy())
        if not last:
            for index in np.flatnonzero(ended & self.active):
                self.finished[int(index)] = self.member_state(int(index), ended=True)
        self.active &= ~(ended | last)

    def train(self, sums: StackedSums) -> dict[int, int]:
        """The updates of an epoch. Returns the indices of members whose loss became no number, and in which update."""
        net, descent, loader = self.net, self.descent, self.loader
        first, broken, done = self.epochs * loader.steps, dict[int, int](), 0
        eta, decay = descent.factors(self.rates.over(first, loader.steps))
        descent.set_bias_ratio(self.rates.base[1] / self.rates.base[0])
        streams = self.streams()
        for block in loader.epoch(self.epochs, self.most_steps()):
            steps, _, examples, _ = block.inputs.shape
            buffers = self.buffers_for(("train", examples), partial(Buffers, net, examples))
            outputs = net.bias.new_empty(steps, *buffers.outputs[-1].shape)
            saved = torch.empty_like(outputs)
            targets = block.targets if net.equal_groups else net.per_member(block.targets, 1)
            draws = self.draw(streams, steps, examples)
            for step in range(steps):
                buffers.outputs[-1] = outputs[step]
                if draws is not None:
                    self.make_masks(buffers, draws[step])
                number = done + step
                by = None if decay is None else decay[number]
                descent.step(block.inputs[step], targets[step], eta[number], by, buffers, saved[step])
            labels = net.per_member(block.labels, 1)
            means = sums.update(outputs, labels, descent.loss.each(saved, labels))
            if not (fine := means.isfinite()).all():
                for index in (~fine.all(0)).nonzero()[:, 0].tolist():
                    broken.setdefault(index, done + int((~fine[:, index]).nonzero()[0]))
            done += steps
        return broken

    def most_steps(self) -> int:
        """How many updates are made between two looks at what they came to."""
        values = self.size * self.loader.classes * self.loader.batch
        hidden = sum(self.net.widths[:-1]) if self.net.keep is not None else 0
        shown = len(self.net.group_sizes) * self.loader.batch * (self.loader.features + hidden)
        return max(1, min(BLOCK_OUTPUTS // values, BLOCK_INPUTS // shown))

    def buffers_for(self, key: Any, make: Callable[[], Buffers]) -> Buffers:
        """Memory that is used again from one epoch to the next."""
        if key not in self.buffers:
            self.buffers[key] = make()
        return self.buffers[key]

    # Dropout

    def streams(self) -> list[torch.Generator]:
        """The stream of each group's masks: a function of its seed and the epoch, whoever else is in the stack."""
        if self.net.keep is None:
            return []
        keys = [(module.seed, self.epochs, MASK_STREAM) for module in self.loader.modules]
        seeds = [int(np.random.SeedSequence(key).generate_state(1)[0]) for key in keys]
        return [torch.Generator(self.device).manual_seed(seed) for seed in seeds]

    def draw(self, streams: list[torch.Generator], steps: int, examples: int) -> Tensor | None:
        """Numbers in [0, 1) for the masks of some steps, float32 (steps, groups, hidden neurons, b)."""
        if not streams:
            return None
        shape = (steps, sum(self.net.widths[:-1]), examples)
        return torch.stack([torch.rand(shape, generator=stream, device=self.device) for stream in streams], 1)

    def make_masks(self, buffers: Buffers, draws: Tensor) -> None:
        """1/(1 − p) with probability 1 − p, else 0. draws: (groups, hidden neurons, b)."""
        assert buffers.masks is not None
        assert self.net.keep is not None
        for mask, keep, drawn in zip(buffers.masks, self.net.keep, draws.split(self.net.widths[:-1], 1), strict=True):
            torch.lt(self.net.per_member(drawn), keep, out=mask)
            mask.div_(keep)

    # What an epoch came to

    def validate(self) -> dict[str, Tensor]:
        """The values of the validation, each float64 (K,)."""
        return measure(self.net, self.validation, self.descent.loss, self.loader.classes, self.buffers_for)

    def mark_failed(self, values: dict[str, Tensor], broken: dict[int, int]) -> None:
        """Those whose loss or weights are no numbers end here, with a single run's sentence."""
        fine = torch.stack([v.isfinite() for name, v in values.items() if not name.endswith("_error")]).all(0)
        indices = {*broken, *np.flatnonzero(~fine.numpy()).tolist()}
        for index in sorted(indices):
            if self.active[index]:
                together = self.members[index].parts.data.steps_per_execution
                step = broken.get(index, self.loader.steps - 1)
                told = min((step // together + 1) * together, self.loader.steps)  # where a single run looks at its loss
                lr = self.rates.now((self.epochs - 1) * self.loader.steps + told)[index]
                self.errors[index] = str(diverged(self.epochs - 1, lr))
                self.finished[index] = self.member_state(index, ended=True)
                self.active[index] = False

    def record(self, values: dict[str, Tensor], seconds: float) -> None:
        """The epoch's row of each member, its columns in a single run's order."""
        active = max(1, int(self.active.sum()))
        self.images += self.loader.samples
        self.seconds += seconds / active  # each has its share
        ones = torch.ones(self.size, dtype=torch.float64)
        row = {
            "epoch": self.epochs * ones,
            "step": self.epochs * self.loader.steps * ones,
            "images_seen": self.images * ones,
            "training_seconds": self.seconds * ones,
            **{name: value for name, value in values.items() if name != "weight_norm"},
            "weight_norm": values["weight_norm"],
            "lr": torch.from_numpy(self.rates.now(self.epochs * self.loader.steps)),
            "images_per_second": self.loader.samples * active / max(seconds, 1e-9) * ones,
        }
        if self.validation and not self.columns:
            names = [f"val/{name}" for name in StackedSums(1, self.loader.classes).compute()]
            self.columns = [*list(row)[: list(row).index("train/objective") + 1], *names, *list(row)[-3:]]
        self.columns = self.columns or list(row)
        missing = torch.nan * ones
        self.history.append(torch.stack([row.get(name, missing) for name in self.columns], 1))

    def step_plateaus(self, values: dict[str, Tensor]) -> np.ndarray:
        """Step the plateau schedulers; returns which members have had all their drops, bool (K,)."""
        ended = np.zeros(self.size, bool)
        if self.monitor not in values:
            return ended
        if any(self.rates.plateaus):
            for index in np.flatnonzero(self.active).tolist():
                ended[index] = self.rates.step_plateau(index, float(values[self.monitor][index]))
        return ended

    def stop_early(self, values: dict[str, Tensor], validates: bool) -> np.ndarray:
        """Whose target or patience ends it, bool (K,): Lightning's EarlyStopping for each."""
        patience, target = self.trainer["patience"], self.trainer["target"]
        ended = np.zeros(self.size, bool)
        if (patience is None and target is None) or self.monitor not in values:
            return ended
        now = values[self.monitor].numpy()
        reached = now < target if target is not None else ended
        better = ~reached & (now < self.lowest)
        worse = ~reached & ~better
        self.lowest = np.where(better, now, self.lowest)
        self.waited = np.where(better, 0, self.waited + worse)
        return reached | (worse & (self.waited >= (patience or self.trainer["max_epochs"] + 1)))

    def update_best(self, now: np.ndarray) -> None:
        """Take a copy of those who are better than ever. now: float64 (K,)."""
        if self.best is None:
            self.best = Best(self.state.clone(), np.full(self.size, np.inf), [()] * self.size)
            better = self.active.copy()
        else:
            better = self.active & (now < self.best.score)
        if better.any():
            self.best.state.copy_members(self.state, torch.from_numpy(better))
            self.best.score = np.where(better, now, self.best.score)
            for index in np.flatnonzero(better).tolist():
                self.best.snapshots[index] = self.snapshot_fields(index)

    # How far each has come

    def snapshot_fields(self, index: int, epochs: int | None = None) -> tuple[Any, ...]:
        """Of a member's snapshot, all but the tensors. epochs: that it has done, if not as many as all."""
        plateau = self.rates.plateaus[index]
        epochs = self.epochs if epochs is None else epochs
        steps = epochs * self.loader.steps
        return (
            epochs,
            steps,
            float(self.rates.now(steps)[index]),
            dict(plateau.state_dict()) if plateau is not None else None,
            int(self.waited[index]),
            float(self.lowest[index]),
        )

    def snapshot(self, index: int, state: StackedState, fields: tuple[Any, ...]) -> Snapshot:
        """A member's part of `state`, in views."""
        epochs, steps, *rest = fields
        weights = self.net.named(index, state.weights, state.biases)
        velocity = self.net.named(index, state.velocity, state.bias_velocity)
        return Snapshot(epochs, steps, weights, velocity if self.rules[index].remembers else None, *rest)

    def member_state(self, index: int, *, ended: bool) -> MemberState:
        """How far one member has come, copied."""
        best, error = None, self.errors.get(index)
        if self.best is not None and self.best.snapshots[index]:
            best = copied(self.snapshot(index, self.best.state, self.best.snapshots[index]))
        now, epochs = (self.state, self.epochs) if error is None else (self.before, self.epochs - 1)
        last = copied(self.snapshot(index, now, self.snapshot_fields(index, epochs))) if epochs else None
        rows = torch.stack([row[index] for row in self.history]) if self.history else NO_ROWS
        return self.make_state(index, last, best, rows, ended)

    def member_states(self) -> list[MemberState]:
        """How far every member has come, copied, in views of few large tensors."""
        ended = self.epochs == self.trainer["max_epochs"]
        if self.active.sum() <= self.size // 2:  # no copy of those that have ended
            return [self.finished.get(index) or self.member_state(index, ended=ended) for index in range(self.size)]
        state, best = self.state.clone(), self.best.state.clone() if self.best is not None else None
        rows = torch.stack(self.history, 1) if self.history else NO_ROWS.expand(self.size, 0, 0)
        found = []
        for index in range(self.size):
            if index in self.finished:
                found.append(self.finished[index])
                continue
            last, best_snapshot = self.snapshot(index, state, self.snapshot_fields(index)), None
            if best is not None and self.best is not None:
                best_snapshot = self.snapshot(index, best, self.best.snapshots[index])
            found.append(self.make_state(index, last, best_snapshot, rows[index], ended))
        return found

    def make_state(
        self, index: int, last: Snapshot | None, best: Snapshot | None, rows: Tensor, ended: bool
    ) -> MemberState:
        """What `MemberState` holds of one member. rows: float64 (epochs, columns)."""
        return MemberState(
            self.members[index].name,
            last,
            Rows(list(self.columns), rows),
            ended,
            self.errors.get(index),
            best,
            float(self.best.score[index]) if best is not None and self.best is not None else None,
            self.images,
            self.seconds,
            self.formed_at,
        )

    def resume(self, known: dict[int, MemberState]) -> None:
        """Start from where an earlier cohort, or an earlier process, had come. known: all members, by
        their indices; one that has ended is only computed along.
        """
        self.finished = {index: state for index, state in known.items() if state.ended}
        self.errors = {index: state.error for index, state in self.finished.items() if state.error is not None}
        self.active[list(self.finished)] = False
        going = {index: state for index, state in known.items() if index not in self.finished}
        lasts = {index: state.last for index, state in going.items() if state.last is not None}
        one = next(iter(going.values()))
        epochs = {last.epochs for last in lasts.values()}
        assert len(known) == self.size, "some members begin and others go on"
        assert len(epochs) == 1, f"members after {sorted(epochs)} epochs"
        self.epochs, self.images, self.seconds, self.formed_at = epochs.pop(), one.images, one.seconds, one.formed_at
        self.load_snapshots(self.state, lasts)
        for index, last in lasts.items():
            self.waited[index], self.lowest[index] = last.waited, last.lowest
            self.rates.restore(index, last.plateau)
        self.columns = list(one.rows.columns)
        rows = torch.full((self.size, *one.rows.values.shape), torch.nan, dtype=torch.float64)
        for index, state in going.items():
            rows[index] = state.rows.values
        self.history = list(rows.unbind(1))
        bests = {index: state.best for index, state in going.items() if state.best is not None}
        if bests:
            score = np.array([known[index].best_score if index in bests else np.inf for index in range(self.size)])
            self.best = Best(self.state.clone(), score.astype(np.float64), [()] * self.size)
            self.load_snapshots(self.best.state, bests)
            for index, b in bests.items():
                self.best.snapshots[index] = (b.epochs, b.steps, b.lr, b.plateau, b.waited, b.lowest)

    def load_snapshots(self, state: StackedState, snapshots: Mapping[int, Snapshot]) -> None:
        """Copy snapshots into stacked tensors, each at its index."""
        for index, snapshot in snapshots.items():
            for weights, biases, named in (
                (state.weights, state.biases, snapshot.weights),
                (state.velocity, state.bias_velocity, snapshot.velocity),
            ):
                for name, own in self.net.named(index, weights, biases).items():
                    own.copy_(named[name] if named is not None else torch.zeros(()))


NO_ROWS = torch.zeros(0, 0, dtype=torch.float64)


def copied(snapshot: Snapshot) -> Snapshot:
    """The same with its own tensors, on the CPU."""
    tensors = {name: tensor.detach().clone().cpu() for name, tensor in snapshot.weights.items()}
    velocity = snapshot.velocity and {name: tensor.clone().cpu() for name, tensor in snapshot.velocity.items()}
    return replace(snapshot, weights=tensors, velocity=velocity)


def measure(
    net: StackedNet,
    sets: Sequence[tuple[slice, Evaluation]],
    loss: StackedLoss,
    classes: int,
    buffers_for: Callable[[Any, Callable[[], Buffers]], Buffers],
) -> dict[str, Tensor]:
    """Loss and errors on a set without dropout, each float64 (K,). buffers_for: memory by a key, made where there is
    none.
    """
    found: list[dict[str, Tensor]] = []
    for members, evaluation in sets:
        some = members_at_a_time(net, evaluation)
        for begin in range(members.start, members.stop, some):
            part = net.part(slice(begin, min(begin + some, members.stop)))
            sums = StackedSums(part.size, classes, net.device)
            for inputs, labels in evaluation.parts():
                key = ("measured", part.size, len(labels))
                outputs = part.forward(inputs, buffers_for(key, partial(Buffers, part, len(labels), training=False)))
                whole = labels.expand(1, part.size, -1)
                sums.update(outputs[None], whole, loss.of_outputs(outputs[None], whole))
            found.append(sums.compute())
    return {name: torch.cat([values[name] for values in found]) for name in found[0]}


def members_at_a_time(net: StackedNet, evaluation: Evaluation) -> int:
    """How many networks are measured together. A part of the examples is the same, however many there are."""
    return max(1, EVALUATED_VALUES // (sum(net.widths) * evaluation.at_a_time))
