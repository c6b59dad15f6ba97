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
from trainlab.data.streams import Evaluation, Feed, Sets
from trainlab.metrics import StackedSums
from trainlab.models.stacked import Room, StackedNet
from trainlab.sweeps.stacked.descent import Descent, Rates, StackedLoss, rule_of
from trainlab.sweeps.stacked.member import Member, Rows, Snapshot, Standing

TOGETHER = 2**18  # float32 outputs of a block of steps: 1 MiB, which is counted in one go
SHOWN = 2**21  # float32 inputs of a block of steps: 8 MiB
HELD = 2**22  # float32 values of all layers that a pass without training holds: 16 MiB
MASKS = 1  # of the stream of dropout's masks, beside seed and epoch


@dataclass
class State:
    """What changes in training, stacked: weights and biases of each layer, and their velocities."""

    weights: list[Tensor]
    biases: list[Tensor]
    velocity: list[Tensor]
    bias_velocity: list[Tensor]

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, in one order."""
        return [*self.weights, *self.biases, *self.velocity, *self.bias_velocity]

    def clone(self) -> State:
        """A copy on the CPU."""
        parts = (self.weights, self.biases, self.velocity, self.bias_velocity)
        return State(*([tensor.clone().cpu() for tensor in part] for part in parts))

    def take(self, other: State, members: Tensor) -> None:
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

    state: State
    score: np.ndarray
    snapshots: list[tuple[Any, ...]]  # of each member: all of its snapshot but the tensors


class Company:
    """Members that are computed together, neighbours with the same activations, data and seed beside each other.

    epochs: that are done, the same for all. active: bool (K,), which members still train. errors: of failed ones, by
    their places. left: what stood when a member ended before the others.
    """

    def __init__(self, members: Sequence[Member], standings: Sequence[Standing | None], sets: Sets) -> None:
        first = members[0]
        self.members, self.sets, self.device = list(members), sets, sets.device
        self.trainer: dict[str, Any] = dict(first.cfg.trainer)
        self.monitor = self.trainer["monitor"]
        modules = [member.parts.data for member in members]
        groups = [list(same) for _, same in groupby(modules, key=id)]
        self.net = StackedNet([m.parts.net for m in members], [len(group) for group in groups], self.device)
        self.feed = Feed([group[0] for group in groups], sets)
        self.rules = [rule_of(member.cfg.optim, member.parts.l2) for member in members]
        self.rates = Rates(self.rules, self.trainer["max_epochs"] * self.feed.steps)
        self.descent = Descent(self.net, self.rules, first.parts.loss)
        self.validation = list(self.validations()) if len(first.parts.data.sets.val) else []
        self.rooms: dict[Any, Room] = {}
        self.state = State(
            self.net.weights,
            self.net.biases,
            self.descent.velocity,
            self.net.by_layer(self.descent.bias_velocity),
        )
        size = len(members)
        self.epochs, self.images, self.seconds = 0, 0, 0.0
        self.active, self.errors = np.ones(size, bool), dict[int, str]()
        self.left: dict[int, Standing] = {}
        self.waited, self.lowest = np.zeros(size, np.int64), np.full(size, np.inf)
        self.columns: list[str] = []
        self.history: list[Tensor] = []  # of each epoch: float64 (K, columns)
        self.best: Best | None = None
        self.watches = bool(self.validation) or self.monitor.startswith("train/")
        self.formed = 0
        known = {place: standing for place, standing in enumerate(standings) if standing is not None}
        if known:
            self.go_on(known)

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
        began = time.perf_counter()
        sums = StackedSums(self.size, self.feed.classes, self.device)
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
        self.fail(values, broken)
        self.note(values, seconds)
        ended = self.step_plateaus(values) | self.see_who_stops(values, validates)
        if validates and self.watches:
            self.keep_best(values[self.monitor].numpy())
        if not last:
            for place in np.flatnonzero(ended & self.active):
                self.left[int(place)] = self.standing(int(place), ended=True)
        self.active &= ~(ended | last)

    def train(self, sums: StackedSums) -> dict[int, int]:
        """The updates of an epoch. Returns the places of members whose loss became no number, and in which update."""
        net, descent, feed = self.net, self.descent, self.feed
        first, broken, done = self.epochs * feed.steps, dict[int, int](), 0
        eta, decay = descent.factors(self.rates.over(first, feed.steps))
        descent.set_bias_ratio(self.rates.base[1] / self.rates.base[0])
        streams = self.streams()
        for block in feed.epoch(self.epochs, self.most_steps()):
            steps, _, examples, _ = block.inputs.shape
            room = self.room(("train", examples), partial(Room, net, examples))
            outputs = net.bias.new_empty(steps, *room.outputs[-1].shape)
            kept = torch.empty_like(outputs)
            targets = block.targets if net.alike else net.spread(block.targets, 1)
            draws = self.draw(streams, steps, examples)
            for step in range(steps):
                room.outputs[-1] = outputs[step]
                if draws is not None:
                    self.make_masks(room, draws[step])
                number = done + step
                by = None if decay is None else decay[number]
                descent.step(block.inputs[step], targets[step], eta[number], by, room, kept[step])
            labels = net.spread(block.labels, 1)
            means = sums.update(outputs, labels, descent.loss.each(kept, labels))
            if not (fine := means.isfinite()).all():
                for place in (~fine.all(0)).nonzero()[:, 0].tolist():
                    broken.setdefault(place, done + int((~fine[:, place]).nonzero()[0]))
            done += steps
        return broken

    def most_steps(self) -> int:
        """How many updates are made between two looks at what they came to."""
        values = self.size * self.feed.classes * self.feed.batch
        hidden = sum(self.net.widths[:-1]) if self.net.keep is not None else 0
        shown = len(self.net.sharing) * self.feed.batch * (self.feed.features + hidden)
        return max(1, min(TOGETHER // values, SHOWN // shown))

    def room(self, key: Any, make: Callable[[], Room]) -> Room:
        """Memory that is kept from one epoch to the next."""
        if key not in self.rooms:
            self.rooms[key] = make()
        return self.rooms[key]

    # Dropout

    def streams(self) -> list[torch.Generator]:
        """The stream of each group's masks: a function of its seed and the epoch, whoever else is in the stack."""
        if self.net.keep is None:
            return []
        keys = [(module.seed, self.epochs, MASKS) for module in self.feed.modules]
        seeds = [int(np.random.SeedSequence(key).generate_state(1)[0]) for key in keys]
        return [torch.Generator(self.device).manual_seed(seed) for seed in seeds]

    def draw(self, streams: list[torch.Generator], steps: int, examples: int) -> Tensor | None:
        """Numbers in [0, 1) for the masks of some steps, float32 (steps, groups, hidden neurons, b)."""
        if not streams:
            return None
        shape = (steps, sum(self.net.widths[:-1]), examples)
        return torch.stack([torch.rand(shape, generator=stream, device=self.device) for stream in streams], 1)

    def make_masks(self, room: Room, draws: Tensor) -> None:
        """1/(1 − p) with probability 1 − p, else 0. draws: (groups, hidden neurons, b)."""
        assert room.masks is not None
        assert self.net.keep is not None
        for mask, keep, drawn in zip(room.masks, self.net.keep, draws.split(self.net.widths[:-1], 1), strict=True):
            torch.lt(self.net.spread(drawn), keep, out=mask)
            mask.div_(keep)

    # What an epoch came to

    def validate(self) -> dict[str, Tensor]:
        """The values of the validation, each float64 (K,)."""
        return measure(self.net, self.validation, self.descent.loss, self.feed.classes, self.room)

    def fail(self, values: dict[str, Tensor], broken: dict[int, int]) -> None:
        """Those whose loss or weights are no numbers end here, with a single run's sentence."""
        fine = torch.stack([v.isfinite() for name, v in values.items() if not name.endswith("_error")]).all(0)
        places = {*broken, *np.flatnonzero(~fine.numpy()).tolist()}
        for place in sorted(places):
            if self.active[place]:
                together = self.members[place].parts.data.steps_per_execution
                step = broken.get(place, self.feed.steps - 1)
                told = min((step // together + 1) * together, self.feed.steps)  # where a single run looks at its loss
                lr = self.rates.now((self.epochs - 1) * self.feed.steps + told)[place]
                self.errors[place] = str(diverged(self.epochs - 1, lr))
                self.left[place] = self.standing(place, ended=True)
                self.active[place] = False

    def note(self, values: dict[str, Tensor], seconds: float) -> None:
        """The epoch's row of each member, its columns in a single run's order."""
        active = max(1, int(self.active.sum()))
        self.images += self.feed.samples
        self.seconds += seconds / active  # each has its share
        ones = torch.ones(self.size, dtype=torch.float64)
        row = {
            "epoch": self.epochs * ones,
            "step": self.epochs * self.feed.steps * ones,
            "images_seen": self.images * ones,
            "training_seconds": self.seconds * ones,
            **{name: value for name, value in values.items() if name != "weight_norm"},
            "weight_norm": values["weight_norm"],
            "lr": torch.from_numpy(self.rates.now(self.epochs * self.feed.steps)),
            "images_per_second": self.feed.samples * active / max(seconds, 1e-9) * ones,
        }
        if self.validation and not self.columns:
            names = [f"val/{name}" for name in StackedSums(1, self.feed.classes).compute()]
            self.columns = [*list(row)[: list(row).index("train/objective") + 1], *names, *list(row)[-3:]]
        self.columns = self.columns or list(row)
        missing = torch.nan * ones
        self.history.append(torch.stack([row.get(name, missing) for name in self.columns], 1))

    def step_plateaus(self, values: dict[str, Tensor]) -> np.ndarray:
        """Tell the plateaus; returns which members have had all their drops, bool (K,)."""
        ended = np.zeros(self.size, bool)
        if self.monitor not in values:
            return ended
        if any(self.rates.plateaus):
            for place in np.flatnonzero(self.active).tolist():
                ended[place] = self.rates.step_plateau(place, float(values[self.monitor][place]))
        return ended

    def see_who_stops(self, values: dict[str, Tensor], validates: bool) -> np.ndarray:
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

    def keep_best(self, now: np.ndarray) -> None:
        """Take a copy of those who are better than ever. now: float64 (K,)."""
        if self.best is None:
            self.best = Best(self.state.clone(), np.full(self.size, np.inf), [()] * self.size)
            better = self.active.copy()
        else:
            better = self.active & (now < self.best.score)
        if better.any():
            self.best.state.take(self.state, torch.from_numpy(better))
            self.best.score = np.where(better, now, self.best.score)
            for place in np.flatnonzero(better).tolist():
                self.best.snapshots[place] = self.facts(place)

    # How far each has come

    def facts(self, place: int) -> tuple[Any, ...]:
        """Of a member's snapshot, all but the tensors."""
        plateau = self.rates.plateaus[place]
        steps = self.epochs * self.feed.steps
        return (
            self.epochs,
            steps,
            float(self.rates.now(steps)[place]),
            dict(plateau.state_dict()) if plateau is not None else None,
            int(self.waited[place]),
            float(self.lowest[place]),
        )

    def snapshot(self, place: int, state: State, facts: tuple[Any, ...]) -> Snapshot:
        """A member's part of `state`, in views."""
        epochs, steps, *rest = facts
        weights = self.net.named(place, state.weights, state.biases)
        velocity = self.net.named(place, state.velocity, state.bias_velocity)
        return Snapshot(epochs, steps, weights, velocity if self.rules[place].remembers else None, *rest)

    def standing(self, place: int, *, ended: bool) -> Standing:
        """One member's, copied."""
        best, error = None, self.errors.get(place)
        if self.best is not None and self.best.snapshots[place]:
            best = copied(self.snapshot(place, self.best.state, self.best.snapshots[place]))
        last = None if error else copied(self.snapshot(place, self.state, self.facts(place)))
        rows = torch.stack([row[place] for row in self.history]) if self.history else NO_ROWS
        return self.as_standing(place, last, best, rows, ended)

    def standings(self) -> list[Standing]:
        """Every member's, copied, in views of few large tensors."""
        ended = self.epochs == self.trainer["max_epochs"]
        if self.active.sum() <= self.size // 2:  # no copy of those who have left
            return [self.left.get(place) or self.standing(place, ended=ended) for place in range(self.size)]
        state, best = self.state.clone(), self.best.state.clone() if self.best is not None else None
        rows = torch.stack(self.history, 1) if self.history else NO_ROWS.expand(self.size, 0, 0)
        found = []
        for place in range(self.size):
            if place in self.left:
                found.append(self.left[place])
                continue
            last, kept = self.snapshot(place, state, self.facts(place)), None
            if best is not None and self.best is not None:
                kept = self.snapshot(place, best, self.best.snapshots[place])
            found.append(self.as_standing(place, last, kept, rows[place], ended))
        return found

    def as_standing(
        self, place: int, last: Snapshot | None, best: Snapshot | None, rows: Tensor, ended: bool
    ) -> Standing:
        """What `Standing` holds of one member. rows: float64 (epochs, columns)."""
        return Standing(
            self.members[place].name,
            last,
            Rows(list(self.columns), rows),
            ended,
            self.errors.get(place),
            best,
            float(self.best.score[place]) if best is not None and self.best is not None else None,
            self.images,
            self.seconds,
            self.formed,
        )

    def go_on(self, known: dict[int, Standing]) -> None:
        """Start from where an earlier company, or an earlier process, had come. known: of each place; one that has
        ended is only computed along.
        """
        self.left = {place: standing for place, standing in known.items() if standing.ended}
        self.errors = {place: standing.error for place, standing in self.left.items() if standing.error is not None}
        self.active[list(self.left)] = False
        going = {place: standing for place, standing in known.items() if place not in self.left}
        lasts = {place: standing.last for place, standing in going.items() if standing.last is not None}
        one = next(iter(going.values()))
        epochs = {last.epochs for last in lasts.values()}
        assert len(known) == self.size, "some members begin and others go on"
        assert len(epochs) == 1, f"members after {sorted(epochs)} epochs"
        self.epochs, self.images, self.seconds, self.formed = epochs.pop(), one.images, one.seconds, one.formed
        self.put(self.state, lasts)
        for place, last in lasts.items():
            self.waited[place], self.lowest[place] = last.waited, last.lowest
            self.rates.restore(place, last.plateau)
        self.columns = list(one.rows.columns)
        rows = torch.full((self.size, *one.rows.values.shape), torch.nan, dtype=torch.float64)
        for place, standing in going.items():
            rows[place] = standing.rows.values
        self.history = list(rows.unbind(1))
        bests = {place: standing.best for place, standing in going.items() if standing.best is not None}
        if bests:
            score = np.array([known[place].best_score if place in bests else np.inf for place in range(self.size)])
            self.best = Best(self.state.clone(), score.astype(np.float64), [()] * self.size)
            self.put(self.best.state, bests)
            for place, b in bests.items():
                self.best.snapshots[place] = (b.epochs, b.steps, b.lr, b.plateau, b.waited, b.lowest)

    def put(self, state: State, snapshots: Mapping[int, Snapshot]) -> None:
        """Copy snapshots into stacked tensors, each at its place."""
        for place, snapshot in snapshots.items():
            for weights, biases, named in (
                (state.weights, state.biases, snapshot.weights),
                (state.velocity, state.bias_velocity, snapshot.velocity),
            ):
                for name, own in self.net.named(place, weights, biases).items():
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
    room: Callable[[Any, Callable[[], Room]], Room],
) -> dict[str, Tensor]:
    """Loss and errors on a set without dropout, each float64 (K,). room: memory by a key, made where there is none."""
    found: list[dict[str, Tensor]] = []
    for members, evaluation in sets:
        part = net.part(members)
        sums = StackedSums(part.size, classes, net.device)
        for inputs, labels in evaluation.parts(at_a_time(part)):
            examples = len(labels)
            outputs = part.forward(
                inputs, room((members.start, examples), partial(Room, part, examples, training=False))
            )
            whole = labels.expand(1, part.size, -1)
            sums.update(outputs[None], whole, loss.of_outputs(outputs[None], whole))
        found.append(sums.compute())
    return {name: torch.cat([values[name] for values in found]) for name in found[0]}


def at_a_time(net: StackedNet) -> int:
    """How many examples are passed through the networks together without training."""
    return max(1, min(1024, HELD // (net.size * sum(net.widths))))
