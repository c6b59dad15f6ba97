"""The process that trains a stack: a fork of the same warm parent as that of a point by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from trainlab.command.main import report_user_errors
from trainlab.errors import ToldError
from trainlab.runtime.process import keep_freed_memory, no_garbage_collection
from trainlab.runtime.room import free_memory, gigabytes
from trainlab.survival.atomic import atomic_write_all, written
from trainlab.survival.signals import noted, stopped
from trainlab.sweeps.point import FAILED, Status
from trainlab.sweeps.stacked import stack_checkpoint
from trainlab.sweeps.stacked.member import Member, MemberFactory, MemberState
from trainlab.sweeps.stacked.output import PointOutput, TrainedPoint, last_files, write_points
from trainlab.sweeps.stacked.request import Message, Request
from trainlab.sweeps.stacked.training import Stack

SAVE_SECONDS = 2.0  # between two saves at least
SAVE_SHARE = 0.05  # of the time that saving may take
MEMORY_SHARE = 0.7  # of what is free
COPIES = 10  # of a member's weights: weights, gradients, velocities, those before, the best, and what is saved
BYTES_OF_A_MEMBER, BYTES_OF_A_ROW = 200_000, 500  # beside its weights: its configuration, and each epoch's numbers


@report_user_errors
def work(request: Request, launcher: Connection) -> None:
    """All of it. Raises StoppedError where it was asked to stop, and RunError for a full disk."""
    keep_freed_memory()
    with noted() as asked:
        Worker(request, launcher.send, asked).work()


class Worker:
    """send: takes what the launcher should know. asked: gets the signals that ask to stop."""

    def __init__(self, request: Request, send: Callable[[Message], None], asked: list[int]) -> None:
        self.request, self.send, self.asked = request, send, asked
        self.tasks = {task.name: task for task in request.tasks}
        self.found: dict[str, stack_checkpoint.SavedMember] = {}
        self.saved_at = time.monotonic()
        self.saving = 0.0  # seconds of the last save

    def work(self) -> None:
        """Train all stacks, one after another."""
        with no_garbage_collection():
            members = self.make()
        fingerprints = {name: self.request.fingerprints[name] for name in self.request.going_on}
        self.found = stack_checkpoint.load(self.request.earlier, fingerprints)
        for some in self.divide(members):
            self.train(some)

    def make(self) -> list[Member]:
        """The members; points whose parts cannot be put together have failed."""
        factory, members, failed = MemberFactory(), [], {}
        for task in self.request.tasks:
            self.stop_if_asked(" before the training began")
            try:
                members.append(factory.member(task.name, task.composed))
            except ToldError as error:
                failed[task.name] = Status(FAILED, str(error))
        for name, status in failed.items():
            output = PointOutput(self.tasks[name], status, None, [])
            with written(output.task.folder):
                atomic_write_all(dict(last_files(output)))
        if failed:
            self.send(Message(ended=failed))
        return members

    def divide(self, members: Sequence[Member]) -> Iterator[list[Member]]:
        """Those who are trained together: who were before, and of the others those of the same sizes, no more than
        there is memory for.
        """
        cohorts: dict[tuple[str, int], list[Member]] = {}
        new: dict[tuple[Any, ...], list[Member]] = {}
        for member in members:
            if member.name in self.found:
                cohorts.setdefault(self.found[member.name].cohort, []).append(member)
            else:
                new.setdefault(sizes_of(member), []).append(member)
        yield from cohorts.values()
        for some in new.values():
            most = max(1, int(MEMORY_SHARE * free_memory() / bytes_of(some[0])))
            if most < len(some):
                there = gigabytes(free_memory())
                self.send(Message(f"{len(some)} points are trained {most} at a time, for {there} of memory are free"))
            for begin in range(0, len(some), most):
                yield some[begin : begin + most]

    def train(self, members: Sequence[Member]) -> None:
        """Train members as one, test them, and write their directories."""
        began = time.monotonic()
        names = [member.name for member in members]
        known = [self.found[name].state if name in self.found else None for name in names]
        stack = Stack(members, known)
        first = stack.epochs
        trainer = members[0].cfg.trainer

        def after_epoch(stack: Stack) -> None:
            if self.asked:
                self.save(stack)
                self.stop_if_asked(f" after epoch {stack.epochs}")
            now = time.monotonic()
            if now - self.saved_at > max(SAVE_SECONDS, self.saving / SAVE_SHARE):
                self.save(stack)
            left = (now - began) / max(1, stack.epochs - first) * (trainer.max_epochs - stack.epochs)
            self.send(Message(names=names, epoch=stack.epochs, seconds_left=left))

        stack.train(after_epoch)
        states = stack.member_states()
        ended = [
            TrainedPoint(self.tasks[member.name], member, state, tested)
            for member, state, tested in zip(members, states, stack.test(states), strict=True)
        ]
        if any(member.cfg.logger.name == "wandb" or member.cfg.get("figures") is True for member in members):
            self.save(stack)  # these take long
        for output in write_points(ended, (time.monotonic() - began) / len(members), self.stop_if_asked):
            self.found.pop(output.task.name, None)
            self.send(message_of(output))

    def save(self, stack: Stack) -> None:
        """Save this stack, and what is known of points that are still to be trained."""
        began = time.monotonic()
        for state in stack.member_states():
            self.found[state.name] = stack_checkpoint.SavedMember(state, (str(self.request.file), id(stack)))
        cohorts: dict[tuple[str, int], list[MemberState]] = {}
        for found in self.found.values():
            cohorts.setdefault(found.cohort, []).append(found.state)
        stack_checkpoint.save(self.request.file, list(cohorts.values()), self.request.fingerprints)
        self.saved_at = time.monotonic()
        self.saving = self.saved_at - began

    def stop_if_asked(self, where: str) -> None:
        """Raises StoppedError where a signal has asked for it. where: how far the work had come, in words."""
        if self.asked:
            raise stopped(self.asked[0], where)


def sizes_of(member: Member) -> tuple[Any, ...]:
    """What has to be the same in a stack, and is known only once the data are read."""
    sets = member.parts.data.sets
    counts = [len(examples) for examples in (sets.train, sets.val, sets.test)]
    shapes = [tuple(weight.shape) for weight in member.parts.net.state_dict().values()]
    return *counts, *member.parts.data.input_shape, len(member.parts.data.classes), *shapes


def bytes_of(member: Member) -> float:
    """What a member takes of the memory."""
    weights = sum(weight.numel() for weight in member.parts.net.state_dict().values())
    return 4 * COPIES * weights + BYTES_OF_A_MEMBER + BYTES_OF_A_ROW * member.cfg.trainer.max_epochs


def message_of(output: PointOutput) -> Message:
    """What the launcher should know of a point that has ended."""
    name, rows = output.task.name, output.rows
    errors = [row["val/top1_error"] for row in rows if "val/top1_error" in row]
    return Message(
        names=[name],
        epoch=int(rows[-1]["epoch"]) if rows else 0,
        errors={name: errors[-1]} if errors else {},
        ended={name: output.status},
    )
