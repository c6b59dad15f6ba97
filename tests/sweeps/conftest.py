"""A sweep within the test's own process: composed and looked at, not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.types import HydraContext, RunMode

from trainlab.command.main import CONF
from trainlab.sweeps.launch import Processes, Settings, Sweep


@pytest.fixture(scope="session")
def composed() -> Callable[..., tuple[Sweep, list[list[str]]]]:
    """composed(folder, "seed=0,1", …): the sweep and the overrides of its points, as Hydra's own sweeper makes them."""
    setup_globals()
    loader = ConfigLoaderImpl(create_config_search_path(str(CONF)))

    def make(folder: Path, *typed: str, settings: Settings | None = None) -> tuple[Sweep, list[list[str]]]:
        words = [*typed, f"hydra.sweep.dir={folder}"]
        config = loader.load_configuration("train", words, run_mode=RunMode.MULTIRUN)
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(words)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("trainlab.sweeps.launch.commit", lambda: None)  # git is a process
            sweep = Sweep(HydraContext(loader, Callbacks()), config, settings or Processes())
        (batch,) = BasicSweeper.split_arguments(parsed, None)
        return sweep, batch

    return make
