"""What is chosen where "auto" stands."""

import pytest
import torch

from trainlab.models.mlp import MLP
from trainlab.models.summary import summarize, training_operations
from trainlab.runtime.hardware import choose_hardware, choose_steps_per_execution, choose_threads, matrix_rate


@pytest.mark.parametrize(
    ("multiplications", "values", "processes", "expected"),
    [
        (34_406_400, 128 * 784, 1, 16),  # an MLP on Fashion-MNIST: no more than 16
        (12_298_240 * 128, 128 * 3072, 1, 5),  # the convnet on CIFAR-10: what stays in a cache
        (724_406_816 * 128, 128 * 3 * 224**2, 1, 1),  # AlexNet
        (1_505_280 * 128, 128 * 3 * 224**2, 1, 1),  # a perceptron on large pictures: they would leave the cache
        (34_406_400, 128 * 784, 2, 1),  # ranks meet in every step
    ],
)
def test_short_steps_are_given_out_together(multiplications, values, processes, expected):
    assert choose_steps_per_execution("cpu", multiplications, values, processes) == expected


@pytest.mark.parametrize(("multiplications", "expected"), [(2_720_064, 1), (34_406_400, None)])
def test_small_nets_compute_with_one_thread(multiplications, expected):
    threads = choose_threads("auto", multiplications, 1)
    assert threads == expected or (expected is None and threads >= 1)
    assert choose_threads(3, multiplications, 1) == 3


def test_the_operations_of_a_training_step_are_counted_by_hand():
    """For each weight: a product and a sum forward, and twice that backward, for the inputs and for the weights."""
    net = MLP((1, 4, 4), classes=3, hidden=[5])
    assert training_operations(summarize(net, (1, 4, 4))) == 6 * (16 * 5 + 5 * 3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_measuring_the_rate_leaves_the_runs_random_numbers_alone(precision):
    hardware = choose_hardware(
        accelerator="cpu", strategy="auto", devices=1, precision=precision, channels_last=False, convolutions=False
    )
    before = torch.get_rng_state()
    assert matrix_rate(hardware, seconds=0.01) > 1e6
    assert torch.equal(torch.get_rng_state(), before)
