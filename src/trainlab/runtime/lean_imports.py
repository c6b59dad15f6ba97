"""Lightning without what a run never uses of it: half of the seconds between a command and its first step.

`import lightning` takes twice as long as `import torch` (1.7 s and 4.1 s of CPU on two cores), nearly all of it for
torchmetrics' domains (images, audio, text, with torchvision and scipy), what its metrics draw with, and torch's
compiler. Leave the call out and everything works as before, later.
"""

from __future__ import annotations

import importlib
import logging
import sys
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


def import_lightning() -> None:
    """Import Lightning without the parts that no run needs at its start; they are imported when they are first asked
    for. Does nothing where Lightning was imported before.
    """
    if "lightning" in sys.modules:
        return
    if "torchmetrics" not in sys.modules:
        _torchmetrics_without_domains()
    if "torch._dynamo" not in sys.modules:
        # Of the compiler Lightning wants the class of compiled modules, which there are none of, and what keeps a
        # method out of compiled code.
        compiler: Any = ModuleType("torch._dynamo")
        compiler.OptimizedModule = type("OptimizedModule", (torch.nn.Module,), {})
        compiler.disable = lambda method, *how, **why: method
        sys.modules["torch._dynamo"] = compiler
        try:
            import lightning.pytorch  # noqa: F401
        finally:
            del sys.modules["torch._dynamo"]
        # Methods of optimisers are kept out of compiled code, for which torch imports the compiler at the first call.
        for method in vars(torch.optim.Optimizer).values():
            plain, code = getattr(method, "__wrapped__", None), getattr(method, "__code__", None)
            if plain is not None and code is not None and Path(code.co_filename).name == "_compile.py":
                plain.__dynamo_disable = plain


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
