"""What users are told when something is wrong: the fields of the errors, and all sentences in one file, to be read."""

from __future__ import annotations

import ast
import os
import pickle
from pathlib import Path

import pytest

import trainlab
from trainlab.command.main import compose_run
from trainlab.errors import InputError, RunError

SENTENCES = Path(__file__).parent / "sentences.txt"
ROOT = Path(trainlab.__file__).parent
TOLD = ("InputError", "RunError", "TakenError", "StoppedError")


def template(node: ast.expr) -> str:
    """The text of a string in the source, with what is filled in between braces."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(v.value if isinstance(v, ast.FormattedValue) else v) for v in node.values)
    return "{" + (ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else "…") + "}"


def sentences() -> list[str]:
    """All that the package can say, by file, in the order in which it stands there."""
    lines = []
    for file in sorted(ROOT.rglob("*.py")):
        said = []
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TOLD and node.args:
                hint = next((template(k.value) for k in node.keywords if k.arg == "hint"), None)
                message = template(node.args[0])
                ends = "" if hint is None or hint.endswith(("…", "?")) else "."
                said.append((node.lineno, message if hint is None else f"{message}; {hint}{ends}"))
        lines += [f"## {file.relative_to(ROOT)}", *(text for _, text in sorted(said)), ""] if said else []
    return lines


def test_the_file_of_all_sentences_is_up_to_date():
    """Write it anew with TRAINLAB_WRITE=1 pytest tests/test_errors.py, and read what has changed."""
    text = "\n".join(sentences())
    if os.environ.get("TRAINLAB_WRITE"):
        SENTENCES.write_text(text, encoding="utf-8")
    assert SENTENCES.read_text(encoding="utf-8") == text


def test_each_is_one_line_and_ends():
    for line in sentences():
        assert "\n" not in line
        assert not line or line.startswith("## ") or line[-1] in ".?…}", line


@pytest.mark.parametrize("kind", [InputError, RunError])
def test_the_hint_ends_the_sentence(kind):
    error = kind("reg.l2=-1 is negative", option="reg.l2", value=-1, hint="use 0 or more")
    assert str(error) == "reg.l2=-1 is negative; use 0 or more."
    assert (error.option, error.value, error.hint) == ("reg.l2", -1, "use 0 or more")
    assert str(kind("a is taken", hint="choose another b=…")) == "a is taken; choose another b=…"
    assert str(kind("there is no c", hint="did you mean d?")) == "there is no c; did you mean d?"
    assert kind("all is said.").hint is None


def test_an_error_goes_from_process_to_process_whole():
    error = pickle.loads(pickle.dumps(InputError("no", option="a", value=[1], hint="yes")))
    assert (str(error), error.option, error.value, error.hint) == ("no; yes.", "a", [1], "yes")


@pytest.mark.parametrize(
    ("words", "option", "value", "hint"),
    [
        (["model=alexnt"], "model", "alexnt", "did you mean model=alexnet?"),
        (["reg.l=1"], "reg.l", None, "did you mean reg.l2?"),
        (["reg.l2=-1"], "reg.l2", -1, "it should be a number of at least 0"),
        (["max_epochs=3"], "max_epochs", None, "trainer.max_epochs"),
        (["reg=dropout"], "reg.dropout", 0.5, "use reg=none or reg=l2"),
        (["optim=gd", "data.batch_size=3"], "data.batch_size", 3, "optim=sgd"),
    ],
)
def test_programs_can_ask_what_was_wrong(words, option, value, hint):
    with pytest.raises(InputError) as error:
        compose_run(words)
    assert error.value.option == option
    assert error.value.value == value
    assert hint in error.value.hint
