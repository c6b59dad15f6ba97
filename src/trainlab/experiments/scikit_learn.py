"""scikit-learn's network beside one of ours on points of the plane: the same layers, activation, λ, points and seed.

Its errors are kept in a file, because 1,500 fits take minutes.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
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
from trainlab.survival import checkpoint
from trainlab.survival.atomic import atomic_write
from trainlab.survival.trained import network_of
from trainlab.sweeps.point import alike
from trainlab.sweeps.table import SEED, SKLEARN, Run, has_regions

ITERATIONS = 2000  # of L-BFGS, as in scikit-learn's example
MOST_POINTS = 10_000  # beyond that scikit-learn's network takes longer than ours
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
    found, fits = [], 0
    for run in runs:
        name = digest_of(run)
        if has_regions(run) and name not in kept.errors:
            error = reference_error(run)
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
    from sklearn import __version__

    told = {key: value for key, value in run.config.items() if key.split(".")[0] in ("model", "reg", "loss", "data", SEED)}
    return hashlib.sha256(f"{__version__} {ITERATIONS} {alike(told)}".encode()).hexdigest()[:16]


def reference_error(run: Run) -> float | None:
    """The test error of scikit-learn's network beside a run, a fraction; None where there is no such network."""
    try:
        config = config_of(run)
        data = data_of(config)
    except InputError:  # a run without its checkpoint keeps its place in the table
        return None
    net = reference(config, data)
    if net is None:
        return None
    test = data.sets.test
    return 1 - float(net.score(test.all_images.numpy(), test.labels.numpy()))


def reference(config: DictConfig, data: ImageData) -> Any | None:
    """scikit-learn's MLPClassifier with the same layers, activation, λ, points and seed, trained.

    config: of the run, out of its checkpoint. None where the run has no such counterpart: another network, dropout, or
    L2 in the mean form.
    """
    model, reg = config.model, config.reg
    if len(data.sets.train) > MOST_POINTS:
        return None
    same = model.name == "mlp" and config.loss.name == "cross_entropy" and not reg.dropout
    if not same or (reg.l2 and reg.form != "sum") or not model.hidden:
        return None
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    net = MLPClassifier(
        tuple(model.hidden),
        activation=ACTIVATIONS[model.activation],
        solver="lbfgs",
        alpha=float(reg.l2),
        max_iter=ITERATIONS,
        random_state=config[SEED],
    )
    train = data.sets.train
    with warnings.catch_warnings(), threadpool_limits(1):  # of such small matrices several threads only wait
        warnings.simplefilter("ignore", ConvergenceWarning)
        return net.fit(train.all_images.numpy(), train.labels.numpy())


def config_of(run: Run) -> DictConfig:
    """The configuration in a run's checkpoint. Raises InputError, also for layers that are not those of its weights."""
    saved = checkpoint.read(str(run.folder), prefer="best")
    network_of(saved, str(run.folder))
    check(OmegaConf.to_container(saved.config, resolve=True))  # type: ignore[arg-type]
    return saved.config


def data_of(config: DictConfig) -> ImageData:
    """The data of a run, read but never fetched. Raises InputError where they are not there."""
    with options_of("a checkpoint"):
        return read_data(config, may_fetch=False)
