"""What was typed after scripts/study.py: a study, its options, and what all studies take."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, get_type_hints

import yaml
from omegaconf import OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError

from trainlab.command.main import nearest
from trainlab.configuration.build import target
from trainlab.configuration.folder import CONF
from trainlab.configuration.lecture import order
from trainlab.configuration.schema import wrong_value
from trainlab.errors import InputError
from trainlab.recording.section import LANGUAGES, speaker

ALL = "all"
COMMON = {
    "lang": "en or es, the language of figures and text (en)",
    "run_dir": "where it is written (runs/studies/NAME/TIME)",
    "logger": "wandb, or none, which leaves W&B alone (wandb)",
}
LOGGERS = ("wandb", "none")


@dataclass(frozen=True)
class Asked:
    """A study and how it was asked for. options: all that its function takes. words: as typed, for the small print."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    lang: str = "en"
    logger: str = "wandb"
    run_dir: str | None = None

    @property
    def command(self) -> str:
        """Without what is of no consequence for the figures."""
        kept = [word for word in self.words if not word.startswith(("run_dir=", "logger="))]
        return shlex.join(["python", "scripts/study.py", self.name, *kept])


def studies() -> list[str]:
    """The names of all studies in conf/study, in the lecture's order."""
    there = {file.stem for file in (CONF / "study").glob("*.yaml")}
    return [name for name in order() if name in there] + sorted(there.difference(order()))


def known(name: str) -> str:
    """The name itself, if it is that of a study. Raises InputError with the nearest right word."""
    there = studies()
    if name in there:
        return name
    if name.startswith("-"):
        raise InputError(f"there is no option {name}", option=name, hint=nearest(name, ["--help", "-h"]))
    if (CONF / "experiment" / f"{name}.yaml").exists():
        raise InputError(f"{name} is an experiment, a set of training runs: python train.py -m experiment={name}.")
    raise InputError(f"there is no study {name}; {nearest(name, [*there, ALL])}.")


def read_study(name: str) -> dict[str, Any]:
    """The file of conf/study: evidence, _target_ and the options with their defaults."""
    return yaml.safe_load((CONF / "study" / f"{name}.yaml").read_text(encoding="utf-8"))


def function_of(name: str) -> Any:
    """The study itself, a function that returns a `Finding`."""
    return target("study", OmegaConf.create({"_target_": read_study(name)["_target_"]}))


def options_of(name: str) -> dict[str, Any]:
    """A study's own options with their defaults."""
    return {key: value for key, value in read_study(name).items() if key not in ("evidence", "_target_")}


def parse(arguments: Sequence[str]) -> Asked:
    """The words of a command as what is asked for. Raises InputError for a study, an option or a value that there is
    not.
    """
    first, *words = arguments
    name = first if first == ALL else known(first)
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or key.startswith("-"):
            raise InputError(
                f"'{word}' is not of the form option=value; python scripts/study.py {name} --help lists them."
            )
        given[key] = value
    common = {key: given.pop(key) for key in COMMON if key in given}
    speaker(common.get("lang", LANGUAGES[0]))
    if common.get("logger", LOGGERS[0]) not in LOGGERS:
        raise InputError(f"there is no logger={common['logger']}; use {' or '.join(LOGGERS)}.")
    if common.get("run_dir") == "":
        raise InputError("run_dir= needs a folder.")
    if name == ALL and given:
        raise InputError(f"{next(iter(given))} is no option of all studies; they have {', '.join(COMMON)}.")
    options = {} if name == ALL else options_of(name) | read_values(name, given)
    return Asked(name, options, tuple(words), **common)  # type: ignore[arg-type]


def read_values(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """The typed values in the types of the study's function. Raises InputError."""
    function, options = function_of(name), options_of(name)
    hints, parameters = get_type_hints(function), inspect.signature(function).parameters
    free = next((p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)  # variables of an expression
    values = {}
    for key, text in given.items():
        variable = free is not None and key.isidentifier() and may_be_variable(key, text, {**options, **given})
        if key not in options and not variable:
            fitting = [option for option in options if takes(hints[option], text)]
            near = get_close_matches(key, fitting, 1) or get_close_matches(key, [*options, *COMMON], 1)
            raise InputError(
                f"{name} has no option {key}; {f'did you mean {near[0]}? There' if near else 'there'} are "
                f"{', '.join([*options, *COMMON])}."
            )
        values[key] = read_value(key, text, hints[key if key in options else str(free)])
    return values


def may_be_variable(key: str, text: str, options: Mapping[str, Any]) -> bool:
    """Whether `key` stands in one of the options, such as a formula; else whether it is a number under a name that no
    option resembles. What is neither was meant as an option."""
    if any(re.search(rf"\b{key}\b", str(value)) for other, value in options.items() if other != key):
        return True
    number = re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", text.strip(), re.IGNORECASE)
    return number is not None and not get_close_matches(key, [*options.keys() - {key}, *COMMON])


def takes(annotation: Any, text: str) -> bool:
    """Whether an option of this type takes such a value."""
    try:
        read_value("", text, annotation)
    except InputError:
        return False
    return True


def read_value(key: str, text: str, annotation: Any) -> Any:
    """`text` as a value of this type: a number, true, null, a list in brackets. Raises InputError."""
    value: Any = None if text == "null" else text
    if text.startswith("[") and annotation is not str:
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"cannot read {key}={text}; a list is written [1,2,3].") from error
    try:
        return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        raise wrong_value(key, value, annotation) from error
