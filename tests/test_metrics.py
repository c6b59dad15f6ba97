"""Errors against scikit-learn's zero_one_loss and top_k_accuracy_score, over uneven batches."""

import pytest
import torch
from sklearn.metrics import top_k_accuracy_score, zero_one_loss

from trainlab.metrics import ClassificationMetrics

BATCHES = [[100], [1] * 100, [64, 36], [33, 33, 33, 1]]


def outputs_and_labels(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    return torch.randn(100, classes, generator=generator), torch.randint(classes, (100,), generator=generator)


def measure(outputs: torch.Tensor, labels: torch.Tensor, sizes: list[int]) -> dict[str, float]:
    errors = ClassificationMetrics(outputs.shape[1])
    for s, y in zip(outputs.split(sizes), labels.split(sizes), strict=True):
        errors.update(s, y, torch.nn.functional.cross_entropy(s, y))
    return {name: value.item() for name, value in errors.compute().items()}


@pytest.mark.parametrize("sizes", BATCHES, ids=str)
@pytest.mark.parametrize("classes", [2, 6, 10, 1000])
def test_top1_error_is_sklearns(classes, sizes):
    outputs, labels = outputs_and_labels(classes)
    assert measure(outputs, labels, sizes)["top1_error"] == pytest.approx(zero_one_loss(labels, outputs.argmax(1)))


@pytest.mark.parametrize("sizes", BATCHES, ids=str)
@pytest.mark.parametrize("classes", [6, 10, 1000])
def test_top5_error_is_sklearns(classes, sizes):
    outputs, labels = outputs_and_labels(classes)
    expected = 1 - top_k_accuracy_score(labels, outputs, k=5, labels=range(classes))
    assert measure(outputs, labels, sizes)["top5_error"] == pytest.approx(expected)


@pytest.mark.parametrize("sizes", BATCHES, ids=str)
def test_loss_is_the_mean_over_the_examples(sizes):
    outputs, labels = outputs_and_labels(10)
    expected = torch.nn.functional.cross_entropy(outputs.double(), labels).item()
    assert measure(outputs, labels, sizes)["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_five_classes_have_no_top5_error(classes):
    assert set(measure(*outputs_and_labels(classes), [100])) == {"loss", "top1_error"}


def test_six_classes_have_a_top5_error():
    assert set(measure(*outputs_and_labels(6), [100])) == {"loss", "top1_error", "top5_error"}


def test_reset_forgets():
    errors = ClassificationMetrics(6)
    errors.update(torch.eye(6), torch.zeros(6).long(), torch.tensor(3.0))
    errors.reset()
    errors.update(torch.eye(6), torch.arange(6), torch.tensor(0.5))
    assert {name: value.item() for name, value in errors.compute().items()} == {
        "loss": 0.5,
        "top1_error": 0.0,
        "top5_error": 0.0,
    }


def test_a_million_examples_are_counted_exactly():
    errors = ClassificationMetrics(2)
    outputs, labels = torch.tensor([[1.0, 0.0]]).expand(2**20, 2), torch.ones(2**20).long()
    for _ in range(20):
        errors.update(outputs, labels, torch.tensor(0.1))
    errors.update(outputs[:1], torch.zeros(1).long(), torch.tensor(0.1))
    assert errors.compute()["top1_error"].item() == 1 - 1 / (20 * 2**20 + 1)


@pytest.mark.parametrize("label", range(6))
def test_scores_that_are_no_numbers_are_never_right(label):
    found = measure(torch.full((1, 6), torch.nan), torch.tensor([label]), [1])
    assert (found["top1_error"], found["top5_error"]) == (1, 1)
