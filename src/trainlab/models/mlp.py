"""The multi-layer perceptron, f(x) = σ(W3 σ(W2 σ(W1 x))) (lecture: "Movámonos ahora a un MLP")."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from trainlab.models.activations import activation as activation_named
from trainlab.models.initial_weights import initialise


class MLP(nn.Module):
    """Dense layers of the widths in `hidden`, then one of `classes`; dropout after each hidden layer.

    The lecture also puts σ after the last layer: ``output_activation="sigmoid"``. With cross-entropy leave it at
    ``"identity"``, since the softmax is part of the loss.

    (B, C, H, W) or (B, F) → outputs (B, classes).
    """

    min_size = 1
    usual_input = ((1, 28, 28), 10)  # image shape and classes, for a layer table without data

    def __init__(
        self,
        image_shape: tuple[int, ...],
        classes: int,
        *,
        hidden: Sequence[int] = (256, 256),
        activation: str = "relu",
        output_activation: str = "identity",
        dropout: float = 0.0,
        init: str = "kaiming",
    ) -> None:
        super().__init__()
        assert all(width >= 1 for width in hidden), f"hidden={list(hidden)} has a layer without neurons"
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise([prod(image_shape), *hidden]):
            layers += [nn.Linear(inputs, outputs), activation_named(activation)]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        layers += [nn.Linear([prod(image_shape), *hidden][-1], classes), activation_named(output_activation)]
        self.layers = nn.Sequential(*layers)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Float inputs (B, …), flattened → logits (B, classes)."""
        return self.layers(x)
