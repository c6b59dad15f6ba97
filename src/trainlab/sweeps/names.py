"""What sweeps and their points are called: pure functions of what was typed, never of the clock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

NAME_LENGTH = 80  # characters, so that the paths below it stay short enough for every file system


def swept_keys(config: DictConfig) -> list[str]:
    """The options that the command, or the experiment it names, varies; in their order."""
    fixed, swept = split(config.hydra.overrides.task)
    params = [str(key) for key in config.hydra.sweeper.get("params") or {}]
    return [key.lstrip("+") for key in dict.fromkeys([*params, *swept]) if key not in fixed]


def split(overrides: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What is fixed, with its value, and what is swept."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    fixed = {o.get_key_element(): o.get_value_element_as_str() for o in parsed if not o.is_sweep_override()}
    return fixed, [o.get_key_element() for o in parsed if o.is_sweep_override()]


def sweep_name(overrides: Sequence[str]) -> str:
    """What the sweep's directory is called: what is fixed, what is varied, and six digits for all of it.

    A pure function of the command, not of the values that are swept: the same command finds its directory again,
    and one with more values goes on in it.
    """
    fixed, swept = split(overrides)
    said = [fixed[key] for key in ("experiment", "model", "data") if key in fixed]
    words = [f"{key}={value}" for key, value in fixed.items()] + swept
    return f"{clean('_'.join([*said, *swept]))[:NAME_LENGTH]}_{digest(words)}".lstrip("_")


def point_name(swept: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """A directory name that people can read, and six digits that tell apart what it leaves out.

    A pure function of the overrides, whatever their order; safe in a path and on Hydra's command line.
    """
    readable = "_".join(f"{key.rpartition('/')[2]}-{value}" for key, value in swept.items())
    return f"{clean(readable)[:NAME_LENGTH]}_{digest(overrides)}".lstrip("_")


def clean(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")


def digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:6]
