"""debug=quick, overfit and anomaly, and Hydra's --info and --shell-completion."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from whole_runs import command

import trainlab
from trainlab.command.main import check_command_line, compose_run, without_hydra
from trainlab.data.image_set import spread
from trainlab.errors import InputError, RunError
from trainlab.runtime.assembly import read_data
from trainlab.runtime.debugging import Watch

# quick


@pytest.mark.parametrize(
    ("words", "train", "test"),
    [
        ([], 128, 128),
        (["data.batch_size=10", "debug.batches=3"], 30, 30),
        (["aug=tencrop", "data.batch_size=32"], 12, 13),  # five views: 60 and 65 of them, two batches of 32 in training
        (["data=moons"], 20, 20),
        (["optim=gd"], 1293, 360),  # its batch is the whole set
    ],
)
def test_two_batches_of_each_set_evenly_spread(words, train, test):
    whole = read_data(without_hydra(compose_run([w for w in words if not w.startswith("debug")])))
    data = read_data(without_hydra(compose_run(["debug=quick", *words])))
    sets = data.sets
    assert (len(sets.train), len(sets.test)) == (train, test)
    assert data.train_batches <= (3 if "debug.batches=3" in words else 2)
    assert torch.equal(sets.train.images, whole.sets.train.images[spread(len(whole.sets.train), train)])
    if train >= 100:
        assert len(sets.train.labels.unique()) == 10, "every class is in it"


@pytest.mark.run
def test_a_quick_run_leaves_nothing_unless_a_directory_is_named(tmp_path):
    place = tmp_path / "temporary"
    place.mkdir()
    done = command("train.py", "debug=quick", "model=mlp", "trainer=cpu", TMPDIR=str(place))
    assert done.returncode == 0, done.stderr
    assert "its temporary directory is removed" in done.stdout
    assert not any(place.iterdir())
    kept = command("train.py", "debug=quick", "trainer=cpu", f"hydra.run.dir={tmp_path}/trainlab_mine")
    assert kept.returncode == 0, kept.stderr
    assert "removed" not in kept.stdout
    assert {p.name for p in (tmp_path / "trainlab_mine").iterdir()} >= {"results.json", "figures", "checkpoints"}
    called = trainlab.run(["debug=quick", "trainer=cpu"])
    assert not called.run_dir.exists()
    assert called["last/epoch"] == 1


# overfit


@pytest.mark.run
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("model", ["perceptron", "mlp", "convnet", "alexnet"])
def test_every_model_learns_ten_examples_by_heart(model, tmp_path, capsys):
    results = trainlab.run(["debug=overfit", f"model={model}", "trainer=cpu"], run_dir=tmp_path / "run")
    assert results["last/train/top1_error"] == 0
    assert results["last/epoch"] < 500
    assert "the 10 training examples are learned by heart" in capsys.readouterr().out


def test_what_does_not_learn_them_says_so(tmp_path):
    words = ["debug=overfit", "optim.lr=1e-9", "trainer.max_epochs=2", "trainer=cpu"]
    with pytest.raises(
        RunError, match=r"the 10 training examples were not learned: after 2 epochs .* try optim.lr=1e-08"
    ):
        trainlab.run(words, run_dir=tmp_path / "run")
    assert not (tmp_path / "run/results.json").exists()


# anomaly


class Root(nn.Module):
    """Its gradient at 0 is infinite, and times 0 NaN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs().sqrt() * (x != 0)


def trainer() -> SimpleNamespace:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    return SimpleNamespace(current_epoch=1, global_step=6, training=True, optimizers=[optimizer])


def test_the_gradient_that_becomes_nan_is_traced_to_its_layer():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), Root(), nn.Linear(4, 2))
    nn.init.zeros_(net[0].weight)
    nn.init.zeros_(net[0].bias)
    with pytest.raises(RunError) as error, Watch(net, trainer()).watching():
        net(torch.ones(5, 3)).sum().backward()
    said = str(error.value)
    assert "back through the layer 2 (Root)" in said
    assert "SqrtBackward0" in said
    assert "epoch 2, step 7" in said
    assert "optim.lr=0.05" in said
    assert not torch.is_anomaly_enabled()
    assert not net._forward_pre_hooks
    assert not any(layer._forward_hooks for layer in net)


def test_the_layer_whose_output_is_not_finite_is_named_and_so_are_broken_weights_and_inputs():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(RunError, match="inputs of the network"), Watch(net, trainer()).watching():
        net(torch.full((1, 3), float("inf")))
    nn.init.constant_(net[2].bias, float("nan"))
    with (
        pytest.raises(RunError, match=r"layer 2 \(Linear\) .* its bias is not finite"),
        Watch(net, trainer()).watching(),
    ):
        net(torch.ones(1, 3))
    nn.init.constant_(net[0].weight, 3e38)
    with (
        pytest.raises(RunError, match=r"layer 0 \(Linear\) .* inputs that are finite"),
        Watch(net, trainer()).watching(),
    ):
        net(torch.ones(1, 3))


def test_a_loss_that_becomes_nan_is_the_losss():
    net = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(RunError, match="back through the loss"), Watch(net, trainer()).watching():
        (net(torch.ones(1, 3)) * 0).sqrt().mul(0).sum().backward()


def test_other_errors_stay_what_they_are():
    net = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), Watch(net, trainer()).watching():
        net(torch.ones(1, 7))


@pytest.mark.run
def test_a_run_that_is_watched_has_the_same_numbers_and_ends_with_a_sentence(train):
    quick = ("model=mlp", "trainer.max_epochs=2", "logger=csv", "trainer=cpu")
    assert train(*quick, "debug=anomaly").numbers == train(*quick).numbers
    broken = train(*quick, "debug=anomaly", "optim.lr=1e20")
    assert broken.status == 1
    assert "gives a NaN or an infinity in epoch 1" in broken.err
    assert broken.err.count("\n") == 1, broken.err


# What does not go together


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("debug=overfit reg=l2", "reg.l2=0.0005 works against that"),
        ("debug=overfit model=mlp reg=dropout", "reg.dropout=0.5 works against that"),
        ("debug=overfit aug=crop_flip", "aug=crop_flip works against that"),
        ("debug=overfit optim=gd", "contradicts optim=gd"),
        ("debug=anomaly trainer.compile=true", "looks at each layer"),
        ("debug=quick debug.batches=0", "debug.batches=0"),
        ("debug=quik", "did you mean debug=quick"),
        ("debug=null", "leave it out"),
        ("experiment=null", "leave it out"),
    ],
)
def test_wrong_combinations_are_sentences(words, sentence):
    with pytest.raises(InputError) as error:
        compose_run(words.split())
    assert sentence in str(error.value)


def test_an_ordinary_run_has_no_debug():
    assert "debug" not in compose_run([])


@pytest.mark.parametrize("experiment", ["least_squares", "alexnet_elpv", "relu_vs_tanh_fashion"])
def test_debug_wins_over_an_experiment(experiment):
    assert compose_run(["debug=quick", f"experiment={experiment}"]).trainer.max_epochs == 1


# Hydra's own commands


@pytest.mark.run
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--info"], "Defaults Tree"),
        (["--info", "model=alexnet"], "model: alexnet"),
        (["--info", "searchpath"], "Config search path"),
        (["model=mlp", "--info", "defaults"], "model/mlp"),
        (["-sc", "install=bash"], "hydra_bash_completion"),
        (["--shell-completion", "install=fish"], "hydra_fish_completion"),
        (["--help"], "-sc install=bash"),
    ],
)
def test_hydras_commands_work(words, said):
    done = command("train.py", *words)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@pytest.mark.run
def test_the_tab_key_completes_choices():
    line = "python train.py debug="
    done = command("train.py", "-sc", "query=bash", cold=True, COMP_LINE=line, COMP_POINT=str(len(line)))
    assert set(done.stdout.split()) == {"debug=quick", "debug=overfit", "debug=anomaly"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--info", "model=alexnt"], "did you mean model=alexnet"),
        (["--info", "all", "alexnet"], "not of the form option=value"),
        (["-m", "--info"], "--info shows the configuration of one run"),
        (["-m", "--cfg", "job"], "--cfg shows the configuration of one run"),
        (["-sc"], "for which shell"),
        (["-sc", "install=bsh"], "did you mean bash"),
    ],
)
def test_mistakes_with_them_are_sentences(capsys, words, sentence):
    with pytest.raises(SystemExit) as ended:
        check_command_line(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
