"""The gradient of a batch, g_B, around that of all N examples, g: how far it strays, and what a good batch size is.

S = 1/N Σ ‖g_i − g‖² is the spread of single examples. A batch of B that is drawn with replacement has
E‖g_B − g‖² = S/B, and one without, as each batch of a shuffled epoch, S/B · (N − B)/(N − 1), which is 0 for B = N.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from trainlab.data.batches import GlobalBatchSampler
from trainlab.objective import CrossEntropy

DRAWS = 200  # batches of each size
SMALL, LARGE, PAIRS = 16, 256, 1000  # of the two-batch estimate of the noise scale
LOSS = CrossEntropy()
TOGETHER = 128  # per-example gradients at once


@dataclass(frozen=True)
class Spread:
    """How far batches of one size stray: the mean of ‖g_B − g‖², and its standard error, which is 0 where every batch
    was looked at.
    """

    batch_size: int
    replacement: bool
    mean: float
    error: float


@dataclass(frozen=True)
class NoiseScale:
    """S and ‖g‖². trace: S, the trace of the covariance of single examples' gradients. square: ‖g‖². *_error: their
    standard errors, 0 where all examples were looked at.
    """

    trace: float
    square: float
    trace_error: float = 0.0
    square_error: float = 0.0

    @property
    def ratio(self) -> float:
        """B_noise = S/‖g‖², the batch size at which noise and gradient are equally long (McCandlish et al. 2018)."""
        return self.trace / self.square


def gradient(net: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the mean loss of these examples, float64 (P,), by backpropagation. net: in float64."""
    parameters = list(net.parameters())
    return torch.cat([g.flatten() for g in torch.autograd.grad(LOSS(net(inputs), labels), parameters)])


def per_example_gradients(net: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each example's loss, float64 (N, P); the order along P is that of `gradient`. net, inputs: in
    float64.
    """
    weights = {name: p.detach() for name, p in net.named_parameters()}

    def loss_of_one(parameters: dict[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        return LOSS(functional_call(net, parameters, (one[None],)), label[None])

    rows = vmap(grad(loss_of_one), in_dims=(None, 0, 0), chunk_size=TOGETHER)(weights, inputs, labels)
    return torch.cat([part.flatten(1) for part in rows.values()], dim=1)


def exact_noise_scale(each: Tensor) -> NoiseScale:
    """S and ‖g‖² from the gradients of all examples, (N, P)."""
    mean = each.mean(0)
    return NoiseScale(float((each - mean).square().sum(1).mean()), float(mean.square().sum()))


def expected_spread(trace: float, examples: int, batch_size: int, *, replacement: bool) -> float:
    """E‖g_B − g‖²: S/B with replacement, S/B·(N − B)/(N − 1) without. trace: S, the spread of single examples."""
    left = 1.0 if replacement else (examples - batch_size) / max(1, examples - 1)
    return trace / batch_size * left


def enumerated_spread(
    net: nn.Module, inputs: Tensor, labels: Tensor, batch_size: int, *, replacement: bool
) -> tuple[float, float]:
    """E‖g_B − g‖² over every possible batch, each backpropagated, and what the formula says of these examples."""
    whole, numbers = gradient(net, inputs, labels), range(len(labels))
    batches: Iterable[tuple[int, ...]]
    batches = product(numbers, repeat=batch_size) if replacement else combinations(numbers, batch_size)
    strayed = [float((gradient(net, inputs[[*b]], labels[[*b]]) - whole).square().sum()) for b in batches]
    trace = exact_noise_scale(torch.stack([gradient(net, inputs[[i]], labels[[i]]) for i in numbers])).trace
    expected = expected_spread(trace, len(labels), batch_size, replacement=replacement)
    return float(np.mean(strayed)), expected


def sampled_spread(products: Tensor, batch_size: int, *, replacement: bool, generator: torch.Generator) -> Spread:
    """The spread of DRAWS random batches. products: (N, N), the inner products of all g_i − g, which give the length of
    every mean.
    """
    shares = draw(len(products), batch_size, DRAWS, replacement=replacement, generator=generator)
    strayed = ((shares @ products) * shares).sum(1)
    return Spread(batch_size, replacement, float(strayed.mean()), float(strayed.std() / DRAWS**0.5))


def draw(examples: int, batch_size: int, draws: int, *, replacement: bool, generator: torch.Generator) -> Tensor:
    """Random batches, float64 (draws, examples): the share of each example in each batch; a row sums to 1."""
    if replacement:
        chosen = torch.randint(examples, (draws, batch_size), generator=generator)
    else:
        chosen = torch.rand(draws, examples, generator=generator).argsort(1)[:, :batch_size]
    shares = torch.zeros(draws, examples, dtype=torch.float64)
    return shares.scatter_add_(1, chosen, torch.full(chosen.shape, 1 / batch_size, dtype=torch.float64))


def two_batch_noise_scale(products: Tensor, generator: torch.Generator) -> NoiseScale:
    """S and ‖g‖² from the lengths of the gradients of pairs of batches, as one estimates them in training.

    E‖g_B‖² = ‖g‖² + S/B for two B are two equations (McCandlish et al. 2018, appendix A). products: (N, N), the inner
    products of all g_i.
    """
    lengths = []
    for size in (SMALL, LARGE):
        shares = draw(len(products), size, PAIRS, replacement=True, generator=generator)
        lengths.append(((shares @ products) * shares).sum(1))
    small, large = lengths
    square = (LARGE * large - SMALL * small) / (LARGE - SMALL)
    trace = (small - large) / (1 / SMALL - 1 / LARGE)
    error = PAIRS**-0.5
    return NoiseScale(*(float(v) for v in (trace.mean(), square.mean(), trace.std() * error, square.std() * error)))


def epoch_mean_gap(net: nn.Module, inputs: Tensor, labels: Tensor, batch_size: int, seed: int) -> float:
    """‖mean over an epoch's batches − g‖/‖g‖, each batch weighted by its size; the batches are those of a training run,
    the last one smaller.
    """
    whole = gradient(net, inputs, labels)
    total = torch.zeros_like(whole)
    for part in GlobalBatchSampler(len(labels), batch_size, seed=seed, shuffle=True):
        total += gradient(net, inputs[part.samples], labels[part.samples]) * len(part.samples)
    return float((total / len(labels) - whole).norm() / whole.norm())


def uphill_share(each: Tensor, batch_size: int, generator: torch.Generator) -> float:
    """The share of batches with g_B·g < 0: a small step along −g_B makes the loss of all examples greater."""
    along = each @ each.mean(0)
    shares = draw(len(each), batch_size, 10 * DRAWS, replacement=False, generator=generator)
    return float((shares @ along < 0).double().mean())


def clouds(each: Tensor, sizes: Iterable[int], generator: torch.Generator) -> dict[int, np.ndarray]:
    """By batch size, DRAWS gradients as (DRAWS, 2): along g, and along the direction across g in which examples differ
    most.
    """
    mean = each.mean(0)
    along = mean / mean.norm()
    across = each - (each @ along)[:, None] * along
    direction = across[0]
    for _ in range(30):  # the power method; the direction is for a picture
        direction = across.T @ (across @ direction)
        direction = direction / direction.norm()
    places = torch.stack([each @ along, each @ direction], dim=1)
    return {
        size: (draw(len(each), size, DRAWS, replacement=False, generator=generator) @ places).numpy() for size in sizes
    }


def sizes_up_to(examples: int) -> list[int]:
    """Batch sizes 1, 2, 4, …, and towards N closer and closer, N included."""
    doubled = [2**k for k in range(examples.bit_length()) if 2**k < examples]
    nearer = [examples - examples // 2**k for k in range(2, examples.bit_length())]
    return sorted({*doubled, *nearer, examples})
