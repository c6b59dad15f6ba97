"""What the pages say: their commands compose, their links lead somewhere, their figures are those in docs/results/."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import torch
from whole_runs import REPOSITORY

from trainlab.command.claims.update import has_rows
from trainlab.command.help import options_page
from trainlab.command.main import CONF, compose_run, compose_sweep, points
from trainlab.configuration.points import Composer
from trainlab.configuration.schema import check

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
FRONT_PAGES = [REPOSITORY / "README.md", REPOSITORY / "README.es.md"]
NOT_RUN = {"docs/python.md"}  # its commands and code are not tested here

OTHER_PROGRAMS = {"source", "ruff", "mypy", "wandb", "apt-get", "pip", "chromium"}
MOST_LINES, MOST_BYTES = 120, 7_000  # of a front page


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def fences(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def without_fences(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands_of(path: Path) -> list[tuple[str, ...]]:
    """The words of each command: of every line in a bash block, and of inline code that starts a program of ours."""
    lines = [line for block in fences(path, "bash") for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`]+)`", without_fences(path))
    lines += [code.replace(r"\|", "|") for code in inline if re.match(r"(\w+=\S+ )*(python|bash|uv|torchrun) ", code)]
    split = (shlex.split(line, comments=True) for line in lines)
    commands = [part for words in split for part in parts_of(words)]
    return [tuple(words) for words in commands if words]


def parts_of(words: list[str]) -> list[list[str]]:
    """The commands that && joins, each without the variables before it."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        elif parts[-1] or not re.match(r"[A-Z_]+=", word):
            parts[-1].append(word)
    return parts


COMMANDS: dict[tuple[str, ...], list[str]] = {}  # the pages of each
for _page in PAGES:
    if name_of(_page) not in NOT_RUN:
        for _words in dict.fromkeys(commands_of(_page)):
            COMMANDS.setdefault(_words, []).append(name_of(_page))


@pytest.mark.run  # a tenth of a second each
@pytest.mark.parametrize("words", COMMANDS, ids=[f"{pages[0]}: {shlex.join(w)}" for w, pages in COMMANDS.items()])
def test_every_command_composes(words):
    assert not any("…" in word for word in words), "a command to copy has no gaps"
    program, *rest = words
    if program == "torchrun" or words[:2] == ("uv", "run"):
        check_run(rest[rest.index("train.py") + 1 :])
    elif words[:3] == ("python", "-m", "trainlab"):
        check_run(rest[2:])
    elif words[:2] == ("python", "train.py") or words[:2] == ("bash", "scripts/train.sh"):
        check_run(rest[1:])
    elif words[:2] == ("bash", "scripts/test.sh"):
        assert all(word.startswith("-") or (REPOSITORY / word).exists() for word in rest[1:])
    elif program == "python":
        check_script(*rest)
    elif program == "bash":
        assert (REPOSITORY / rest[0]).exists()
    else:
        assert program in OTHER_PROGRAMS, f"{program} is not a program that the pages should name"


COMPOSER = Composer(compose_run)  # of points that differ in values only the first takes Hydra's tenth of a second


def check_run(words: list[str]) -> None:
    """As train.py does before it runs, but making no folder."""
    if set(words) & {"--help", "--cfg"}:
        return
    overrides = [word for word in words if word not in ("-m", "--multirun")]
    if overrides == words:
        compose_run(overrides)
        return
    params = compose_sweep(overrides).sweeper.get("params") or {}
    every = points([*(f"{key}={value}" for key, value in params.items()), *overrides])
    for point in every:
        if seeds_of(point) == seeds_of(every[0]):  # another seed is not another kind of command
            check(COMPOSER.compose(point).plain)


def seeds_of(overrides: list[str]) -> list[str]:
    return [word for word in overrides if word.startswith("seed=")]


def check_script(script: str, *words: str) -> None:
    """The script is there and takes these options, as far as that can be told without running it."""
    started = re.search(r'start\(\s*"([\w.]+)", "(\w+)"', (REPOSITORY / script).read_text())
    assert started, f"{script} does not start anything"
    module = import_module(started[1])
    function = getattr(module, started[2]).__name__
    own_parser = getattr(module, "parse", None)
    if function == "study":
        module.parse(words) if "--help" not in words else module.overview()
    elif own_parser is not None and own_parser.__module__ == module.__name__:
        own_parser(words)
    elif function == "describe":
        compose_run(list(words))
    elif function == "evaluate":
        changed = [word for word in words if not word.startswith("ckpt=")]
        assert len(changed) < len(words), "no checkpoint is named"
        assert {word.split("=")[0].split(".")[0] for word in changed} <= set(module.CHANGEABLE)
        compose_run(changed)
    elif function == "rerun":
        assert {word.split("=")[0] for word in words[1:]} <= {"hydra.run.dir", *module.WHERE_THE_DATA_ARE}
    else:
        pytest.fail(f"nobody says which options {script} takes")


def test_a_wrong_command_is_found():
    for words in (["model=alexnt"], ["-m", "experiment=l2_sweep", "reg.l2=1,-1"]):
        with pytest.raises(Exception, match=r"alexnt|-1"):
            check_run(words)
    with pytest.raises(Exception, match="--tabel"):
        check_script("scripts/report.py", "runs", "--tabel")


def test_every_page_has_commands_that_are_tested():
    without = {name_of(page) for page in PAGES} - {page for pages in COMMANDS.values() for page in pages}
    assert without <= NOT_RUN | {"docs/architecture.md"}


def test_the_page_of_options_is_up_to_date():
    page = (REPOSITORY / "docs" / "options.md").read_text()
    assert page == options_page(CONF), "conf/ has changed: run `python scripts/options.py`"


@pytest.mark.parametrize("page", FRONT_PAGES, ids=name_of)
def test_a_front_page_is_short(page):
    assert len(page.read_text().splitlines()) <= MOST_LINES
    assert len(page.read_bytes()) <= MOST_BYTES


def test_both_languages_have_the_same_commands_code_and_figures():
    english, spanish = FRONT_PAGES
    in_english = [tuple(word for word in words if word != "lang=es") for words in commands_of(spanish)]
    assert commands_of(english) == in_english
    plain = [re.sub(r"\s*#.*", "", block) for page in FRONT_PAGES for block in fences(page, "python")]
    assert plain[: len(plain) // 2] == plain[len(plain) // 2 :]
    assert fences(english, "text") == fences(spanish, "text")
    figures = [re.findall(r"\d+\.\d+(?: ± \d+\.\d+)? %", page.read_text()) for page in FRONT_PAGES]
    assert figures[0] == figures[1]


def test_the_code_of_the_front_page_trains_a_network():
    (code,) = fences(REPOSITORY / "README.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) == 12
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other where other tests take the cores
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(code, {})
    finally:
        torch.set_num_threads(threads)
    error = re.search(r"tensor\((.*)\)", said.getvalue())
    assert error
    assert 0 < float(error[1]) < 0.05


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(page)):
        if re.match(r"\w+:", target):
            continue
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.is_relative_to(REPOSITORY), f"{target} leads out of the repository"
        assert there.exists(), f"{target} does not exist"
        if heading:
            assert heading in slugs_of(there), f"{target}: there is no such heading"


def slugs_of(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_front_page_leads_to_every_page():
    for front in FRONT_PAGES:
        for page in (REPOSITORY / "docs").glob("*.md"):
            assert f"(docs/{page.name})" in front.read_text(), f"{front.name} does not lead to {page.name}"


def test_every_picture_is_shown():
    text = "".join(page.read_text() for page in PAGES)
    for picture in (REPOSITORY / "docs").rglob("*.png"):
        assert f"{picture.name})" in text, f"no page shows {picture.name}"


TABLES = [
    file
    for file in sorted((REPOSITORY / "docs" / "results").glob("*.csv"))
    if file.stem != "same" and not has_rows(file.stem)
]


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.stem)
def test_the_figures_of_a_table_are_those_of_its_file(file):
    (page,) = [page for page in PAGES if f"results/{file.name})" in page.read_text()]
    text = page.read_text().replace("−", "-")
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert rows
    for row in rows:
        assert None not in row, "a row is longer than the header"
        assert None not in row.values(), "a row is shorter than the header"
        for column, value in row.items():
            if column != "n_seeds" and re.fullmatch(r"-?\d+(\.\d+)?(e-\d+)?", value):
                assert re.search(rf"(?<![\d.]){re.escape(value)}(?!\d)", text), f"{value} ({column}) is not on the page"
