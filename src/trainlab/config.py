"""Types and ranges of every option, checked before anything heavy is imported or any data is read.

Options that only one model or one data set knows are checked where they are used, so that a new one needs
no entry here; what stands here is what several share or what can be told at once.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
)

from trainlab.errors import InputError

Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Group(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())


class Model(Group):
    name: str
    activation: Literal["relu", "tanh", "sigmoid", "identity"] = "identity"
    output_activation: Literal["relu", "tanh", "sigmoid", "identity"] = "identity"
    init: Literal["paper", "kaiming", "xavier", "torch", "zero"] = "torch"
    dropout: Share = 0.0


class MLP(Model):
    hidden: list[PositiveInt]


class ConvNet(Model):
    channels: list[PositiveInt]


class AlexNet(Model):
    variant: Literal["paper", "code2012", "torchvision"]
    groups: Literal[1, 2]
    kernels: Literal["all", "half"]
    cross_gpu: bool
    lrn: bool
    pool: Literal["overlapping", "plain"]
    without: Literal["conv3", "conv4", "conv5"] | None
    weights: Literal["torchvision"] | None


MODELS: dict[str, type[Model]] = {"mlp": MLP, "convnet": ConvNet, "alexnet": AlexNet}  # others check themselves


class Optim(Group):
    name: str
    lr: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    schedule: Literal["constant", "cosine", "plateau"]
    plateau_patience: NonNegativeInt = 5
    plateau_drops: NonNegativeInt | None = None
    bias_lr: PositiveFloat | None = None
    freeze_first_after: NonNegativeInt | None = None
    tolerance: NonNegativeFloat = 0.0


class Reg(Group):
    name: str
    l2: NonNegativeFloat
    form: Literal["mean", "sum"]
    dropout: Share


class Aug(Group):
    name: str
    padding: NonNegativeInt = 0
    train_views: Literal["all", "one"] = "one"
    colour: NonNegativeFloat = 0.0
    colour_unit: Literal["deviation", "eigenvalue"] = "deviation"
    colour_until: NonNegativeInt | None = None
    shared_crops: PositiveInt = 1


class Loss(Group):
    name: str


class Data(Group):
    name: str
    batch_size: PositiveInt | None
    train_examples: PositiveInt | None = None
    val_fraction: Share
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: Seed
    root: str | None = None
    reflections: bool
    size: PositiveInt | None = None
    n_samples: Annotated[int, Field(ge=10)] = 100
    noise: NonNegativeFloat = 0.0
    on_bad_image: Literal["error", "skip"] = "error"
    store: Literal["raw", "jpeg"] = "raw"
    download: bool = False


class Trainer(Group):
    name: str
    accelerator: Literal["auto", "cpu", "gpu"]
    strategy: Literal["auto", "ddp"]
    devices: PositiveInt
    nodes: PositiveInt
    max_epochs: PositiveInt
    precision: Literal["auto", "float32", "bfloat16"]
    channels_last: Literal["auto"] | bool
    compile: bool
    capture: bool
    threads: Literal["auto"] | PositiveInt
    validate_every: PositiveInt
    monitor: str
    patience: PositiveInt | None
    target: PositiveFloat | None
    save_minutes: PositiveFloat


class Logger(Group):
    name: Literal["wandb", "csv", "none"]
    project: str = "trainlab"
    mode: Literal["auto", "online", "offline"] = "auto"


class Config(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    reg: Reg  # before the model, which takes its dropout from here
    model: Model
    optim: Optim
    aug: Aug
    loss: Loss
    data: Data
    trainer: Trainer
    logger: Logger
    seed: Seed
    ckpt: str | None
    profile: bool


def check(config: dict[str, Any]) -> None:
    """config: the composed configuration as plain containers. Raises InputError for the first thing that is wrong."""
    checked = check_values(config)
    assert checked is not None
    model, reg, data, optim = checked.model, checked.reg, checked.data, checked.optim
    if reg.dropout > 0 and "dropout" not in config["model"]:
        raise InputError(
            f"reg.dropout={reg.dropout:g} would do nothing: model={model.name} has no hidden dense layer to drop from; "
            "use reg=none or reg=l2."
        )
    if optim.name == "gd" and data.batch_size is not None:
        raise InputError(
            f"data.batch_size={data.batch_size} contradicts optim=gd, whose batch is the whole training set; "
            "use optim=sgd for mini-batches."
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
        raise InputError("trainer.compile=true is for runs of one process; leave it out, or use trainer.devices=1.")
    if checked.trainer.capture:
        refuse_with_capture = {
            "trainer.compile=true": checked.trainer.compile,
            "several processes": checked.trainer.devices * checked.trainer.nodes > 1,
            "optim=gd, which looks at the gradient of each step": optim.name == "gd",
            "optim.freeze_first_after": optim.freeze_first_after is not None,
            "profile=true": checked.profile,
        }
        for what, there in refuse_with_capture.items():
            if there:
                raise InputError(f"trainer.capture=true replays steps and does not go with {what}; leave one out.")
    metrics = [f"{split}/{name}" for split in ("val", "train") for name in ("loss", "top1_error", "top5_error")]
    if checked.trainer.monitor not in metrics:
        raise InputError(f"trainer.monitor={checked.trainer.monitor} is unknown; use one of {', '.join(metrics)}.")


def check_values(config: dict[str, Any], *, complete: bool = True) -> Config | None:
    """Each value by itself. complete: whether every option has to be there; an older file lacks newer ones.

    Raises InputError.
    """
    model = config.get("model")
    name = model.get("name") if isinstance(model, dict) else None
    with_model = create_model("Config", __base__=Config, model=(MODELS.get(str(name), Model), ...))
    try:
        return with_model.model_validate(config)
    except ValidationError as problems:
        wrong = [problem for problem in problems.errors() if complete or problem["type"] != "missing"]
        if not wrong:
            return None
        problem = wrong[0]
        key = ".".join(str(part) for part in problem["loc"] if isinstance(part, int) or part.isidentifier())
        key = re.sub(r"\.(float|int|bool|str)$", "", key)
        if problem["type"] == "missing":
            raise InputError(f"{key} is missing from the configuration.") from None
        what = problem["msg"].replace("Input should", "it should")
        what = what if what.startswith("it should") else what[:1].lower() + what[1:]
        raise InputError(f"{key}={problem['input']} cannot be used: {what}.") from None
