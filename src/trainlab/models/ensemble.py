"""Several networks as one: their probabilities are averaged (Krizhevsky et al. 2012, Table 2: five and seven CNNs)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainlab.objective import Loss


class Ensemble(nn.Module):
    """(B, C, H, W) → (B, K), of which `loss.scores` gives the mean of the networks' scores.

    shifts: float (C,) for each network, added to its inputs: what was subtracted from them less what it was trained on.
    """

    def __init__(self, nets: Sequence[nn.Module], loss: Loss, shifts: Sequence[Tensor | None] | None = None) -> None:
        super().__init__()
        self.nets, self.loss = nn.ModuleList(nets), loss
        self.shifts = list(shifts or [None] * len(nets))

    def forward(self, x: Tensor) -> Tensor:
        scores = []
        for net, shift in zip(self.nets, self.shifts, strict=True):
            own = x if shift is None else x + shift.to(x)[:, None, None]
            scores.append(self.loss.scores(net(own)))
        return self.loss.outputs(torch.stack(scores).mean(0))
