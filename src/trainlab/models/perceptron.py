"""The perceptron: f(x; w) = σ(w·x + b), one unit for each class (lecture: "Comencemos con un simple Perceptrón")."""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from trainlab.models.activations import activation as activation_named
from trainlab.models.initial_weights import initialise


class Perceptron(nn.Module):
    """One dense layer: linear with ``activation="identity"``, the lecture's sigmoid perceptron with ``"sigmoid"``.

    (B, C, H, W) or (B, F) → outputs (B, classes).
    """

    min_size = 1
    usual_input = ((1, 8, 8), 10)  # image shape and classes, for a layer table without data

    def __init__(
        self,
        image_shape: tuple[int, ...],
        classes: int,
        *,
        activation: str = "identity",
        init: str = "paper",
    ) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(prod(image_shape), classes)
        self.activation = activation_named(activation)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Float inputs (B, …), flattened → outputs (B, classes)."""
        return self.activation(self.linear(self.flatten(x)))
