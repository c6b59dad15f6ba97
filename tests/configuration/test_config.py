"""Every option with values of every kind: what it does not take is a sentence with all that it takes."""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import pytest
from omegaconf import OmegaConf
from pydantic import BaseModel, TypeAdapter, ValidationError

from trainlab.command.main import CONF, GROUPS, compose_run, without_hydra
from trainlab.configuration import schema as config
from trainlab.configuration.schema import Config, Group, check_options, check_values
from trainlab.data.sources.points import moons
from trainlab.errors import InputError

VALUES = [None, True, "word", "", -1, 0, 0.5, 2, 3.0, 1.5, 2**40, -0.0, float("nan"), float("inf"), [], [0], ["x"], {}]
VALUES += [{"a": 1}, [None], [1.5, 0]]


def options() -> Iterator[tuple[str, Any]]:
    """Name and annotation of all of the schema."""

    def of(kind: type[BaseModel], group: str) -> Iterator[tuple[str, Any]]:
        for name, field in kind.model_fields.items():
            inner = next((t for t in (field.annotation, *get_args(field.annotation)) if is_group(t)), None)
            if inner is not None:
                yield from of(inner, f"{group}{name}.")
            else:
                yield f"{group}{name}", Annotated[field.annotation, field]

    yield from of(Config, "")


def is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Group)


def words_for(annotation: Any) -> Iterator[str]:
    """What a sentence has to say about a type, from `typing` alone."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from words_for(arguments[0])
        for constraint in arguments[1:]:
            for part in getattr(constraint, "metadata", [constraint]):
                match part:
                    case annotated_types.Gt(gt) if arguments[0] is int:
                        yield f"of at least {gt + 1}"
                    case annotated_types.Gt(gt):
                        yield f"greater than {gt}"
                    case annotated_types.Ge(ge):
                        yield f"of at least {ge}"
                    case annotated_types.Lt(lt):
                        yield f"less than {lt}"
    elif origin in (Union, types.UnionType):
        for kind in arguments:
            yield from words_for(kind)
    elif origin is Literal:
        yield from (f"'{value}'" if isinstance(value, str) else str(value) for value in arguments)
    elif origin is list:
        yield "a list"
        yield from words_for(arguments[0])
    else:
        numbers = {int: ["a whole number"], float: ["number"]}
        yield from {**numbers, str: ["text"], bool: ["true", "false"], type(None): ["null"]}[annotation]


@cache
def composed(*words: str) -> Any:
    return OmegaConf.to_container(without_hydra(compose_run(words)), resolve=True)


def whole(option: str, value: Any) -> dict[str, Any]:
    """A right configuration with this one value in it."""
    model, _, path = option.rpartition(":")
    words = [f"model={model}"] if model else []
    words += ["data=elpv"] if path == "data.classes" else []
    words += ["debug=quick"] if path.startswith("debug.") else []

    plain = copy.deepcopy(composed(*words))
    *groups, name = path.split(".")
    node = plain
    for group in groups:
        node = node.setdefault(group, {"name": "none"})
    node[name] = value
    return plain


@pytest.mark.parametrize(("option", "annotation"), [pytest.param(*one, id=one[0]) for one in options()])
def test_a_wrong_value_is_a_sentence_with_every_kind_that_is_right(option: str, annotation: Any) -> None:
    key = option.rpartition(":")[2]
    plain = whole(option, None)
    node = plain
    *groups, name = key.split(".")
    for group in groups:
        node = node[group]
    refused = 0
    for value in VALUES:
        node[name] = value
        strict: Any = {"strict": True, "allow_inf_nan": False}
        try:
            TypeAdapter(Annotated[annotation, None], config=strict).validate_python(value)
        except ValidationError:
            refused += 1
        else:
            continue
        if key == "model.name":  # of another model: the rest of what it should have is not there
            continue
        with pytest.raises(InputError) as error:
            check_values(plain)
        sentence = str(error.value)
        assert (error.value.option, error.value.hint) == (
            key,
            sentence.partition("cannot be used: ")[2].split(";")[0].rstrip("."),
        )
        assert error.value.value is value
        shown = value if isinstance(value, str) else json.dumps(value)
        shown = str(value) if isinstance(value, float) else shown
        assert sentence.startswith(f"{key}={shown} cannot be used: it should be "), sentence
        for words in words_for(annotation):
            assert words in sentence, sentence
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert "Input" not in sentence
        assert "valid" not in sentence.replace("validate_every", "").replace("validation", "")
    assert refused > 3, "every option refuses something"


@pytest.mark.run
def test_the_schema_knows_every_option_of_the_configuration_files() -> None:
    """So that the test above is about all of them; hydra.* is Hydra's own."""
    known = {option.rpartition(":")[2] for option, _ in options()}
    for group in GROUPS:
        for choice in GROUPS[group]:
            if group == "reg" and "dropout" in choice:
                continue
            words = [f"{group}={choice}"] + ["data.root=x"] * ("image" in choice or "code2012" in choice)
            cfg = without_hydra(compose_run(words))
            for name, node in cfg.items():
                keys = [f"{name}.{key}" for key in node] if hasattr(node, "keys") else [str(name)]
                for key in keys:
                    assert key in known or key.endswith("._target_"), key
    assert CONF.is_dir()


def test_the_same_sentences_for_options_that_are_not_a_runs() -> None:
    class Launcher(BaseModel):
        model_config = {"extra": "forbid", "strict": True}
        n_jobs: Literal["auto"] | Annotated[int, config.Field(ge=1)] = "auto"

    assert check_options(Launcher, {"n_jobs": 3}, prefix="hydra.launcher.") == Launcher(n_jobs=3)
    with pytest.raises(InputError) as error:
        check_options(Launcher, {"n_jobs": 0}, prefix="hydra.launcher.")
    assert str(error.value) == (
        "hydra.launcher.n_jobs=0 cannot be used: it should be 'auto' or a whole number of at least 1."
    )
    with pytest.raises(InputError) as error:
        check_options(Launcher, {"jobs": 1}, prefix="hydra.launcher.")
    assert str(error.value) == "there is no option hydra.launcher.jobs; there are n_jobs."


def test_a_group_that_is_none_and_a_value_that_is_missing() -> None:
    plain = whole("seed", 0)
    for wrong in (None, 3, "word", []):
        with pytest.raises(InputError, match=r"^optim=.* cannot be used: it should be a group of options\.$"):
            check_values(plain | {"optim": wrong})
    del plain["optim"]["lr"]
    with pytest.raises(InputError, match=r"^optim\.lr is missing from the configuration\.$"):
        check_values(plain)


@pytest.mark.parametrize("n_samples", [10, 17, 333])
@pytest.mark.parametrize(("test_fraction", "val_fraction"), [(0.4, 0.2), (0.13, 0.07), (0.5, 0.0), (0.1, 0.31)])
def test_the_sizes_of_made_up_sets_are_known_before_they_are_made(n_samples, test_fraction, val_fraction):
    """As many processes as the smallest set has examples are taken, and one more is refused."""
    sets = moons(n_samples=n_samples, test_fraction=test_fraction, val_fraction=val_fraction)
    least = min(len(part) for part in (sets.val, sets.test) if len(part))
    words = ["data=moons", f"data.n_samples={n_samples}", f"data.test_fraction={test_fraction}"]
    words += [f"data.val_fraction={val_fraction}", "trainer.monitor=train/loss", "trainer=cpu"]
    compose_run([*words, f"trainer.devices={least}"])
    with pytest.raises(InputError, match=f"more than the {least} "):
        compose_run([*words, f"trainer.devices={least + 1}"])
