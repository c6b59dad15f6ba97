"""scripts/rerun.py: a run again, with the configuration that lies in its directory and not with today's conf/."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from trainlab.command.main import RUN_STAMP, check_run_dir_free, folder_of, make_run_directory, run_in, values_of
from trainlab.configuration.build import target
from trainlab.configuration.schema import check
from trainlab.configuration.stored import load_config
from trainlab.errors import InputError
from trainlab.recording.run_directory import CONFIG, read_results
from trainlab.runtime.assembly import FETCHES, data_options
from trainlab.survival.atomic import atomic_write

WHERE_THE_DATA_ARE = ("data.root", "data.packed", "data.download")  # of another machine, so that they may be given


def rerun(arguments: Sequence[str]) -> None:
    """Train and test again as a run was, in a new directory; on the same machine the metrics are the same bits.

    arguments: the run's directory, then hydra.run.dir, where to write, and where the data are. Any other option is
    refused, since it would be another run. What is not there is not downloaded or packed unless that is asked for
    here: the file may be anybody's. Raises InputError.
    """
    if not arguments:
        raise InputError("which run? python scripts/rerun.py RUN_DIR [hydra.run.dir=…].")
    run_dir, given = arguments[0], values_of(arguments[1:])
    file = Path(run_dir) / CONFIG
    for key in given:
        if key not in ("hydra.run.dir", *WHERE_THE_DATA_ARE):
            can_be = ", ".join(["hydra.run.dir", *WHERE_THE_DATA_ARE])
            raise InputError(f"{key} would make it another run", hint=f"only {can_be} can be given here")
    cfg = read_run_config(file)
    with open_dict(cfg):
        loader = inspect.signature(target("data", options := data_options(cfg))).parameters
        for argument, option in FETCHES.items():
            if argument in loader and option not in given:
                options[argument] = False
        for key in set(WHERE_THE_DATA_ARE) & given.keys():
            if key.removeprefix("data.") not in cfg.data:
                raise InputError(f"{key} is no option of data={cfg.data.name}.")
            OmegaConf.update(cfg, key, given[key])
        cfg.ckpt = None
        # How many threads add up a sum changes its last bits; a sweep deals out fewer than a single run takes.
        cfg.trainer.threads = (read_results(Path(run_dir)) or {}).get("threads", cfg.trainer.threads)
    check(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    new = folder_of("hydra.run.dir", given.get("hydra.run.dir", f"runs/{cfg.model.name}_{cfg.data.name}/{RUN_STAMP}"))
    check_run_dir_free(new, None)
    make_run_directory(new)
    (new / CONFIG).parent.mkdir(exist_ok=True)
    atomic_write(new / CONFIG, OmegaConf.to_yaml(cfg))
    run_in(new, cfg)


def read_run_config(file: Path) -> DictConfig:
    """A run's configuration, safe to resolve. Raises InputError for a file that holds none."""
    cfg = load_config(file)
    if cfg is None:
        raise InputError(f"{file.parents[1]} is no run directory: it has no {CONFIG}.")
    for group in ("model", "data", "trainer"):
        if not isinstance(cfg.get(group), DictConfig):
            raise InputError(f"{file} is not a run's configuration: it has no {group}.")
    return cfg
