"""The directory of a point of a stack, with the files that its own run would have written."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from trainlab.configuration.hydra_files import HydraFiles
from trainlab.recording.history import columns_of, metrics_text
from trainlab.recording.results import Surroundings, collect_results, look_around, results_text
from trainlab.recording.run_directory import BEST, CHECKPOINTS, CONFIG, LAST, METRICS, RESULTS
from trainlab.runtime import closed_form
from trainlab.runtime.process import no_garbage_collection
from trainlab.survival.atomic import atomic_write_all, written
from trainlab.sweeps.point import FAILED, FINISHED, LOG, STATUS, Status
from trainlab.sweeps.stacked.member import Member, MemberState, Snapshot, Tested
from trainlab.sweeps.stacked.point_checkpoint import Checkpoints, Finished
from trainlab.sweeps.stacked.request import PointTask

POINTS_AT_A_TIME = 100  # points whose files are in memory at a time


@dataclass(frozen=True)
class PointOutput:
    """What is written of a point at its end, in plain values. results: None where it failed."""

    task: PointTask
    status: Status
    results: dict[str, Any] | None
    rows: list[dict[str, float]]


@dataclass(frozen=True)
class TrainedPoint:
    """A member at its end. tested: None where it failed."""

    task: PointTask
    member: Member
    state: MemberState
    tested: Tested | None


@dataclass(frozen=True)
class Writers:
    """What makes the files that take longest, and remembers what many have in common."""

    hydra: HydraFiles
    checkpoints: Checkpoints


def write_points(
    ended: Sequence[TrainedPoint], seconds: float, stop_if_asked: Callable[[str], None]
) -> Iterator[PointOutput]:
    """Write the points' directories, results.json last; gives each once it is on the disk. seconds: what each took of
    the stack's time. Raises RunError for a full disk.
    """
    writers, around = Writers(HydraFiles(), Checkpoints()), look_around(ended[0].member.parts.hardware)
    for begin in range(0, len(ended), POINTS_AT_A_TIME):
        some = ended[begin : begin + POINTS_AT_A_TIME]
        # The collector would look through all rows again and again, a third of the time.
        with no_garbage_collection(), written(some[0].task.folder.parent):
            outputs = [output_of(one, around, seconds, len(ended)) for one in some]
            for one in some:
                for inner in (CHECKPOINTS, CONFIG.parent):
                    (one.task.folder / inner).mkdir(parents=True, exist_ok=True)
            atomic_write_all(
                {p: c for one, its in zip(some, outputs, strict=True) for p, c in files_of(one, its, writers)}
            )
        slow = [takes_long(one) for one in some]
        for one, result in zip(some, outputs, strict=True):
            if takes_long(one):
                stop_if_asked(", its points trained, while they were drawn and recorded")
                finish(one, result)
                yield result
        quick = [result for result, takes in zip(outputs, slow, strict=True) if not takes]
        with written(some[0].task.folder.parent):
            atomic_write_all({path: content for one in quick for path, content in last_files(one)})
        yield from quick


def takes_long(one: TrainedPoint) -> bool:
    """Whether a point is drawn or recorded with W&B."""
    return one.member.cfg.logger.name == "wandb" or one.member.cfg.get("figures") is True


def finish(one: TrainedPoint, output: PointOutput) -> None:
    """Draw it and record it with W&B, as far as that was asked for; then write its results. Raises RunError."""
    with written(one.task.folder):
        figures = draw(one, output)
        if one.member.cfg.logger.name == "wandb":
            from trainlab.sweeps.stacked.wandb_after import record

            record(one.task.folder, one.member, output.rows, output.results, figures)
        atomic_write_all(dict(last_files(output)))


def output_of(one: TrainedPoint, around: Surroundings, seconds: float, count: int) -> PointOutput:
    """See `PointOutput`."""
    rows = one.state.rows.as_dicts()
    if one.tested is None:
        return PointOutput(one.task, Status(FAILED, one.state.error or "", seconds), None, rows)
    if not all(map(math.isfinite, one.tested.values.values())):
        status = Status(FAILED, "the loss on the test set is infinite or not a number.", seconds)
        return PointOutput(one.task, status, None, rows)
    last = one.state.last
    assert last is not None, "it has not failed"
    results = collect_results(
        one.member.parts,
        one.member.plan,
        last=rows[-1],
        best=one.state.best_score,
        tested_epoch=one.tested.epoch,
        tested=one.tested.values | gaps(one.member, last),
        cost={"images_per_second": one.state.images / max(one.state.seconds, 1e-9), "seconds": seconds},
        surroundings=around,
    )
    return PointOutput(one.task, Status(FINISHED, seconds=seconds), results | {"stacked": count}, rows)


def gaps(member: Member, last: Snapshot) -> dict[str, float]:
    """See `closed_form.gaps_of`, with the last weights."""
    if not hasattr(member.parts.net, "linear"):
        return {}
    return closed_form.gaps_of(replace(member.parts, net=trained(member, last)))


def trained(member: Member, at: Snapshot) -> nn.Module:
    """A network of the member's own with the weights of `at`, on the CPU."""
    net = copy.deepcopy(member.parts.net).cpu().eval()
    net.load_state_dict(at.weights)
    return net


def files_of(one: TrainedPoint, output: PointOutput, writers: Writers) -> Iterator[tuple[Path, bytes]]:
    """All files but the last, with their contents."""
    folder, state, plain = one.task.folder, one.state, one.task.composed.plain
    for path, text in writers.hydra.of(one.task.composed.unresolved, one.task.hydra).items():
        yield folder / path, text.encode()
    if plain["logger"]["name"] != "none" and output.rows:
        yield folder / METRICS, metrics_text(output.rows, columns_of(output.rows)).encode()
    finished = Finished(one.member, state, plain, output.rows)
    saved: dict[int, bytes] = {}  # by epochs: of one state the two are the same
    for name, at in ((LAST, state.last), (BEST, state.best)):
        if at is not None:
            if at.epochs not in saved:
                saved[at.epochs] = writers.checkpoints.file(finished, at, folder / CHECKPOINTS)
            yield folder / CHECKPOINTS / name, saved[at.epochs]
    if output.status.state == FAILED:
        kept = f"the last good checkpoint is {folder / CHECKPOINTS / LAST}\n" if state.last else ""
        yield folder / LOG, f"{kept}error: {output.status.error}\n".encode()


def last_files(output: PointOutput) -> Iterator[tuple[Path, bytes]]:
    """What says how the point ended."""
    yield output.task.folder / STATUS, output.status.text().encode()
    if output.results is not None:
        yield output.task.folder / RESULTS, results_text(output.results).encode()


def draw(one: TrainedPoint, output: PointOutput) -> Mapping[str, Path]:
    """The figures of a point, by their names, where they were asked for."""
    if one.member.cfg.get("figures") is not True or one.tested is None:
        return {}
    from trainlab.recording.run_figures import draw_figures

    chosen = one.state.best or one.state.last
    assert chosen is not None, "it has not failed"
    folder, net = one.task.folder / "figures", trained(one.member, chosen)
    return draw_figures(folder, one.member.parts, net, rows=output.rows, predictions=one.tested.predictions)
