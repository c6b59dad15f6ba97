"""The training of a stack from its first epoch to its last, and its test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from trainlab.augment import CENTRE_VIEW
from trainlab.classifier import Predictions
from trainlab.data.stacked import Evaluation, Sets
from trainlab.metrics import StackedSums
from trainlab.models.stacked import Buffers, StackedNet
from trainlab.runtime.assembly import Assembly
from trainlab.runtime.hardware import choose_threads, torch_threads
from trainlab.sweeps.stacked.cohort import Cohort, members_at_a_time
from trainlab.sweeps.stacked.descent import STACKED
from trainlab.sweeps.stacked.member import Member, MemberState, Snapshot, Tested

BETWEEN = 0.1  # seconds between two calls of whoever watches


class Stack:
    """Members whose networks have one shape, trained as one.

    members: which agree in batch size, epochs, loss, validation and ends, and whose sets have the same sizes.
    member_states: of an earlier process, one for each member; None: from the beginning. Those that have not ended
    must have come equally far.
    """

    def __init__(self, members: Sequence[Member], member_states: Sequence[MemberState | None] | None = None) -> None:
        self.members = list(members)
        hardware = members[0].parts.hardware
        self.device = torch.device("cuda" if hardware.accelerator == "gpu" else "cpu")
        known: list[MemberState | None] = list(member_states) if member_states is not None else [None] * len(members)
        self.ended: dict[int, MemberState] = {}
        going = [state for state in known if state is not None and not state.ended]
        formed_at = going[0].formed_at if going else 0
        for number, state in enumerate(known):
            if state is not None and state.ended and (not going or ended_before(state, formed_at)):
                self.ended[number] = state
        self.cohorts: list[Cohort] = []
        self.orders: list[list[int]] = []  # which members each has
        self.form_cohorts({n: state for n, state in enumerate(known) if n not in self.ended})

    def form_cohorts(self, member_states: dict[int, MemberState | None]) -> None:
        """Put those together that are still to be trained, alike beside alike: one cohort for each CPU thread that is
        worth it, each with its share of those who are shown the same.
        """
        count = min(self.threads, len(member_states))
        self.orders = [self.ordered(member_states)[first::count] for first in range(count)]
        self.cohorts, sets = [], Sets(self.device)
        for order in self.orders:
            some = [self.members[number] for number in order]
            self.cohorts.append(Cohort(some, [member_states[number] for number in order], sets))

    def ordered(self, numbers: Iterable[int]) -> list[int]:
        """These members, those beside each other that have activations, sets and seed in common."""
        sets: dict[int, int] = {}

        def kind(number: int) -> tuple[Any, ...]:
            model, data = self.members[number].cfg.model, self.members[number].parts.data
            index = sets.setdefault(id(data.sets), len(sets))
            return model.activation, model.get("output_activation", ""), index, data.seed

        return sorted(numbers, key=kind)

    @property
    def epochs(self) -> int:
        """How many epochs the furthest member has done."""
        done = [state.rows.values.shape[0] for state in self.ended.values()]
        return max([*done, *(cohort.epochs for cohort in self.cohorts)])

    @property
    def names_ended(self) -> set[str]:
        """Members that need no more epochs, failed ones included."""
        here = [cohort.members[index].name for cohort in self.cohorts for index in cohort.finished]
        return {self.members[number].name for number in self.ended} | set(here)

    @property
    def threads(self) -> int:
        """With how many CPU threads a step is computed."""
        members = self.members
        step = members[0].parts.data.batch_size or len(members[0].parts.data.sets.train)
        each = step * sum(layer.connections for layer in members[0].plan.layers)
        return choose_threads(members[0].cfg.trainer.threads, each * len(members), 1)

    def train(self, after_epoch: Callable[[Stack], None] = lambda stack: None) -> None:
        """Train every member to its end. after_epoch: called between two epochs, some ten times a second at most, and
        at the end; what it raises ends the training there, and `member_states` then says how far all had come.
        """
        called = time.monotonic()
        # Cohorts beside each other, each with one thread, and not one whose every product is shared out: that has to
        # wait for the slowest thread several times a step, and the last bits of the last member that still trains would
        # depend on when the others ended.
        pool = ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,))
        with torch_threads(1), pool:
            while any(cohort.active.any() for cohort in self.cohorts):
                if len(self.cohorts) == 1:
                    self.cohorts[0].epoch()
                else:
                    list(pool.map(Cohort.epoch, self.cohorts))
                self.compact()
                if time.monotonic() - called > BETWEEN:
                    after_epoch(self)
                    called = time.monotonic()
            after_epoch(self)

    def compact(self) -> None:
        """Go on without those who have ended, once they are as many as the others."""
        still, size = sum(int(c.active.sum()) for c in self.cohorts), sum(c.size for c in self.cohorts)
        if still > size // 2 or not any(cohort.finished for cohort in self.cohorts):
            return
        epochs, member_states = self.epochs, self.current_states()
        self.ended |= {number: state for number, state in member_states.items() if state.ended}
        self.form_cohorts({number: state for number, state in member_states.items() if not state.ended})
        for cohort in self.cohorts:
            cohort.formed_at = epochs

    def current_states(self) -> dict[int, MemberState]:
        """How far those have come that are in a cohort."""
        found: dict[int, MemberState] = {}
        for order, cohort in zip(self.orders, self.cohorts, strict=True):
            found |= zip(order, cohort.member_states(), strict=True)
        return found

    def member_states(self) -> list[MemberState]:
        """How far each member has come, in their order; copies."""
        found = self.ended | self.current_states()
        return [found[number] for number in range(len(self.members))]

    def test(self, states: Sequence[MemberState]) -> list[Tested | None]:
        """The test of each member by its best weights, or its last where there are none; None for one that failed.
        states: how far each has come, as `member_states` says.
        """
        good = self.ordered(number for number, state in enumerate(states) if state.error is None)
        found: dict[int, Tested] = {}
        sets = Sets(self.device)
        with torch_threads(1):  # as in training: a confidence has the same bits whoever else is in the stack
            for _, same in groupby(good, key=lambda number: id(self.members[number].parts.data.sets)):
                numbers = list(same)
                members = [self.members[number] for number in numbers]
                chosen = [states[number].best or states[number].last for number in numbers]
                found |= zip(numbers, test_of(members, [c for c in chosen if c is not None], sets), strict=True)
        return [found.get(number) for number in range(len(self.members))]


def test_of(members: Sequence[Member], chosen: Sequence[Snapshot], sets: Sets) -> Iterator[Tested]:
    """The test of members that have the same sets, with the weights of these snapshots."""
    evaluation = sets.evaluation(members[0].parts.data, "test", all_views=True)
    net = StackedNet([member.parts.net for member in members], [len(members)], sets.device)
    for index, snapshot in enumerate(chosen):
        net.load(index, snapshot.weights)
    some = members_at_a_time(net, evaluation)
    for begin in range(0, len(members), some):
        part = slice(begin, min(begin + some, len(members)))
        values, predictions = tested_part(net.part(part), members[0].parts, evaluation)
        for index, snapshot in enumerate(chosen[part]):
            named = {name: float(value[index]) for name, value in values.items()}
            yield Tested(named, Predictions(*(p[index] for p in predictions)), snapshot.epochs)


def tested_part(
    net: StackedNet, parts: Assembly, evaluation: Evaluation
) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """The values of networks on the test set by their names, each (K,); and true classes, predicted ones and the
    confidence in these, each (K, N).
    """
    loss, classes, device = STACKED[type(parts.loss)](), len(parts.data.classes), net.device
    centre, tencrop = (StackedSums(net.size, classes, device) for _ in range(2))
    predictions: list[tuple[Tensor, ...]] = []
    for inputs, labels in evaluation.parts():
        buffers = Buffers(net, len(labels), training=False)
        outputs = torch.stack([net.forward(view[None], buffers).clone() for view in inputs])  # (views, K, classes, n)
        whole = labels.expand(1, net.size, -1)
        one = outputs[CENTRE_VIEW if len(inputs) > 1 else 0][None]
        centre.update(one, whole, loss.of_outputs(one, whole))
        averaged = parts.loss.predict(outputs.mT).mean(0)  # (K, n, classes)
        if len(inputs) > 1:
            views = parts.loss.logits(averaged).mT[None]
            tencrop.update(averaged.mT[None], whole, loss.of_outputs(views, whole))
        confidence, predicted = averaged.max(-1)
        predictions.append((whole[0].cpu(), predicted.cpu(), confidence.cpu()))
    values = {f"test/{name}": value.cpu() for name, value in centre.compute().items()}
    if tencrop.count:
        values |= {f"test/{name}_tencrop": value.cpu() for name, value in tencrop.compute().items()}
    true, predicted, confidence = (torch.cat(part, 1) for part in zip(*predictions, strict=True))
    return values, (true, predicted, confidence)


def ended_before(state: MemberState, formed_at: int) -> bool:
    """Whether a member had ended when the cohorts were formed that train since the epoch `formed_at`."""
    epochs = len(state.rows.values)  # of a failed one, without that in which it failed
    return epochs <= formed_at if state.error is None else epochs < formed_at
