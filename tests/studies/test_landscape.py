"""The landscape: planes, directions and eigenvalues against closed forms, dense matrices and hand-written loops."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, hessian

import trainlab
from trainlab.errors import InputError
from trainlab.models.convnet import ConvNet
from trainlab.models.mlp import MLP
from trainlab.models.perceptron import Perceptron
from trainlab.models.response_normalisation import LocalResponseNorm
from trainlab.objective import CrossEntropy, HalfMSE
from trainlab.recording.section import speaker
from trainlab.studies.landscape import oracles
from trainlab.studies.landscape.curvature import full_batch, lanczos, loss_at, second_difference
from trainlab.studies.landscape.directions import (
    filter_normalised,
    flat,
    gaussian,
    length,
    like,
    of_a_random_walk,
    orthogonal,
    principal_plane,
    random_pair,
    weights_of,
)
from trainlab.studies.landscape.network import how_many, small_net
from trainlab.studies.landscape.study import check, names_of, study
from trainlab.studies.landscape.surface import Surface, losses


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def example_set(count=20, shape=(1, 3, 3), classes=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, *shape, generator=generator, dtype=dtype)
    return inputs, torch.randint(0, classes, (count,), generator=generator)


def one_at_a_time(net, loss, examples, directions, places):
    """θ + Σ a d by hand, one setting after another, through the network's own forward."""
    before, found = {k: v.clone() for k, v in net.state_dict().items()}, []
    for place in places:
        for name, parameter in net.named_parameters():
            moved = before[name] + sum(float(a) * d[name] for a, d in zip(place, directions, strict=True))
            parameter.data.copy_(moved)
        with torch.no_grad():
            found.append(loss(net(examples[0]), examples[1]).item())
    net.load_state_dict(before)
    return np.array(found)


@settings(max_examples=15, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 6), max_size=3),
    activation=st.sampled_from(["relu", "tanh", "sigmoid", "identity"]),
    loss=st.sampled_from([CrossEntropy(), HalfMSE()]),
    count=st.integers(1, 5),
    dimensions=st.integers(1, 3),
)
def test_many_settings_at_once_are_those_one_at_a_time(hidden, activation, loss, count, dimensions):
    net = MLP((1, 3, 3), 4, hidden=hidden, activation=activation, dropout=0.3).double().eval()
    base = weights_of(net)
    directions = [{name: torch.randn_like(weight) for name, weight in base.items()} for _ in range(dimensions)]
    places = np.random.default_rng(0).standard_normal((count, dimensions))
    examples = example_set()
    expected = one_at_a_time(net, loss, examples, directions, places)
    np.testing.assert_allclose(losses(net, loss, examples, directions, places), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (Perceptron((1, 3, 3), 4, activation="sigmoid"), (1, 3, 3)),
        (ConvNet((1, 8, 8), 4, channels=(2, 3, 4)), (1, 8, 8)),
        (MLP((2,), 4, hidden=(3,)), (2,)),
    ],
)
def test_any_network_and_points(net, shape):
    net = net.double().eval()
    examples = example_set(600, shape)  # more than one part
    directions = random_pair(weights_of(net), 1)
    places = np.array([[0.0, 0.0], [0.5, -1.0], [1.0, 1.0]])
    expected = one_at_a_time(net, CrossEntropy(), examples, directions, places)
    np.testing.assert_allclose(losses(net, CrossEntropy(), examples, directions, places), expected, rtol=1e-10)


def test_the_cores_change_nothing():
    net, (inputs, labels) = small_net("relu", "kaiming", 0).eval(), example_set(1100, (1, 8, 8), 10, torch.float32)
    directions, places = random_pair(weights_of(net), 0), np.random.default_rng(0).standard_normal((600, 2))
    alone = losses(net, CrossEntropy(), (inputs, labels), directions, places)
    torch.set_num_threads(3)
    together = losses(net, CrossEntropy(), (inputs, labels), directions, places)
    assert torch.get_num_threads() == 3
    np.testing.assert_array_equal(alone, together)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 5))
def test_each_filter_has_the_length_of_the_networks_and_biases_stay(seed, inputs, width):
    weights = {
        "kernel": torch.randn(width, inputs, 3, 3),
        "matrix": torch.randn(width, inputs) * torch.arange(width)[:, None],  # a filter of zeros among them
        "bias": torch.randn(width),
    }
    direction = filter_normalised(gaussian(weights, seed), weights)
    for name in ("kernel", "matrix"):
        for mine, theirs in zip(direction[name], weights[name], strict=True):
            assert float(mine.norm()) == pytest.approx(float(theirs.norm()), rel=1e-5)
    assert not direction["bias"].any()
    assert float(flat(direction).norm()) == pytest.approx(length(weights), rel=1e-5)


def test_two_seeds_share_no_direction_and_one_seed_gives_the_same():
    weights = weights_of(MLP((4,), 2, hidden=(3,)))
    first, second, other = (*random_pair(weights, 0), random_pair(weights, 1)[0])
    assert not torch.equal(flat(first), flat(second))
    assert not torch.equal(flat(second), flat(other))
    assert torch.equal(flat(first), flat(random_pair(weights, 0)[0]))


def test_orthogonal_keeps_the_length():
    weights = weights_of(MLP((4,), 2, hidden=(3,)).double())
    first, second = random_pair(weights, 0)
    turned = orthogonal(second, first)
    assert abs(float(flat(turned) @ flat(first))) < 1e-10
    assert float(flat(turned).norm()) == pytest.approx(float(flat(second).norm()))


def test_a_path_in_a_plane_is_explained_and_one_beside_it_is_so_far_away():
    random = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(random.T).Q.T
    end = torch.randn(50, dtype=torch.float64)
    places = torch.tensor([[9.0, 1, 0], [5, -4, 0], [2, 3, 0], [0, 0, 0]], dtype=torch.float64)
    flat_path = principal_plane(end + places @ basis, end)
    assert flat_path.explained.sum() == pytest.approx(1)
    assert flat_path.away.max() < 1e-12
    places[1, 2] = 0.01
    bent = principal_plane(end + places @ basis, end)
    left = np.linalg.svd(places.numpy(), compute_uv=False)[2]
    assert (bent.away**2).sum() == pytest.approx(left**2)
    assert left > 1e-3
    np.testing.assert_allclose(bent.away**2 + (bent.places**2).sum(axis=1), bent.from_end**2, atol=1e-12)
    assert (bent.places[0] >= 0).all()


def test_a_random_walk_is_explained_as_said():
    steps = np.random.default_rng(0).standard_normal((40, 20_000))
    walk = torch.from_numpy(np.vstack([np.zeros(20_000), np.cumsum(steps, axis=0)]))
    explained = principal_plane(walk, walk[-1]).explained.sum()
    assert explained == pytest.approx(of_a_random_walk(40), abs=0.005)
    assert of_a_random_walk(2) == pytest.approx(1)
    assert of_a_random_walk(1000) == pytest.approx(8 / np.pi**2 * (1 + 1 / 9), abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 40))
def test_lanczos_finds_both_ends_of_a_matrix(seed, size):
    random = np.random.default_rng(seed).standard_normal((size, size))
    matrix = torch.from_numpy(random + random.T)
    start = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = lanczos(lambda v: matrix @ v, start, top=2, bottom=1, most=size, tolerance=1e-12)
    true = np.linalg.eigvalsh(matrix.numpy())
    np.testing.assert_allclose(found.top(2), true[::-1][:2], atol=1e-8 * np.abs(true).max())
    assert found.values[0] == pytest.approx(true[0], abs=1e-8 * np.abs(true).max())
    vector = found.vectors[-1].numpy()
    np.testing.assert_allclose(matrix.numpy() @ vector, true[-1] * vector, atol=1e-6 * np.abs(true).max())


def test_lanczos_stops_in_an_invariant_subspace():
    found = lanczos(lambda v: 3 * v, torch.ones(5, dtype=torch.float64), top=1, most=5)
    assert found.values.tolist() == pytest.approx([3])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@pytest.mark.parametrize("loss", [CrossEntropy(), HalfMSE()])
def test_the_products_are_those_of_the_dense_hessian(loss):
    net = MLP((1, 3, 3), 4, hidden=(3, 2), activation="tanh").double()
    inputs, labels = example_set()
    function, base = loss_at(net, loss, inputs, labels), weights_of(net)
    dense = hessian(lambda row: loss(functional_call(net, like(row, base), (inputs,)), labels))(flat(base))
    v = torch.randn(len(dense), dtype=torch.float64)
    torch.testing.assert_close(function.hessian_at(function.theta)(v), dense @ v, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("towers", [1, 2])
def test_a_network_with_alexnets_normalisation_has_a_hessian_and_is_left_alone(towers):
    norm = LocalResponseNorm(3, alpha=0.5, towers=towers)
    net = nn.Sequential(nn.Conv2d(1, 4, 2), norm, nn.Flatten(), nn.Linear(16, 4)).double()
    inputs, labels = example_set()
    function = loss_at(net, CrossEntropy(), inputs, labels)
    assert net[1] is norm
    assert float(function(function.theta)) == pytest.approx(CrossEntropy()(net(inputs), labels).item(), rel=1e-12)
    v, h = torch.randn(len(function.theta), dtype=torch.float64), 1e-6
    gradients = [
        torch.func.grad(function)(function.theta + sign * h * v) for sign in (1, -1)
    ]  # of the network with the norm that can be derived twice
    expected = (gradients[0] - gradients[1]) / (2 * h)
    torch.testing.assert_close(function.hessian_at(function.theta)(v), expected, rtol=1e-5, atol=1e-7)


def test_the_second_difference_of_a_quartic_and_of_one_with_a_kink():
    theta, direction = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    value, spread = second_difference(lambda t: (1 + 3 * t**2 + 5 * t**4).sum(), theta, direction)
    assert value == pytest.approx(6, abs=1e-3)
    assert spread < 1e-3
    value, _ = second_difference(lambda t: (1 + 3 * t**2 + (t - 1e-3).relu()).sum(), theta, direction)
    assert value == pytest.approx(6, abs=1e-3)


def test_the_closed_forms_and_the_dense_hessian_hold():
    found = {oracle.name: oracle for oracle in oracles.quadratic_oracles(speaker("en"))}
    found |= {oracle.name: oracle for oracle in oracles.rescaling_oracles(speaker("es"))}
    assert set(found) == {
        "quadratic_surface",
        "quadratic_eigenvalues",
        "quadratic_axes",
        "rescaling",
        "rescaling_plain",
    }
    assert all(oracle.holds for oracle in found.values())
    assert oracles.lanczos_gap() < 1e-6


def test_an_ellipse_is_read_from_its_surface():
    a, b = np.meshgrid(oracles.GRID, oracles.GRID)
    rows = np.array([[2.0, 0, 0], [0, 3.0, 0]])
    turned = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    x, y = 2 * a, 3 * b
    u, v = turned @ np.stack([x.ravel(), y.ravel()])
    curvatures, axes = oracles.ellipse((1 + 7 * u**2 / 2 + v**2 / 2).reshape(x.shape), rows)
    np.testing.assert_allclose(curvatures, [7, 1], rtol=1e-9)
    np.testing.assert_allclose(np.abs(axes[0]), [np.cos(0.3), np.sin(0.3), 0], atol=1e-9)


def test_a_rescaled_relu_network_is_the_same_function_and_tanh_is_not():
    inputs, _ = example_set(5, (1, 8, 8), dtype=torch.float32)
    for activation, same in (("relu", True), ("tanh", False)):
        net = small_net(activation, "kaiming", 0)
        other = oracles.rescaled(net, 10)
        assert torch.allclose(net(inputs), other(inputs), atol=1e-4) is same


def test_full_batch_descent_on_a_quadratic_is_stable_below_the_bound_and_not_above():
    inputs, targets = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(40)
    x = np.c_[inputs.double().numpy(), np.ones(40)]
    largest = np.linalg.eigvalsh(x.T @ x / 40)[-1]
    for share, falls in ((0.98, True), (1.05, False)):
        net = Perceptron((3,), 1, init="kaiming")
        examples = (inputs, targets)
        run = full_batch(net, oracles.half_mean_square, examples, share * 2 / largest, np.array([0, 200]))
        assert bool(run.loss[-1] < run.loss[0]) is falls
        np.testing.assert_allclose(run.sharpness, largest, rtol=1e-4)
        assert run.bound == pytest.approx(largest / share)


def test_where_a_surface_bends_downwards():
    x = np.linspace(-1, 1, 21)
    a, b = np.meshgrid(x, x)
    assert Surface(x, x, a**2 + 3 * b**2 + a * b).downward_share == 0
    assert Surface(x, x, a**2 - b**2).downward_share == 1
    assert Surface(x, x, a**2 + np.where(b > 0, b**2, -(b**2))).downward_share == pytest.approx(0.5, abs=0.05)


def test_how_many_examples_fit_into_the_time():
    mlp, conv = MLP((1, 28, 28), 10, hidden=(256, 256)), ConvNet((3, 32, 32), 10)
    assert how_many(mlp, (1, 28, 28), 54_000, None, 51) == 10_000
    assert how_many(mlp, (1, 28, 28), 500, None, 51) == 500
    assert how_many(conv, (3, 32, 32), 45_000, None, 51) == 32
    assert 32 < how_many(conv, (3, 32, 32), 45_000, None, 11) < 200
    assert how_many(conv, (3, 32, 32), 45_000, 200, 51) == 200
    for wrong in (0, 1, 501):
        with pytest.raises(InputError, match=f"examples={wrong}"):
            how_many(mlp, (1, 28, 28), 500, wrong, 51)


def test_two_names_and_a_folder_with_a_comma(tmp_path):
    assert names_of("relu") == ["relu"]
    assert names_of("[relu, tanh]") == names_of("relu,tanh") == ["relu", "tanh"]
    (folder := tmp_path / "lr=1,seed=2").mkdir()
    assert names_of(str(folder)) == [str(folder)]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"run": "relu,tanh,l2"}, "run=relu,tanh,l2 has to be one network or two"),
        ({"run": ""}, "one network or two"),
        ({"directions": "rando"}, "there is no directions=rando"),
        ({"run": "relu,l2", "directions": "between:x"}, "around one network"),
        ({"points": 1}, "points=1"),
        ({"points": 10_000}, "points=10000"),
        ({"span": 0.0}, "span=0"),
        ({"span": -1.0}, "span=-1"),
        ({"span": float("nan")}, "span=nan"),
        ({"run": "no/such/run"}, "run=no/such/run does not exist.*relu, tanh, l2 are trained here"),
        ({"examples": 5000}, "examples=5000"),
        ({"lang": "fr"}, "lang=fr"),
    ],
)
def test_wrong_options_are_sentences(wrong, sentence, monkeypatch):
    monkeypatch.setattr("trainlab.studies.landscape.network.EPOCHS", 1)
    with pytest.raises(InputError, match=sentence):
        study(**wrong)


def test_right_options_pass():
    for directions in ("random", "pca", "hessian", "between:somewhere"):
        check(["relu"], directions, 51, 1.0)


@pytest.mark.run
def test_the_whole_study_on_networks_that_are_trained_here():
    seen = []
    finding = study(points=11, on_progress=lambda done, total: seen.append((done, total)))
    assert all(oracle.holds for oracle in finding.oracles)
    assert {"centre", "second_difference", "path", "lanczos"} < {oracle.name for oracle in finding.oracles}
    assert set(finding.section.figures) == {"landscape", "path", "curvature", "edge_of_stability"}
    numbers = finding.numbers
    assert numbers["lambda_min_at_start"] < 0 < numbers["lambda_1"]
    assert numbers["explained_1"] + numbers["explained_2"] > numbers["explained_of_a_random_walk"]
    assert sum(name.endswith("/distance_to_plane") for name in numbers) == 41
    assert numbers["edge/eta=0.5/highest_of_bound"] > 1 > numbers["edge/eta=0.2/highest_of_bound"]
    assert numbers["edge/eta=0.5/late_of_bound"] == pytest.approx(1, abs=0.15)
    assert seen[-1][0] <= seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    both = study(run="tanh,l2", points=11, directions="pca", lang="es")
    assert all(oracle.holds for oracle in both.oracles)
    assert set(both.section.figures) == {"landscape", "relief", "curvature"}
    assert len(both.section.rows) == 2
    for draw in (*finding.section.figures.values(), *both.section.figures.values()):
        assert draw() is not None


def test_without_memory_for_its_vectors_the_hessian_is_left_out(monkeypatch):
    monkeypatch.setattr("trainlab.studies.landscape.view.free_memory", lambda: 1e5)
    monkeypatch.setattr("trainlab.studies.landscape.network.EPOCHS", 1)
    finding = study(run="relu,l2", points=5, examples=20)
    assert "1/lambda_1" not in finding.numbers
    assert "second_difference" not in {oracle.name for oracle in finding.oracles}
    assert finding.section.figures["curvature"]() is not None
    assert any("no memory" in sentence for sentence in finding.section.sentences)
    with pytest.raises(InputError, match="directions=hessian"):
        study(run="relu,l2", points=5, examples=20, directions="hessian")


def test_what_is_no_number_is_drawn_around():
    from trainlab.figures.studies.landscape import Plane, beside, contours_and_relief

    x = np.linspace(-1, 1, 5)
    loss = np.where(np.hypot(*np.meshgrid(x, x)) > 1, np.nan, 1.0)
    loss[0, 0] = np.inf
    plane = Plane("a", x, x, loss, "x", "y", [("here", 0.0, 0.0)])
    for figure in (contours_and_relief(plane, speaker("en")), beside("b", [plane, plane], speaker("es"), False)):
        figure.savefig(io.BytesIO(), format="png", dpi=20)


@pytest.mark.run
def test_around_runs_of_this_project(tmp_path):
    runs = {}
    for name, words in {
        "mlp": ["model=mlp", "model.hidden=[16]", "recipe.epochs=3"],
        "moons": ["model=perceptron", "data=moons", "recipe.epochs=3", "loss=half_mse"],
        "conv": ["model=convnet", "model.channels=[2,2,2]", "data.train_examples=200", "recipe.epochs=1"],
    }.items():
        runs[name] = tmp_path / name
        trainlab.run([*words, "logger=none"], run_dir=runs[name])
    for name, options in {
        "mlp": {"directions": f"between:{runs['mlp']}/checkpoints/last.ckpt", "points": 7},
        "moons": {"directions": "hessian", "points": 7},
        "conv": {"points": 5, "examples": 40},
    }.items():
        finding = study(run=str(runs[name]) + ("/checkpoints/previous.ckpt" if name == "mlp" else ""), **options)
        assert all(oracle.holds for oracle in finding.oracles), name
        for draw in finding.section.figures.values():
            assert draw() is not None
    recorded = next(o for o in study(run=str(runs["moons"]), points=5).oracles if o.name == "centre")
    assert "results.json" in recorded.against
    ckpt = runs["mlp"] / "checkpoints" / "last.ckpt"
    with pytest.raises(InputError, match="of other layers"):
        study(run=str(runs["moons"]), directions=f"between:{ckpt}", points=5)
    ckpt.with_name("broken.ckpt").write_bytes(ckpt.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"run=.*broken.ckpt is not a checkpoint of this project, or is damaged"):
        study(run=str(ckpt.with_name("broken.ckpt")))
    content = torch.load(ckpt, weights_only=True)
    next(iter(content["state_dict"].values())).fill_(float("nan"))
    torch.save(content, ckpt.with_name("nan.ckpt"))
    with pytest.raises(InputError, match="not finite"):
        study(run=str(ckpt.with_name("nan.ckpt")))
