"""Bad input: one sentence with the name and the right alternative, status 2, before torch is imported."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf
from whole_runs import command

from trainlab.command.help import GROUPS as EXPLAINED
from trainlab.command.help import help_text
from trainlab.command.main import CONF, GROUPS, check_command_line, compose_run, compose_sweep, values_of
from trainlab.errors import InputError
from trainlab.sweeps.names import sweep_name

WRONG = {
    # what is typed: what the sentence must say
    "modle=alexnet": "no option modle; did you mean model",
    "model=alexnt": "did you mean model=alexnet",
    "optim.learning_rate=0.1": "no option optim.learning_rate",
    "lr=0.1": "did you mean optim.lr",
    "trainer.epochs=3": "did you mean trainer.max_epochs",
    "modle.hidden=[3]": "did you mean model",
    "optim.lr=abc": "optim.lr=abc cannot be used",
    "optim.lr=-1": "greater than 0",
    "optim.lr=0": "greater than 0",
    "optim.lr=nan": "finite",
    "optim=momentum optim.momentum=1": "less than 1",
    "model=mlp reg=dropout reg.dropout=1": "reg.dropout=1 cannot be used: it should be a number of at least 0 and",
    "model=mlp reg.dropout=-0.1": "reg.dropout=-0.1",
    "reg=dropout": "no hidden dense layer",
    "reg.l2=-1": "reg.l2=-1",
    "reg.form=men": "'mean' or 'sum'",
    "data.batch_size=-3": "data.batch_size=-3",
    "data.batch_size=0": "data.batch_size=0",
    "data.batch_size=2.5": "a whole number of at least 1 or null",
    "data.val_fraction=1.5": "data.val_fraction=1.5",
    "model=mlp model.hidden=[10,0]": "model.hidden",
    "model=mlp model.hidden=7": "a list in brackets, each of its items a whole number of at least 1",
    "model.activation=rleu": "'relu', 'tanh', 'sigmoid' or 'identity'",
    "model.init=foo": "'paper', 'kaiming'",
    "model=alexnet model.lrn=maybe": "model.lrn=maybe",
    "model=alexnet model.groups=3": "model.groups=3",
    "optim.schedule=cosin": "'constant', 'cosine' or 'plateau'",
    "aug=tencrop aug.train_views=some": "'all' or 'one'",
    "optim=gd data.batch_size=10": "contradicts optim=gd",
    "trainer.devices=0": "trainer.devices=0",
    "trainer.max_epochs=0": "trainer.max_epochs=0",
    "trainer.monitor=val/acc": "it should be 'val/loss', ",
    "data=moons trainer.patience=3 data.val_fraction=0": "needs data.val_fraction above 0",
    "seed=-1": "seed=-1",
    "seed=4294967296": "less than 4294967296",
    "trainer.strategy=foo": "'auto' or 'ddp'",
    "trainer.accelerator=tpu": "'auto', 'cpu' or 'gpu'",
    "data=image_folder data.root=2024": "text or null; as text it is written \"data.root='2024'\"",
    "-m experiment=l2_sweep reg.l2=1,-1": "reg.l2=-1",
    "-m seed=0,1 hydra/launcher=procesess": "did you mean hydra/launcher=processes",
    "trainer.threads=0": "it should be 'auto' or a whole number of at least 1",
    "trainer.channels_last=3": "it should be 'auto', true or false",
    "model=alexnet model.drop_layer=conv9": "it should be 'conv3', 'conv4', 'conv5' or null",
    "trainer.target=x": "it should be a number greater than 0 or null",
    "trainer.max_epochs=3.0": "written without a point: trainer.max_epochs=3",
    "recipe.lr=abc": "recipe.lr=abc",
    "trainer.nodes=0": "trainer.nodes=0",
    "trainer.target=0": "trainer.target=0",
    "trainer=ddp trainer.compile=true": "trainer.compile=true is for runs of one process",
    "trainer.save_minutes=0": "trainer.save_minutes=0",
    "data.train_examples=0": "data.train_examples=0",
    "data=moons data.val_fraction=0 trainer.target=0.1": "needs data.val_fraction above 0",
    "seed=abc": "a whole number",
    "data=image_folder": "data.root has to be given",
    "model==x": "cannot read 'model==x'",
    "model.hidden=[1": "cannot read",
    "alexnet": "option=value",
    "~model": "without model",
    "hydra.run.dir=/dev/null/run": "cannot be written",
    "-m reg.l2=0,-1": "reg.l2=-1",
    "-m model=perceptron,mpl": "did you mean model=mlp",
    "data=moons data.val_fraction=0.05 trainer=cpu trainer.devices=4": "=4 is more than the 3 validation examples",
    "data=circles data.n_samples=10 trainer=cpu trainer.devices=5": "=5 is more than the 2 validation examples",
    "data=moons trainer=cpu trainer.devices=7 trainer.nodes=2": "=7 × trainer.nodes=2 is more than the 12 validation",
    "data=moons debug=quick data.batch_size=1 trainer=cpu trainer.devices=4": "validation examples",
    "trainer=cpu trainer.devices=100000": "trainer.devices=100000 is more than",
    "-m trainer=cpu trainer.devices=1,100000": "trainer.devices=100000 is more than",
    "trainer.threads=100000": "trainer.threads=100000 is more than",
    "hydra.run.dir=": "hydra.run.dir= needs a folder",
    "-m seed=0,1 hydra.sweep.dir=": "hydra.sweep.dir= needs a folder",
    "hydra.run.dir=null": "hydra.run.dir=null cannot be used",
    "hydra.run.dir=${oc.env:NOSUCH}": "hydra.run.dir=${oc.env:NOSUCH} cannot be looked up (Environment variable",
    "hydra.run.dir='${oc.env:NOSUCH}/x'": "hydra.run.dir=${oc.env:NOSUCH}/x cannot be looked up",
    "hydra.run.dir=${nowhere.is}": "hydra.run.dir=${nowhere.is} cannot be looked up (Interpolation key 'nowhere.is'",
    "hydra.run.dir=${hydra.job.id}": "hydra.job.id is only known later",
    "hydra.run.dir=${hydra.run.dir}": "hydra.run.dir=${hydra.run.dir} cannot be looked up",
    "hydra.output_subdir=${nosuch:1}": "hydra.output_subdir=${nosuch:1} cannot be looked up (Unsupported interpolation",
    "hydra.launcher.n_jobs=${oc.env:NOSUCH}": "hydra.launcher.n_jobs=${oc.env:NOSUCH} cannot be looked up",
    "-m seed=0,1 hydra.sweep.dir=${oc.env:NOSUCH}": "hydra.sweep.dir=${oc.env:NOSUCH} cannot be looked up",
    "-m seed=0,1 hydra.sweep.subdir=${oc.env:NOSUCH}": "hydra.sweep.subdir=${oc.env:NOSUCH} cannot be looked up",
    "optim.lr=${oc.env:NOSUCH}": "optim.lr=${oc.env:NOSUCH} cannot be looked up",
    "optim.lr=${optim.lr}": "optim.lr=${optim.lr} cannot be looked up (Recursive",
    "optim.lr=${oc.decode:'['}": "optim.lr=${oc.decode:'['} cannot be looked up",
    "optim.lr=${run_stamp:1}": "optim.lr=${run_stamp:1} cannot be looked up",
    "optim.lr=${now:%Q}": "optim.lr=%Q cannot be used",
    "optim.lr='${oc.env'": "optim.lr='${oc.env' cannot be used",
    "data.val_fraction=${data.root} data=image_folder": "data.root has to be given",
}


@pytest.mark.run  # a tenth of a second each
@pytest.mark.parametrize("typed", WRONG)
def test_a_mistake_ends_in_one_sentence_and_status_2(typed, capsys):
    with pytest.raises(SystemExit) as ended:
        check_command_line(typed.split())
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1, "not one line"
    assert WRONG[typed] in err


def test_what_is_typed_for_a_script_is_read_as_hydra_reads_it(monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/there")
    given = values_of(["a='x, y=[z]'", "b=[1,'2, 3']", "hydra.run.dir='${oc.env:SOMEWHERE}/run'", "c=null", "d=1e-3"])
    assert given == {"a": "x, y=[z]", "b": [1, "2, 3"], "hydra.run.dir": "/there/run", "c": None, "d": 1e-3}


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("data.root=a,b", "data.root=a,b are several values; give one, in quotes if a comma is part of it."),
        ("seed=range(3)", "seed=range(3) are several values"),
        ("data.root=glob(*)", "are several values"),
        ("~data.root", "takes an option away"),
        ("data.root='${oc.env:NOSUCH}'", "data.root=${oc.env:NOSUCH} cannot be looked up"),
        ("data.root=a(b", "cannot read 'data.root=a(b'"),
    ],
)
def test_what_a_script_cannot_use_is_a_sentence(word, sentence):
    with pytest.raises(InputError) as error:
        values_of([word])
    assert sentence in str(error.value)


def test_several_values_are_not_one_run():
    with pytest.raises(InputError, match="model=mlp,alexnet are several values"):
        compose_run(["model=mlp,alexnet"])


def test_the_directory_of_a_sweep_is_the_one_that_hydra_takes():
    words = ["experiment=l2_sweep", "seed=0,1", "reg.l2=0.1"]
    assert compose_sweep(words).sweep.dir == f"runs/sweeps/{sweep_name(words)}"
    assert compose_sweep([*words, "hydra.sweep.dir='a, b/${reg.name}'"]).sweep.dir == "a, b/l2"


def test_a_mistake_leaves_no_run_directory(tmp_path, capsys):
    with pytest.raises(SystemExit):
        check_command_line([f"hydra.run.dir={tmp_path}/run", "optim.lr=-1"])
    assert not (tmp_path / "run").exists()


def test_full_error_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(InputError):
        check_command_line(["optim.lr=-1"])


@pytest.mark.run
def test_help_and_mistakes_do_not_import_torch():
    code = (
        "import sys; sys.argv[1:] = {}\n"
        "try: exec(open('train.py').read())\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    for arguments in (["--help"], ["optim.lr=-1"]):
        done = command("-c", code.format(arguments))
        assert done.returncode == 0, done.stderr


def test_help_names_every_group_and_choice():
    text = help_text(CONF)
    assert set(GROUPS) <= set(EXPLAINED)
    for group, choices in GROUPS.items():
        assert f"  {group}: " in text
        for choice in choices:
            line = next(line for line in text.splitlines() if line.strip().startswith(f"{choice} "))
            assert len(line.split(maxsplit=1)[1]) > 10, f"{group}={choice} is not explained"


def test_every_example_of_the_help_is_a_run_that_composes():
    commands = [line.split()[2:] for line in help_text(CONF).splitlines() if line.startswith("  python train.py")]
    examples = [words for words in commands if not any("…" in word for word in words)]
    assert len(examples) == 6
    for words in examples:
        compose_run(words)


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        (["model=alexnet"], "optim.name", "momentum"),
        (["model=alexnet"], "reg.name", "l2_dropout"),
        (["model=alexnet"], "aug.name", "tencrop"),
        (["model=alexnet"], "loss.name", "cross_entropy"),
        (["model=alexnet", "optim=sgd", "reg=dropout", "aug=none"], "optim.name", "sgd"),
        (["optim=sgd", "reg=dropout", "aug=none", "model=alexnet"], "reg.name", "dropout"),
        (["model=alexnet", "optim=sgd", "reg=dropout", "aug=none"], "aug.name", "none"),
        (["model=alexnet", "reg=none"], "model.dropout", 0.0),
        (["model=alexnet", "optim.lr=0.5"], "optim.lr", 0.5),
        (["trainer.max_epochs=3", "model=alexnet"], "trainer.max_epochs", 3),
        (["data.batch_size=7", "model=alexnet"], "data.batch_size", 7),
    ],
)
def test_a_model_brings_its_recipe_and_what_is_typed_wins(typed, key, value):
    assert OmegaConf.select(compose_run(typed), key) == value


WITHOUT_DATA = ("image_folder", "imagenet", "alexnet_imagenet", "alexnet_code2012")  # the user's own


@pytest.mark.run
def test_every_choice_of_every_group_composes():
    for group, choices in GROUPS.items():
        for choice in choices:
            words = [f"{group}={choice}"] + (["data.root=x"] if choice in WITHOUT_DATA else [])
            words += ["model=mlp"] if group == "reg" else []
            cfg = compose_run(words)
            if group != "experiment":
                assert cfg[group].name == choice


def test_every_configuration_says_what_it_is():
    for file in CONF.rglob("*.yaml"):
        lines = [line for line in file.read_text().splitlines() if "@package" not in line]
        assert lines[0].startswith("# "), f"{file.relative_to(CONF)} has no first comment line"


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["seed=0,1"], "add -m to run a sweep"),
        (["-m", "hydra.launcher=slurm", "seed=0,1"], "hydra/launcher="),
        (["-m", "optim.lr=range(0,1,0)"], "cannot read"),
        (["-m", "seed=0,1", "hydra.sweep.dir=/proc/nope"], "choose another with hydra.sweep.dir=…"),
    ],
)
def test_mistakes_about_sweeps_are_sentences(capsys, typed, sentence):
    with pytest.raises(SystemExit) as ended:
        check_command_line(typed)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
