"""From configuration to objects: each choice's YAML names a constructor and gives its arguments by name.

What may be named is listed, never searched for: the targets in the files of conf/, each for its own group. A
checkpoint carries its configuration, and reading one must not run whatever it names.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from functools import cache
from typing import Any, get_type_hints

import yaml
from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError

from trainlab.configuration import renamed
from trainlab.configuration.folder import CONF
from trainlab.configuration.schema import wrong_value
from trainlab.errors import InputError

OFFERED: dict[str, set[str]] = {}  # names beside those of conf/, by a program such as the benchmark


@cache
def targets(group: str) -> frozenset[str]:
    """The names that the files of conf/GROUP give as ``_target_``: all that a configuration may name."""
    found: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            found.update(str(value) for key, value in node.items() if key == "_target_")
            for value in node.values():
                collect(value)

    for file in (CONF / group).glob("*.yaml"):
        collect(yaml.safe_load(file.read_text(encoding="utf-8")))
    return frozenset(found)


def target(group: str, node: DictConfig) -> Any:
    """The class or function that `node._target_` names, one of the group's. Raises InputError."""
    name = str(node.get("_target_")) if isinstance(node, DictConfig) else "none"
    name = renamed.TARGETS.get(name, name)
    if name not in targets(group) and name not in OFFERED.get(group, ()):
        raise InputError(
            f"_target_={name} is not what a file of conf/{group} names",
            option="_target_",
            value=name,
            hint=f"there are {', '.join(sorted(targets(group)))}, and a new one needs a file conf/{group}/NAME.yaml",
        )
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"_target_={name} does not exist ({error})",
            option="_target_",
            value=name,
            hint="see the files of src/trainlab",
        ) from error


def build(group: str, node: DictConfig, **extra: Any) -> Any:
    """Call the target of a node with the node's values and `extra`, which wins. Raises InputError for arguments that
    it does not take, or not with such a value.
    """
    call = target(group, node)
    given = OmegaConf.to_container(node, resolve=True)
    assert isinstance(given, dict)
    values = {str(key): value for key, value in given.items() if key not in ("_target_", "name")}
    check_arguments(group, call, {key: value for key, value in values.items() if key not in extra})
    try:
        inspect.signature(call).bind(**(values | extra))
        return call(**(values | extra))
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise InputError(f"{node._target_} cannot be made: {str(error).split('() ')[-1]}.") from error


def check_arguments(group: str, call: Callable[..., Any], values: dict[str, Any]) -> None:
    """Raises InputError for a value that is not of the type that `call` says its argument has."""
    hints = get_type_hints(call.__init__ if inspect.isclass(call) else call)
    kinds = {
        parameter.name for parameter in inspect.signature(call).parameters.values() if parameter.kind.name[:3] != "VAR"
    }
    strict = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    for key in kinds & hints.keys() & values.keys():
        try:
            TypeAdapter(hints[key], config=strict).validate_json(json.dumps(values[key]))  # a list is a tuple there
        except ValidationError as error:
            raise wrong_value(f"{group}.{key}", values[key], hints[key]) from error
