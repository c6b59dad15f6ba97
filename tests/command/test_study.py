"""scripts/study.py: what may be typed, what is written, and what a failed oracle does."""

from __future__ import annotations

import json
import signal

import pytest
from PIL import Image

from trainlab.command.studies import front
from trainlab.command.studies.options import ALL, CONF, function_of, options_of, parse, studies
from trainlab.command.studies.writing import draw, run
from trainlab.configuration.evidence import read_evidence
from trainlab.configuration.lecture import order
from trainlab.errors import InputError, RunError, StoppedError
from trainlab.studies.finding import Oracle


@pytest.mark.parametrize("name", studies())
def test_each_file_of_conf_study_says_what_it_claims_and_gives_its_function_what_it_takes(name):
    evidence = read_evidence(name)
    assert evidence.heading
    assert evidence.measured
    asked = parse([name])
    assert asked.options == options_of(name)
    assert name in order()
    assert name in front.overview()
    for option in options_of(name):
        assert f"  {option}=" in front.help_of(name)


def test_the_lecture_names_only_studies_and_experiments():
    assert all((CONF / "experiment" / f"{name}.yaml").exists() for name in set(order()).difference(studies()))


def test_values_are_read_as_what_the_study_takes():
    options = parse(["gradient_descent", "etas=[1e-3,0.5]", "steps=7", "start=[0,1]", "lang=es"]).options
    assert options["etas"] == [1e-3, 0.5]
    assert options["steps"] == 7
    assert options["start"] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gradient_descen"], "did you mean gradient_descent"),
        (["l2_sweep"], "python train.py -m experiment=l2_sweep"),
        (["gradient_descent", "step=3"], "did you mean steps"),
        (["gradient_descent", "steps=few"], "steps=few cannot be used: it should be a whole number"),
        (["gradient_descent", "etas=[1,"], "a list is written"),
        (["gradient_descent", "noise=nan"], "a finite number|a number"),
        (["gradient_descent", "seed"], "not of the form option=value"),
        (["gradient_descent", "lang=fr"], r"lang=fr is not a language .* en \(English\) or es \(Spanish\)"),
        (["--hepl"], "no option --hepl; did you mean --help"),
        (["backprop", "sted=true"], "no option sted; did you mean steps.* There are expr, model, hidden"),
        (["backprop", "sed=3"], "no option sed; did you mean seed"),
        (["backprop", "shape=square"], "no option shape; there are expr, model"),
        (["backprop", "q=1"], "q=1 is given, and expr has no q"),
        (["backprop", "expr=x*sted", "x=1", "sted=true"], "sted=true cannot be used: it should be a number"),
        (["gradient_descent", "logger=tensorboard"], "use wandb or none"),
        (["all", "seed=1"], "no option of all studies"),
        (["gradient_descent", "run_dir="], "needs a folder"),
    ],
)
def test_wrong_words_are_sentences(words, sentence):
    with pytest.raises(InputError, match=sentence):
        front.study(words)


@pytest.mark.run  # git is asked for the commit
def test_a_study_leaves_figures_numbers_and_a_paragraph(tmp_path, capsys):
    folder = tmp_path / "gd"
    front.study(["gradient_descent", "logger=none", "lang=es", f"run_dir={folder}", "steps=10"])
    results = json.loads((folder / "results.json").read_text())
    assert results["oracles_hold"] is True
    assert results["option/steps"] == 10
    assert results["oracle/closed_form"] <= results["oracle/closed_form/bound"]
    assert not any(isinstance(value, dict | list) for value in results.values())
    section = json.loads((folder / "section.json").read_text())
    assert section["command"] == "python scripts/study.py gradient_descent lang=es steps=10"
    with Image.open(folder / section["figures"]["gradient_descent"]) as picture:
        assert picture.size == (1280, 720)
    (series,) = section["series"]
    assert series["symbol"] == "η"
    assert (
        len(series["values"]) == len(series["figures"]) == len({(folder / f).read_bytes() for f in series["figures"]})
    )
    text = (folder / "paragraph.md").read_text()
    assert "La clase" in text
    assert section["sentences"][0] in text
    assert "se cumple" in capsys.readouterr().out
    with pytest.raises(InputError, match="holds a study already"):
        front.study(["gradient_descent", "logger=none", f"run_dir={folder}"])


def test_a_mistake_that_only_the_study_can_see_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match="give two numbers"):
        front.study(["gradient_descent", "start=[1,2,3]", "logger=none", f"run_dir={tmp_path / 'new'}"])
    assert not (tmp_path / "new").exists()


def test_a_variable_may_resemble_an_option():
    assert parse(["backprop", "expr=x*step", "x=2", "step=3"]).options["step"] == 3


def test_the_experiments_are_listed_apart_from_what_all_runs():
    text = front.overview()
    of_studies, of_experiments = text.split("Experiments:")
    listed = [name for name in order() if f"\n  {name} " in of_studies]
    assert listed == [name for name in order() if name in studies()]
    assert [name for name in order() if f"\n  {name} " in of_experiments] == front.experiments()
    assert "python train.py -m experiment=NAME" in of_experiments
    assert f"\n  {ALL} " in of_studies


def test_other_peoples_files_are_not_mixed_with_a_study(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match=r"has other files in it, such as thesis.tex; choose another run_dir="):
        front.study(["gradient_descent", "logger=none", f"run_dir={tmp_path}"])
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("words", "how"), [(["all"], "goes on with the studies that are not finished"), (["results"], "starts it again")]
)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_ends_in_a_sentence(tmp_path, monkeypatch, words, how, number, status):
    before = signal.getsignal(number)
    monkeypatch.setattr(front, "run", lambda asked, folder: signal.raise_signal(number))
    with pytest.raises(StoppedError, match=f"stopped by (SIGTERM|Ctrl-C).*the same command {how}") as stopped:
        front.study([*words, "logger=none", f"run_dir={tmp_path}"])
    assert stopped.value.status == status
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(("words", "shown"), [([], False), (["model=mlp"], True)])
def test_the_seed_is_below_a_figure_only_where_it_matters(tmp_path, monkeypatch, words, shown):
    signed = []
    monkeypatch.setattr("trainlab.figures.style.sign", lambda figure, text: signed.append(text))
    monkeypatch.setattr("trainlab.figures.style.save", lambda *args, **options: None)
    asked = parse(["backprop", *words])
    draw(function_of("backprop")(**asked.options), tmp_path, asked, lambda done, total: None)
    assert signed
    assert all(("seed" in text) == shown for text in signed)


@pytest.mark.run  # git is asked for the commit
def test_an_oracle_that_does_not_hold_is_a_failed_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Oracle, "holds", property(lambda self: False))
    with pytest.raises(RunError, match="does not agree"):
        front.study(["gradient_descent", "logger=none", f"run_dir={tmp_path / 'gd'}"])
    assert json.loads((tmp_path / "gd" / "results.json").read_text())["oracles_hold"] is False


def test_a_number_that_is_none_holds_nothing():
    assert not Oracle("nan", float("nan"), 1.0, "").holds


def test_an_experiment_is_named_by_what_it_has_come_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert front.state_of_experiment("l2_sweep").startswith("python train.py -m experiment=l2_sweep")
    for name in ("l2_sweep_0a1b2c", "l2_sweep_fashion_3d4e5f"):
        sweep = tmp_path / "runs/sweeps" / name
        (sweep / "figures").mkdir(parents=True)
        (sweep / "sweep.json").write_text("{}")
    sweep = tmp_path / "runs/sweeps/l2_sweep_0a1b2c"
    assert front.state_of_experiment("l2_sweep") == "python scripts/report.py runs/sweeps/l2_sweep_0a1b2c --table"
    (sweep / "figures/curves.png").write_bytes(b"")
    assert front.state_of_experiment("l2_sweep") == "runs/sweeps/l2_sweep_0a1b2c/figures/curves.png"


@pytest.mark.run  # git is asked for the commit
def test_all_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(front, "studies", lambda: ["gradient_descent"])
    front.study(["all", "logger=none", f"run_dir={tmp_path}"])
    before = (tmp_path / "gradient_descent" / "results.json").stat().st_mtime_ns
    front.study(["all", "logger=none", f"run_dir={tmp_path}"])
    assert (tmp_path / "gradient_descent" / "results.json").stat().st_mtime_ns == before
    said = capsys.readouterr().out
    assert "gradient_descent is done" in said
    assert "experiment=l2_sweep" in said
    with pytest.raises(InputError, match="lang=en, not es"):
        front.study(["all", "lang=es", "logger=none", f"run_dir={tmp_path}"])


def test_two_commands_do_not_write_into_one_folder(tmp_path):
    from trainlab.survival.lock import directory_lock

    with directory_lock(tmp_path, or_else="taken"), pytest.raises(InputError, match="another command"):
        run(parse(["gradient_descent", "logger=none"]), tmp_path)
