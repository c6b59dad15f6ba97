"""The configurations of a sweep's points: Hydra composes the first of each set of choices, the others differ in values.

Hydra takes a tenth of a second for a configuration, whatever of it is new. Points whose words choose the same files and
give values to the same options have the same configuration but for those values, and these are put in here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from trainlab.configuration.folder import CONF
from trainlab.configuration.stored import REFERENCE

Path = tuple[str, ...]  # of an option: ("reg", "l2")


@dataclass(frozen=True)
class Composed:
    """A configuration. unresolved: without Hydra's part, references as they stand (``${reg.dropout}``). plain: the
    same, resolved. hydra: Hydra's part, references as they stand. make: all of it, as Hydra composes it.

    Parts are shared with other points': they are to be read, not changed.
    """

    unresolved: dict[str, Any]
    plain: dict[str, Any]
    hydra: dict[str, Any]
    make: Callable[[], DictConfig] | None

    @property
    def choices(self) -> dict[str, Any]:
        """The choice of each group, by the group's name."""
        return self.hydra["runtime"]["choices"]

    @property
    def trainer(self) -> SimpleNamespace:
        """The options of the group `trainer`."""
        return SimpleNamespace(**self.plain["trainer"])

    def value(self, option: str) -> Any:
        """What a group has chosen, or the resolved value of an option; None where there is neither."""
        return self.choices.get(option, _find(self.plain, tuple(option.split(".")))[1])

    def config(self) -> DictConfig:
        """All of it, as Hydra composes it, made anew."""
        assert self.make is not None, "it has come from another process"
        return self.make()

    def parted(self) -> Composed:
        """The same for another process, to which Hydra's way does not lead."""
        return replace(self, make=None)


class Composer:
    """Composes configurations from lists of overrides. load: Hydra's way, which raises what it finds wrong."""

    def __init__(self, load: Callable[[list[str]], DictConfig]) -> None:
        self.load = load
        self.bases: dict[tuple[str, ...], _Base] = {}

    def compose(self, words: Sequence[str]) -> Composed:
        """The configuration of these overrides, the same as that of `load`."""
        words = list(words)
        values = {word: value for word in words if (value := _value_of(word)) is not None}
        alike = tuple(f"{'.'.join(values[word][0])}=" if word in values else word for word in words)
        base = self.bases.get(alike)
        if base is not None and base.takes_values:
            return base.with_values(words, [values[word] for word in words if word in values])
        base = _Base(self.load(words))
        if not _reaches_in(words, values):
            self.bases[alike] = base
        return base.first


def _reaches_in(words: Sequence[str], values: dict[str, tuple[Path, Any]]) -> bool:
    """Whether a word that is neither a choice nor gives a plain value may change what one of `values` gives."""
    roots = {path[0] for path, _ in values.values()}
    rest = [_parsed(word) for word in words if word not in values]
    return any(o is None or (o.key_or_group.split(".")[0] in roots and not _is_choice(o)) for o in rest)


@lru_cache(maxsize=10_000)
def _parsed(word: str) -> Override | None:
    """None for what Hydra cannot read, which it will say itself."""
    try:
        return OverridesParser.create().parse_overrides([word])[0]
    except HydraException:
        return None


def _is_choice(override: Override) -> bool:
    return "/" in override.key_or_group or (CONF / override.key_or_group).is_dir()


@lru_cache(maxsize=10_000)
def _value_of(word: str) -> tuple[Path, Any] | None:
    """The option and the plain value that a word gives it; None for any other word."""
    override = _parsed(word)
    if override is None or override.type != OverrideType.CHANGE or override.package is not None:
        return None
    if override.is_sweep_override() or override.is_hydra_override() or _is_choice(override):
        return None
    value = override.value()
    if not all(_is_plain(item) for item in (value if isinstance(value, list) else [value])):
        return None
    return tuple(override.key_or_group.split(".")), value


def _is_plain(value: Any) -> bool:
    """Whether it stands for itself: no container, and no text that OmegaConf looks something up for."""
    if isinstance(value, str):
        return "${" not in value and value != "???"
    return value is None or isinstance(value, int | float)


class _Base:
    """The configuration of the first of the points that are alike, of which those of the others are made."""

    def __init__(self, config: DictConfig) -> None:
        self.config = config
        own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        unresolved: Any = OmegaConf.to_container(own, resolve=False)
        plain: Any = OmegaConf.to_container(own, resolve=True)
        hydra: Any = OmegaConf.to_container(config.hydra, resolve=False, enum_to_str=True)
        self.first = Composed(unresolved, plain, hydra, lambda: copy.deepcopy(config))

    @cached_property
    def chains(self) -> dict[Path, list[Path]] | None:
        """The options that refer to others, each with those by way of which it comes to its value; None where there is
        anything but plain references.
        """
        found: dict[Path, list[Path]] = {}
        for path, value in _leaves(self.first.unresolved):
            chain: list[Path] = []
            while isinstance(value, str) and "${" in value:
                reference = REFERENCE.fullmatch(value)
                if reference is None:
                    return None
                chain.append(tuple(reference[1].split(".")))
                there, value = _find(self.first.unresolved, chain[-1])
                if not there:  # a default's, which no value of another option changes
                    break
                if isinstance(value, dict | list):
                    return None
            if chain:
                found[path] = chain
        return found

    @property
    def takes_values(self) -> bool:
        """Whether another point's values can be put in."""
        return self.chains is not None

    def with_values(self, words: list[str], values: Sequence[tuple[Path, Any]]) -> Composed:
        """The configuration of a point of other words with other values."""
        assert self.chains is not None
        unresolved, plain = self.first.unresolved, self.first.plain
        for path, value in values:
            there, before = _find(unresolved, path)
            assert there, "Hydra has put the first point's value there"
            assert not isinstance(before, dict), "a plain value"
            unresolved, plain = _replaced(unresolved, path, value), _replaced(plain, path, value)
        changed = {path for path, _ in values}
        for path, chain in self.chains.items():
            if not changed.isdisjoint(chain):
                _, value = _find(plain, chain[-1])
                plain = _replaced(plain, path, value)
        hydra = self.first.hydra
        for path, text in self.said_of(words).items():
            hydra = _replaced(hydra, path, text)
        return Composed(unresolved, plain, hydra, lambda: self.filled(words, values))

    def said_of(self, words: Sequence[str]) -> dict[Path, Any]:
        """What Hydra's part says of the words, by its place there."""
        parsed = [override for word in words if (override := _parsed(word)) and not override.is_hydra_override()]
        job = self.first.hydra["job"]["config"]["override_dirname"]
        named = sorted(o.input_line or "" for o in parsed if o.key_or_group not in job["exclude_keys"])
        return {
            ("overrides", "task"): [override.input_line for override in parsed],
            ("job", "override_dirname"): job["item_sep"].join(named).replace("=", job["kv_sep"]),
        }

    def filled(self, words: Sequence[str], values: Sequence[tuple[Path, Any]]) -> DictConfig:
        """All of the configuration, Hydra's part included."""
        config = copy.deepcopy(self.config)
        for path, value in values:
            OmegaConf.update(config, ".".join(path), value, merge=True)
        with open_dict(config.hydra):
            for path, said in self.said_of(words).items():
                OmegaConf.update(config.hydra, ".".join(path), said, merge=True)
        return config


def _leaves(tree: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    """Every value that is no container, with its path; items of a list by their numbers."""
    if isinstance(tree, dict | list):
        entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [leaf for key, inner in entries for leaf in _leaves(inner, (*path, str(key)))]
    return [(path, tree)]


def _find(tree: dict[str, Any], path: Path) -> tuple[bool, Any]:
    """Whether there is something at `path`, and what."""
    node: Any = tree
    for name in path:
        if not isinstance(node, dict) or name not in node:
            return False, None
        node = node[name]
    return True, node


def _replaced(tree: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with another value at `path`, which shares what it can with `tree`."""
    head, *rest = path
    return {**tree, head: _replaced(tree[head], tuple(rest), value) if rest else value}
