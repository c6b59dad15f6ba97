"""A small network of this repository, with its loss for one example, as a graph of scalar gates."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainlab.data.image_set import DataSplits
from trainlab.data.sources import points
from trainlab.errors import InputError
from trainlab.models.mlp import MLP
from trainlab.studies.backprop.graph import Edge, Graph, Node

DATA: dict[str, Callable[[], DataSplits]] = {"moons": points.moons, "circles": points.circles, "linear": points.linear}
MODELS = {"mlp": "relu", "mlp-tanh": "tanh", "mlp-sigmoid": "sigmoid"}  # activation of the hidden layers
GATES = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
MOST_GATES = 1000
SUPERSCRIPTS, SUBSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"), str.maketrans("0123456789,", "₀₁₂₃₄₅₆₇₈₉₎")


@dataclass(frozen=True)
class Network:
    """A small network with one example, and the graph of its loss.

    net: with the weights it starts with, float64. example: float64 (F,). gradients: autograd's, by the names of the
    graph's leaves. outputs: the nodes of the logits. probabilities: their softmax by torch.
    """

    net: MLP
    example: Tensor
    label: int
    graph: Graph
    edges: list[Edge]
    outputs: list[Node]
    gradients: dict[str, float]
    probabilities: list[float]

    @property
    def widths(self) -> str:
        """The units of all layers, from the input to the output, such as "2-3-2"."""
        layers = [module for module in self.net.layers if isinstance(module, nn.Linear)]
        return "-".join(str(n) for n in (layers[0].in_features, *(layer.out_features for layer in layers)))


def small_network(model: str, hidden: Sequence[int], data: str, example: int, seed: int) -> Network:
    """An MLP with new weights by `seed`, and one training example of a data set of points. Raises InputError for what
    is too large to draw, or not there.
    """
    if model not in MODELS:
        raise InputError(f"there is no model={model} to draw; use {', '.join(MODELS)}.")
    if data not in DATA:
        raise InputError(f"data={data} is not drawn; use {', '.join(DATA)}, which have two inputs.")
    train = DATA[data]().train
    if not 0 <= example < len(train):
        raise InputError(f"example={example} is not there; the training part of {data} has 0 to {len(train) - 1}.")
    if any(width < 1 for width in hidden):
        raise InputError(f"hidden={list(hidden)} has a layer without neurons; every width must be at least 1.")
    gates = gates_of([2, *hidden, len(train.classes)])
    if gates > MOST_GATES:
        raise InputError(f"hidden={list(hidden)} makes a graph of {gates:,} gates, and {MOST_GATES:,} are the most.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MLP((2,), len(train.classes), hidden=hidden, activation=MODELS[model]).double()
    return as_graph(net, train.all_images[example].double(), int(train.labels[example]))


def gates_of(widths: Sequence[int]) -> int:
    """The number of gates for these widths: a product for each weight, a sum and an activation for each neuron; the
    logits have the loss instead.
    """
    weights = sum(a * b for a, b in pairwise(widths))
    return weights + 2 * sum(widths[1:-1]) + 2 * widths[-1] + 3


def as_graph(net: MLP, example: Tensor, label: int) -> Network:
    """The graph of J = log Σ exp(s) − s_label of the logits s, gate by gate, forwards and backwards.

    example: float64 (F,). Logits beyond ±700 overflow, for nothing is subtracted from them, to keep the graph small.
    """
    graph = Graph()
    signals = [graph.leaf(f"x{i}", float(value), as_in_a_book(f"x{i}")) for i, value in enumerate(example, start=1)]
    layer = 0
    for module in net.layers:
        if isinstance(module, nn.Linear):
            layer += 1
            signals = [neuron(graph, module, signals, layer, row) for row in range(module.out_features)]
        elif type(module) in GATES:
            signals = [as_node(graph.apply(GATES[type(module)], signal)) for signal in signals]
    total = graph.apply("sum", *[graph.apply("exp", score) for score in signals])
    graph.apply("-", graph.apply("log", total), signals[label])
    edges = graph.backward()
    gradients, probabilities = by_autograd(net, example, label)
    return Network(net, example, label, graph, edges, signals, gradients, probabilities)


def neuron(graph: Graph, module: nn.Linear, signals: Sequence[Node], layer: int, row: int) -> Node:
    """Σ w x + b in the graph: a gate for each product, and one that adds all up. row: which neuron of the layer."""
    products = []
    for column, signal in enumerate(signals):
        name = weight_name(layer, row, column)
        weight = graph.leaf(name, module.weight[row, column].item(), as_in_a_book(name))
        products.append(graph.apply("*", weight, signal))
    name = bias_name(layer, row)
    bias = graph.leaf(name, module.bias[row].item(), as_in_a_book(name))
    return as_node(graph.apply("sum", *products, bias))


def as_node(result: Node | float) -> Node:
    """The result of a gate that has a variable among its arguments."""
    assert isinstance(result, Node)
    return result


def weight_name(layer: int, row: int, column: int) -> str:
    """The name of the weight to neuron `row` from `column`: both counted from 0 here, and from 1 in the name, as in a
    book.
    """
    return f"w{layer}[{row + 1},{column + 1}]"


def bias_name(layer: int, row: int) -> str:
    """The name of the bias of neuron `row`, counted from 0 here and from 1 in the name."""
    return f"b{layer}[{row + 1}]"


def as_in_a_book(name: str) -> str:
    """w1[2,1] as w¹₂₁, with a point between the numbers where one has two digits."""
    letter, bracket, place = name.partition("[")
    if not bracket:
        return letter[0] + letter[1:].translate(SUBSCRIPTS)
    places = place.rstrip("]").split(",")
    between = "" if all(len(p) == 1 for p in places) else "."
    return letter[0] + letter[1:].translate(SUPERSCRIPTS) + between.join(p.translate(SUBSCRIPTS) for p in places)


def by_autograd(net: MLP, example: Tensor, label: int) -> tuple[dict[str, float], list[float]]:
    """The gradients of the cross-entropy by all weights, biases and inputs, and softmax's probabilities, float64."""
    net, inputs = copy.deepcopy(net), example.clone().requires_grad_()
    logits = net(inputs[None])
    F.cross_entropy(logits, torch.tensor([label])).backward()  # in float64, as `net` is
    assert inputs.grad is not None
    gradients = {f"x{i}": float(g) for i, g in enumerate(inputs.grad, start=1)}
    for layer, module in enumerate((m for m in net.layers if isinstance(m, nn.Linear)), start=1):
        assert module.weight.grad is not None
        assert module.bias.grad is not None
        for row, gradients_of_row in enumerate(module.weight.grad.tolist()):
            gradients |= {weight_name(layer, row, column): g for column, g in enumerate(gradients_of_row)}
        gradients |= {bias_name(layer, row): g for row, g in enumerate(module.bias.grad.tolist())}
    return gradients, logits.softmax(-1)[0].tolist()


def softmax_minus_label(network: Network) -> float:
    """The largest difference between the logits' gradients and p − y, which is the lecture's gradient of cross-entropy
    after a softmax.
    """
    return max(
        abs(node.gradient - (p - (k == network.label)))
        for k, (node, p) in enumerate(zip(network.outputs, network.probabilities, strict=True))
    )
