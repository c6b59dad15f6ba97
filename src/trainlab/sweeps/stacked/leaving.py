"""What a point of a stack leaves behind: the directory that its own run would have left."""

from __future__ import annotations

import copy
import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from trainlab.configuration.hydra_files import HydraFiles
from trainlab.recording.results import Surroundings, collect_results, look_around, results_text
from trainlab.recording.run_directory import BEST, CHECKPOINTS, CONFIG, LAST, METRICS, RESULTS
from trainlab.runtime import closed_form
from trainlab.survival.atomic import atomic_write_all, written
from trainlab.sweeps.point import FAILED, FINISHED, LOG, STATUS, Status
from trainlab.sweeps.stacked.checkpoints import Checkpoints, Finished
from trainlab.sweeps.stacked.member import Member, Snapshot, Standing, Tested
from trainlab.sweeps.stacked.request import Place

TOGETHER = 100  # points whose files are in memory at a time


@dataclass(frozen=True)
class Left:
    """A point that has been left. results: None where it failed."""

    place: Place
    status: Status
    results: dict[str, Any] | None
    rows: list[dict[str, float]]


@dataclass(frozen=True)
class Ended:
    """A member at its end. tested: None where it failed."""

    place: Place
    member: Member
    standing: Standing
    tested: Tested | None


@dataclass(frozen=True)
class Writers:
    """What makes the files that take longest, and remembers what many have in common."""

    hydra: HydraFiles
    checkpoints: Checkpoints


def leave(ended: Sequence[Ended], seconds: float, stop_if_asked: Callable[[str], None]) -> Iterator[Left]:
    """Write the points' directories, results.json last; gives each once it is on the disk. seconds: what each took of
    the stack's time. Raises RunError for a full disk.
    """
    writers, around = Writers(HydraFiles(), Checkpoints()), look_around(ended[0].member.parts.hardware)
    for begin in range(0, len(ended), TOGETHER):
        some = ended[begin : begin + TOGETHER]
        left = [left_of(one, around, seconds, len(ended)) for one in some]
        with written(some[0].place.folder.parent):
            for one in some:
                for inner in (CHECKPOINTS, CONFIG.parent):
                    (one.place.folder / inner).mkdir(parents=True, exist_ok=True)
            atomic_write_all({p: c for one, to in zip(some, left, strict=True) for p, c in files_of(one, to, writers)})
        slow = [takes_long(one) for one in some]
        for one, result in zip(some, left, strict=True):
            if takes_long(one):
                stop_if_asked(", its points trained, while they were drawn and recorded")
                finish(one, result)
                yield result
        quick = [result for result, takes in zip(left, slow, strict=True) if not takes]
        with written(some[0].place.folder.parent):
            atomic_write_all({path: content for one in quick for path, content in last_files(one)})
        yield from quick


def takes_long(one: Ended) -> bool:
    """Whether a point is drawn or recorded with W&B."""
    return one.member.cfg.logger.name == "wandb" or one.member.cfg.get("figures") is True


def finish(one: Ended, left: Left) -> None:
    """Draw it and record it with W&B, as far as that was asked for; then write its results. Raises RunError."""
    with written(one.place.folder):
        figures = draw(one, left)
        if one.member.cfg.logger.name == "wandb":
            from trainlab.sweeps.stacked.wandb_after import record

            record(one.place.folder, one.member, left.rows, left.results, figures)
        atomic_write_all(dict(last_files(left)))


def left_of(one: Ended, around: Surroundings, seconds: float, count: int) -> Left:
    """What is left of one member, in plain values."""
    rows = one.standing.rows.as_dicts()
    if one.tested is None:
        return Left(one.place, Status(FAILED, one.standing.error or "", seconds), None, rows)
    if not all(map(math.isfinite, one.tested.values.values())):
        status = Status(FAILED, "the loss on the test set is infinite or not a number.", seconds)
        return Left(one.place, status, None, rows)
    last = one.standing.last
    assert last is not None, "it has not failed"
    results = collect_results(
        one.member.parts,
        one.member.plan,
        last=rows[-1],
        best=one.standing.best_score,
        tested_epoch=one.tested.epoch,
        tested=one.tested.values | gaps(one.member, last),
        cost={"images_per_second": one.standing.images / max(one.standing.seconds, 1e-9), "seconds": seconds},
        surroundings=around,
    )
    return Left(one.place, Status(FINISHED, seconds=seconds), results | {"stacked": count}, rows)


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


def files_of(one: Ended, left: Left, writers: Writers) -> Iterator[tuple[Path, bytes]]:
    """All files but the last, with their contents."""
    folder, standing, plain = one.place.folder, one.standing, one.place.composed.plain
    for path, text in writers.hydra.of(one.place.composed.unresolved, one.place.hydra).items():
        yield folder / path, text.encode()
    if plain["logger"]["name"] != "none" and left.rows:
        yield folder / METRICS, metrics_text(left.rows).encode()
    finished = Finished(one.member, standing, plain, left.rows)
    saved: dict[int, bytes] = {}  # by epochs: of one state the two are the same
    for name, at in ((LAST, standing.last), (BEST, standing.best)):
        if at is not None:
            if at.epochs not in saved:
                saved[at.epochs] = writers.checkpoints.file(finished, at, folder / CHECKPOINTS)
            yield folder / CHECKPOINTS / name, saved[at.epochs]
    if left.status.state == FAILED:
        yield folder / LOG, f"error: {left.status.error}\n".encode()


def last_files(left: Left) -> Iterator[tuple[Path, bytes]]:
    """What says how the point ended."""
    yield left.place.folder / STATUS, left.status.text().encode()
    if left.results is not None:
        yield left.place.folder / RESULTS, results_text(left.results).encode()


def metrics_text(rows: Sequence[Mapping[str, float]]) -> str:
    """metrics.csv, with a column for whatever any epoch has, in the order in which they came."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def draw(one: Ended, left: Left) -> Mapping[str, Path]:
    """The figures of a point, by their names, where they were asked for."""
    if one.member.cfg.get("figures") is not True or one.tested is None:
        return {}
    from trainlab.recording.run_figures import draw_figures

    chosen = one.standing.best or one.standing.last
    assert chosen is not None, "it has not failed"
    folder, net = one.place.folder / "figures", trained(one.member, chosen)
    return draw_figures(folder, one.member.parts, net, rows=left.rows, predictions=one.tested.predictions)
