"""The training of a stack from its first epoch to its last, and its test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from trainlab.augment import CENTRE_VIEW
from trainlab.classifier import Predictions
from trainlab.data.streams import Evaluation, Sets
from trainlab.metrics import StackedSums
from trainlab.models.stacked import Room, StackedNet
from trainlab.runtime.hardware import choose_threads, torch_threads
from trainlab.sweeps.stacked.company import Company, at_a_time
from trainlab.sweeps.stacked.descent import STACKED
from trainlab.sweeps.stacked.member import Member, Snapshot, Standing, Tested

BETWEEN = 0.1  # seconds between two calls of whoever watches


class Stack:
    """Members whose networks have one shape, trained as one.

    members: which agree in batch size, epochs, loss, validation and ends, and whose sets have the same sizes.
    standings: of an earlier process, one for each member; None: from the beginning. Those that have not ended must have
    come equally far.
    """

    def __init__(self, members: Sequence[Member], standings: Sequence[Standing | None] | None = None) -> None:
        self.members = list(members)
        hardware = members[0].parts.hardware
        self.device = torch.device("cuda" if hardware.accelerator == "gpu" else "cpu")
        known: list[Standing | None] = list(standings) if standings is not None else [None] * len(members)
        self.ended: dict[int, Standing] = {}
        going = [standing for standing in known if standing is not None and not standing.ended]
        formed = going[0].formed if going else 0
        for number, standing in enumerate(known):
            if standing is not None and standing.ended and (not going or left_before(standing, formed)):
                self.ended[number] = standing
        self.companies: list[Company] = []
        self.orders: list[list[int]] = []  # which members each has
        self.form({n: standing for n, standing in enumerate(known) if n not in self.ended})

    def form(self, standings: dict[int, Standing | None]) -> None:
        """Put those together that are still to be trained, alike beside alike: one company for each CPU thread that is
        worth it, each with its share of those who are shown the same.
        """
        count = min(self.threads, len(standings))
        self.orders = [self.beside(standings)[first::count] for first in range(count)]
        self.companies, sets = [], Sets(self.device)
        for order in self.orders:
            some = [self.members[number] for number in order]
            self.companies.append(Company(some, [standings[number] for number in order], sets))

    def beside(self, numbers: Iterable[int]) -> list[int]:
        """These members, those beside each other that have activations, sets and seed in common."""
        sets: dict[int, int] = {}

        def kind(number: int) -> tuple[Any, ...]:
            model, data = self.members[number].cfg.model, self.members[number].parts.data
            place = sets.setdefault(id(data.sets), len(sets))
            return model.activation, model.get("output_activation", ""), place, data.seed

        return sorted(numbers, key=kind)

    @property
    def epochs(self) -> int:
        """How many epochs the furthest member has done."""
        done = [standing.rows.values.shape[0] for standing in self.ended.values()]
        return max([*done, *(company.epochs for company in self.companies)])

    @property
    def names_ended(self) -> set[str]:
        """Members that need no more epochs, failed ones included."""
        here = [company.members[place].name for company in self.companies for place in company.left]
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
        at the end; what it raises ends the training there, and `standings` then says how far all had come.
        """
        called = time.monotonic()
        # Companies beside each other, each with one thread, and not one whose every product is shared out: that has to
        # wait for the slowest thread several times a step.
        each = max(1, self.threads // max(1, len(self.companies)))
        pool = ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(each,))
        with torch_threads(each), pool:
            while any(company.active.any() for company in self.companies):
                if len(self.companies) == 1:
                    self.companies[0].epoch()
                else:
                    list(pool.map(Company.epoch, self.companies))
                self.close_ranks()
                if time.monotonic() - called > BETWEEN:
                    after_epoch(self)
                    called = time.monotonic()
            after_epoch(self)

    def close_ranks(self) -> None:
        """Go on without those who have ended, once they are as many as the others."""
        still, size = sum(int(c.active.sum()) for c in self.companies), sum(c.size for c in self.companies)
        if still > size // 2 or not any(company.left for company in self.companies):
            return
        epochs, standings = self.epochs, self.now()
        self.ended |= {number: standing for number, standing in standings.items() if standing.ended}
        self.form({number: standing for number, standing in standings.items() if not standing.ended})
        for company in self.companies:
            company.formed = epochs

    def now(self) -> dict[int, Standing]:
        """How far those have come that are in a company."""
        found: dict[int, Standing] = {}
        for order, company in zip(self.orders, self.companies, strict=True):
            found |= zip(order, company.standings(), strict=True)
        return found

    def standings(self) -> list[Standing]:
        """How far each member has come, in their order; copies."""
        found = self.ended | self.now()
        return [found[number] for number in range(len(self.members))]

    def test(self) -> list[Tested | None]:
        """The test of each member, in their order, by its best weights, or its last where there are none; None for a
        member that failed.
        """
        standings = self.standings()
        good = self.beside(number for number, standing in enumerate(standings) if standing.error is None)
        found: dict[int, Tested] = {}
        with torch_threads(self.threads):
            for _, same in groupby(good, key=lambda number: id(self.members[number].parts.data.sets)):
                numbers = list(same)
                chosen = [standings[number].best or standings[number].last for number in numbers]
                members = [self.members[number] for number in numbers]
                found |= zip(numbers, test_of(members, [c for c in chosen if c is not None], self.device), strict=True)
        return [found.get(number) for number in range(len(self.members))]


def test_of(members: Sequence[Member], chosen: Sequence[Snapshot], device: torch.device) -> list[Tested]:
    """The test of members that have the same sets, with the weights of these snapshots."""
    parts = members[0].parts
    net = StackedNet([member.parts.net for member in members], [len(members)], device)
    for place, snapshot in enumerate(chosen):
        net.load(place, snapshot.weights)
    test = Evaluation(parts.data, parts.data.sets.test, device, all_views=True)
    loss, classes = STACKED[type(parts.loss)](), len(parts.data.classes)
    centre, tencrop = (StackedSums(len(members), classes, device) for _ in range(2))
    predictions: list[tuple[Tensor, Tensor]] = []
    for inputs, labels in test.parts(at_a_time(net)):
        room = Room(net, len(labels), training=False)
        outputs = torch.stack([net.forward(view[None], room).clone() for view in inputs])  # (views, K, classes, n)
        whole = labels.expand(1, len(members), -1)
        one = outputs[CENTRE_VIEW if len(inputs) > 1 else 0][None]
        centre.update(one, whole, loss.of_outputs(one, whole))
        averaged = parts.loss.predict(outputs.mT).mean(0)  # (K, n, classes)
        if len(inputs) > 1:
            views = parts.loss.logits(averaged).mT[None]
            tencrop.update(averaged.mT[None], whole, loss.of_outputs(views, whole))
        predictions.append(tuple(part.cpu() for part in averaged.max(-1)))  # type: ignore[arg-type]
    values = {f"test/{name}": value.cpu() for name, value in centre.compute().items()}
    if tencrop.count:
        values |= {f"test/{name}_tencrop": value.cpu() for name, value in tencrop.compute().items()}
    confidence, predicted = (torch.cat(part, 1) for part in zip(*predictions, strict=True))
    return [
        Tested(
            {name: float(value[place]) for name, value in values.items()},
            Predictions(parts.data.sets.test.labels, predicted[place], confidence[place]),
            snapshot.epochs,
        )
        for place, snapshot in enumerate(chosen)
    ]


def left_before(standing: Standing, formed: int) -> bool:
    """Whether a member had ended when those were put together that train since the epoch `formed`."""
    epochs = len(standing.rows.values)  # of a failed one, without that in which it failed
    return epochs <= formed if standing.error is None else epochs < formed
