"""`trainlab.load`: a trained network to be asked from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from trainlab.command.pictures import BATCH, as_pictures, as_points
from trainlab.errors import InputError
from trainlab.survival.trained import Trained, read_trained

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Picture: TypeAlias = "str | os.PathLike[str] | Image | Tensor | np.ndarray"
    Pictures: TypeAlias = "Picture | Sequence[Picture]"


@dataclass(frozen=True)
class Network(Trained):
    """A trained network with what belongs to it.

    net: the `torch.nn.Module` in evaluation mode, on the CPU; it takes what `preprocess` gives.
    classes: their names, in the order of the probabilities.
    cfg: the configuration of its run. loss: its objective's data term. augmentation: how its images were prepared.
    """

    def predict(self, images_or_paths: Pictures) -> Tensor:
        """The probability of each class: float32 (N, K), a row for each picture in the order given, on the CPU.

        images_or_paths: one picture or a list of them, each a path, one of Pillow's images or a uint8 array (C, H, W);
        or a uint8 array or tensor (N, C, H, W), values 0 to 255, with one channel (grey) or three (red, green, blue).
        Of any size and kind: as in scripts/predict.py the centre square is scaled to the size of the run's images, and
        colours become grey where the network knows only grey.
        For a network of points: numbers (N, F), or (F,) for one, as its data set gives them (standardised).

        The rows are averaged over the views that the run tests with (ten crops of aug=tencrop), and are computed in
        float32. With loss=half_mse they are the network's outputs, which are near 0 and 1 but sum to nothing certain.

        Raises trainlab.errors.InputError for what is no picture, or cannot be decoded.

            network = trainlab.load("runs/mine")
            probabilities = network.predict(["cat.jpg", "dog.png"])
        """
        if self.augmentation is None:
            points = as_points(images_or_paths, self.saved.facts.input_shape[0])
            with torch.inference_mode():
                return self.loss.predict(self.net(points.to(self.device))).cpu()
        images = as_pictures(images_or_paths, self)
        return torch.cat([self.probabilities(part.to(self.device)).cpu() for part in images.split(BATCH)])

    def predict_classes(self, images_or_paths: Pictures) -> list[str]:
        """The name of the most probable class of each picture; takes what `predict` takes."""
        return [self.classes[k] for k in self.predict(images_or_paths).argmax(1).tolist()]

    def preprocess(self, images_or_paths: Pictures) -> Tensor:
        """What `net` is given: of pictures float32 (N, C, size, size), the centre view; of points float32 (N, F).

        For those who go on with torch: `network.net(network.preprocess("cat.jpg"))` are the network's outputs.
        """
        if self.augmentation is None:
            return as_points(images_or_paths, self.saved.facts.input_shape[0])
        return self.augmentation.test(as_pictures(images_or_paths, self))

    @property
    def device(self) -> torch.device:
        """Where the network's weights are; `network.net.to("cuda")` moves them."""
        return next(self.net.parameters()).device


def load(run: str | os.PathLike[str]) -> Network:
    """See `trainlab.load`."""
    if not isinstance(run, str | os.PathLike):
        raise InputError(f"a run is named by its directory or a checkpoint, such as 'runs/mine', and not by {run!r}.")
    with torch.random.fork_rng(devices=[]):  # weights are drawn before those of the file take their place
        trained = read_trained(os.fspath(run))
    return Network(trained.saved, trained.cfg, trained.net, trained.loss, trained.augmentation)
