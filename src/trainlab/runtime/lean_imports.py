"""Lightning and W&B without what a run never uses of them: a third of the CPU time of a short run, 2.6 s.

`import lightning` takes twice as long as `import torch` (1.7 s and 4.1 s of CPU on two cores), nearly all of it for
torchmetrics' domains (images, audio, text, with torchvision and scipy), what its metrics draw with, torch's compiler
and, where it is installed, Triton. A W&B run imports all that launches jobs as it starts, for a third of a second.
Leave the calls out and everything works as before, later.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any


def import_lightning() -> None:
    """Import Lightning without the parts that no run needs at its start; they are imported when they are first asked
    for. Does nothing where Lightning was imported before.
    """
    if "lightning" in sys.modules:
        return
    import torch

    if "torchmetrics" not in sys.modules:
        _torchmetrics_without_domains()
    if "torch._dynamo" not in sys.modules:
        # Of the compiler Lightning wants the class of compiled modules, which there are none of, and what keeps a
        # method out of compiled code.
        compiler: Any = ModuleType("torch._dynamo")
        compiler.OptimizedModule = type("OptimizedModule", (torch.nn.Module,), {})
        compiler.disable = lambda method, *how, **why: method
        # The summary of a network counts operations with this, which imports Triton; ours is another summary.
        flops: Any = ModuleType("torch.utils.flop_counter")
        flops.FlopCounterMode = lambda *args, **how: importlib.import_module(flops.__name__).FlopCounterMode(
            *args, **how
        )
        with _in_the_place_of(compiler, flops):
            import lightning.pytorch  # noqa: F401
        # Methods of optimisers are kept out of compiled code, for which torch imports the compiler at the first call.
        for method in vars(torch.optim.Optimizer).values():
            plain, code = getattr(method, "__wrapped__", None), getattr(method, "__code__", None)
            if plain is not None and code is not None and Path(code.co_filename).name == "_compile.py":
                plain.__dynamo_disable = plain


def import_sklearn() -> None:
    """Import what a run uses of scikit-learn, without pandas, which that would import wherever it is installed: a sixth
    of the time. Its functions then take no data frames. Does nothing where it was imported before.
    """
    absent = "pandas" not in sys.modules
    if absent:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # Python's own way to say that there is none
    try:
        importlib.import_module("sklearn.datasets")
        importlib.import_module("sklearn.model_selection")
    finally:
        if absent:
            del sys.modules["pandas"]


@contextmanager
def wandb_without_launch() -> Iterator[None]:
    """A context manager for wandb.init, which asks whether a job was staged for W&B's launcher and would load that for
    it.
    """
    if "wandb.sdk.launch" in sys.modules:
        yield
        return
    inputs: Any = ModuleType("wandb.sdk.launch.inputs.internal")
    inputs.StagedLaunchInputs = type("StagedLaunchInputs", (), {"apply": lambda self, run: None})
    with _in_the_place_of(inputs):
        yield


@contextmanager
def _in_the_place_of(*modules: ModuleType) -> Iterator[None]:
    """These are found by their names instead of the real ones, where those have not been loaded."""
    put = [module for module in modules if module.__name__ not in sys.modules]
    sys.modules.update({module.__name__: module for module in put})
    try:
        yield
    finally:
        for module in put:
            sys.modules.pop(module.__name__, None)


def _torchmetrics_without_domains() -> None:
    """The package with its two base classes; any other name makes it load all."""
    spec = util.find_spec("torchmetrics")
    assert spec is not None
    assert spec.loader is not None
    package, loader = util.module_from_spec(spec), spec.loader

    def load_all(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        del package.__getattr__
        loader.exec_module(package)
        return getattr(package, name)

    package._logger = logging.getLogger("torchmetrics")  # type: ignore[attr-defined]
    package.__getattr__ = load_all  # type: ignore[method-assign]
    sys.modules["torchmetrics"] = package
    # What Metric.plot draws with would import matplotlib.
    plot: Any = ModuleType("torchmetrics.utilities.plot")
    plot._AX_TYPE = plot._PLOT_OUT_TYPE = object
    plot.plot_single_or_multi_val = lambda *shown, **how: importlib.import_module(
        plot.__name__
    ).plot_single_or_multi_val(*shown, **how)
    sys.modules[plot.__name__] = plot
    importlib.import_module("torchmetrics.utilities")  # before the next, which it needs
    package.Metric = importlib.import_module("torchmetrics.metric").Metric  # type: ignore[attr-defined]
    package.MetricCollection = importlib.import_module("torchmetrics.collections").MetricCollection  # type: ignore[attr-defined]
    del sys.modules[plot.__name__]
