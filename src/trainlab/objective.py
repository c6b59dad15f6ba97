"""The objective: J(W) = λR(W) + Σ L(x, y; W), R(W) = ½‖W‖² (lecture: "cómo se ve un problema de aprendizaje")."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Loss(ABC):
    """The data term of the objective, a mean over the examples, and the predictions that belong to a network's
    outputs.
    """

    @abstractmethod
    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of these outputs. outputs: float (B, K); labels: int64 (B,), the classes. Returns a scalar,
        float64 for float64 and float32 otherwise.
        """

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
    """L_i = −log softmax(s)_{y_i} of the logits s (lecture: "Como función de pérdida, se utilizó la función Cross
    Entropy").
    """

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean of L_i over a batch: logits (B, K) and labels int64 (B,) → a scalar, of at least float32."""
        return F.cross_entropy(at_least_float32(outputs), labels)

    def predict(self, outputs: Tensor) -> Tensor:
        """Class probabilities, the softmax of the outputs: float (…, K) → float32 (…, K)."""
        return outputs.float().softmax(-1)

    def logits(self, predictions: Tensor) -> Tensor:
        """log p of probabilities (…, K); a probability of 0 counts as the least positive number."""
        return predictions.clamp_min(torch.finfo(predictions.dtype).tiny).log()

    def from_predictions(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """−log p of the true class, a mean over the examples. predictions: probabilities (B, K); labels: int64 (B,)."""
        return F.nll_loss(self.logits(predictions), labels)


class HalfMSE(Loss):
    """J = 1/(2n) Σ ‖f(x) − y‖², y the one-hot class (lecture: "una posible función de pérdida")."""

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """J of a batch: outputs (B, K) and labels int64 (B,) → a scalar, of at least float32."""
        outputs = at_least_float32(outputs)
        targets = F.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
        return (outputs - targets).square().sum() / (2 * len(labels))

    def predict(self, outputs: Tensor) -> Tensor:
        """The outputs themselves, as float32: they are near 0 and 1, but are no probabilities."""
        return outputs.float()

    def logits(self, predictions: Tensor) -> Tensor:
        """The predictions themselves, which are a network's outputs."""
        return predictions

    def from_predictions(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """½ the squared error of averaged outputs (B, K), a mean over the examples; labels: int64 (B,)."""
        return self(predictions, labels)


def half_mean_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """J = 1/(2n) Σ (f − y)² of a network with one output, whose targets are numbers and not classes.

    outputs: float (…, n, 1); targets: float (n,). A scalar. Lecture: "una posible función de pérdida".
    """
    return (outputs[..., 0] - targets).square().mean() / 2


def at_least_float32(outputs: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if that is what it is; so bfloat16 outputs get a loss in float32."""
    return outputs if outputs.dtype == torch.float64 else outputs.float()


def weights_and_biases(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trained parameters of a network in two lists: those that L2 acts on (kernels and matrices), and those that
    it leaves alone (vectors, such as biases).
    """
    trained = [p for p in net.parameters() if p.requires_grad]
    return [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]


class L2:
    """The penalty λR(W), R(W) = ½‖W‖², as a coefficient beside the mean loss: `weight_decay`.

    ``form="mean"``: C/2 ‖W‖² beside the *mean* loss (lecture: "Podemos tomar prestados conceptos de los SVM").

    ``form="sum"``: λ/2 ‖W‖² beside the *sum* of the losses (lecture's first slide), which divided by the n examples
    of the training set is λ/(2n) ‖W‖² beside the mean. scikit-learn's ``alpha`` is this λ.

    strength: C or λ. examples: n, the size of the training set.
    """

    def __init__(self, strength: float = 0.0, form: str = "mean", *, examples: int) -> None:
        assert form in ("mean", "sum"), f"form={form} is unknown; use mean or sum"
        self.weight_decay = strength if form == "mean" else strength / examples

    def penalty(self, weights: Iterable[Tensor]) -> Tensor:
        """½ c ‖W‖² with c = `weight_decay`, a float32 scalar without gradient. weights: tensors of any shape. The
        optimizer adds the gradient of the penalty, c·W, by itself.
        """
        if self.weight_decay == 0:
            return torch.zeros(())
        return 0.5 * self.weight_decay * torch.stack([w.detach().float().square().sum() for w in weights]).sum()
