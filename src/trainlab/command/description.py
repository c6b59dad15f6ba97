"""The layer table of a network, without training it."""

from __future__ import annotations

from trainlab.command.main import compose_run, parse
from trainlab.models.layers import layers
from trainlab.recording.terminal import console, layer_table
from trainlab.runtime.assembly import build_net, read_data


def describe(overrides: list[str]) -> None:
    """Print kernels, stride, receptive field, output, weights (grouped and not), neurons and connections of each layer.

    The images are those of ``describe.image_shape`` in the model's own file (AlexNet: 3×224×224, 1000 classes),
    or, when ``data=…`` is typed, what that data gives. Raises InputError.
    """
    cfg = compose_run(overrides)
    if "describe" in cfg and not any(override.key_or_group == "data" for override in parse(overrides)):
        shape, classes = tuple(cfg.describe.image_shape), cfg.describe.classes
    else:
        data = read_data(cfg)
        shape, classes = data.input_shape, len(data.classes)
    net = build_net(cfg.model, shape, classes)
    title = f"{cfg.model.name}: input {'×'.join(str(side) for side in (*shape[1:], shape[0]))}, {classes} classes"
    console().print(layer_table(layers(net, shape), title=title, connections=True))
