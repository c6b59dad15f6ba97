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
    def predict(self, outputs: Tensor) -> Tensor:
        """The predictions that belong to a network's outputs, float (…, K) → float32 (…, K).

        Probabilities where the loss has them, otherwise the outputs themselves. Predictions are what is averaged over
        views or networks and shown to people.
        """

    @abstractmethod
    def logits(self, predictions: Tensor) -> Tensor:
        """The inverse of `predict`, (…, K) → (…, K): outputs that have these predictions."""

    @abstractmethod
    def from_predictions(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """The loss of predictions, float (B, K), such as an average over views; labels: int64 (B,). A scalar."""


class CrossEntropy(Loss):
    """L_i = −log softmax(s)_{y_i} (lecture: "Como función de pérdida, se utilizó la función Cross Entropy")."""

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(at_least_float32(outputs), labels)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.float().softmax(-1)

    def logits(self, predictions: Tensor) -> Tensor:
        return predictions.clamp_min(torch.finfo(predictions.dtype).tiny).log()

    def from_predictions(self, predictions: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss(self.logits(predictions), labels)


class HalfMSE(Loss):
    """J = 1/(2n) Σ ‖f(x) − y‖², y the one-hot class (lecture: "una posible función de pérdida")."""

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        outputs = at_least_float32(outputs)
        targets = F.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
        return (outputs - targets).square().sum() / (2 * len(labels))

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.float()

    def logits(self, predictions: Tensor) -> Tensor:
        return predictions

    def from_predictions(self, predictions: Tensor, labels: Tensor) -> Tensor:
        return self(predictions, labels)


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
