"""The rooms of the house, held by what each module imports: the subject in front, and it knows nothing of the rest."""

from __future__ import annotations

import ast
from itertools import chain
from pathlib import Path

import pytest

import trainlab

ROOT = Path(trainlab.__file__).parent
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in ROOT.rglob("*.py")
}
MATHEMATICS = ("objective", "optim", "augment", "metrics", "models")
SHOWS_RECORDS_SURVIVES = (
    "recording",
    "survival",
    "runtime",
    "command",
    "configuration",
    "sweeps",
    "experiments",
    "studies",
    "figures",
    "pages",
)
MOST_ENTRIES = 12  # files, and folders, beside each other
MOST_LINES, MOST_PARAMETERS = 60, 8
ALEXNET = "models.alexnet"  # its constructor takes the switches of conf/model/alexnet.yaml, each by its name


def inside(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def imports(module: str) -> set[str]:
    """The modules that it names anywhere: of this package without "trainlab.", of others the whole name."""
    found: set[str] = set()
    typed_only = set()
    tree = ast.parse(MODULES[module].read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typed_only |= set(chain.from_iterable(ast.walk(child) for child in node.body))
    for node in ast.walk(tree):
        if node in typed_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("trainlab.") for name in found}


def those_who_import(package: str, within: tuple[str, ...]) -> set[str]:
    return {m for m in MODULES if inside(m, within) and any(inside(name, (package,)) for name in imports(m))}


@pytest.mark.parametrize("module", [m for m in MODULES if inside(m, MATHEMATICS)])
def test_the_mathematics_imports_nothing_that_shows_records_or_survives(module):
    wrong = {name for name in imports(module) if inside(name, SHOWS_RECORDS_SURVIVES)}
    assert wrong == set()
    assert not {name for name in imports(module) if inside(name, ("lightning", "hydra", "omegaconf", "wandb", "rich"))}


def test_data_and_models_know_lightning_and_hydra_in_one_file_at_most():
    assert those_who_import("lightning", ("data",)) == {"data.module"}
    for package, rooms in (
        ("hydra", ("data", "models")),
        ("omegaconf", ("data", "models")),
        ("lightning", ("models",)),
    ):
        assert those_who_import(package, rooms) == set()


def test_data_draws_nothing():
    for package in ("rich", "matplotlib", "recording", "command", "figures", "sweeps", "experiments", "studies"):
        assert those_who_import(package, ("data",)) == set()


def test_one_run_knows_nothing_of_many():
    core = ("training", "classifier", "data", "models", "runtime", "recording", "survival", "configuration")
    assert those_who_import("sweeps", core) == set()
    assert those_who_import("experiments", core) == set()
    assert those_who_import("studies", core) == set()


def test_figures_run_no_networks():
    assert those_who_import("models", ("figures",)) == set()
    assert those_who_import("torch.nn", ("figures",)) == set()


def test_each_room_can_be_taken_in_at_a_glance():
    for folder in (ROOT, *(path for path in ROOT.rglob("*") if path.is_dir() and path.name != "__pycache__")):
        entries = [e for e in folder.iterdir() if not e.name.startswith("__")]
        files = [e for e in entries if e.is_file()]
        assert len(files) <= MOST_ENTRIES, f"{folder.name}: {len(files)} files"
        assert len(entries) - len(files) <= MOST_ENTRIES, f"{folder.name}: {len(entries) - len(files)} folders"


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_a_page_or_takes_more_than_one_can_keep_in_mind(module):
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if not isinstance(node, ast.FunctionDef):
            continue
        lines = node.end_lineno - node.lineno + 1
        taken = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        taken = [name for name in taken if name not in ("self", "cls")]
        assert lines <= MOST_LINES, f"{module}.{node.name} has {lines} lines"
        if module != ALEXNET:
            assert len(taken) <= MOST_PARAMETERS, f"{module}.{node.name} takes {len(taken)}"


def test_the_run_is_one_page():
    text = (ROOT / "training.py").read_text()
    assert len(text.splitlines()) <= 150
    train = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == "train")
    assert train.end_lineno - train.lineno + 1 <= 70
