"""Configurations that come out of a file, a checkpoint's or a run directory's: data, whatever they say.

What a file names is looked up in lists (see `build.target`), and a value that it leaves open is looked up in the same
file: nothing of this machine, such as its environment, gets in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainlab.configuration import renamed
from trainlab.configuration.schema import check_values
from trainlab.errors import InputError

REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([A-Za-z_][\w.]*)(?:,([\w.+-]*))?\}")  # ${a.b}, ${oc.select:a.b,default}
MOST_VALUES, MOST_HOPS = 10_000, 8


def plain_config(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain containers, to be written into a file: references to other options stay, and what
    other resolvers gave is fixed.
    """
    return with_references(OmegaConf.to_container(cfg, resolve=False), OmegaConf.to_container(cfg, resolve=True))


def with_references(kept: Any, resolved: Any) -> Any:
    """The values of a configuration, but references to other options stay. kept, resolved: before and after it."""
    if isinstance(kept, dict) and isinstance(resolved, dict):
        return {key: with_references(value, resolved[key]) for key, value in kept.items()}
    if isinstance(kept, list) and isinstance(resolved, list):
        return [with_references(one, other) for one, other in zip(kept, resolved, strict=True)]
    return kept if isinstance(kept, str) and REFERENCE.fullmatch(kept) else resolved


def read_config(plain: Any, where: str) -> DictConfig:
    """The configuration in plain containers that a file held, safe to resolve, its options by today's names.

    where: what errors call the file.

    Every value may be a reference to one other value, ``${reg.dropout}``, and no other interpolation. Raises
    InputError for those, for values of a wrong type, and for what is no configuration.
    """
    if not isinstance(plain, dict):
        raise InputError(f"{where} is damaged: it holds no configuration, which is a mapping of options to values.")
    values: dict[str, Any] = {}  # of all leaves, by their keys
    _collect(plain, "", values, where)
    for key, value in values.items():
        _follow(key, value, values, where)
    cfg = OmegaConf.create(renamed.in_config(plain))
    try:
        check_values(OmegaConf.to_container(cfg, resolve=True), complete=False)  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return cfg


class _NoAliases(yaml.SafeLoader):
    """Ours have none, and a few lines of them can stand for more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias, which no configuration has that was written here")
        return super().compose_node(parent, index)


def load_config(file: Path) -> DictConfig | None:
    """The configuration in a run's directory, safe to resolve; None where there is no such file. Raises InputError."""
    try:
        with open(file, "rb") as stream:
            plain = yaml.load(stream, _NoAliases)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, yaml.YAMLError, RecursionError, TypeError) as error:
        raise InputError(f"{file} is damaged ({str(error).strip().splitlines()[0]}).") from error
    return read_config(plain, str(file))


@contextmanager
def options_of(where: str) -> Iterator[None]:
    """Inside, an option that is missing from the configuration of `where` is an InputError."""
    try:
        yield
    except OmegaConfBaseException as error:
        option = error.full_key or str(error).splitlines()[0]
        raise InputError(f"{where} holds a configuration that cannot be used: it lacks {option}.") from error


def _collect(node: Any, key: str, values: dict[str, Any], where: str) -> None:
    """The leaves below `node` into `values`. Counted, because YAML and pickle can name one container many times."""
    if len(values) > MOST_VALUES or key.count(".") > 20:
        raise InputError(f"{where} holds no configuration: it has more values, or deeper ones, than any.")
    if not isinstance(node, dict | list):
        if not isinstance(node, str | int | float | bool | None):
            raise InputError(f"{where} holds {key}, which is a {type(node).__name__} and no option's value.")
        values[key] = node
        return
    if isinstance(node, dict) and not all(isinstance(name, str) for name in node):
        raise InputError(f"{where} holds names of options that are no words, in {key or 'its first level'}.")
    values[key] = ...  # a container: it cannot be referred to
    for name, value in node.items() if isinstance(node, dict) else enumerate(node):
        _collect(value, f"{key}.{name}".lstrip("."), values, where)


def _follow(key: str, value: Any, values: dict[str, Any], where: str) -> None:
    """Raises InputError unless the interpolations from `value` on lead to a plain value."""
    for _ in range(MOST_HOPS):
        if not (isinstance(value, str) and "${" in value):
            return
        reference = REFERENCE.fullmatch(value)
        if reference is None:
            raise InputError(
                f"{where} holds {key}={value}, and only references to other options are looked up for a "
                "file, such as ${reg.dropout}",
                hint="write the value itself",
            )
        named, default = reference.groups()
        if named not in values and default is not None:
            return
        value = values.get(named, ...)
        if value is ...:
            raise InputError(f"{where} holds {key}, which refers to {named}, and that is no option with a value there.")
    raise InputError(f"{where} holds {key}, which refers to itself, or through more than {MOST_HOPS} others.")
