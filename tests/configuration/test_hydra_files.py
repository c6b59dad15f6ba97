"""The files in .hydra/, against OmegaConf's own text of the whole configuration."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from trainlab.configuration.hydra_files import CONFIG, HYDRA, OVERRIDES, HydraFiles

TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=100).filter(lambda text: "${" not in text)
WORDS = st.from_regex(r"[/a-z][a-z0-9_=./,+-]{0,120}", fullmatch=True)
NAMES = st.sampled_from(["a", "l2", "hydra/env", "yes", "1", "b c", "_target_", "x_y"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | WORDS | st.just("${x_y}")
TREES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
GROUPS = st.dictionaries(NAMES, TREES, min_size=1, max_size=4)


@pytest.mark.run
@settings(deadline=None, max_examples=50)
@given(st.lists(GROUPS, min_size=1, max_size=3), st.lists(TEXTS | WORDS, max_size=4), TREES)
@example([{"a": {"b c": "/runs/y/n", "l2": ["/", "e=_"]}}], ["inf_", "a=1"], "null")
def test_letter_for_letter_as_omegaconf_writes_them(configs, words, told):
    files = HydraFiles()
    shared = {"groups": configs[0], "told": told}
    for config in configs:
        whole = {"overrides": {"task": words}, "shared": shared, "own": config}
        for _ in range(2):
            texts = files.of(config | {"shared": shared}, whole)
            assert texts[CONFIG] == OmegaConf.to_yaml(OmegaConf.create(config | {"shared": shared}))
            assert texts[HYDRA] == OmegaConf.to_yaml(OmegaConf.create({"hydra": whole}))
            assert texts[OVERRIDES] == OmegaConf.to_yaml(OmegaConf.create(words))
