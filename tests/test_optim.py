"""The optimisers' construction and the schedules; the update itself is checked against numpy in oracles/."""

import pytest
import torch
from torch import nn

from trainlab.models.perceptron import Perceptron
from trainlab.optim import GradientDescent, Momentum, Schedule, make_optimizer

LR = 0.2


def rates(name: str, steps: int, updates: int) -> list[float]:
    """The step size of each update under a schedule that moves after each."""
    optimizer = make_optimizer(Perceptron((2,), 2), lr=LR)
    scheduler = Schedule(name).of(optimizer, steps)
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_plain_descent_has_no_momentum():
    optimizer = make_optimizer(Perceptron((2,), 2), lr=LR)
    assert type(optimizer) is GradientDescent
    assert optimizer.defaults["momentum"] == 0


def test_every_trained_parameter_is_in_one_group():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    held = [p for group in make_optimizer(net, lr=LR, weight_decay=0.1).param_groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, net.parameters()))


def test_plain_descent_is_numpys():
    net = Perceptron((2,), 2)
    before = [p.detach().numpy().copy() for p in net.parameters()]
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    make_optimizer(net, lr=LR).step()
    for p, old in zip(net.parameters(), before, strict=True):
        assert p.detach().numpy() == pytest.approx(old - LR * p.grad.numpy())


def test_with_a_step_size_of_zero_the_speed_stays_and_fades():
    """v ← γ v: torch's form, which keeps v/η, would stand still."""
    weight = nn.Parameter(torch.ones(2))
    optimizer = Momentum([weight], lr=LR, momentum=0.5)
    weight.grad = torch.ones(2)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert weight.detach().numpy() == pytest.approx(1 - LR - 0.5 * LR)


def test_parameters_without_a_gradient_are_passed_over():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Momentum([used, unused], lr=LR)
    for rate in (LR, LR / 10):
        optimizer.param_groups[0]["lr"] = rate
        used.grad = torch.ones(2)
        optimizer.step()
    assert unused.tolist() == [1, 1]
    assert used.tolist() == pytest.approx([1 - LR - (0.9 * LR + LR / 10)] * 2)


def test_each_group_has_its_own_step_size():
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = Momentum([{"params": [first]}, {"params": [second], "lr": 1.0}], lr=0.1)
    for _ in range(2):
        first.grad, second.grad = torch.ones(1), torch.ones(1)
        optimizer.step()
        optimizer.param_groups[1]["lr"] = 0.5
    assert first.item() == pytest.approx(-(0.1 + 0.19))
    assert second.item() == pytest.approx(-(1 + 0.9 + 0.5))


def test_constant_is_no_schedule():
    assert Schedule("constant").of(make_optimizer(Perceptron((2,), 2), lr=LR), 10) is None


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_cosine_is_torchs(steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=LR)
    theirs, expected = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps), []
    for _ in range(steps):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert rates("cosine", steps, steps) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_cosine_starts_at_the_step_size_and_stays_positive(steps):
    found = rates("cosine", steps, steps + 5)  # also beyond its end
    assert found[0] == LR
    assert min(found) > 0
    assert found == sorted(found, reverse=True)


def plateau(errors: list[float]) -> list[float]:
    """The step size after each epoch."""
    optimizer = make_optimizer(Perceptron((2,), 2), lr=LR)
    scheduler, found = Schedule("plateau").of(optimizer, 100), []
    for error in errors:
        scheduler.step(error)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_plateau_divides_by_ten_once_patience_is_over():
    assert plateau([0.5] * 8) == pytest.approx([LR] * 6 + [LR / 10] * 2)


def test_plateau_keeps_the_step_size_while_the_error_falls():
    assert plateau([0.5 - 0.01 * epoch for epoch in range(20)]) == [LR] * 20


def test_plateau_changes_both_groups():
    optimizer = make_optimizer(Perceptron((2,), 2), Momentum, lr=LR, momentum=0.9)
    scheduler = Schedule("plateau").of(optimizer, 100)
    for _ in range(7):
        scheduler.step(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([LR / 10] * 2)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(AssertionError, match="schedule=linear"):
        Schedule("linear").of(make_optimizer(Perceptron((2,), 2), lr=LR), 10)


def test_biases_can_have_a_step_size_of_their_own():
    net = nn.Linear(2, 3)
    before = [p.detach().clone() for p in net.parameters()]
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer = make_optimizer(net, Momentum, lr=0.1, momentum=0.9, bias_lr=0.02)
    optimizer.step()
    torch.testing.assert_close(net.weight, before[0] - 0.1)
    torch.testing.assert_close(net.bias, before[1] - 0.02)
