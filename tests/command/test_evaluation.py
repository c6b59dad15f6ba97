"""What scripts/evaluate.py takes for checkpoints; what it then measures is in test_training.py."""

from __future__ import annotations

import pytest

from trainlab.command.evaluation import checkpoints_of, evaluate
from trainlab.command.main import parse
from trainlab.errors import InputError

NAMED = {
    "ckpt=runs/a": ["runs/a"],
    "ckpt='runs/lr=0.1/a'": ["runs/lr=0.1/a"],
    "ckpt='runs/a, b'": ["runs/a, b"],
    "ckpt='a=[b] (c)'": ["a=[b] (c)"],
    'ckpt="it\'s, so"': ["it's, so"],
    "ckpt=a,b": ["a", "b"],
    "ckpt='a, x',b": ["a, x", "b"],
    "ckpt=[a,b]": ["a", "b"],
    "ckpt=[a,'b, c']": ["a", "b, c"],
    "ckpt='3'": ["3"],
    "+ckpt=a": ["a"],
}


@pytest.mark.parametrize("word", NAMED)
def test_checkpoints_are_named_as_hydra_reads_them(word):
    assert checkpoints_of(parse([word])) == NAMED[word]


@pytest.mark.parametrize(
    "word",
    ["ckpt=3", "ckpt=null", "ckpt={a:1}", "ckpt=", "ckpt=''", "ckpt=[]", "ckpt=[a,3]", "ckpt=[[a],b]", "ckpt=true"],
)
def test_what_names_no_checkpoint_is_a_sentence(word):
    with pytest.raises(InputError) as error:
        evaluate([word])
    assert str(error.value).startswith(f"{word} names no checkpoint; write ckpt=runs/…")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name a checkpoint or run directory"),
        (["ckpt=a", "ckpt=b"], "name a checkpoint or run directory"),
        (["~ckpt"], "name a checkpoint or run directory"),
        (["ckpt=glob(*)"], "are several values"),
        (["ckpt='${oc.env:NOSUCH}'"], "cannot be looked up"),
        (["ckpt='runs/a, b'"], "ckpt=runs/a, b does not exist"),
        (["ckpt=a(1)"], "cannot read 'ckpt=a(1)'"),
        (["ckpt=lr=0.1"], "put quotes around a value"),
    ],
)
def test_other_mistakes_are_sentences(words, sentence):
    with pytest.raises(InputError) as error:
        evaluate(words)
    assert sentence in str(error.value)
