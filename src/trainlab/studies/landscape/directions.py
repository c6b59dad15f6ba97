"""Directions in the space of the weights: random and filter-normalised, principal ones of a path, to another network.

Li, Xu, Taylor, Studer and Goldstein 2018, "Visualizing the Loss Landscape of Neural Nets", §4 (filter normalisation)
and §7 (principal directions of a path). A filter is what one neuron reads: a row of a dense layer, a kernel of a
convolution. Biases, and whatever else is a vector, are left where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

Weights = Mapping[str, Tensor]  # the parameters of a network, or a direction for each, by their names


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """The parameters by their names, without gradients: not copies."""
    return {name: parameter.detach() for name, parameter in net.named_parameters()}


def flat(weights: Weights) -> Tensor:
    """All weights in one row, (P,), in the order of their names' appearance."""
    return torch.cat([weight.reshape(-1) for weight in weights.values()])


def like(row: Tensor, weights: Weights) -> dict[str, Tensor]:
    """`row` (P,) in the shapes and the precision of `weights`."""
    parts = row.split([weight.numel() for weight in weights.values()])
    return {
        name: part.view_as(weight).to(weight.dtype) for (name, weight), part in zip(weights.items(), parts, strict=True)
    }


def length(weights: Weights) -> float:
    """‖W‖ over kernels and matrices, without biases: how long a filter-normalised direction is."""
    return float(sum(w.double().square().sum() for w in weights.values() if w.ndim > 1) ** 0.5)


def gaussian(weights: Weights, seed: int) -> dict[str, Tensor]:
    """N(0, 1) for each weight and zero for each bias; the same draws for every network of these shapes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(weight.shape, generator=generator).to(weight.dtype)
        if weight.ndim > 1
        else torch.zeros_like(weight)
        for name, weight in weights.items()
    }


def filter_normalised(direction: Weights, weights: Weights) -> dict[str, Tensor]:
    """Each filter of `direction` gets the length of the filter of `weights`: d ← d/‖d‖ · ‖θ‖ (Li et al. 2018, §4)."""
    scaled = {}
    for name, weight in weights.items():
        drawn = direction[name]
        if weight.ndim > 1:
            shape = (-1, *[1] * (weight.ndim - 1))
            sizes = [part.flatten(1).norm(dim=1).view(shape) for part in (weight, drawn)]
            scaled[name] = drawn * (sizes[0] / sizes[1].clamp_min(torch.finfo(drawn.dtype).tiny))
        else:
            scaled[name] = torch.zeros_like(weight)
    return scaled


def of_length(direction: Weights, wanted: float) -> dict[str, Tensor]:
    """The direction scaled as a whole to this length over kernels and matrices: no filter is treated by itself."""
    factor = wanted / float(flat(direction).double().norm())
    return {name: part * factor for name, part in direction.items()}


def random_pair(weights: Weights, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two filter-normalised directions. In many dimensions they are nearly at right angles by themselves."""
    first, second = (filter_normalised(gaussian(weights, 2 * seed + k), weights) for k in range(2))
    return first, second


def orthogonal(direction: Weights, to: Weights) -> dict[str, Tensor]:
    """`direction` without its part along `to`, its length kept."""
    row, along = flat(direction).double(), flat(to).double()
    rest = row - (row @ along) / (along @ along) * along
    return like(rest * (row.norm() / rest.norm()), direction)


@dataclass(frozen=True)
class PrincipalPlane:
    """The plane through the end of a path that holds most of its squared distances from there.

    directions: float64 (2, P), at right angles and of length 1. explained: (2,), each one's share of the sum over all
    points of the squared distance from the end. places: (T, 2), the path's points in the plane. away: (T,), their
    distances from the plane. from_end: (T,), their distances from the end.
    """

    directions: Tensor
    explained: np.ndarray
    places: np.ndarray
    away: np.ndarray
    from_end: np.ndarray


def principal_plane(path: Tensor, end: Tensor) -> PrincipalPlane:
    """The plane that holds most of the squared distances of a path from its end.

    path: (T, P) with at least two points that are not `end` (P,). Nothing is centred: the plane goes through `end`.
    Source: Li et al. 2018, §7.2, the matrix [θ_0 − θ_n; …; θ_{n−1} − θ_n].
    """
    offsets = path.double() - end.double()
    _, sizes, rows = torch.linalg.svd(offsets, full_matrices=False)
    signs = torch.sign(offsets[0] @ rows[:2].T)  # the path comes from the upper right, whatever the library's signs
    directions = rows[:2] * torch.where(signs == 0, 1.0, signs)[:, None]
    places = offsets @ directions.T
    away = (offsets - places @ directions).norm(dim=1)
    explained = sizes[:2].square() / sizes.square().sum()
    return PrincipalPlane(directions, explained.numpy(), places.numpy(), away.numpy(), offsets.norm(dim=1).numpy())


def of_a_random_walk(steps: int) -> float:
    """The share of a random walk's squared distances from its end that two principal directions explain.

    Its steps are all of one length and at right angles, as random ones in many dimensions nearly are: 1 for two steps,
    and 8/π² (1 + 1/9) = 90 % for many. The distances have the matrix min(i, j); Antognini and Sohl-Dickstein 2018 say
    it of centred walks.
    """
    count = np.arange(1, steps + 1)
    sizes = np.linalg.eigvalsh(np.minimum.outer(count, count).astype(float))
    return float(sizes[-2:].sum() / sizes.sum())
