"""scikit-learn's network beside one of ours on points of the plane: the same layers, activation, λ, points and seed.

Its errors are kept in a file, because 1,500 fits take minutes.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from trainlab.configuration.schema import check
from trainlab.configuration.stored import options_of
from trainlab.data.module import ImageData
from trainlab.errors import InputError
from trainlab.recording.run_directory import read_json
from trainlab.runtime.assembly import read_data
from trainlab.survival.atomic import atomic_write
from trainlab.sweeps.point import alike
from trainlab.sweeps.table import SEED, SKLEARN, Run, has_regions

ITERATIONS = 2000  # of L-BFGS, as in scikit-learn's example
MOST_POINTS, MOST_WEIGHTS = 10_000, 1_000_000  # beyond these scikit-learn's network takes longer than ours
ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "identity": "identity"}
FILE = "scikit_learn.json"
SAVED_EVERY = 100  # fits


class Kept(BaseModel):
    """scikit_learn.json: test errors, fractions, by a digest of all that they depend on."""

    model_config = ConfigDict(strict=True, extra="forbid")
    errors: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}


KEPT = TypeAdapter(Kept)


def with_references(runs: Iterable[Run], folder: Path) -> list[Run]:
    """The runs, those on points of the plane with the test error of scikit-learn's network beside their results.

    folder: where the errors are kept. A file there that is damaged is written anew. Raises OSError.
    """
    kept = Kept()
    with suppress(InputError):
        kept = read_json(folder / FILE, KEPT) or kept
    known_data: dict[str, ImageData | None] = {}  # by their options: most runs have one of a few sets
    found, fits = [], 0
    for run in runs:
        if not has_regions(run):
            found.append(run)
            continue
        name = digest_of(run)
        if name not in kept.errors:
            error = reference_error(run, known_data)
            if error is not None:
                kept.errors[name] = error
                fits += 1
                if fits % SAVED_EVERY == 0:
                    save(kept, folder)
        found.append(replace(run, results=run.results | {SKLEARN: kept.errors[name]}) if name in kept.errors else run)
    if fits % SAVED_EVERY:
        save(kept, folder)
    return found


def save(kept: Kept, folder: Path) -> None:
    """Write the errors down. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / FILE, json.dumps(kept.model_dump(), indent=1) + "\n")


def digest_of(run: Run) -> str:
    """Hexadecimal digits for all that scikit-learn's network beside a run depends on."""
    told = {
        key: value for key, value in run.config.items() if key.split(".")[0] in ("model", "reg", "loss", "data", SEED)
    }
    return hashlib.sha256(f"{version('scikit-learn')} {ITERATIONS} {alike(told)}".encode()).hexdigest()[:16]


def reference_error(run: Run, known_data: dict[str, ImageData | None]) -> float | None:
    """The test error of scikit-learn's network beside a run, a fraction; None where there is no such network.

    known_data: those that have been read, by their options; these are put there. None for data that cannot be.
    """
    plain = nested(run.config)
    try:
        check(plain)
    except InputError:  # a run without a whole configuration keeps its place in the table
        return None
    config, options = OmegaConf.create(plain), alike(plain["data"])
    if plain["data"].get("n_samples", 0) > MOST_POINTS:
        return None
    if options not in known_data:
        known_data[options] = None
        with suppress(InputError):
            known_data[options] = data_of(config)
    data = known_data[options]
    net = reference(config, data) if data is not None else None
    if net is None or data is None:
        return None
    test = data.sets.test
    return 1 - float(net.score(test.all_images.numpy(), test.labels.numpy()))


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `trainlab.sweeps.point.flat`."""
    values: dict[str, Any] = {}
    for key, value in flat.items():
        *groups, name = key.split(".")
        node = values
        for group in groups:
            inner = node.setdefault(group, {})
            node = inner if isinstance(inner, dict) else {}
        node[name] = value
    return values


def reference(config: DictConfig, data: ImageData) -> Any | None:
    """scikit-learn's MLPClassifier with the same layers, activation, λ, points and seed, trained.

    config: of the run. None where the run has no such counterpart: another network, dropout, or
    L2 in the mean form.
    """
    model, reg = config.model, config.reg
    hidden, activation = model.get("hidden"), ACTIVATIONS.get(model.get("activation"))
    if model.name != "mlp" or not hidden or activation is None or config.loss.name != "cross_entropy":
        return None
    if reg.dropout or (reg.l2 and reg.form != "sum"):
        return None
    if len(data.sets.train) > MOST_POINTS or sum(a * b for a, b in pairwise([2, *hidden, 1])) > MOST_WEIGHTS:
        return None
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    net = MLPClassifier(
        tuple(hidden),
        activation=activation,
        solver="lbfgs",
        alpha=float(reg.l2),
        max_iter=ITERATIONS,
        random_state=config[SEED],
    )
    train = data.sets.train
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return net.fit(train.all_images.numpy(), train.labels.numpy())
        except ValueError:  # points, or a λ, with which nothing can be computed
            return None


def data_of(config: DictConfig) -> ImageData:
    """The data of a run, read but never fetched. Raises InputError where they are not there."""
    with options_of("a checkpoint"):
        return read_data(config, may_fetch=False)
