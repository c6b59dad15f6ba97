"""scripts/export.py: other programs come to the same probabilities and weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import trainlab
from trainlab.command import export as exporting
from trainlab.command.export import export
from trainlab.errors import InputError, RunError

pytestmark = [pytest.mark.run, pytest.mark.usefixtures("undrawn")]

NETWORKS = {  # the graph has the network once for each view: several views where it is small
    "mlp": ("model=mlp", "reg=dropout", "aug=tencrop"),
    "convnet": ("model=convnet", "aug=alexnet", "data.reflections=true"),
    "alexnet": ("model=alexnet", "aug=none"),
    "code2012": ("model=alexnet", "model.variant=code2012", "aug=none"),
    "points": ("data=moons", "model=mlp", "loss=half_mse"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A directory for each of the networks, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("export")

    def run(name: str) -> str:
        if not (folder / name).exists():
            trainlab.run([*NETWORKS[name], "debug=quick", "trainer=cpu"], run_dir=folder / name)
        return str(folder / name)

    return run


@pytest.mark.parametrize(
    "name",
    ["mlp", "points", *(pytest.param(n, marks=pytest.mark.run) for n in NETWORKS if n not in ("mlp", "points"))],
)
def test_onnx_runtime_gives_the_same_probabilities(runs, name, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export([runs(name), "--onnx", str(tmp_path / "out.onnx")])
    assert "differ from torch's by" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    network = trainlab.load(runs(name))
    (given,) = session.get_inputs()
    generator = np.random.default_rng(7)
    for count in (1, 3, 8):
        shape = (count, *given.shape[1:])
        inputs = (
            generator.normal(size=shape).astype("float32")
            if name == "points"
            else generator.integers(0, 256, shape, "uint8")
        )
        theirs = session.run(["probabilities"], {given.name: inputs})[0]
        np.testing.assert_allclose(theirs, network.predict(inputs).numpy(), atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == network.classes


def test_the_weights_are_read_back_by_the_safetensors_library(runs, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    export([runs("mlp"), "--state-dict", str(tmp_path / "out.safetensors")])
    network = trainlab.load(runs("mlp"))
    with safetensors.safe_open(tmp_path / "out.safetensors", "pt") as file:
        expected = network.net.state_dict()
        assert set(file.keys()) == set(expected)
        assert all(torch.equal(file.get_tensor(name), weight) for name, weight in expected.items())
        told = {name: json.loads(value) for name, value in file.metadata().items()}
    assert told["classes"] == network.classes
    assert told["mean"] == network.saved.facts.mean
    assert told["config"]["model"]["name"] == "mlp"


def test_a_file_that_says_something_else_is_not_written(runs, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    prepare = exporting.Exported.prepare
    monkeypatch.setattr(exporting.Exported, "prepare", lambda self, images, colours=None: prepare(self, images) * 1.1)
    with pytest.raises(RunError, match="nothing was written"):
        export([runs("mlp"), "--onnx", str(tmp_path / "out.onnx")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["RUN"], "what is to be written"),
        ([], "required: RUN"),
        (["RUN", "--onnx", "out.pb"], "name it out.onnx"),
        (["RUN", "--state-dict", "out.pt"], "name it out.safetensors"),
        (["RUN", "--onnx", "/nonexistent/out.onnx"], "there is no folder /nonexistent"),
        (["RUN", "--state-dict", "/proc/out.safetensors"], "cannot be written"),
        (["/nonexistent", "--state-dict", "out.safetensors"], "/nonexistent does not exist"),
    ],
)
def test_mistakes_are_sentences(runs, words, sentence):
    pytest.importorskip("onnx")
    with pytest.raises(InputError) as error:
        export([word.replace("RUN", runs("mlp")) for word in words])
    assert sentence in str(error.value)


def test_without_the_packages_it_is_said_what_to_install(runs, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package onnx: pip install -e '.\[export\]'"):
        export([runs("mlp"), "--onnx", "out.onnx"])
