"""The activation functions by name."""

from __future__ import annotations

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


def activation(name: str) -> nn.Module:
    """A new module for the activation `name`, one of ACTIVATIONS."""
    assert name in ACTIVATIONS, f"activation={name} is unknown; use one of {', '.join(ACTIVATIONS)}"
    return ACTIVATIONS[name]()
