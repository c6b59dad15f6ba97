"""scripts/rerun.py: a run again, with the configuration that lies in its directory and not with today's conf/."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
import yaml
from omegaconf import DictConfig, OmegaConf

from trainlab.command import RUN_STAMP, make_run_directory, parse, refuse_occupied, run
from trainlab.config import check
from trainlab.errors import InputError
from trainlab.run_directory import CONFIG, read_results


def rerun(run_dir: str, overrides: list[str]) -> None:
    """Train and test as `run_dir` was, in a new directory; on the same machine the metrics are the same bits.

    overrides: hydra.run.dir, where to write. Any other is refused: it would be another run. Raises InputError.
    """
    file = Path(run_dir) / CONFIG
    if not file.is_file():
        raise InputError(f"{run_dir} is no run directory: it has no {CONFIG}.")
    given = {o.key_or_group: o.value() for o in parse(overrides)}
    others = [key for key in given if key != "hydra.run.dir"]
    if others:
        raise InputError(f"{others[0]} would make it another run; only hydra.run.dir can be given here.")
    try:
        cfg = OmegaConf.load(file)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read ({str(error).splitlines()[0]}).") from None
    if given.get("hydra.run.dir", "new") in (None, ""):
        raise InputError("hydra.run.dir= needs a folder.")
    check(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    new = Path(str(given.get("hydra.run.dir", f"runs/{cfg.model.name}_{cfg.data.name}/{RUN_STAMP}")))
    refuse_occupied(new, None)
    make_run_directory(new)
    # How many threads add up a sum changes its last bits; a sweep deals out fewer than a single run takes.
    threads = (read_results(Path(run_dir)) or {}).get("threads", cfg.trainer.threads)
    fixed = [f"hydra.run.dir='{new}'", "ckpt=null", f"trainer.threads={threads}"]
    sys.argv = [sys.argv[0], *fixed, "hydra/job_logging=stdout", "hydra.job_logging.root.level=WARNING"]

    @hydra.main(version_base="1.3", config_path=str(file.parent.resolve()), config_name=CONFIG.stem)
    def main(cfg: DictConfig) -> float:
        return run(cfg)

    main()
