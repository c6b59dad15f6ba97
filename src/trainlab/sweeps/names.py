"""What sweeps and their points are called: pure functions of what was typed, never of the clock."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

NAME_LENGTH = 80  # characters, so that the paths below it stay short enough for every file system
NAME_BYTES = 240  # of UTF-8: file systems take 255, and the digest and a number (set_aside) come after it
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?![^.])", re.IGNORECASE)  # also before a dot, on Windows' disks


def swept_keys(config: DictConfig) -> list[str]:
    """The options that the command, or the experiment that it names, varies, in their order."""
    fixed, swept = split(task_overrides(config))
    params = [str(key) for key in config.hydra.sweeper.get("params") or {}]
    return [key.lstrip("+") for key in dict.fromkeys([*params, *swept]) if key not in fixed]


def task_overrides(config: DictConfig) -> list[str]:
    """The overrides as they were typed, interpolations included."""
    return list(OmegaConf.to_container(config.hydra.overrides.task, resolve=False))  # type: ignore[arg-type]


def split(overrides: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The overrides in two parts: what is fixed, with its value, and what is swept."""
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
    return named("_".join([*said, *swept]), words)


def point_name(swept: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """A directory name that people can read, and six digits that tell apart what it leaves out; twelve where a value is
    more than a number or a word, and so much may be left out.

    A pure function of the overrides, whatever their order; safe in a path, and on Hydra's command line as it is (in
    quotes where the values have letters that are not Latin). swept: plain values by option.
    """
    readable = "_".join(f"{key.rpartition('/')[2]}-{value}" for key, value in swept.items())
    plain = all(isinstance(value, str | int | float | None) for value in swept.values())
    plain = plain and all(re.fullmatch(r"[\w./+-]*", str(value)) for value in swept.values())
    return named(readable, overrides, digits=6 if plain else 12)


def named(readable: str, words: Sequence[str], digits: int = 6) -> str:
    """As much of `readable` as a file name may hold, and `digits` for all `words`.

    The digits alone tell names apart, also for a file system to which a letter's cases, or forms in Unicode, are one.
    """
    cut = clean(readable)[:NAME_LENGTH].encode()[:NAME_BYTES].decode(errors="ignore")
    name = f"{cut}_{digest(words, digits)}".lstrip("_.-")
    return f"x{name}" if RESERVED.match(name) else name


def clean(text: str) -> str:
    """The text with what a file name cannot hold replaced."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")


def digest(words: Sequence[str], digits: int = 6) -> str:
    """Hexadecimal digits that stand for all these words, the same on every machine."""
    lines = sorted(repr(word) if "\n" in word else word for word in words)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:digits]


def typed(text: str) -> str:
    """A text as a value on Hydra's command line: in quotes, with no interpolation in it."""
    escaped = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # as OmegaConf reads it back
    return QuotedString(escaped, Quote.single).with_quotes()


PLAIN = re.compile(r"[\w./+-][\w ./+-]*(?<! )")
OTHER = re.compile(r"null|true|false|[+-]?(?:inf|nan)", re.IGNORECASE)  # what Hydra takes for something else


def shown(value: Any) -> str:
    """A swept value for people, on one line, as it is typed: so the text "null" does not look like null."""
    if isinstance(value, str):
        if PLAIN.fullmatch(value) and not OTHER.fullmatch(value) and not _is_number(value):
            return value
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{shown(key)}: {shown(item)}" for key, item in value.items()) + "}"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else "null" if value is None else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
