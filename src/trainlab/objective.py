"""The objective: J(W) = λR(W) + Σ L(x, y; W), R(W) = ½‖W‖² (lecture: "cómo se ve un problema de aprendizaje")."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Loss(ABC):
    """The data term, as a mean over the examples, and what to average over several views of one image."""

    @abstractmethod
    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """outputs: float (B, K); labels: int64 (B,) → float32 scalar, float64 of float64."""

    @abstractmethod
    def scores(self, outputs: Tensor) -> Tensor:
        """(…, K) → float32 (…, K): what is averaged over views and shown to people."""

    @abstractmethod
    def outputs(self, scores: Tensor) -> Tensor:
        """(…, K) → (…, K): outputs of which these are the scores."""

    @abstractmethod
    def of_scores(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The same loss from averaged scores (B, K)."""


class CrossEntropy(Loss):
    """L_i = −log softmax(s)_{y_i} (lecture: "Como función de pérdida, se utilizó la función Cross Entropy")."""

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(at_least_float32(outputs), labels)

    def scores(self, outputs: Tensor) -> Tensor:
        return outputs.float().softmax(-1)

    def outputs(self, scores: Tensor) -> Tensor:
        return scores.clamp_min(torch.finfo(scores.dtype).tiny).log()

    def of_scores(self, scores: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss(self.outputs(scores), labels)


class HalfMSE(Loss):
    """J = 1/(2n) Σ ‖f(x) − y‖², y the one-hot class (lecture: "una posible función de pérdida")."""

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        outputs = at_least_float32(outputs)
        targets = F.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
        return (outputs - targets).square().sum() / (2 * len(labels))

    def scores(self, outputs: Tensor) -> Tensor:
        return outputs.float()

    def outputs(self, scores: Tensor) -> Tensor:
        return scores

    def of_scores(self, scores: Tensor, labels: Tensor) -> Tensor:
        return self(scores, labels)


def at_least_float32(outputs: Tensor) -> Tensor:
    return outputs if outputs.dtype == torch.float64 else outputs.float()


def weights_and_biases(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that L2 holds small (kernels and matrices) and those that it leaves alone (vectors)."""
    trained = [p for p in net.parameters() if p.requires_grad]
    return [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]


class L2:
    """λR(W) in the form in which `strength` is meant.

    ``form="mean"``: C/2 ‖W‖² beside the *mean* loss (lecture: "Podemos tomar prestados conceptos de los SVM").
    ``form="sum"``: λ/2 ‖W‖² beside the *sum* of the losses (lecture's first slide), which divided by the n
    examples of the training set is λ/(2n) ‖W‖² beside the mean. scikit-learn's ``alpha`` is this λ.
    """

    def __init__(self, strength: float = 0.0, form: str = "mean", *, examples: int) -> None:
        assert form in ("mean", "sum"), f"form={form} is unknown; use mean or sum"
        self.weight_decay = strength if form == "mean" else strength / examples

    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """½ c ‖W‖² with c = `weight_decay`, beside the mean loss; the optimizer adds its gradient, c·W."""
        if self.weight_decay == 0:
            return torch.zeros(())
        return 0.5 * self.weight_decay * torch.stack([w.detach().float().square().sum() for w in weights]).sum()
