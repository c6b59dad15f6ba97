"""scripts/export.py: a trained network as an ONNX file, its preprocessing included, or its weights as safetensors."""

from __future__ import annotations

import argparse
import copy
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainlab.command.arguments import Arguments
from trainlab.command.load import Network, load
from trainlab.errors import InputError, RunError
from trainlab.recording.terminal import console
from trainlab.survival.atomic import atomic_open

MOST_DIFFERENT = 1e-4  # between ONNX Runtime's probabilities and torch's
BATCHES = (1, 5)  # pictures that are compared at a time: the file takes any number
MOST_BYTES = 2**31 - 2**20  # of the weights in one ONNX file
SEED = 0  # of the pictures that are compared


def export(arguments: Sequence[str]) -> None:
    """Write what the options name, each file whole or not at all. Raises InputError and RunError."""
    options = parse(arguments)
    if options.onnx is None and options.state_dict is None:
        raise InputError("what is to be written? --onnx FILE.onnx, or --state-dict FILE.safetensors.")
    onnx = file_of("--onnx", options.onnx, ".onnx")
    weights = file_of("--state-dict", options.state_dict, ".safetensors")
    for name in (*(("onnx", "onnxscript", "onnxruntime") if onnx else ()), *(("safetensors",) if weights else ())):
        needs(name)
    network = load(options.run)
    out = console()
    if onnx is not None:
        content = onnx_of(network)
        difference = difference_of(content, network)
        write("--onnx", onnx, content)
        shape = ", ".join(map(str, ("N", *input_shape(network))))
        takes = f"points, float32 ({shape})" if network.augmentation is None else f"images, uint8 ({shape})"
        gives = f"probabilities, float32 (N, {len(network.classes)})"
        out.print(f"{onnx}: {takes} → {gives}", soft_wrap=True)
        out.print(f"ONNX Runtime's probabilities differ from torch's by {difference:.1e} at most", soft_wrap=True)
    if weights is not None:
        write("--state-dict", weights, safetensors_of(network))
        count = len(network.saved.weights)
        out.print(f"{weights}: {count} tensors; the classes, mean and configuration as metadata", soft_wrap=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of scripts/export.py. Raises InputError."""
    parser = Arguments(
        prog="python scripts/export.py",
        description="A trained network for other programs; needs the extra 'export'.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory, whose best checkpoint is meant, or a checkpoint")
    parser.add_argument(
        "--onnx",
        metavar="FILE",
        help="network and preprocessing: uint8 images in, probabilities out, any number at a time",
    )
    parser.add_argument("--state-dict", metavar="FILE", help="the weights by their names, as safetensors")
    return parser.parse_args(list(arguments))


def file_of(option: str, name: str | None, suffix: str) -> Path | None:
    """The path of a file to write; None where none is asked for. Raises InputError for a name that does not fit, or
    where no file can be.
    """
    if name is None:
        return None
    path = Path(name)
    if path.suffix != suffix:
        raise InputError(f"{option} {name} would be a file of another kind", hint=f"name it {path.with_suffix(suffix)}")
    if path.is_dir() or not path.parent.is_dir():
        why = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InputError(f"{option} {name} cannot be written ({why})", hint="choose another place")
    return path


def needs(name: str) -> None:
    """Raises InputError where a package of the extra is missing; known before the network is read."""
    from importlib.util import find_spec

    if find_spec(name) is None:
        raise InputError(f"scripts/export.py needs the package {name}: pip install -e '.[export]'.")


class Exported(nn.Module):
    """A network with its preprocessing, in operations that ONNX has: from uint8 (N, C, S, S), or float32 (N, F), to
    probabilities.
    """

    mean: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.net, self.loss = copy.deepcopy(network.net), network.loss
        self.augmentation = copy.copy(network.augmentation)
        if self.augmentation is not None:
            assert self.augmentation.mean is not None
            self.register_buffer("mean", 255 * self.augmentation.mean[:, None, None], persistent=False)
            # As `Augmentation.normalize`, which works in place on a few images at a time
            self.augmentation.normalize = self.normalize  # type: ignore[method-assign]
            getattr(self.augmentation, "places", None)  # found out now, and in the graph as numbers
        self.eval().requires_grad_(False)

    def normalize(self, images: Tensor, colours: Tensor | None = None) -> Tensor:
        """Images of 0 to 255, uint8 or float (N, C, H, W) → float32: the mean subtracted, then divided by 255. colours:
        not used in a test.
        """
        return (images.float() - self.mean) * (1 / 255)

    def forward(self, inputs: Tensor) -> Tensor:
        """uint8 images (N, C, H, W), or numbers (N, F) of points → probabilities (N, K), the mean over the test's
        views.
        """
        if self.augmentation is None:
            return self.loss.predict(self.net(inputs))
        views = self.augmentation.test_views(inputs)
        return torch.stack([self.loss.predict(self.net(view)) for view in views]).mean(0)


def input_shape(network: Network) -> tuple[int, ...]:
    """The shape of one example as it is stored: (C, S, S), or (F,) for points."""
    shape = network.saved.facts.input_shape
    return (shape[0],) if network.augmentation is None else (shape[0], network.stored, network.stored)


def examples(network: Network, count: int, seed: int = SEED) -> Tensor:
    """`count` random pictures, or random points, as they are stored."""
    stream = torch.Generator().manual_seed(seed)
    size = (count, *input_shape(network))
    if network.augmentation is None:
        return torch.randn(size, generator=stream)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=stream)


def onnx_of(network: Network) -> bytes:
    """The content of the ONNX file; its metadata holds the names of the classes. Raises InputError and RunError."""
    size = sum(weight.numel() * weight.element_size() for weight in network.saved.weights.values())
    if size > MOST_BYTES:
        raise InputError(
            f"the network's weights take {size / 1000000000.0:.1f} GB, and one ONNX file holds 2",
            hint="use --state-dict",
        )
    takes = "points" if network.augmentation is None else "images"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own parts
            program: Any = torch.onnx.export(
                Exported(network),
                (examples(network, 2),),
                input_names=[takes],
                output_names=["probabilities"],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # of many kinds: torch's tracer, its decompositions, onnxscript
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"torch cannot export model={network.cfg.model.name} to ONNX ({reason}).") from error
    model = program.model_proto
    model.metadata_props.add(key="classes", value=json.dumps(network.classes))
    return model.SerializeToString()


def difference_of(content: bytes, network: Network) -> float:
    """The most by which ONNX Runtime's probabilities differ from `Network.predict`'s. Raises RunError for too much."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    most = 0.0
    for count in BATCHES:
        given = examples(network, count)
        theirs = torch.from_numpy(session.run(None, {name: given.numpy()})[0])
        most = max(most, float((theirs - network.predict(given)).abs().max()))
    if not most <= MOST_DIFFERENT:  # NaN, too
        raise RunError(
            f"ONNX Runtime's probabilities differ from torch's by {most:.1e}, which is more than {MOST_DIFFERENT:.0e}",
            hint="nothing was written",
        )
    return most


def safetensors_of(network: Network) -> bytes:
    """The weights by their names in `net`; classes, input_shape, mean, stored and config as JSON in the metadata."""
    from safetensors.torch import save

    facts = network.saved.facts.plain()
    weights = {name: weight.contiguous() for name, weight in network.net.state_dict().items()}
    return save(weights, {name: json.dumps(value) for name, value in facts.items()})


def write(option: str, path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises InputError where it cannot be."""
    try:
        with atomic_open(path) as file:
            file.write(content)
    except OSError as error:
        raise InputError(
            f"{option} {path} cannot be written ({error.strerror})", hint="choose another place"
        ) from error
