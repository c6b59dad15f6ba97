"""The activation functions by name."""

from __future__ import annotations

from torch import nn

from trainlab.errors import InputError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def activation(name: str) -> nn.Module:
    """A new module for `name`; raises InputError for an unknown one."""
    if name not in ACTIVATIONS:
        raise InputError(f"model.activation={name} is unknown; use one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]()
