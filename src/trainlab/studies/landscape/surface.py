"""The loss of a network at many settings of its weights: θ + a·d₁ + b·d₂ for every point (a, b) of a plane.

Dense networks are evaluated many settings at once, stacked as the members of one `baddbmm`. What the first layer makes
of the examples is linear in its weights, so that it is computed for θ and each d only, and added up for each setting.
Every other network takes its settings one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.runtime.hardware import torch_threads
from trainlab.studies.finding import Progress, no_progress
from trainlab.studies.landscape.directions import Weights, weights_of

LossOf = Callable[[Tensor, Tensor], Tensor]  # outputs (B, K) and labels (B,) → their mean loss
Job = TypeVar("Job")

EXAMPLES_AT_ONCE = 512
SETTINGS_AT_ONCE = 512  # in one job
VALUES_AT_ONCE = 2**20  # of one layer's outputs, all members together: 4 MB, which stay in the cache
IN_PLACE: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: torch.relu_,
    nn.Tanh: torch.tanh_,
    nn.Sigmoid: torch.sigmoid_,
    nn.Identity: lambda x: x,
}


@dataclass(frozen=True)
class Surface:
    """The loss on a plane. loss: float64 (len(y), len(x)), of the weights base + x·d₁ + y·d₂; what is no finite number
    stays so.
    """

    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray

    @property
    def downward_share(self) -> float:
        """The share of the inner points at which the surface bends downwards in some direction.

        That is, where the smaller eigenvalue of the 2×2 matrix of second differences is negative by more than a
        hundredth of the larger one.
        """
        dx, dy, z = self.x[1] - self.x[0], self.y[1] - self.y[0], self.loss
        with np.errstate(invalid="ignore"):
            xx = (z[1:-1, 2:] - 2 * z[1:-1, 1:-1] + z[1:-1, :-2]) / dx**2
            yy = (z[2:, 1:-1] - 2 * z[1:-1, 1:-1] + z[:-2, 1:-1]) / dy**2
            xy = (z[2:, 2:] - z[2:, :-2] - z[:-2, 2:] + z[:-2, :-2]) / (4 * dx * dy)
            middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
            return float(np.mean(middle - half < -0.01 * np.abs(middle + half)))


def surface(
    net: nn.Module,
    loss: LossOf,
    examples: tuple[Tensor, Tensor],
    directions: Sequence[Weights],
    axes: tuple[np.ndarray, np.ndarray],
    on_progress: Progress = no_progress,
) -> Surface:
    """The loss on the plane of two `directions` around the weights of `net`. axes: the places along each, float64.
    examples: inputs and labels.
    """
    x, y = axes
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = losses(net, loss, examples, directions, places, on_progress)
    return Surface(x, y, values.reshape(len(y), len(x)))


def losses(
    net: nn.Module,
    loss: LossOf,
    examples: tuple[Tensor, Tensor],
    directions: Sequence[Weights],
    places: np.ndarray,
    on_progress: Progress = no_progress,
) -> np.ndarray:
    """The mean loss of the examples at M settings of the weights, float64 (M,), in evaluation mode.

    places: (M, R), multiples of the R `directions` that are added to `net`'s weights. examples: inputs (N, …) in the
    precision of the weights, and labels (N,). A job is some examples at some settings. Of dense networks every core
    takes jobs of its own: with few classes and narrow layers, cores that share one operation mostly wait for each
    other.
    """
    inputs, labels = examples
    parts = zip(inputs.split(EXAMPLES_AT_ONCE), labels.split(EXAMPLES_AT_ONCE), strict=True)
    dense = dense_layers(net) is not None
    settings = SETTINGS_AT_ONCE if dense else 1
    slices = [slice(begin, begin + settings) for begin in range(0, len(places), settings)]
    jobs = [(part, some) for part in parts for some in slices]

    def work(job: tuple[tuple[Tensor, Tensor], slice]) -> np.ndarray:
        by_part = stacked if dense else one_by_one
        return by_part(net, loss, *job[0], directions, places[job[1]])

    total = np.zeros(len(places))
    with each_core_its_own(work, jobs) if dense else nullcontext(map(work, jobs)) as results:
        for done, ((part, some), values) in enumerate(zip(jobs, results, strict=True)):
            total[some] += values * len(part[1])  # in a fixed order, so that the sums are the same bits
            on_progress(done + 1, len(jobs))
    return total / len(labels)


@contextmanager
def each_core_its_own(work: Callable[[Job], np.ndarray], jobs: Sequence[Job]) -> Iterator[Iterator[np.ndarray]]:
    """The results of the jobs in their order; as many at a time as torch has threads, each of which then has one."""
    pool = ThreadPoolExecutor(torch.get_num_threads())
    with torch_threads(1):
        try:
            yield pool.map(work, jobs)
        finally:
            pool.shutdown(cancel_futures=True)


def dense_layers(net: nn.Module) -> list[nn.Linear | Callable[[Tensor], Tensor]] | None:
    """The layers and activations of a network in their order, where it is dense layers and nothing else; else None."""
    if not isinstance(net, MLP | Perceptron):
        return None
    found: list[nn.Linear | Callable[[Tensor], Tensor]] = []
    for module in net.modules():
        if isinstance(module, nn.Linear):
            found.append(module)
        elif type(module) in IN_PLACE:
            found.append(IN_PLACE[type(module)])
        elif not isinstance(module, nn.Flatten | nn.Dropout | nn.Sequential | MLP | Perceptron):
            return None
    return found


@torch.inference_mode()
def stacked(
    net: nn.Module, loss: LossOf, inputs: Tensor, labels: Tensor, directions: Sequence[Weights], places: np.ndarray
) -> np.ndarray:
    """The losses, float64 (M,), of a dense network: as many settings at once as one layer's outputs have room for."""
    layers = dense_layers(net)
    assert layers is not None
    first, *rest = layers
    assert isinstance(first, nn.Linear)
    # Row 0 belongs to θ, the others to the directions; a setting is a sum of the rows.
    families = [weights_of(net), *directions]
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    rows = {name: torch.stack([family[name].reshape(-1) for family in families]) for name in names.values()}
    weight, bias = names[id(first.weight)], names[id(first.bias)]
    flat_inputs = inputs.flatten(1)
    seen = torch.stack([flat_inputs @ family[weight].T + family[bias] for family in families]).flatten(1)
    widest = max(layer.out_features for layer in (first, *rest) if isinstance(layer, nn.Linear))
    most_weights = max((layer.weight.numel() for layer in rest if isinstance(layer, nn.Linear)), default=1)
    together = max(1, VALUES_AT_ONCE // max(len(inputs) * widest, most_weights))
    loss_of_each, found = vmap(loss, in_dims=(0, None)), []
    for some in torch.from_numpy(places).to(inputs.dtype).split(together):
        sums = torch.cat([some.new_ones(len(some), 1), some], dim=1)  # (members, 1 + R)
        values = (sums @ seen).view(len(some), len(inputs), first.out_features)
        for layer in rest:
            if isinstance(layer, nn.Linear):
                own = (sums @ rows[names[id(layer.weight)]]).view(len(some), *layer.weight.shape)
                added = (sums @ rows[names[id(layer.bias)]])[:, None]
                values = torch.baddbmm(added, values, own.transpose(1, 2))
            else:
                values = layer(values)
        found.append(loss_of_each(values, labels).double().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def one_by_one(
    net: nn.Module, loss: LossOf, inputs: Tensor, labels: Tensor, directions: Sequence[Weights], places: np.ndarray
) -> np.ndarray:
    """The losses, float64 (M,), for any kind of network: one pass for each setting of the weights."""
    base, found = weights_of(net), []
    for place in places:
        moved = {
            name: sum((float(a) * d[name] for a, d in zip(place, directions, strict=True)), start=weight)
            for name, weight in base.items()
        }
        value = 0.0
        for part, right in zip(inputs.split(64), labels.split(64), strict=True):
            value += loss(functional_call(net, moved, (part,)), right).item() * len(right)
        found.append(value / len(labels))
    return np.array(found)
