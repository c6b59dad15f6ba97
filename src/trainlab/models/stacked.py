"""Networks of one shape as one: the weights of each layer stacked along a new first dimension.

Layer l of member k is H_k = σ(W_k H'_k + b_k), a batched matrix product over k. Here a batch has its examples last, (K,
features, examples), so that W keeps the order of `nn.Linear`, (out, in), and members that are given the same inputs
share one product in the first layer: their matrices lie one below the other.

The backward pass is written out: as a stack, a small network is so fast that torch's own bookkeeping would take longer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from trainlab.models.activations import ACTIVATIONS

Collector = Callable[[int, Tensor, Tensor | None], None]  # see `StackedNet.backward`


@dataclass(frozen=True)
class Dense:
    """One dense layer of an ordinary network. name: of the nn.Linear in the network. activation: one of ACTIVATIONS.
    dropout: the share of its outputs that dropout switches off in training.
    """

    name: str
    linear: nn.Linear
    activation: str
    dropout: float


def dense_layers(net: nn.Module) -> list[Dense]:
    """The layers of a perceptron or an MLP. Raises TypeError for a network that has other parts."""
    layers: list[Dense] = []
    named = {kind: name for name, kind in ACTIVATIONS.items()}
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear):
            layers.append(Dense(name, module, "identity", 0.0))
        elif type(module) in named and layers:
            layers[-1] = Dense(layers[-1].name, layers[-1].linear, named[type(module)], 0.0)
        elif isinstance(module, nn.Dropout) and layers:
            last = layers[-1]
            layers[-1] = Dense(last.name, last.linear, last.activation, module.p)
        elif not isinstance(module, nn.Flatten) and (next(module.children(), None) is None):
            raise TypeError(f"{type(module).__name__} cannot be stacked")
    return layers


class StackedNet:
    """K perceptrons or MLPs of one shape, trained as one.

    nets: ordinary networks; the weights are copied. group_sizes: of the groups of neighbours that are given the same
    inputs, K in all; None: each its own.

    weights: of each layer, float (K, out, in). biases: of each layer, float (K, out, 1), views of `bias`, the biases of
    all layers one after the other. keep: of each hidden layer, 1 − p of dropout, float (K, 1, 1); None without dropout.
    """

    def __init__(
        self, nets: Sequence[nn.Module], group_sizes: Sequence[int] | None = None, device: torch.device | str = "cpu"
    ) -> None:
        layers = list(zip(*map(dense_layers, nets), strict=True))
        assert layers, "a network without layers"
        self.size, self.device = len(nets), torch.device(device)
        self.set_groups(group_sizes or [1] * self.size)
        with torch.no_grad():
            self.weights = [torch.stack([dense.linear.weight for dense in layer]).to(device) for layer in layers]
            self.bias = torch.cat([torch.stack([d.linear.bias for d in layer]).flatten() for layer in layers]).to(
                device
            )
        self.biases = self.by_layer(self.bias)
        self.names = [[dense.name for dense in layer] for layer in layers]
        self.activations = [slices_by_name([dense.activation for dense in layer]) for layer in layers]
        keep = torch.tensor([[1 - dense.dropout for dense in layer] for layer in layers[:-1]], dtype=self.bias.dtype)
        self.keep = keep[:, :, None, None].to(device) if (keep < 1).any() else None

    def set_groups(self, group_sizes: Sequence[int]) -> None:
        """Say anew which neighbours are given the same inputs. group_sizes: the sizes of their groups."""
        assert sum(group_sizes) == self.size, f"groups of {sum(group_sizes)} for {self.size} networks"
        self.group_sizes = list(group_sizes)
        self.equal_groups = len(set(group_sizes)) == 1
        groups = torch.arange(len(group_sizes)).repeat_interleave(torch.tensor(group_sizes))
        self.group_of = groups.to(self.device)

    @property
    def widths(self) -> list[int]:
        """Outputs of each layer."""
        return [weight.shape[1] for weight in self.weights]

    def by_layer(self, flat: Tensor) -> list[Tensor]:
        """Views (K, out, 1) for each layer of values that lie one after the other as the biases do."""
        parts = flat.split([self.size * width for width in self.widths])
        return [part.view(self.size, -1, 1) for part in parts]

    def state_dict(self, member: int) -> dict[str, Tensor]:
        """The weights and biases of one network by the names in its ordinary state_dict; views."""
        return self.named(member, self.weights, self.biases)

    def named(self, member: int, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> dict[str, Tensor]:
        """One network's part of stacked tensors in the order of the layers, by the names in its state_dict."""
        found: dict[str, Tensor] = {}
        for names, weight, bias in zip(self.names, weights, biases, strict=True):
            found |= {f"{names[member]}.weight": weight[member], f"{names[member]}.bias": bias[member, :, 0]}
        return found

    def per_member(self, shared: Tensor, dim: int = 0) -> Tensor:
        """What each group of members has, along `dim`, for each member; a copy only where it has to be."""
        return shared if len(self.group_sizes) == self.size else shared.index_select(dim, self.group_of)

    def load(self, member: int, state: Mapping[str, Tensor]) -> None:
        """Give one network the weights of its ordinary state_dict."""
        for name, own in self.state_dict(member).items():
            own.copy_(state[name])

    def part(self, members: slice) -> StackedNet:
        """Some neighbours, all of them given the same inputs; their weights are views. It can only go forward."""
        some = copy.copy(self)
        some.weights = [weight[members] for weight in self.weights]
        some.biases = [bias[members] for bias in self.biases]
        some.activations = [slices_by_name(names_of(layer, self.size)[members]) for layer in self.activations]
        some.size = len(some.weights[0])
        some.set_groups([some.size])
        return some

    # The passes

    def forward(self, inputs: Tensor, buffers: Buffers) -> Tensor:
        """The outputs, float (K, classes, b), in `buffers`. inputs: (groups, b, features), of each group of members.
        With dropout the masks in `buffers` are used, in training.
        """
        self.first_product(inputs, buffers.outputs[0])
        for layer, outputs in enumerate(buffers.outputs):
            if layer:
                torch.bmm(self.weights[layer], buffers.layer_inputs[layer - 1], out=outputs)
            outputs.add_(self.biases[layer])
            for members, name in self.activations[layer]:
                activate(name, outputs[members])
            if buffers.masks is not None and layer < len(buffers.masks):
                torch.mul(outputs, buffers.masks[layer], out=buffers.layer_inputs[layer])
        return buffers.outputs[-1]

    def backward(self, buffers: Buffers, collect: Collector) -> None:
        """After `forward`, and once the last of the gradients in `buffers` is the loss's, with respect to the outputs.

        collect: called with each layer's number, the gradient with respect to its products W H' and the H' that it was
        given (None for the first layer, which was given the inputs).
        """
        gradient = buffers.gradients[-1]
        for layer in reversed(range(len(self.weights))):
            for members, name in self.activations[layer]:
                activation_backward(name, buffers.outputs[layer][members], gradient[members])
            collect(layer, gradient, buffers.layer_inputs[layer - 1] if layer else None)
            if layer:
                below = buffers.gradients[layer - 1]
                torch.bmm(self.weights[layer].mT, gradient, out=below)
                gradient = below if buffers.masks is None else below.mul_(buffers.masks[layer - 1])

    def first_product(self, inputs: Tensor, out: Tensor) -> None:
        """W x of the first layer, (K, out, b). inputs: (groups, b, features)."""
        weight, groups = self.weights[0], len(self.group_sizes)
        if self.equal_groups:
            torch.bmm(weight.view(groups, -1, weight.shape[2]), inputs.mT, out=out.view(groups, -1, out.shape[2]))
            return
        for group, (some, each) in enumerate(
            zip(weight.split(self.group_sizes), out.split(self.group_sizes), strict=True)
        ):
            torch.mm(some.flatten(0, 1), inputs[group].mT, out=each.flatten(0, 1))

    def first_gradient(self, gradient: Tensor, inputs: Tensor, out: Tensor) -> None:
        """gradient · inputs of the first layer: (K, out, b), (groups, b, in) → (K, out, in)."""
        if self.equal_groups:
            groups = len(self.group_sizes)
            torch.bmm(gradient.view(groups, -1, gradient.shape[2]), inputs, out=out.view(groups, -1, out.shape[2]))
            return
        parts = zip(gradient.split(self.group_sizes), inputs, out.split(self.group_sizes), strict=True)
        for some, seen, each in parts:
            torch.mm(some.flatten(0, 1), seen, out=each.flatten(0, 1))


class Buffers:
    """Memory for passes with b examples, used again in each: large tensors that are made anew cost more than what is
    computed in them. outputs: of each layer after its activation, (K, out, b). layer_inputs: what the next layer is
    given, the same unless there is dropout. gradients: with respect to the outputs. masks: of each hidden layer,
    where there is dropout. The last three are for training only.
    """

    def __init__(self, net: StackedNet, examples: int, *, training: bool = True) -> None:
        def empty(layers: int = len(net.weights)) -> list[Tensor]:
            return [net.bias.new_empty(net.size, width, examples) for width in net.widths[:layers]]

        self.outputs = empty()
        self.layer_inputs, self.gradients, self.masks = self.outputs, [], None
        if training:
            self.gradients = empty()
            if net.keep is not None:
                self.layer_inputs, self.masks = empty(len(net.weights) - 1), empty(len(net.weights) - 1)


def slices_by_name(names: Sequence[str]) -> list[tuple[slice, str]]:
    """Neighbours of one name as slices: ["a", "a", "b"] → [(0:2, "a"), (2:3, "b")]."""
    found, begin = [], 0
    for name, same in groupby(names):
        end = begin + len(list(same))
        found.append((slice(begin, end), name))
        begin = end
    return found


def names_of(found: Sequence[tuple[slice, str]], size: int) -> list[str]:
    """The inverse of `slices_by_name`."""
    return [name for members, name in found for _ in range(*members.indices(size))]


def activate(name: str, values: Tensor) -> None:
    """Apply an activation in place."""
    if name == "relu":
        values.clamp_min_(0)
    elif name == "tanh":
        values.tanh_()
    elif name == "sigmoid":
        values.sigmoid_()
    else:
        assert name == "identity", f"activation={name} has no stacked form"


def activation_backward(name: str, outputs: Tensor, gradient: Tensor) -> None:
    """Multiply a gradient with respect to an activation's outputs by σ', told from the outputs, in place."""
    if name == "relu":
        torch.ops.aten.threshold_backward.grad_input(gradient, outputs, 0, grad_input=gradient)
    elif name == "tanh":
        torch.ops.aten.tanh_backward.grad_input(gradient, outputs, grad_input=gradient)
    elif name == "sigmoid":
        torch.ops.aten.sigmoid_backward.grad_input(gradient, outputs, grad_input=gradient)
