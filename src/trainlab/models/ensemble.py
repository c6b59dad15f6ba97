"""Several networks as one: their probabilities are averaged (Krizhevsky et al. 2012, Table 2: five and seven CNNs)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainlab.objective import Loss


class Ensemble(nn.Module):
    """Several networks as one, by the mean of their predictions: (B, C, H, W) → (B, K).

    The outputs are those of which `loss.predict` gives that mean. shifts: float (C,) for each network, added to its
    inputs: the mean that was subtracted from them less the mean that the network was trained with; None: nothing.
    """

    def __init__(self, nets: Sequence[nn.Module], loss: Loss, shifts: Sequence[Tensor | None] | None = None) -> None:
        super().__init__()
        self.nets, self.loss = nn.ModuleList(nets), loss
        self.shifts = list(shifts or [None] * len(nets))

    def forward(self, x: Tensor) -> Tensor:
        """Float images (B, C, H, W) → outputs (B, classes) whose probabilities are the mean of the networks'."""
        predictions = []
        for net, shift in zip(self.nets, self.shifts, strict=True):
            own = x if shift is None else x + shift.to(x)[:, None, None]
            predictions.append(self.loss.predict(net(own)))
        return self.loss.logits(torch.stack(predictions).mean(0))
