"""Loss, top-1 and top-5 error: sums kept on the device, one value an epoch, every example counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

TOP_K = 5  # ILSVRC's second error: the truth is not among the five most probable classes
# Values that are counted in one call; batch by batch the perceptron's step takes 1.2 times the CPU time. More would
# start threads.
MAX_PENDING = 30_000


class ClassificationMetrics(Metric):
    """Loss, top-1 and top-5 error of an epoch: sums over its examples, kept on the device and added up over the
    ranks.

    With five classes or fewer the top-5 error is zero by definition and is left out.
    """

    full_state_update = False
    loss: Tensor
    top1: Tensor
    top5: Tensor
    count: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.with_top5 = classes > TOP_K
        self.add_state("loss", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("top1", "top5", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.pending: list[tuple[Tensor, Tensor, Tensor]] = []

    def queue(self, outputs: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Put a batch aside, to be counted together with others; `flush` has to be called before a value is read.
        outputs: float (B, K); labels: int64 (B,); loss: their mean loss.
        """
        self.pending.append((outputs, labels, loss))
        if len(self.pending) * outputs.numel() >= MAX_PENDING:
            self.flush()

    def flush(self) -> None:
        """Count the batches that `queue` has put aside."""
        if self.pending:
            outputs, labels, losses = zip(*self.pending, strict=True)
            self.pending = []
            self.update(torch.cat(outputs), torch.cat(labels), losses, [len(part) for part in labels])

    def reset(self) -> None:
        """Forget all that was counted, and what was put aside."""
        self.pending = []
        super().reset()

    def update(
        self, outputs: Tensor, labels: Tensor, loss: Tensor | Sequence[Tensor], sizes: Sequence[int] = ()
    ) -> None:
        """Count a batch. outputs: float (B, K), logits or probabilities, the greater the more probable; labels: int64
        (B,); loss: their mean loss. Several batches at once are given with the list of their losses and their
        `sizes`.
        """
        no_answer = outputs.isnan().any(1)  # argmax and topk would take NaN for the greatest
        losses = [loss] if isinstance(loss, Tensor) else loss
        for mean, size in zip(losses, sizes or [len(labels)], strict=True):  # one by one: the same bits in any cohort
            self.loss.add_(mean, alpha=size)
        self.top1.add_(((outputs.argmax(1) != labels) | no_answer).count_nonzero())
        if self.with_top5:
            found = (outputs.topk(TOP_K, sorted=False).indices == labels[:, None]).any(1)
            self.top5.add_((~found | no_answer).count_nonzero())
        self.count.add_(len(labels))

    def compute(self) -> dict[str, Tensor]:
        """loss, top1_error and top5_error as float64 scalars; errors are fractions in [0, 1]."""
        return means(self)

    def sums(self) -> dict[str, Tensor]:
        """The sums so far, added up over all ranks, on the CPU. A collective call: every rank has to make it."""
        self.flush()
        sums = {name: getattr(self, name).clone() for name in self._defaults}
        if torch.distributed.is_initialized():
            for value in sums.values():
                torch.distributed.all_reduce(value)
        return {name: value.cpu() for name, value in sums.items()}

    def load_sums(self, sums: Mapping[str, Tensor]) -> None:
        """Start from the `sums` of an earlier process instead of from zero; on one rank only, since ranks are added
        up.
        """
        self.reset()
        for name, value in sums.items():
            getattr(self, name).add_(value)
        self._update_count = 1  # else torchmetrics warns that nothing was added


class StackedSums:
    """`ClassificationMetrics` of K networks at once: the same sums for each.

    networks: K.
    """

    def __init__(self, networks: int, classes: int, device: torch.device | str = "cpu") -> None:
        self.with_top5 = classes > TOP_K
        self.loss = torch.zeros(networks, dtype=torch.float64, device=device)
        self.top1, self.top5 = (torch.zeros(networks, dtype=torch.int64, device=device) for _ in range(2))
        self.count = 0

    def update(self, outputs: Tensor, labels: Tensor, losses: Tensor) -> Tensor:
        """Count some batches. outputs: float (T, K, classes, b), of T batches; labels: int64 (T, K, b); losses: of each
        example, float (T, K, b). Returns each batch's mean loss, (T, K).
        """
        means = losses.mean(-1)
        self.loss += means.double().sum(0) * labels.shape[-1]
        rank = ranks(outputs, labels).masked_fill_(losses.isnan(), outputs.shape[-2])
        self.top1 += (rank > 0).sum((0, -1))
        if self.with_top5:
            self.top5 += (rank >= TOP_K).sum((0, -1))
        self.count += labels.shape[0] * labels.shape[-1]
        return means

    def compute(self) -> dict[str, Tensor]:
        """loss, top1_error and top5_error, each float64 (K,); errors are fractions in [0, 1]."""
        return means(self)


def means(sums: ClassificationMetrics | StackedSums) -> dict[str, Tensor]:
    """What the sums come to for each example, by the names of the metrics."""
    values = {"loss": sums.loss / sums.count, "top1_error": sums.top1.double() / sums.count}
    if sums.with_top5:
        values["top5_error"] = sums.top5.double() / sums.count
    return values


def ranks(outputs: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before the true one, float (…, b). Of equal outputs the class with the lower number comes
    first, as in argmax. outputs: (…, classes, b); labels: int64 (…, b).
    """
    labels = labels.unsqueeze(-2)
    true = outputs.gather(-2, labels)
    work = torch.gt(outputs, true, out=torch.empty_like(outputs))  # as numbers: torch adds these up faster than bools
    before = work.sum(-2)
    equal = torch.eq(outputs, true, out=work)
    if int(equal.sum()) > true.numel():
        lower = torch.arange(outputs.shape[-2], device=outputs.device)[:, None] < labels
        before += (equal * lower).sum(-2)
    return before
