"""Networks as one against the same networks one by one: ordinary modules, autograd and torch's optimizers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainlab.metrics import ClassificationMetrics, StackedSums, ranks
from trainlab.models.convnet import ConvNet
from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.models.stacked import Buffers, StackedNet, dense_layers, slices_by_name
from trainlab.objective import CrossEntropy, HalfMSE, Loss
from trainlab.optim import GradientDescent, Momentum, Schedule, make_optimizer, train_step
from trainlab.sweeps.stacked.descent import STACKED, Descent, Rates, Rule

FEATURES, CLASSES, EXAMPLES = 5, 3, 8


def mlp(seed: int, **options) -> MLP:
    torch.manual_seed(seed)
    options = {"hidden": (6, 4), "init": "torch", **options}
    net = MLP((FEATURES,), CLASSES, **options).double()
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return net


def batch(groups: int, steps: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, labels, and these one-hot, of each step and group."""
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(steps, groups, EXAMPLES, FEATURES, generator=random, dtype=torch.float64)
    labels = torch.randint(CLASSES, (steps, groups, EXAMPLES), generator=random)
    return inputs, labels, torch.eye(CLASSES, dtype=torch.float64)[labels].mT


@pytest.mark.parametrize("group_sizes", [None, [1, 1, 1, 1], [2, 2], [4], [3, 1], [1, 2, 1]])
def test_forward_is_that_of_each_network(group_sizes):
    names = ["relu", "tanh", "tanh", "sigmoid"]
    nets = [mlp(seed, activation=name) for seed, name in enumerate(names)]
    net = StackedNet(nets, group_sizes)
    inputs, _, _ = batch(len(group_sizes or nets))
    found = net.forward(inputs[0], Buffers(net, EXAMPLES, training=False))
    shown = inputs[0].repeat_interleave(torch.tensor(group_sizes or [1] * 4), 0)
    for k, one in enumerate(nets):
        torch.testing.assert_close(found[k].T, one(shown[k]), rtol=1e-12, atol=1e-12)


def test_a_part_goes_forward_as_the_whole_does():
    nets = [mlp(seed, activation=name) for seed, name in enumerate(["relu", "relu", "tanh", "tanh"])]
    part = StackedNet(nets).part(slice(1, 4))
    inputs, _, _ = batch(1)
    found = part.forward(inputs[0], Buffers(part, EXAMPLES, training=False))
    for k, one in enumerate(nets[1:]):
        torch.testing.assert_close(found[k].T, one(inputs[0, 0]), rtol=1e-12, atol=1e-12)


def test_networks_come_back_as_they_were_put_in():
    nets = [Perceptron((FEATURES,), CLASSES, activation=name) for name in ("identity", "sigmoid")]
    net = StackedNet(nets)
    for k, one in enumerate(nets):
        assert list(net.state_dict(k)) == list(one.state_dict())
        assert all(torch.equal(value, one.state_dict()[name]) for name, value in net.state_dict(k).items())
    other = Perceptron((FEATURES,), CLASSES, init="xavier")
    net.load(1, other.state_dict())
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict(1).items())


def test_what_is_not_made_of_dense_layers_is_refused():
    with pytest.raises(TypeError, match="Conv2d cannot be stacked"):
        dense_layers(ConvNet((1, 8, 8), CLASSES))
    assert [dense.dropout for dense in dense_layers(mlp(0, dropout=0.3))] == [0.3, 0.3, 0.0]


def alone(net: nn.Module, rule: Rule, loss: Loss, inputs: Tensor, labels: Tensor, rates: list[float]) -> nn.Module:
    """The same steps by an ordinary network with autograd and this project's optimizers."""
    kind, options = (Momentum, {"momentum": rule.momentum}) if rule.remembers else (GradientDescent, {})
    optimizer = make_optimizer(net, kind, lr=rule.lr, weight_decay=rule.weight_decay, bias_lr=rule.bias_lr, **options)
    for step, rate in enumerate(rates):
        for group, base in zip(optimizer.param_groups, (rule.lr, rule.bias_lr), strict=True):
            group["lr"] = base * rate
        train_step(net, loss, optimizer, inputs[step], labels[step])
    return net


def rule(lr: float = 0.2, **options) -> Rule:
    given = {"bias_lr": lr, "momentum": 0.9, "weight_decay": 0.0, "schedule": Schedule(), "remembers": True}
    return Rule(lr, **(given | options))


SAME = [rule()] * 3
RULES = {
    "all the same": SAME,
    "the same L2": [rule(weight_decay=0.1)] * 3,
    "other L2": [rule(weight_decay=c) for c in (0.0, 0.1, 1.0)],
    "other rates": [rule(lr) for lr in (0.01, 0.1, 0.3)],
    "other rates and L2": [rule(lr, weight_decay=lr) for lr in (0.01, 0.1, 0.3)],
    "other momentum": [rule(momentum=m) for m in (0.0, 0.5, 0.95)],
    "with and without": [rule(), rule(momentum=0.0, remembers=False), rule(momentum=0.5)],
    "the biases' own rate": [rule(bias_lr=0.4), rule(), rule(bias_lr=0.01)],
}


@pytest.mark.parametrize("loss", [CrossEntropy(), HalfMSE()], ids=["cross_entropy", "half_mse"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_steps_are_those_of_autograd_and_the_optimizers(rules, loss):
    activations = ["relu", "tanh", "sigmoid"]
    outputs = "sigmoid" if isinstance(loss, HalfMSE) else "identity"
    nets = [mlp(k, activation=name, output_activation=outputs) for k, name in enumerate(activations)]
    stack, steps = StackedNet(nets), 12
    descent, buffers = Descent(stack, rules, loss), Buffers(stack, EXAMPLES)
    inputs, labels, targets = batch(3, steps)
    rates = [1.0 / (1 + step) for step in range(steps)]
    eta, decay = descent.factors(np.outer(rates, [one.lr for one in rules]))
    descent.set_bias_ratio(np.array([one.bias_lr / one.lr for one in rules]))
    for step in range(steps):
        by = None if decay is None else decay[step]
        descent.step(inputs[step], targets[step], eta[step], by, buffers, torch.empty_like(buffers.outputs[-1]))
    for k, (one, its) in enumerate(zip(nets, rules, strict=True)):
        trained = alone(one, its, loss, inputs[:, k], labels[:, k], rates)
        for name, value in trained.state_dict().items():
            torch.testing.assert_close(stack.state_dict(k)[name], value, rtol=1e-10, atol=1e-12)


def test_a_step_with_dropout_has_the_gradient_of_its_masks():
    nets = [mlp(seed, activation="tanh", dropout=p) for seed, p in enumerate((0.5, 0.2))]
    stack = StackedNet(nets, [2])
    buffers, (inputs, labels, targets) = Buffers(stack, EXAMPLES), batch(1)
    random = torch.Generator().manual_seed(2)
    for mask, keep in zip(buffers.masks, stack.keep, strict=True):
        mask.copy_((torch.rand(mask.shape, generator=random) < keep) / keep)
    before = [weight.clone() for weight in stack.weights]
    descent = Descent(stack, [rule(1.0)] * 2, CrossEntropy())
    descent.step(
        inputs[0], targets[0], descent.column([1.0, 1.0]), None, buffers, torch.empty_like(buffers.outputs[-1])
    )
    for k, one in enumerate(nets):
        hidden = inputs[0, 0]
        for layer, dense in enumerate(dense_layers(one)):
            hidden = dense.linear(hidden)
            if layer < 2:
                hidden = hidden.tanh() * buffers.masks[layer][k].T
        CrossEntropy()(hidden, labels[0, 0]).backward()
        for layer, dense in enumerate(dense_layers(one)):
            torch.testing.assert_close(before[layer][k] - stack.weights[layer][k], dense.linear.weight.grad)


def test_a_stack_is_the_bare_loop_with_one_einsum_a_layer():
    """200 networks of 2-10-10-2 with autograd over stacked weights, in ten lines of torch."""
    count, steps = 200, 25
    nets = []
    for seed in range(count):
        torch.manual_seed(seed)
        nets.append(MLP((2,), 2, hidden=(10, 10)))
    bare = [torch.stack(ps).detach().requires_grad_() for ps in zip(*(n.parameters() for n in nets), strict=True)]
    speed = [torch.zeros_like(p) for p in bare]
    inputs = torch.randn(steps, count, 20, 2)
    labels = (inputs[..., 0] > 0).long()
    stack = StackedNet(nets)
    descent, buffers = Descent(stack, [rule(0.05, weight_decay=0.01)] * count, CrossEntropy()), Buffers(stack, 20)
    eta, decay = descent.factors(np.full((1, count), 0.05))
    for x, y in zip(inputs, labels, strict=True):
        h = x
        for w, b in zip(bare[::2], bare[1::2], strict=True):
            z = torch.einsum("kbi,koi->kbo", h, w) + b[:, None]
            h = z.relu()
        sum_of_means = nn.functional.cross_entropy(z.flatten(0, 1), y.flatten(), reduction="sum") / 20
        for p, v, g in zip(bare, speed, torch.autograd.grad(sum_of_means, bare), strict=True):
            v.mul_(0.9).add_(0.05 * (g + (0.01 * p.detach() if p.ndim == 3 else 0)))
            p.data.sub_(v)
        descent.step(x, torch.eye(2)[y].mT, eta[0], decay[0], buffers, torch.empty_like(buffers.outputs[-1]))
    for ours, theirs in zip(stack.weights, bare[::2], strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-5)


@given(st.integers(0, 10**6), st.integers(2, 7), st.booleans())
@settings(max_examples=50, deadline=None)
def test_sums_are_those_of_each_network_by_itself(seed, classes, ties):
    random = torch.Generator().manual_seed(seed)
    outputs = torch.randn(2, 3, classes, 5, generator=random)
    if ties:
        outputs = outputs.sign()
    outputs[0, 1, 0, 2] = torch.nan if seed % 3 == 0 else 0.0
    labels = torch.randint(classes, (2, 3, 5), generator=random)
    sums = StackedSums(3, classes)
    losses = STACKED[CrossEntropy]().of_outputs(outputs, labels)
    means = sums.update(outputs, labels, losses)
    for k in range(3):
        one = ClassificationMetrics(classes)
        for t in range(2):
            mean = CrossEntropy()(outputs[t, k].T, labels[t, k])
            torch.testing.assert_close(means[t, k], mean, equal_nan=True)
            one.update(outputs[t, k].T, labels[t, k], mean)
        theirs = one.compute()
        assert set(theirs) == set(sums.compute())
        for name, value in sums.compute().items():
            if ties and name == "top5_error":
                continue  # which five of equal ones topk takes is not said
            torch.testing.assert_close(value[k], theirs[name].double(), rtol=1e-6, atol=1e-6, equal_nan=True)


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_ranks_are_the_places_in_a_stable_order(seed):
    random = np.random.default_rng(seed)
    outputs, labels = random.integers(0, 4, (6, 9)).astype(np.float32), random.integers(0, 6, 9)
    order = np.argsort(-outputs, axis=0, kind="stable")
    expected = [list(order[:, n]).index(labels[n]) for n in range(9)]
    assert ranks(torch.from_numpy(outputs), torch.from_numpy(labels)).tolist() == expected


def test_losses_of_kept_values_are_those_of_the_outputs():
    outputs = torch.randn(4, CLASSES, EXAMPLES, dtype=torch.float64)
    labels = torch.randint(CLASSES, (4, EXAMPLES))
    targets = torch.eye(CLASSES, dtype=torch.float64)[labels].mT
    for plain, stacked in STACKED.items():
        saved, gradient = torch.empty_like(outputs), torch.empty_like(outputs)
        stacked().gradient(outputs, targets, saved, gradient)
        torch.testing.assert_close(stacked().each(saved, labels), stacked().of_outputs(outputs, labels))
        for k in range(4):
            one = outputs[k].T.clone().requires_grad_()
            plain()(one, labels[k]).backward()
            torch.testing.assert_close(gradient[k].T / EXAMPLES, one.grad)


@pytest.mark.parametrize("name", ["constant", "cosine"])
def test_rates_are_those_of_torchs_schedulers(name):
    rates = Rates([rule(lr, schedule=Schedule(name)) for lr in (0.1, 0.3)], 20)
    for k, lr in enumerate((0.1, 0.3)):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
        scheduler = Schedule(name).of(optimizer, 20)
        for step in range(20):
            assert rates.now(step)[k] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
    np.testing.assert_array_equal(rates.over(3, 4), [rates.now(step) for step in range(3, 7)])


def test_plateaus_are_each_members_own():
    schedule = Schedule("plateau", patience=1, drops=1)
    rates = Rates([rule(0.1, bias_lr=0.2, schedule=schedule), rule(0.1, schedule=schedule), rule(0.5)], 10)
    errors = [[1.0, 1 / (1 + epoch), 1.0] for epoch in range(5)]
    ends = [[rates.step_plateau(k, error) for k, error in enumerate(row)] for row in errors]
    np.testing.assert_allclose(rates.base, [[0.001, 0.1, 0.5], [0.002, 0.1, 0.5]])
    assert ends == [[False] * 3] * 4 + [[True, False, False]]
    again = Rates(rates.rules, 10)
    again.restore(0, rates.plateaus[0].state_dict())
    assert (again.base[:, 0] == rates.base[:, 0]).all()


def test_neighbours_of_one_name_are_a_slice():
    assert slices_by_name(["a", "a", "b", "a"]) == [(slice(0, 2), "a"), (slice(2, 3), "b"), (slice(3, 4), "a")]
