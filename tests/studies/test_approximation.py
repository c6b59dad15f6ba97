"""Universal approximation: the parser against Python, derivatives against differences, networks against bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.errors import InputError
from trainlab.models.mlp import MLP
from trainlab.studies.approximation.evaluation import derivatives, read, slopes
from trainlab.studies.approximation.measurement import (
    BUILT,
    bounds,
    fine_points,
    measure_towers,
    measure_widths,
    shape_of,
    slope,
    trained,
)
from trainlab.studies.approximation.networks import bumps, outputs_of, polygon, steps, sum_of_steps, towers
from trainlab.studies.approximation.study import TARGET, study

X = np.linspace(0, 1, 1001)


def nielsen(x):
    return 0.2 + 0.4 * x**2 + 0.3 * x * np.sin(15 * x) + 0.05 * np.cos(50 * x)


@pytest.mark.run
def test_all_oracles_hold():
    finding = study(train_steps=20)  # no oracle is about the trained networks
    assert [o.name for o in finding.oracles] == [
        "steps_bound",
        "relu_bound",
        "network_is_the_sum",
        "towers_bound",
        "slope_steps",
        "slope_polygon",
    ]
    assert all(oracle.holds for oracle in finding.oracles)
    assert finding.numbers["error/steps/100"] == pytest.approx(0.0349, abs=5e-5)
    assert finding.numbers["units_for_0.01/steps"] == 350
    assert finding.numbers["units_for_0.01/polygon"] == 47


@pytest.mark.parametrize(
    ("text", "function"),
    [
        (TARGET, nielsen),
        ("-x^2", lambda x: -(x**2)),
        ("2^-x", lambda x: 2**-x),
        ("2**x**2", lambda x: 2 ** (x**2)),
        ("(x-2)/(x+1)-pi*e", lambda x: (x - 2) / (x + 1) - math.pi * math.e),
        ("exp(-x)+log(1+x)+sqrt(x+1)", lambda x: np.exp(-x) + np.log(1 + x) + np.sqrt(x + 1)),
        ("abs(x-0.5)+tanh(3*x)", lambda x: np.abs(x - 0.5) + np.tanh(3 * x)),
        ("sinh(x)*cosh(x)+tan(x)", lambda x: np.sinh(x) * np.cosh(x) + np.tan(x)),
        ("+sigmoid(10*x-5)", lambda x: 1 / (1 + np.exp(5 - 10 * x))),
    ],
)
def test_an_expression_is_what_numpy_makes_of_it(text, function):
    np.testing.assert_allclose(read("target", text, ["x"])(X), function(X), rtol=1e-12, atol=1e-12)


numbers = st.integers(1, 9).map(str)
expressions = st.recursive(
    st.one_of(st.just("x"), numbers, st.just("0.5")),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map("".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        inner.map("sin({})".format),
        inner.map("({})^2".format),
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(text=expressions)
def test_precedence_is_pythons(text):
    if "x" not in text:
        return
    theirs = eval(text.replace("^", "**"), {"x": X, "sin": np.sin})
    np.testing.assert_allclose(read("target", text, ["x"])(X), theirs * np.ones_like(X), rtol=1e-9, atol=1e-9)


def test_derivatives_are_finite_differences_and_a_surfaces_slope_is_its_gradients_norm():
    f, h = read("target", TARGET, ["x"]), 1e-4
    values = derivatives(f, torch.from_numpy(X), 2)
    np.testing.assert_allclose(values[1], (nielsen(X + h) - nielsen(X - h)) / (2 * h), atol=1e-4)
    np.testing.assert_allclose(
        values[2], (nielsen(X + h) - 2 * nielsen(X) + nielsen(X - h)) / h**2, rtol=1e-4, atol=1e-2
    )
    plane = read("surface", "x^2*y+3*y", ["x", "y"])
    x, y = np.meshgrid(X[::100], X[::100], indexing="ij")
    np.testing.assert_allclose(slopes(plane, x, y), np.hypot(2 * x * y, x**2 + 3))
    np.testing.assert_array_equal(derivatives(read("target", "x^2", ["x"]), torch.zeros(1).double(), 3)[2], [2.0])


def test_nielsens_function_has_the_known_constants():
    shape = shape_of(read("target", TARGET, ["x"]))
    assert shape.lipschitz == pytest.approx(6.9956, abs=1e-4)
    assert shape.bend == pytest.approx(170.55, abs=0.01)
    assert np.abs(np.diff(nielsen(np.linspace(0, 1, 300_001)))).max() * 300_000 <= shape.lipschitz


@pytest.mark.parametrize("cells", [1, 2, 7, 40])
def test_networks_are_their_sums_and_mlps_of_this_repository(cells):
    f, x = read("target", TARGET, ["x"]), fine_points(cells)
    nets = {"steps": steps(f, cells), "bumps": bumps(f, 2 * cells), "polygon": polygon(f, cells)}
    for net, units in zip(nets.values(), (cells, 2 * cells, cells), strict=True):
        assert isinstance(net, MLP)
        assert net.layers[1].weight.shape == (units, 1)
    edge = np.arange(1, cells) / cells
    far = (np.abs(x[:, None] - edge) > 1e-3 / cells).all(axis=1)
    hard = nielsen((np.minimum(np.floor(x * cells), cells - 1) + 0.5) / cells)  # a staircase without sigmoids
    for kind in ("steps", "bumps"):
        np.testing.assert_allclose(outputs_of(nets[kind], x), sum_of_steps(f, cells, x), atol=1e-9)
        np.testing.assert_allclose(outputs_of(nets[kind], x)[far], hard[far], atol=1e-12)
    knots = np.linspace(0, 1, cells + 1)
    np.testing.assert_allclose(outputs_of(nets["polygon"], x), np.interp(x, knots, nielsen(knots)), atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "1000*x^3",
        "exp(x)",
        "sin(2*pi*x)",
        "tanh(50*(x-0.5))",
        "abs(x-0.37)",
        "x^1.5",
        "sin(60*x)/(x+0.1)",
        "1e-6*x^2",
    ],
)
def test_the_bounds_hold_for_other_targets(text):
    f = read("target", text, ["x"])
    shape, widths = shape_of(f), [2, 3, 37, 80]
    found = measure_widths(f, shape, widths, 1, 0)
    for kind in BUILT:
        assert (found.errors[kind] <= found.bounds[kind] + found.rounding).all(), kind
    assert found.difference < 1e-5 * (1 + np.abs(f(X)).max())


def test_a_bound_can_be_exceeded_by_a_wrong_network():
    f = read("target", TARGET, ["x"])
    shape, x = shape_of(f), fine_points(50)
    allowed = bounds(shape, np.array([50]))
    assert np.abs(outputs_of(steps(f, 45), x) - f(x)).max() > allowed["steps"][0]
    assert np.abs(outputs_of(polygon(f, 40), x) - f(x)).max() > allowed["polygon"][0]


def test_the_slope_is_seen_only_where_there_are_enough_cells():
    widths = np.array([10, 100, 200, 400])
    assert slope(widths, 3.0 / widths**2, 100) == pytest.approx(-2)
    assert slope(widths, 3.0 / widths**2, 150) is None
    assert slope(widths, np.zeros(4), 1) is None


@pytest.mark.parametrize("side", [1, 2, 5])
def test_towers_are_as_high_as_the_surface_at_their_midpoints_and_fail_at_corners(side):
    f = read("surface", "1+x*y+sin(3*x)", ["x", "y"])
    net = towers(f, side)
    middle = (np.arange(side) + 0.5) / side
    x, y = (m.ravel() for m in np.meshgrid(middle, middle, indexing="ij"))
    np.testing.assert_allclose(outputs_of(net, np.stack([x, y], 1)), f(x, y), atol=1e-12)
    found = measure_towers(f, side)
    assert found.error <= found.bound
    assert found.hidden == (net.layers[1].out_features, net.layers[3].out_features)
    if side > 1:
        assert outputs_of(net, np.full((1, 2), 1 / side)) == pytest.approx(0, abs=1e-12)
        assert found.at_corners >= 1
    else:
        assert math.isnan(found.at_corners)


def test_training_lowers_the_error_and_is_the_same_for_the_same_seed():
    f = read("target", "x^2", ["x"])
    state = torch.get_rng_state()
    before, after, again = (outputs_of(trained(f, "relu", 10, n, 0.05, 3), X) for n in (1, 200, 200))
    assert np.abs(after - f(X)).max() < np.abs(before - f(X)).max()
    np.testing.assert_array_equal(after, again)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("2x", r"a product is written 2\*x"),
        ("x**", "cannot be read"),
        ("x\x00", "cannot be read"),
        ("y", "has y in it"),
        ("sine(x)", "did you mean sin"),
        ("sin", "without parentheses"),
        ("sin(x,x)", "sin takes one"),
        ("x(2)", r"product is written with \*"),
        ("2(x)", r"product is written with \*"),
        ("3", "has no x"),
        ("x-x", "constant"),
        ("1/x", "divides by zero at x = 0"),
        ("1/(x-1/3)", "divides by zero"),
        ("x^-1", "divides by zero"),
        ("tan(3*x)", "divides by zero"),
        ("log(x)", "logarithm"),
        ("sqrt(x-0.5)", "square root"),
        ("(x-0.5)^0.5", "broken power"),
        ("x^x", "variable power"),
        ("sqrt(x)", "infinite slope"),
        ("exp(1000*x)", "no finite number at x = 0.7098"),
        ("9**9**9**9*x", "no finite number"),
        ("1e999*x", "too large"),
        ("9" * 299 + "1" * 2 + "*x", "characters"),
        ("'a'*x", "may only have numbers"),
        ("True*x", "may only have numbers"),
        ("1j*x", "may only have numbers"),
        ("__import__('os').system('true')", "is no function"),
        ("x.real", "may only have"),
        ("[x]", "may only have"),
        ("(lambda: x)()", "is no function"),
        ("x if x else 1", "may only have"),
        ("x//2", "may only have"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_wrong_targets_are_sentences(text, sentence):
    with pytest.raises(InputError, match=sentence):
        study(target=text, widths=[2], train_steps=1)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"widths": []}, "widths has 0"),
        ({"widths": [1]}, "widths has 1"),
        ({"widths": [5000]}, "widths has 5000"),
        ({"towers": 0}, "towers=0"),
        ({"towers": 31}, "towers=31"),
        ({"train_steps": 0}, "train_steps=0"),
        ({"surface": "z"}, "surface has z"),
        ({"surface": "1/(x+y)"}, "divides by zero at x = 0, y = 0"),
        ({"surface": "sqrt(x)+y"}, "infinite slope"),
        ({"surface": "y-y"}, "constant"),
        ({"seed": 2**31}, "seed=2147483648"),
        ({"lang": "de"}, "lang=de"),
    ],
)
def test_wrong_options_are_sentences(wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        study(**({"widths": [2], "train_steps": 1} | wrong))
