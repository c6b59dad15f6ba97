"""Options, values and targets that had another name until 2026-12: typed, they are still taken, with a remark; in the
files of older runs they are read by today's names. And options that older runs had not, with what those did."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

OPTIONS = {
    "model.kernels": "model.width",
    "model.cross_gpu": "model.conv3_cross_tower",
    "model.without": "model.drop_layer",
}
VALUES = {
    "model.width": {"all": "full"},
    "model.pool": {"plain": "non_overlapping"},
}
ADDED = {"data.label_noise": 0}
TARGETS = {  # of modules that have moved
    f"trainlab.data.{name}": f"trainlab.data.sources.{name}"
    for name in (
        *("cifar10.load", "digits.load", "elpv.load", "fashion_mnist.load", "image_folder.load", "imagenet.load"),
        *("points.moons", "points.circles", "points.linear"),
    )
}


def in_words(words: Sequence[str]) -> list[str]:
    """Words of a command line by today's names, such as "model.kernels=all,half" as "model.width=full,half".

    What was renamed is told on stderr. Words that are no option=value stay as they are.
    """
    today = [_word(word) for word in words]
    for before, now in zip(words, today, strict=True):
        if before != now and os.environ.get("RANK", "0") == "0":
            print(f"{before} is written {now} now; the old name is still taken", file=sys.stderr)
    return today


def _word(word: str) -> str:
    sign, name, value = re.fullmatch(r"([+~]*)([^=]*)(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    name = OPTIONS.get(name, name)
    for before, now in VALUES.get(name, {}).items():
        value = re.sub(rf"\b{before}\b", now, value)
    return f"{sign}{name}{value}"


def in_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by option ("model.width"), by today's names."""
    today = {OPTIONS.get(option, option): value for option, value in values.items()}
    for option, renamed in VALUES.items():
        if isinstance(today.get(option), str):
            today[option] = renamed.get(today[option], today[option])
    return today


def in_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in plain containers, by today's names, with `ADDED` options; `config` itself stays as it is."""
    today = dict(config)
    for group in {option.partition(".")[0] for option in (*OPTIONS, *VALUES)}:
        node = today.get(group)
        if isinstance(node, dict):
            named = in_values({f"{group}.{key}": value for key, value in node.items()})
            today[group] = {option.removeprefix(f"{group}."): value for option, value in named.items()}
    for option, value in ADDED.items():
        group, _, key = option.partition(".")
        if isinstance(today.get(group), dict):
            today[group] = {key: value, **today[group]}
    return today
