"""The study: which networks, what is measured around them, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainlab.errors import InputError
from trainlab.objective import HalfMSE
from trainlab.recording.section import Section, speaker
from trainlab.studies.digits import digits_as_seen
from trainlab.studies.finding import Finding, Progress, no_progress
from trainlab.studies.landscape.curvature import Edge, full_batch
from trainlab.studies.landscape.network import (
    TRAINED_HERE,
    Subject,
    small_net,
    subject_of,
    threads_for,
)
from trainlab.studies.landscape.oracles import oracles_of
from trainlab.studies.landscape.report import figures, numbers, sentences, table
from trainlab.studies.landscape.view import BETWEEN, KINDS, Stages, cost_of_view, view_of

LEAST_POINTS, MOST_POINTS = 5, 501
ETAS = (0.2, 0.3, 0.5)  # of the full-batch runs
MEASURED_AT = np.unique(np.r_[np.arange(0, 100, 10), np.arange(100, 1001, 25)])  # steps
COST_OF_EDGE = 3000  # each, as `Stages` counts


def study(
    *,
    run: str = "relu",
    directions: str = "random",
    points: int = 51,
    span: float = 1.0,
    examples: int | None = None,
    seed: int = 0,
    lang: str = "en",
    on_progress: Progress = no_progress,
) -> Finding:
    """The loss around one network, or two beside each other.

    run: of `network.TRAINED_HERE`, which are trained here, or a run directory or checkpoint; two with a comma between.
    directions: random (filter-normalised), pca (principal ones of the path), hessian (its first two eigenvectors), or
    between:CKPT, towards another network. points: along each side. span: the plane reaches from −span to span lengths
    of the weights. examples: of the training set; None for as many as two minutes allow. seed: of the directions, and
    of the networks that are trained here. Raises InputError for what cannot be drawn.
    """
    say, names = speaker(lang), names_of(run)
    check(names, directions, points, span)
    alone_here = len(names) == 1 and names[0] in TRAINED_HERE
    edges_cost = len(ETAS) * COST_OF_EDGE if alone_here else 0
    stages = Stages(on_progress, len(names) * (cost_of_view(points) + 200) + edges_cost)
    views = []
    for name in names:
        subject = subject_of(name, examples, points, seed, stages.next(200))
        with threads_for(subject.net, subject.shape):
            views.append(view_of(subject, directions, points, span, seed, stages))
    edges = edges_of(views[0].subject, seed, stages) if alone_here else []
    section = Section(
        say("The loss around a trained network", "La pérdida alrededor de una red entrenada"),
        *table(views, say),
        sentences=sentences(views, edges, directions, say),
        figures=figures(views, edges, directions, say),
    )
    return Finding(section, numbers(views, edges), oracles_of(views, say))


def names_of(run: str) -> list[str]:
    """The networks that the option `run` names: one, or two with a comma between; a folder may have a comma in its
    name.
    """
    text = run.strip().removeprefix("[").removesuffix("]")
    return [run] if Path(run).expanduser().exists() else [name.strip() for name in text.split(",")]


def check(names: Sequence[str], directions: str, points: int, span: float) -> None:
    """Raises InputError for an option that is out of its range."""
    if not 1 <= len(names) <= 2 or not all(names):
        raise InputError(
            f"run={','.join(names)} has to be one network or two with a comma between, each of "
            f"{', '.join(TRAINED_HERE)}, a run directory or a checkpoint."
        )
    if directions not in KINDS and not directions.startswith(BETWEEN):
        raise InputError(f"there is no directions={directions}; use {', '.join(KINDS)} or {BETWEEN}CKPT.")
    if directions.startswith(BETWEEN) and len(names) > 1:
        raise InputError(f"directions={directions} is drawn around one network; give one run.")
    if not LEAST_POINTS <= points <= MOST_POINTS:
        raise InputError(f"points={points} along each side has to be from {LEAST_POINTS} to {MOST_POINTS}.")
    if not (0 < span <= 100 and math.isfinite(span)):
        raise InputError(f"span={span:g} lengths of the weights has to be greater than 0, and at most 100.")


def edges_of(subject: Subject, seed: int, stages: Stages) -> list[Edge]:
    """Full-batch descent on the lecture's J, half the mean square, with a network of this kind, for each η."""
    digits = digits_as_seen()
    edges = []
    with threads_for(subject.net, subject.shape):
        for eta in ETAS:
            net = small_net(TRAINED_HERE[subject.name].activation, "torch", seed)
            examples = digits.inputs, digits.labels
            edges.append(full_batch(net, HalfMSE(), examples, eta, MEASURED_AT, stages.next(COST_OF_EDGE)))
    return edges
