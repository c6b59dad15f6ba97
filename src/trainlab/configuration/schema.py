"""Types and ranges of every option, checked before anything heavy is imported or any data is read.

Options that only one model or one data set knows are checked where they are used, so that a new one needs
no entry here; what stands here is what several share or what can be told at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from trainlab.errors import InputError

Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Group(BaseModel):
    """A group of options. Options that are not listed here are allowed: only one choice knows them."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())


Schedule = Literal["constant", "cosine", "plateau"]
Precision = Literal["auto", "float32", "bfloat16"]
Init = Literal["paper", "kaiming", "xavier", "torch", "zero"]
Monitor = Literal["val/loss", "val/top1_error", "val/top5_error", "train/loss", "train/top1_error", "train/top5_error"]


class Recipe(Group):
    """What a model's file recommends for its training."""

    lr: PositiveFloat
    epochs: PositiveInt
    schedule: Schedule
    precision: Precision


class Describe(BaseModel):
    """The options of scripts/describe.py: the shape of an image (C, H, W), and how many classes."""

    model_config = ConfigDict(extra="forbid", strict=True)
    image_shape: Annotated[list[PositiveInt], Field(min_length=3, max_length=3)] = [1, 1, 1]
    classes: PositiveInt = 1


class Ablation(Group):
    """One of AlexNet's tricks taken away: what changes, and the points that it is worth in the paper and in the logs
    of 2012.
    """

    name: str
    change: str = ""
    paper: list[float | None] = []
    logs: list[float | None] = []


class Debug(Group):
    """A run that looks for a mistake."""

    name: Literal["quick", "overfit", "anomaly"]
    batches: PositiveInt | None
    must_learn: bool
    find_anomalies: bool


class Model(Group):
    """The network. What is listed here is of this type wherever a model has it."""

    name: str
    activation: Literal["relu", "tanh", "sigmoid", "identity"] = "identity"
    output_activation: Literal["relu", "tanh", "sigmoid", "identity"] = "identity"
    init: Init = "torch"
    dropout: Share = 0.0
    hidden: list[PositiveInt] = []
    channels: Annotated[list[PositiveInt], Field(min_length=3, max_length=3)] = [1, 1, 1]
    variant: Literal["paper", "code2012", "torchvision"] = "paper"
    groups: Literal[1, 2] = 1
    width: Literal["full", "half"] = "full"
    conv3_cross_tower: bool = True
    lrn: bool = True
    pool: Literal["overlapping", "non_overlapping"] = "overlapping"
    drop_layer: Literal["conv3", "conv4", "conv5"] | None = None
    weights: Literal["torchvision"] | None = None


class Optim(Group):
    """The optimizer and its learning rate; an option that only one optimizer has may be missing here."""

    name: str
    lr: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    schedule: Schedule
    plateau_patience: NonNegativeInt = 5
    plateau_drops: NonNegativeInt | None = None
    bias_lr: PositiveFloat | None = None
    freeze_first_after: NonNegativeInt | None = None
    tolerance: NonNegativeFloat | None = None  # of full-batch gradient descent only


class Reg(Group):
    """The regularisation: L2 and dropout."""

    name: str
    l2: NonNegativeFloat
    form: Literal["mean", "sum"]
    dropout: Share


class Aug(Group):
    """How images are varied in training and viewed in the test."""

    name: str
    padding: NonNegativeInt = 0
    train_views: Literal["all", "one"] = "one"
    colour: NonNegativeFloat = 0.0
    colour_unit: Literal["deviation", "eigenvalue"] = "deviation"
    colour_until: NonNegativeInt | None = None
    shared_crops: PositiveInt = 1


class Loss(Group):
    """The data term of the objective."""

    name: str


class Data(Group):
    """The data set, its splits and the batches."""

    name: str
    batch_size: PositiveInt | None
    train_examples: PositiveInt | None = None
    label_noise: Share = 0.0
    val_fraction: Share
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: Seed
    root: str | None = None
    reflections: bool
    packed: str | None = None
    size: PositiveInt | None = None
    channels: Literal[1, 3] = 3
    classes: PositiveInt = 2
    n_samples: Annotated[int, Field(ge=10)] = 100
    noise: NonNegativeFloat = 0.0
    on_bad_image: Literal["error", "skip"] = "error"
    store: Literal["raw", "jpeg"] = "raw"
    download: bool = False
    initial_weights: Init = "kaiming"


class Trainer(Group):
    """Where a run computes, how long, and how often it is saved."""

    name: str
    accelerator: Literal["auto", "cpu", "gpu"]
    strategy: Literal["auto", "ddp"]
    devices: PositiveInt
    nodes: PositiveInt
    max_epochs: PositiveInt
    precision: Precision
    channels_last: Literal["auto"] | bool
    compile: bool
    threads: Literal["auto"] | PositiveInt
    validate_every: PositiveInt
    monitor: Monitor
    patience: PositiveInt | None
    target: PositiveFloat | None
    save_minutes: PositiveFloat


class Logger(Group):
    """Where the numbers go besides the run's own files."""

    name: Literal["wandb", "csv", "none"]
    project: str = "trainlab"
    mode: Literal["auto", "online", "offline"] = "auto"
    checkpoint: bool = False


class Config(BaseModel):
    """The whole configuration of a run."""

    model_config = ConfigDict(extra="allow", strict=True)
    recipe: Recipe | None = None  # before what takes its values from here, so that a wrong one is named where it stands
    reg: Reg
    model: Model
    optim: Optim
    aug: Aug
    loss: Loss
    data: Data
    trainer: Trainer
    logger: Logger
    ablation: Ablation | None = None
    debug: Debug | None = None
    seed: Seed
    ckpt: str | None
    profile: bool
    figures: Literal["auto"] | bool = "auto"


def check(config: dict[str, Any]) -> None:
    """Check a composed configuration, given as plain containers. Raises InputError for the first thing that is
    wrong.
    """
    checked = check_values(config)
    assert checked is not None
    model, reg, data, optim = checked.model, checked.reg, checked.data, checked.optim
    if reg.dropout > 0 and "dropout" not in config["model"]:
        raise InputError(
            f"reg.dropout={reg.dropout:g} would do nothing: model={model.name} has no hidden dense layer to drop from",
            option="reg.dropout",
            value=reg.dropout,
            hint="use reg=none or reg=l2",
        )
    if optim.tolerance is not None and data.batch_size is not None:
        raise InputError(
            f"data.batch_size={data.batch_size} contradicts optim=gd, whose batch is the whole training set",
            option="data.batch_size",
            value=data.batch_size,
            hint="use optim=sgd for mini-batches",
        )
    needs_validation = {
        "trainer.patience": checked.trainer.patience,
        "trainer.target": checked.trainer.target,
        "optim.schedule": optim.schedule == "plateau",
    }
    for key, needed in needs_validation.items():
        if needed and data.val_fraction == 0 and checked.trainer.monitor.startswith("val/"):
            raise InputError(
                f"{key} watches {checked.trainer.monitor}, which needs data.val_fraction above 0 "
                "(or trainer.monitor=train/loss)."
            )
    if checked.trainer.compile and checked.trainer.devices * checked.trainer.nodes > 1:
        raise InputError(
            "trainer.compile=true is for runs of one process", hint="leave it out, or use trainer.devices=1"
        )
    if "n_samples" in config["data"]:
        check_processes(checked)
    if checked.debug is not None:
        check_debug(checked, checked.debug)


def check_processes(checked: Config) -> None:
    """For points, which are made as many as `n_samples` says, so that the sizes of the sets are known now.

    Those of other data are known once their files are read, in each process, and the run checks them then: a process
    that has read anything with torch has threads, and cannot be forked safely. Raises InputError.
    """
    data, debug = checked.data, checked.debug
    test = math.ceil(data.test_fraction * data.n_samples)
    validation = math.ceil(data.val_fraction * (data.n_samples - test))
    if debug is not None and debug.batches is not None and data.batch_size is not None:
        test, validation = (min(size, debug.batches * data.batch_size) for size in (test, validation))
    refuse_idle_processes(checked.trainer, validation=validation, test=test)


def refuse_idle_processes(trainer: Any, **examples: int) -> None:
    """Raises InputError where there are more processes than examples of a set, which then cannot be shared out.

    trainer: the run's options. examples: how many each set has, by its name; an empty set is not asked of any process.
    """
    for name, count in examples.items():
        if 0 < count < trainer.devices * trainer.nodes:
            nodes = f" × trainer.nodes={trainer.nodes}" if trainer.nodes > 1 else ""
            raise InputError(
                f"trainer.devices={trainer.devices}{nodes} is more than the {count} {name} examples there are",
                option="trainer.devices",
                value=trainer.devices,
                hint=f"use at most {count} processes",
            )


def check_debug(checked: Config, debug: Debug) -> None:
    """Check what does not go together with the group `debug`. Raises InputError."""
    if debug.find_anomalies and checked.trainer.compile:
        raise InputError(
            "debug.find_anomalies=true (debug=anomaly) looks at each layer, and trainer.compile=true "
            "makes one piece of them",
            hint="leave one out",
        )
    if not debug.must_learn:
        return
    harder = [
        f"reg.{name}={value:g}" for name, value in (("l2", checked.reg.l2), ("dropout", checked.reg.dropout)) if value
    ]
    if checked.aug.name != "none":
        harder.append(f"aug={checked.aug.name}")
    if harder:
        raise InputError(
            f"debug.must_learn=true (debug=overfit) asks for a training error of 0, and {harder[0]} works against that",
            hint="leave it out",
        )


def check_values(config: dict[str, Any], *, complete: bool = True) -> Config | None:
    """Check each value by itself. complete: whether every option has to be there; an older file lacks newer ones.
    Raises InputError.
    """
    return check_options(Config, config, complete=complete)


Options = TypeVar("Options", bound=BaseModel)


def check_options(
    kind: type[Options], values: Mapping[str, Any], *, prefix: str = "", complete: bool = True
) -> Options | None:
    """Check options of one kind: `values` as a `kind`; None where some are missing and may be (not `complete`).

    prefix: what comes before an option's name, as in "hydra.launcher.". Raises InputError for a value of another type
    than its option takes, and for an option that is not there.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as problems:
        wrong = [problem for problem in problems.errors() if complete or problem["type"] != "missing"]
        if not wrong:
            return None
        raise _refusal(kind, values, wrong[0]["type"], wrong[0]["loc"], prefix) from problems


def _refusal(kind: type[BaseModel], values: Any, problem: str, place: Sequence[str | int], prefix: str) -> InputError:
    """The sentence about the option at `place` of `kind`, for pydantic's `problem` with it."""
    option: str = ""
    annotation: Any = kind
    for part in place:
        model = next((one for one in (annotation, *get_args(annotation)) if _is_model(one)), None)
        if model is None:  # inside of the option's value: a kind that it can be, or an item of a list
            break
        option = f"{option}.{part}".lstrip(".")
        if problem == "extra_forbidden":
            return InputError(
                f"there is no option {prefix}{option}",
                option=f"{prefix}{option}",
                hint=f"there are {', '.join(model.model_fields)}",
            )
        if problem == "missing" and part not in values:
            return InputError(f"{prefix}{option} is missing from the configuration.", option=f"{prefix}{option}")
        field = model.model_fields[str(part)]
        annotation, values = Annotated[field.annotation, field] if field.metadata else field.annotation, values[part]
    return wrong_value(f"{prefix}{option}", values, annotation)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def wrong_value(option: str, value: Any, annotation: Any) -> InputError:
    """The error which says that `value` is none of the kinds of value that an option of type `annotation` takes."""
    config = None if _is_model(annotation) else ConfigDict(arbitrary_types_allowed=True)  # a tensor, of torch's classes
    kinds = kinds_of(TypeAdapter(annotation, config=config).json_schema())
    either = f"{', '.join(kinds[:-1])} or {kinds[-1]}" if kinds[1:] else kinds[0]
    hint = ""
    if isinstance(value, float) and not math.isfinite(value):
        either = either.replace("a number", "a finite number")
    elif isinstance(value, float) and value.is_integer() and "a whole number" in either:
        hint = f"; a whole number is written without a point: {option}={int(value)}"
    elif "text" in kinds and isinstance(value, int | float):
        hint = f"; as text it is written \"{option}='{as_typed(value)}'\""
    error = InputError(
        f"{option}={as_typed(value)} cannot be used: it should be {either}{hint}.", option=option, value=value
    )
    error.hint = f"it should be {either}"
    return error


def kinds_of(schema: Mapping[str, Any]) -> list[str]:
    """The kinds of value that a JSON schema allows, each in words."""
    if "anyOf" in schema:
        return [kind for one in schema["anyOf"] for kind in kinds_of(one)]
    for values in (schema.get("enum"), [schema["const"]] if "const" in schema else None):
        if values is not None:
            return [f"'{value}'" if isinstance(value, str) else as_typed(value) for value in values]
    bounds = (
        ("minimum", "of at least"),
        ("exclusiveMinimum", "greater than"),
        ("maximum", "of at most"),
        ("exclusiveMaximum", "less than"),
    )
    if schema.get("type") == "integer" and "exclusiveMinimum" in schema:
        schema = {**schema, "minimum": schema["exclusiveMinimum"] + 1}
        del schema["exclusiveMinimum"]
    limits = " and".join(f" {words} {schema[key]:.17g}" for key, words in bounds if key in schema)
    match schema.get("type"):
        case "integer":
            return [f"a whole number{limits}"]
        case "number":
            return [f"a number{limits}"]
        case "boolean":
            return ["true", "false"]
        case "null":
            return ["null"]
        case "string":
            return ["text"]
        case "array":
            least = schema.get("minItems")
            many = f" of {least}" if least and least == schema.get("maxItems") else ""
            items = schema.get("items") or {"anyOf": schema.get("prefixItems", [])}  # of a list, or of a tuple
            return [f"a list{many} in brackets, each of its items {' or '.join(dict.fromkeys(kinds_of(items)))}"]
    return ["a group of options"]


def as_typed(value: Any) -> str:
    """A value as it is written in a command."""
    return str(value) if isinstance(value, str | float) else json.dumps(value, default=str)
