"""The files in .hydra/ of a run that Hydra itself does not start, letter for letter as Hydra writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from trainlab.recording.run_directory import CONFIG, OVERRIDES

HYDRA = Path(".hydra/hydra.yaml")
# Texts that YAML writes as they are, on one line: no number, truth or null looks like one of these
AS_IT_IS = re.compile(r"[/A-Za-z](?=[\w.,+-]*[/=_])[\w./=,+-]*", re.ASCII)


class HydraFiles:
    """Writes the files of many runs; what two have in common is made into text once.

    A mapping's text is that of its entries, one below the other, so that of a configuration like the last one only the
    entries that differ are new. It takes mappings for the same where they are one object, as those of
    `points.Composed` are.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[Any, ...], tuple[Any, str]] = {}

    def of(self, config: Mapping[str, Any], hydra: Mapping[str, Any]) -> dict[Path, str]:
        """The text of each file, by its place in the run's directory. config, hydra: the configuration without Hydra's
        part, and that, references as they stand.
        """
        words = list(hydra["overrides"]["task"])
        return {
            CONFIG: self.entries(config, ()),
            HYDRA: self.entry({"hydra": hydra}, ()),
            OVERRIDES: items(words, "") or OmegaConf.to_yaml(OmegaConf.create(words)),
        }

    def entry(self, node: Any, path: tuple[str, ...]) -> str:
        """The lines of what is at `path`."""
        if (plain := as_it_is(node)) is not None:
            return f"{key_of(path)}: {plain}\n"
        if isinstance(node, list) and (listed := items(node, "  " * (len(path) - 1))):
            return f"{key_of(path)}:\n{listed}"
        mark = (path, id(node)) if isinstance(node, dict | list) else (path, type(node), repr(node))
        if mark not in self.known:
            text = self.entries(node, path) if isinstance(node, dict) and node else by_omegaconf(node, path)
            self.known[mark] = node, text  # the node is kept with it, so that no other gets its id
        return self.known[mark][1]

    def entries(self, node: Mapping[str, Any], path: tuple[str, ...]) -> str:
        """The lines of a mapping at `path`, its own key among them."""
        own = f"{key_of(path)}:\n" if path else ""
        return own + "".join(self.entry(inner, (*path, key)) for key, inner in node.items())


def as_it_is(value: Any) -> str | None:
    """The text of a value that YAML writes as it is; None where it may not."""
    if type(value) is int or (isinstance(value, str) and AS_IT_IS.fullmatch(value)):
        return str(value)
    return None


def items(values: list[Any], indent: str) -> str:
    """The lines of a list of values that YAML writes as they are; nothing for any other, or an empty one."""
    texts = [as_it_is(value) for value in values]
    return "" if None in texts else "".join(f"{indent}- {text}\n" for text in texts)


@lru_cache(maxsize=10_000)
def key_of(path: tuple[str, ...]) -> str:
    """The key of an entry as YAML writes it, with what is before it on its line."""
    return by_omegaconf(0, path).removesuffix(": 0\n")


def by_omegaconf(node: Any, path: tuple[str, ...]) -> str:
    """The lines of one entry at `path`, without those of what it lies in."""
    nested = node
    for name in reversed(path):
        nested = {name: nested}
    return OmegaConf.to_yaml(OmegaConf.create(nested)).split("\n", len(path) - 1)[-1]
