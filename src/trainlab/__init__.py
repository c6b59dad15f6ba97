"""TrainLab: from the perceptron to AlexNet, every idea one switch on one command line.

From Python, without a command line (docs/python.md):

    import trainlab

    results = trainlab.run(["model=mlp", "trainer.max_epochs=5"], run_dir="runs/mine")
    network = trainlab.load("runs/mine")
    probabilities = network.predict(["four.png", "two.png"])
    table = trainlab.read_runs("runs/sweeps/mine")

Its parts are plain PyTorch and can be used by themselves: `trainlab.models`, `trainlab.objective`, `trainlab.optim`,
`trainlab.augment`, `trainlab.data`. Importing the package loads none of this, and not torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

# A short spin: beside two busy programs on 2 cores the MLP on digits trains 12 times as fast (3 to 18) as with
# libgomp's own, in which OpenMP's threads wait for each other spinning. It has to be said before torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    import pandas
    from lightning.pytorch.callbacks import Callback
    from omegaconf import DictConfig

    from trainlab import augment, data, errors, models, objective, optim
    from trainlab.command.from_python import Results
    from trainlab.command.load import Network

__version__ = "0.1.0"
__all__ = [
    "augment",
    "compose",
    "data",
    "errors",
    "load",
    "models",
    "objective",
    "optim",
    "read_runs",
    "run",
]


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration of a run, as the command line composes and checks it.

    overrides: the words of the command line, such as ``["model=mlp", "optim.lr=0.1"]``; what they leave open is as in
    conf/train.yaml. Returns nested options, ``cfg.optim.lr``; what is derived from others (``trainer.max_epochs`` from
    the model's recipe) is looked up when it is read. Reads no data and does not load torch. A program around that uses
    Hydra itself finds it as it was.

    Raises trainlab.errors.InputError, one sentence with the nearest right word, for what is wrong.

        cfg = trainlab.compose(["model=alexnet", "data=cifar10"])
        cfg.optim.name   # 'momentum', which AlexNet's recipe chooses
    """
    from trainlab.command import from_python

    return from_python.compose(overrides)


def run(
    overrides: Sequence[str] = (),
    *,
    run_dir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Results:
    """Train and test, in this process; returns what results.json holds.

    overrides: the words of the command line, such as ``["model=mlp", "logger=csv"]``; one run, so no lists of values to
    sweep over. run_dir: where it is written; otherwise runs/MODEL_DATA/TIME below the current folder, as on the command
    line. callbacks: more of Lightning's (lightning.pytorch.callbacks.Callback), called after the run's own.

    The result is a dictionary of the final metrics by name ("test/top1_error", "val/loss", fractions in [0, 1]), speed,
    memory and versions; its attribute ``run_dir`` is the directory, which `load` takes, as do the scripts. Numbers are
    those of the same command line, to the bit with the same number of threads. torch's threads and all random
    generators are afterwards as they were; glibc keeps memory that was freed for later requests.

    Raises trainlab.errors.InputError for what cannot be run, also for more than one process (trainer.devices,
    trainer.nodes) and for a directory that holds a run (add "ckpt=auto" to go on with it); RunError for a run that
    failed; StoppedError, which is no Exception, for one that was interrupted and can go on.

        results = trainlab.run(["model=mlp", "logger=none"], run_dir="runs/mine")
        results["test/top1_error"], results.run_dir
    """
    from trainlab.command import from_python

    return from_python.run(overrides, run_dir=run_dir, callbacks=callbacks)


def load(run: str | os.PathLike[str]) -> Network:
    """A trained network, ready to be asked: in evaluation mode, on the CPU, with its classes and its preprocessing.

    run: a run directory, whose best checkpoint is meant, or a checkpoint (.ckpt), whoever made it: reading one runs
    nothing in it. Returns an object with

    - ``predict(images_or_paths)``: probabilities, float32 (N, K), of paths, of Pillow's images or of uint8 arrays
      (N, C, H, W), of any size; of a network of points, of numbers (N, F);
    - ``predict_classes(images_or_paths)``: the names of the most probable classes;
    - ``preprocess(images_or_paths)``: what the network is given, float32 (N, C, size, size);
    - ``net``: the torch.nn.Module; ``classes``: their names; ``cfg``: the configuration of the run.

    Raises trainlab.errors.InputError where there is no such run, or it is damaged.

        network = trainlab.load("runs/mine")
        network.predict("four.png")[0, network.classes.index("4")]
    """
    from trainlab.command.load import load as loaded

    return loaded(run)


def read_runs(*folders: str | os.PathLike[str]) -> pandas.DataFrame:
    """Many runs as a pandas.DataFrame, a row for each, finished or not.

    folders: run directories, sweeps, or folders of either. Columns, in this order:

    - folder, state ("finished", "failed", "interrupted", "missing", "damaged") and error, its sentence, if any;
    - model, data, loss, reg, optim and aug: the names of the choices; then each option that the sweep varies, or by
      which the runs differ ("reg.l2"), and seed;
    - all that results.json holds, by its names ("test/top1_error", "seconds"); empty for runs that are not finished.

    Needs pandas, the extra "dataframe". Raises trainlab.errors.InputError where it is missing, and where there are no
    runs.

        runs = trainlab.read_runs("runs/sweeps/mine")
        runs.groupby("reg.l2")["test/top1_error"].agg(["mean", "std", "count"])
    """
    from trainlab.sweeps import frame

    return frame.read_runs(*folders)


def __getattr__(name: str) -> Any:
    """The parts that are used by themselves (`trainlab.models`), loaded when they are first named."""
    if name in __all__:
        return import_module(f"trainlab.{name}")
    raise AttributeError(f"module 'trainlab' has no attribute '{name}'")
