"""The lecture's networks: steps, bumps and towers of sigmoids, and a polygon of ReLUs, with their weights set.

Lecture: "Veamos una pequeña «mostración» del teorema": σ(wx + b) with a large w is a step at s = −b/w, two steps make a
bump, and a sum of bumps is any function. Nielsen, "Neural Networks and Deep Learning", ch. 4, has the towers.

All are of float64: in float32, x times a w of 10⁷ is rounded to whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from trainlab.models.mlp import MLP

STEEPNESS = 1e5  # w · (width of a cell): a step is done within 0.02 % of a cell
SECOND = 200.0  # steepness of a tower's own unit
AT_ONCE = 4096  # points, of which a network of 1000 units makes 33 MB

Function = Callable[..., np.ndarray]


def midpoints(cells: int) -> np.ndarray:
    """The midpoints of equal cells of [0, 1], float64 (cells,)."""
    return (np.arange(cells) + 0.5) / cells


def edges(cells: int) -> np.ndarray:
    """Where the cells begin and end, float64 (cells + 1,). The outer two lie half a cell beyond, so that 0 and 1 are
    inside.
    """
    inner = np.arange(cells + 1) / cells
    inner[[0, -1]] += np.array([-0.5, 0.5]) / cells
    return inner


def dense(net: MLP) -> list[nn.Linear]:
    """The dense layers of a network, from the input to the output."""
    return [layer for layer in net.layers if isinstance(layer, nn.Linear)]


def put(layer: nn.Linear, weights: np.ndarray, biases: np.ndarray | float) -> None:
    """Set the weights and biases of a layer. weights: as many as it has, in its order, of any shape."""
    layer.weight.data = torch.from_numpy(np.ascontiguousarray(weights, dtype=np.float64)).reshape(layer.weight.shape)
    layer.bias.data = torch.from_numpy(np.broadcast_to(np.float64(biases), layer.bias.shape).copy())


def empty(inputs: int, hidden: list[int], activation: str) -> MLP:
    """A float64 network with one output and all weights and biases 0. hidden: widths."""
    return MLP((inputs,), 1, hidden=hidden, activation=activation, init="zero").double()


def steps(target: Function, units: int) -> MLP:
    """The staircase of `units` sigmoids: a step at the beginning of each cell, as high as the target rises from
    midpoint to midpoint.
    """
    net = empty(1, [units], "sigmoid")
    first, last = dense(net)
    put(first, np.full(units, w := STEEPNESS * units), -w * edges(units)[:-1])
    put(last, np.diff(target(midpoints(units)), prepend=0.0), 0.0)
    return net


def bumps(target: Function, units: int) -> MLP:
    """The staircase of units // 2 bumps of two sigmoids: a step up where a cell begins, and one down where it ends."""
    cells = units // 2
    net = empty(1, [2 * cells], "sigmoid")
    first, last = dense(net)
    both = np.concatenate([edges(cells)[:-1], edges(cells)[1:]])
    heights = target(midpoints(cells))
    put(first, np.full(2 * cells, w := STEEPNESS * cells), -w * both)
    put(last, np.concatenate([heights, -heights]), 0.0)
    return net


def polygon(target: Function, units: int) -> MLP:
    """The straight lines between the target's values at i/units, i = 0 … units: a ReLU at the beginning of each."""
    net = empty(1, [units], "relu")
    first, last = dense(net)
    knots = np.arange(units + 1) / units
    slopes = np.diff(target(knots)) * units
    put(first, np.ones(units), -knots[:-1])
    put(last, np.diff(slopes, prepend=0.0), target(knots[:1])[0])
    return net


def towers(target: Function, side: int) -> MLP:
    """side² towers over the unit square, in two hidden layers. Each stands on four steps, which its neighbours share.

    A tower's unit sees a bump along x and one along y and is on where both are: σ(W (bump + bump − 3/2)).
    """
    count = side + 1
    net = empty(2, [2 * count, side * side], "sigmoid")
    first, second, last = dense(net)
    w = STEEPNESS * side
    along = np.zeros((2 * count, 2))
    along[:count, 0] = along[count:, 1] = w
    put(first, along, -w * np.concatenate([edges(side), edges(side)]))
    stand = np.zeros((side, side, 2 * count))
    for i in range(side):
        stand[i, :, i], stand[i, :, i + 1] = SECOND, -SECOND
        stand[:, i, count + i], stand[:, i, count + i + 1] = SECOND, -SECOND
    put(second, stand.reshape(side * side, -1), -1.5 * SECOND)
    x, y = np.meshgrid(midpoints(side), midpoints(side), indexing="ij")
    put(last, target(x.ravel(), y.ravel()), 0.0)
    return net


def outputs_of(net: MLP, points: np.ndarray) -> np.ndarray:
    """The outputs of a network at points (N,) or (N, 2), some at a time: float64 (N,)."""
    inputs = torch.from_numpy(np.ascontiguousarray(points.reshape(len(points), -1)))
    inputs = inputs.to(next(net.parameters()).dtype)
    with torch.no_grad():
        return torch.cat([net(some)[:, 0] for some in inputs.split(AT_ONCE)]).double().numpy()


def sum_of_steps(target: Function, cells: int, x: np.ndarray) -> np.ndarray:
    """What `steps` and `bumps` stand for, as the sum Σ_i f(m_i) (σ(w(x − s_i)) − σ(w(x − s_{i+1}))): float64, of the
    shape of x.
    """
    total, w, edge = np.zeros_like(x), STEEPNESS * cells, edges(cells)
    for i, height in enumerate(target(midpoints(cells))):
        near = (x > edge[i] - 0.1 / cells) & (x < edge[i + 1] + 0.1 / cells)  # beyond that a bump is 0
        total[near] += height * (logistic(w * (x[near] - edge[i])) - logistic(w * (x[near] - edge[i + 1])))
    return total


def logistic(z: np.ndarray) -> np.ndarray:
    """1/(1 + e^−z) of a numpy array, without overflow."""
    return 0.5 * (1 + np.tanh(z / 2))
