"""The lecture as a page: its headings in order, what has been run and what has not, in both languages, as data."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest
import yaml
from PIL import Image
from test_docs import check_run, check_script

from trainlab.configuration.lecture import CONF, LANGUAGES, command_of_experiment, read_lecture
from trainlab.errors import InputError
from trainlab.pages.lecture.page import page, write_lecture
from trainlab.pages.lecture.records import find_records
from trainlab.sweeps.report import parse, report
from trainlab.sweeps.section import numbers_of
from trainlab.sweeps.table import Group, Run

# The lecture's own words, in the order in which it comes to them.
IN_ORDER = """
Recordemos un poco cómo se ve un problema de aprendizaje en ML desde el punto de vista de la optimización
Comencemos con un simple Perceptrón y su entrenamiento de manera supervisada
Dado que el problema de aprendizaje es convexo, podemos usar “tranquilamente” descenso de gradiente
Si incorporamos una función de activación no lineal, la situación no cambia mucho
Movámonos ahora a un MLP, que rápidamente expondrá las dificultades al entrenar redes neuronales
Podemos tomar prestados conceptos de los SVM
Backpropagation permite entrenar MLPs al propagar la señal del error a todos los nodos
Ahora cambiaremos un poco de perspectiva sobre las redes, y comenzaremos a hablar de programación diferenciable
Un grafo de cómputo representa todas las operaciones
Descenso de gradiente puede ser demasiado demandante computacionalmente
Stochastic Gradient Descent (SGD) aprovecha la fuerza de los promedios
Debido a la estructura de las redes, función objetivo es no convexa
La realidad es mucho peor
Momentum permite aminorar riesgo de quedar pegado en puntos críticos
Un ejemplo muy “bonito” puede construirse utilizando datos geográficos de elevación
¿Hasta dónde podemos llegar con un MLP?
MLP son teóricamente todopoderosos
ImageNet Classification with Deep Convolutional Neural Networks
Comencemos con los datos
Un aspecto central de su éxito fue el uso la función de activación ReLU
Las salidas de AlexNet son las probabilidades
Regularization: Dropout
Otro aporte de AlexNet fue popularizar técnicas de aumento de datos para controlar el sobreajuste
AlexNet fue entrenada utilizando “solo” 2 GPUs
La combinación de todo esto generó resultados sorprendentes para la época
Rendimiento ha continuado mejorando
""".strip().splitlines()

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
SHOWN = [shown for heading in read_lecture().headings for shown in heading.shown_by]


class Page(HTMLParser):
    """The text and the tags of a page; in_lang: the text that is shown in that language."""

    def __init__(self, html: str, lang: str = "en") -> None:
        super().__init__()
        self.lang, self.tags, self.open, self.text, self.headings = lang, [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "input", "meta", "br"):
            self.open.append((tag, dict(attributes).get("class") or ""))
            if tag == "h2":
                self.headings.append("")

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        classes = {name for _, names in self.open for name in names.split()}
        inside = {tag for tag, _ in self.open}
        if inside & {"script", "style", "title"} or classes & ({*LANGUAGES} - {self.lang}):
            return
        self.text.append(data)
        if "h2" in inside:
            self.headings[-1] += data

    def said(self) -> str:
        return " ".join(" ".join(self.text).split())

    def with_class(self, name: str) -> list[str]:
        return [a.get("id") for _, a in self.tags if name in (a.get("class") or "").split()]


def study(folder: Path, name: str = "gradient_descent", lang: str = "en", *words: str, **changes) -> Path:
    """What scripts/study.py leaves, with two figures and a series of two."""
    command = shlex.join(["python", "scripts/study.py", name, *([f"lang={lang}"] if lang != "en" else []), *words])
    section = {
        "study": name,
        "command": command,
        "lang": lang,
        "title": f"{name} in {lang}",
        "head": ["η", "J"],
        "rows": [["0.1", "2"]],
        "sentences": [f"what was seen, {lang}"],
        "oracles": [{"name": "a", "difference": 0.5, "bound": 1.0, "against": "numpy"}],
        "figures": {"one": "figures/one.png", "two": "figures/two.png"},
        "series": [{"name": "eta", "symbol": "η", "values": ["0.1", "1"],
                    "figures": ["figures/eta/1.png", "figures/eta/2.png"]}],
    }  # fmt: skip
    results = {"study": name, "measured_largest_eta": 0.5, "largest_eta": 0.4, "steps_to_closed_form": 156.0}
    results |= changes.pop("results", {})
    (folder / "figures/eta").mkdir(parents=True)
    for place, file in enumerate([*section["figures"].values(), *section["series"][0]["figures"]]):
        Image.new("RGB", (40 + place, 20), (place, len(lang + name), ord(lang[0]))).save(folder / file)
    (folder / "section.json").write_text(json.dumps(section | changes))
    (folder / "results.json").write_text(json.dumps(results | {"oracle/closed_form": 7.6e-10}))
    return folder


def sweep(folder: Path, *overrides: str, reported: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({"overrides": list(overrides), "swept": [], "points": {}}))
    if reported:
        numbers = {"test/top1_error/data=moons,reg.l2=1": 0.05, "sklearn/top1_error/data=moons,reg.l2=1": 0.06,
                   "test/top1_error_sd/data=moons,reg.l2=1": 0.004}  # fmt: skip
        section = {"title": "a sweep", "head": [], "rows": [], "sentences": [], "figures": {}, "numbers": numbers}
        (folder / "section.json").write_text(json.dumps(section))
    return folder


def made(*folders: Path) -> str:
    return page(read_lecture(), find_records(folders))


def test_the_headings_are_the_lectures_in_its_order():
    headings = Page(made(), "es").headings
    assert len(headings) == len(IN_ORDER)
    for heading, words in zip(headings, IN_ORDER, strict=True):
        assert words in heading
    assert all(Page(made(), "en").headings)


def test_what_has_not_been_run_is_grey_with_its_command_and_cost():
    shown_page = Page(made())
    assert shown_page.with_class("run") == []
    assert len(shown_page.with_class("todo")) >= len(SHOWN)
    said = shown_page.said()
    for shown in SHOWN:
        assert shown.command in said
        assert f"Cost on 2 cores : {shown.cost['en']}" in said.replace(":", " :").replace("  ", " ")
    assert "0 of " in said


def test_a_study_shows_its_figures_its_numbers_and_its_command(tmp_path):
    folder = study(tmp_path / "gradient_descent")
    html = made(tmp_path)
    shown_page = Page(html)
    assert shown_page.with_class("run") == ["show-gradient_descent"]
    for file in folder.rglob("*.png"):
        assert html.count(base64.b64encode(file.read_bytes()).decode()) == 1, "each picture is there once"
    said = shown_page.said()
    for text in (
        "1.2500",
        "156",
        "7.6·10⁻¹⁰",
        "η = 0.1",
        "what was seen, en",
        "python scripts/study.py gradient_descent",
    ):
        assert text in said
    sizes = [(a.get("width"), a.get("height")) for tag, a in shown_page.tags if tag == "img"]
    assert sizes == [("40", "20"), ("41", "20"), ("42", "20"), ("43", "20")]


def test_a_language_that_has_not_been_drawn_is_named(tmp_path):
    study(tmp_path / "es", lang="es")
    html = made(tmp_path)
    assert "lang=en draws them in English" in Page(html, "en").said()
    assert "what was seen, es" in Page(html, "en").said()
    study(tmp_path / "en")
    html = made(tmp_path)
    assert "lang=en draws" not in Page(html, "en").said()
    assert "what was seen, es" not in Page(html, "en").said()
    assert "what was seen, es" in Page(html, "es").said()


def test_the_run_as_it_is_comes_before_one_with_other_options(tmp_path):
    study(tmp_path / "9", "gradient_descent", "en", "noise=2", sentences=["with noise"])
    assert "with noise" in Page(made(tmp_path)).said()
    assert "python scripts/study.py gradient_descent noise=2" in Page(made(tmp_path)).said()
    study(tmp_path / "1", sentences=["as it is"])
    assert "as it is" in Page(made(tmp_path)).said()
    assert "with noise" not in Page(made(tmp_path)).said()


def test_a_sweep_has_its_numbers_beside_the_others(tmp_path):
    sweep(tmp_path / "l2_sweep_1", "experiment=l2_sweep", "logger=csv")
    said = Page(made(tmp_path)).said()
    assert "5.00 ± 0.40 %" in said
    assert "6.00 %" in said
    assert Page(made(tmp_path)).with_class("run") == ["show-l2_sweep"], "and not l2_sweep_fashion"


def test_a_sweep_that_has_not_been_reported_says_what_is_next(tmp_path):
    folder = sweep(tmp_path / "l2_sweep_1", "experiment=l2_sweep", reported=False)
    said = Page(made(tmp_path)).said()
    assert f"python scripts/report.py {folder} --table" in said
    check_script("scripts/report.py", str(folder), "--table")


def test_a_run_is_told_by_what_was_typed(tmp_path):
    folder = tmp_path / "perceptron_linear/now"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/overrides.yaml").write_text("- experiment=least_squares\n- logger=csv\n")
    results = {"monitor": "val/loss", "best/val/loss": 0.1, "least_squares/weight_gap": 5.1e-7}
    (folder / "results.json").write_text(json.dumps(results))
    assert "5.1·10⁻⁷" in Page(made(tmp_path)).said()
    (folder / ".hydra/overrides.yaml").write_text("- ${oc.env:HOME}\n")
    assert Page(made(tmp_path)).with_class("run") == []


def test_what_a_record_contains_is_never_markup(tmp_path):
    clean = study(tmp_path / "clean")
    study(
        tmp_path / f"hostile {HOSTILE.replace('/', '-')}",
        title=HOSTILE,
        head=[HOSTILE],
        rows=[[HOSTILE]],
        sentences=[HOSTILE],
        lang="en",
        oracles=[{"against": HOSTILE, "difference": 1e308, "bound": -1.0}],
        figures={HOSTILE: "figures/one.png", f"gone {HOSTILE}": "figures/gone.png"},
        series=[{"name": HOSTILE, "symbol": HOSTILE, "values": [HOSTILE], "figures": ["figures/eta/1.png"]}],
        results={HOSTILE: HOSTILE},
    )
    sweep(tmp_path / f"sweep {HOSTILE.replace('/', '-')}", "experiment=l2_sweep", reported=False)
    html = made(tmp_path)
    shutil.rmtree(clean)
    hostile = made(tmp_path)
    for text in (html, hostile):
        tags = Page(text).tags
        assert sum(tag == "script" for tag, _ in tags) == 1
        assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
        assert all(a["src"].startswith("data:image/") for tag, a in tags if tag == "img")
    assert HOSTILE in "".join(Page(hostile).text), "it is shown as what it is"
    assert "The picture is gone" in Page(hostile).said()


@pytest.mark.parametrize(
    "changes",
    [
        {"figures": {"passwd": "../../../etc/passwd.png"}},
        {"figures": {"passwd": "/etc/passwd"}},
        {"figures": {"page": "section.json"}},
        {"figures": ["figures/one.png"]},
        {"command": "python scripts/study.py 'gradient_descent"},
        {"title": None},
    ],
)
def test_a_damaged_record_is_a_sentence(tmp_path, capsys, changes):
    study(tmp_path / "runs/gradient_descent", **changes)
    (problem,) = write_lecture(tmp_path / "lecture.html", [tmp_path / "runs"])
    said = Page((tmp_path / "lecture.html").read_text()).said()
    assert "Damaged" in said
    assert " ".join(problem.split()) in said
    report(["--lecture", str(tmp_path / "again.html"), str(tmp_path / "runs")])
    assert "written: " in capsys.readouterr().out


def test_the_same_records_give_the_same_bytes(tmp_path):
    study(tmp_path / "a/gradient_descent")
    study(tmp_path / "a/es", lang="es")
    sweep(tmp_path / "a/l2_sweep", "experiment=l2_sweep")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert made(tmp_path / "a") == made(tmp_path / "b") == made(tmp_path / "a", tmp_path / "a")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--lecture", "."], "is a folder; name a file"),
        (["--lecture", "taken/lecture.html"], "cannot be written"),
        (["--lecture", "lecture.html", "nowhere"], "nowhere is no folder"),
        (["--lecture", "lecture.html", "--table"], "--table means nothing"),
        ([], "no runs are named"),
    ],
)
def test_wrong_words_are_sentences_and_nothing_is_written(tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("")
    with pytest.raises(InputError, match=sentence):
        report(words)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.process
def test_the_page_needs_neither_torch_nor_lightning(tmp_path):
    study(tmp_path / "runs/gradient_descent")
    words = ["--lecture", str(tmp_path / "lecture.html"), str(tmp_path / "runs")]
    code = f"from trainlab.sweeps.report import report; report({words}); import sys; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert "'trainlab.pages.lecture.page'" in loaded
    assert "'torch'" not in loaded
    assert "'lightning'" not in loaded


@pytest.mark.run  # a tenth of a second each
@pytest.mark.parametrize("command", sorted({shown.command for shown in SHOWN}))
def test_every_command_can_be_typed(command):
    program, script, *words = shlex.split(command)
    assert program == "python"
    assert not any("…" in word for word in words)
    if script == "train.py":
        check_run(words)
    else:
        check_script(script, *words)


def test_every_text_is_there_in_both_languages():
    texts = []

    def walk(value):
        if isinstance(value, dict):
            if "en" in value or "es" in value:
                texts.append(value)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(yaml.safe_load((CONF / "lecture.yaml").read_text(encoding="utf-8")))
    assert len(texts) > 100
    for text in texts:
        assert {"en", "es"} <= set(text), text
        assert {"en", "es"} == set(text) or "here" in text, f"a comma outside of quotes: {text}"
        assert all(isinstance(text[lang], str) and text[lang] for lang in LANGUAGES)


def test_everything_the_page_says_is_there_in_both_languages(tmp_path):
    study(tmp_path / "a")
    study(tmp_path / "b", lang="es")
    sweep(tmp_path / "c", "experiment=l2_sweep", reported=False)
    names = [(a.get("class") or "").split() for _, a in Page(made(tmp_path)).tags]
    original = sum("original" in some for some in names)  # the lecture's own words, above the English
    assert sum("en" in some for some in names) - original == sum("es" in some for some in names)


@pytest.mark.parametrize("name", [shown.name for shown in SHOWN if shown.kind == "experiment"])
def test_an_experiments_numbers_are_those_that_its_report_will_have(name):
    (shown,) = [shown for shown in SHOWN if shown.name == name]
    experiment = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))
    params = experiment.get("hydra", {}).get("sweeper", {}).get("params", {})
    if not params:
        assert "-m" not in command_of_experiment(name)
        return
    assert "-m" in command_of_experiment(name)
    choices = {key: [yaml.safe_load(v) for v in str(values).split(",")] for key, values in params.items()}
    choices.pop("seed")
    results = {"test/top1_error": 0.1, "sklearn/top1_error": 0.1, "last/epoch": 3.0, "last/training_seconds": 1.0}
    if "val_fraction" not in experiment.get("data", {}) or experiment["data"]["val_fraction"]:
        results |= {"best/val/top1_error": 0.1}
    if "target" in experiment.get("trainer", {}):
        results |= {"target": 0.25, "target_reached": True}
    groups = [
        Group(point, [Run(Path(), "finished", "", {}, point, results)])
        for point in (dict(zip(choices, values, strict=True)) for values in product(*choices.values()))
    ]
    numbers = numbers_of(groups)
    for number in shown.numbers:
        assert {number.here, number.over, number.beside} - {None} <= set(numbers)


def test_the_studies_stand_under_the_headings_that_they_name():
    for heading in read_lecture().headings:
        for shown in heading.shown_by:
            if shown.kind == "study":
                named = yaml.safe_load((CONF / "study" / f"{shown.name}.yaml").read_text(encoding="utf-8"))["evidence"]
                assert named["heading"].split(",")[0] in heading.heading["es"]


def test_lecture_is_an_option_of_the_report():
    assert parse(["--lecture", "lecture.html"]).folders == []
    assert parse(["--lecture", "lecture.html", "runs", "more"]).folders == ["runs", "more"]
