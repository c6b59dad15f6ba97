"""The layer table of a network, without training it."""

from __future__ import annotations

from trainlab.command.main import compose_run, parse, values_of
from trainlab.configuration.build import target
from trainlab.configuration.schema import Describe, check_options
from trainlab.errors import InputError
from trainlab.models.summary import summarize
from trainlab.recording.terminal import console, layer_table
from trainlab.runtime.assembly import build_net, read_data


def describe(overrides: list[str]) -> None:
    """Print kernels, stride, receptive field, output, weights (grouped and not), neurons and connections of each layer.

    The input is the network's usual one (AlexNet: 3×224×224, 1000 classes), or ``describe.image_shape=[C,H,W]
    describe.classes=K``, or, when ``data=…`` is typed, what that data gives. Raises InputError.
    """
    own = [word for word in overrides if word.startswith("describe.")]
    cfg = compose_run([word for word in overrides if word not in own])
    if not any(override.key_or_group == "data" for override in parse(overrides)):
        shape, classes = target("model", cfg.model).usual_input
        asked = {key.removeprefix("describe."): value for key, value in values_of(own).items()}
        check_options(Describe, asked, prefix="describe.")
        shape, classes = tuple(asked.get("image_shape", shape)), asked.get("classes", classes)
    elif own:
        raise InputError(f"{own[0]} is what data=… gives", hint="leave one of them out")
    else:
        data = read_data(cfg)
        shape, classes = data.input_shape, len(data.classes)
    net = build_net(cfg.model, shape, classes)
    title = f"{cfg.model.name}: input {'×'.join(str(side) for side in (*shape[1:], shape[0]))}, {classes} classes"
    console().print(layer_table(summarize(net, shape), title=title, connections=True))
