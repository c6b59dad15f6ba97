"""scripts/dashboard.py without an account: what it prints is in a file, to be read; a mistake is one sentence."""

from __future__ import annotations

import json
import os
import random
import sys
from importlib import import_module
from pathlib import Path

import pytest

from trainlab.errors import InputError, RunError
from trainlab.pages.dashboards.front import dashboard

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb-workspaces itself
GOLDEN = Path(__file__).parent / "dashboards.json"


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


def test_what_would_be_sent_is_the_golden_file(capsys):
    """Write it anew with TRAINLAB_WRITE=1 pytest tests/pages/test_dashboards.py, and read what has changed."""
    dashboard(["--print"])
    printed = capsys.readouterr().out
    if os.environ.get("TRAINLAB_WRITE"):
        GOLDEN.write_text(printed, encoding="utf-8")
    assert printed == GOLDEN.read_text(encoding="utf-8")


def test_project_and_entity_are_where_it_goes(capsys):
    import_module("trainlab.pages.dashboards.views")  # at their import, other packages may draw
    state = random.getstate()
    dashboard(["--print", "project=lectures", "entity=us"])
    assert random.getstate() == state, "it draws its identifiers apart from the program around it"
    views = json.loads(capsys.readouterr().out)
    assert {(view["entityName"], view["projectName"]) for view in views} == {("us", "lectures")}
    assert [view["type"] for view in views] == ["project-view", "runs", "runs", "runs"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["projct=a"], "'projct=a' is no option of scripts/dashboard.py; use project=NAME or entity=NAME."),
        (["project="], "'project=' is no option"),
        (["lectures"], "'lectures' is no option"),
        (["--prnt"], "python scripts/dashboard.py --help lists what there is"),
        ([], "run `wandb login` first, or add --print"),
    ],
)
def test_a_mistake_is_one_sentence(words, said):
    with pytest.raises(InputError) as error:
        dashboard(words)
    assert said in str(error.value)


def test_without_the_package_it_says_how_to_install_it(monkeypatch):
    for name in ("contents", "views"):
        monkeypatch.delitem(sys.modules, f"trainlab.pages.dashboards.{name}", raising=False)
        monkeypatch.delattr(f"trainlab.pages.dashboards.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[dashboard\]'"):
        dashboard(["--print"])


def test_without_a_network_it_says_so(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    with pytest.raises(RunError, match=r"http://127\.0\.0\.1:9 cannot be reached; add --print"):
        dashboard([])
