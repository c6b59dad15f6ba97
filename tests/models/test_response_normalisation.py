"""Local response normalisation against torch's module and against the paper's formula in a plain loop."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from trainlab.models.response_normalisation import LocalResponseNorm

SETTINGS = [  # size, alpha, beta, k
    (5, 1e-4, 0.75, 2.0),
    (5, 1.0, 0.75, 2.0),
    (3, 0.5, 0.5, 1.0),
    (1, 0.3, 0.75, 1.0),
    (4, 0.7, 0.75, 2.0),
    (2, 0.7, 1.2, 1.5),
    (9, 2.0, 0.75, 1.0),  # wider than the maps there are
]


def maps(dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (2, 7, 3, 4)) -> torch.Tensor:
    return (3 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).to(dtype)


def by_the_paper(a: np.ndarray, n: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """b_i = a_i / (k + α Σ_{j = max(0, i − n/2)}^{min(N − 1, i + n/2)} a_j²)^β (§3.3), for odd n."""
    b, count = np.empty_like(a), a.shape[1]
    for image, i, y, x in itertools.product(*map(range, a.shape)):
        window = range(max(0, i - n // 2), min(count - 1, i + n // 2) + 1)
        b[image, i, y, x] = a[image, i, y, x] / (k + alpha * sum(a[image, j, y, x] ** 2 for j in window)) ** beta
    return b


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_values_are_torchs(setting):
    torch.testing.assert_close(LocalResponseNorm(*setting)(maps()), nn.LocalResponseNorm(*setting)(maps()))


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_gradients_are_torchs(setting):
    ours, theirs, upstream = maps().requires_grad_(), maps().requires_grad_(), maps().flip(0)
    LocalResponseNorm(*setting)(ours).backward(upstream)
    nn.LocalResponseNorm(*setting)(theirs).backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_gradients_are_those_of_finite_differences(setting):
    inputs = maps(shape=(1, 6, 2, 1)).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(*setting), inputs)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_the_papers_formula_is_alpha_times_n(n):
    expected = by_the_paper(maps().numpy(), n, 0.2, 0.75, 2.0)
    np.testing.assert_allclose(LocalResponseNorm(n, alpha=0.2 * n)(maps()), expected, rtol=1e-12)


def test_defaults_are_the_papers():
    norm = LocalResponseNorm()
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 2.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_stays(dtype):
    inputs = maps(dtype).requires_grad_()
    output = LocalResponseNorm()(inputs)
    output.sum().backward()
    assert output.dtype == inputs.grad.dtype == dtype


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_bfloat16_is_close(setting):
    rough = maps(torch.bfloat16).requires_grad_()
    exact = rough.detach().double().requires_grad_()
    LocalResponseNorm(*setting)(rough).sum().backward()
    theirs = nn.LocalResponseNorm(*setting)(exact)
    theirs.sum().backward()
    with torch.no_grad():
        ours = LocalResponseNorm(*setting)(rough)
    torch.testing.assert_close(ours.double(), theirs.detach(), rtol=0.03, atol=0.03)
    torch.testing.assert_close(rough.grad.double(), exact.grad, rtol=0.05, atol=0.05)


def test_autocast_keeps_float32_exact():
    inputs = maps(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = LocalResponseNorm(alpha=1.0)(inputs)
    torch.testing.assert_close(output, nn.LocalResponseNorm(5, alpha=1.0, k=2.0)(inputs))


def test_channels_last_gives_the_same():
    inputs = maps()
    found = LocalResponseNorm(alpha=1.0)(inputs.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, nn.LocalResponseNorm(5, alpha=1.0, k=2.0)(inputs))


def test_a_second_derivative_is_refused():
    inputs = maps(shape=(1, 4, 1, 1)).requires_grad_()
    (gradient,) = torch.autograd.grad(LocalResponseNorm(3)(inputs).square().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
