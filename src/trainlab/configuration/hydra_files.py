"""The files in .hydra/ of a run that Hydra itself does not start, letter for letter as Hydra writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

CONFIG, HYDRA, OVERRIDES = Path(".hydra/config.yaml"), Path(".hydra/hydra.yaml"), Path(".hydra/overrides.yaml")


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
        return {
            CONFIG: self.entries(config, ()),
            HYDRA: self.text({"hydra": hydra}, ()),
            OVERRIDES: OmegaConf.to_yaml(OmegaConf.create(list(hydra["overrides"]["task"]))),
        }

    def text(self, node: Any, path: tuple[str, ...]) -> str:
        """The lines of the entry or the entries `node` at `path`."""
        mark = (path, id(node)) if isinstance(node, dict | list) else (path, type(node), repr(node))
        if mark not in self.known:
            self.known[mark] = node, self.entries(node, path) if isinstance(node, dict) and node else lines(node, path)
        return self.known[mark][1]  # the node is kept with it, so that no other gets its id

    def entries(self, node: Mapping[str, Any], path: tuple[str, ...]) -> str:
        own = f"{'  ' * (len(path) - 1)}{key_of(path[-1])}:\n" if path else ""
        return own + "".join(self.text(inner, (*path, key)) for key, inner in node.items())


def key_of(name: str) -> str:
    """A key as YAML writes it."""
    return OmegaConf.to_yaml(OmegaConf.create({name: 0})).removesuffix(": 0\n")


def lines(node: Any, path: tuple[str, ...]) -> str:
    """The lines of one entry at `path`, without those of what it lies in."""
    nested = node
    for name in reversed(path):
        nested = {name: nested}
    text = OmegaConf.to_yaml(OmegaConf.create(nested))
    return text.split("\n", len(path) - 1)[-1]
