"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
NeurIPS 2012, §3 (lecture: "Cerremos con un caso de estudio"), with every trick a switch."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainlab.errors import InputError
from trainlab.models.activations import activation as activation_named
from trainlab.models.initial_weights import initialise
from trainlab.models.published_weights import published_weights
from trainlab.models.response_normalisation import LocalResponseNorm, SpatialResponseNorm

MIDDLE = ("conv3", "conv4", "conv5")


class CeilPad(nn.Module):
    """Pads right and bottom with zeros, so that the last window of conv1 fits (ceil mode).

    224 → 227, hence 55 = 1 + ⌈(224 − 11)/4⌉ outputs: the lecture's "3 zero-padding". (B, C, H, W) → (B, C, H′, W′).
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H′, W′), with zeros on the right and below."""
        below, right = (-(side - self.kernel) % self.stride for side in x.shape[-2:])
        return F.pad(x, (0, right, 0, below))

    def extra_repr(self) -> str:
        """For the printed network."""
        return f"kernel={self.kernel}, stride={self.stride}"


@dataclass(frozen=True)
class Switches:
    """The choices by which AlexNet departs from the paper, with the paper's as defaults; `AlexNet` explains each."""

    variant: str = "paper"
    groups: int = 2
    width: str = "full"
    conv3_cross_tower: bool = True
    lrn: bool = True
    pool: str = "overlapping"
    drop_layer: str | None = None
    activation: str = "relu"

    def check(self) -> None:
        """Raises InputError for values that do not go together."""
        for name, known in (
            ("variant", ("paper", "code2012", "torchvision")),
            ("groups", (1, 2)),
            ("width", ("full", "half")),
            ("pool", ("overlapping", "non_overlapping")),
            ("drop_layer", (None, *MIDDLE)),
        ):
            value = getattr(self, name)
            assert value in known, f"{name}={value} is unknown; use one of {', '.join(map(str, known))}"
        if not self.conv3_cross_tower and self.groups == 1:
            raise InputError(
                "model.conv3_cross_tower=false cuts links between two towers, and model.groups=1 has only one."
            )
        if self.variant == "torchvision":
            for field in fields(self)[1:]:
                if getattr(self, field.name) != field.default:
                    raise InputError(
                        f"model.variant=torchvision is torchvision's own network, without model.{field.name}."
                    )


class AlexNet(nn.Module):
    """Five convolutions and three dense layers; 60,965,224 parameters for 224×224×3 and 1000 classes.

    variant:
        paper: as §3 says.
        code2012: the network of the released 2012 code where it departs from the paper. LRN stays within each tower
            and its α is divided by n; in the first layer LRN and pooling come before the activation; a
            normalisation across space follows the second LRN; conv3–5 start from N(0, 0.03²) with ``init="paper"``.
        torchvision: torchvision's network ("One weird trick", Krizhevsky 2014), bit for bit and with its
            state_dict's names; it has none of the switches below but ``dropout`` and ``init``.
    groups: 2 is the two-GPU network (conv2, conv4 and conv5 see the maps of their own GPU only), 1 the network whose
        weights the lecture counts. width: "full", or "half" the kernels in conv1–4: with groups=1 the network of one
        GPU that §3.2 compares with. conv3_cross_tower: whether conv3 sees the maps of both GPUs. lrn: local response
        normalisation (§3.3). pool: "overlapping", 3×3 windows with stride 2 (§3.4), or "non_overlapping", 2×2 ones.
        drop_layer: the one of conv3, conv4 and conv5 to leave out (§7). dropout: the share of neurons switched off in
        fc6 and fc7 (§4.2). fc6 is sized to the input.
    init: "paper" is N(0, 0.01²), with biases of one in conv2, conv4, conv5, fc6 and fc7 (§5).
    weights: "torchvision" takes its published weights (ILSVRC-2012), with variant="torchvision"; where the classes are
        not 1000 the last layer starts anew. standardised: inputs are divided by ImageNet's deviations, as these weights
        want it.

    (B, C, H, W) with H = W ≥ 63 → (B, classes). Raises InputError for values that do not go together.
    """

    min_size = 63
    usual_input = ((3, 224, 224), 1000)  # image shape and classes, for a layer table without data

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int,
        *,
        variant: str = "paper",
        groups: int = 2,
        width: str = "full",
        conv3_cross_tower: bool = True,
        lrn: bool = True,
        pool: str = "overlapping",
        drop_layer: str | None = None,
        activation: str = "relu",
        dropout: float = 0.5,
        init: str = "paper",
        weights: str | None = None,
        standardised: bool = False,
    ) -> None:
        super().__init__()
        channels, rows, columns = image_shape
        if rows != columns or rows < self.min_size:
            raise InputError(f"AlexNet needs square images of at least {self.min_size} pixels, not {rows}×{columns}.")
        switches = Switches(variant, groups, width, conv3_cross_tower, lrn, pool, drop_layer, activation)
        switches.check()
        assert weights in (None, "torchvision"), f"weights={weights} is unknown; use torchvision, or None"
        if weights and variant != "torchvision":
            raise InputError(
                "model.weights=torchvision fits torchvision's network only", hint="add model.variant=torchvision"
            )
        self.variant = variant
        if variant == "torchvision":
            self._build_torchvisions(channels, classes, dropout, init, weights)
            if weights or standardised:  # ours are not divided by the deviation of each channel, as theirs were
                self.deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        else:
            self._build(image_shape, classes, switches, dropout)
            self._initialise(init)

    def _build(self, image_shape: tuple[int, int, int], classes: int, switches: Switches, dropout: float) -> None:
        code2012 = switches.variant == "code2012"

        def act() -> nn.Module:
            return activation_named(switches.activation)

        def normalise() -> list[nn.Module]:
            if not switches.lrn:
                return []
            # The paper's formula has α = 1e-4 as it stands; the code, like torch, divides it by n = 5.
            within = {"alpha": 1e-4, "towers": switches.groups} if code2012 else {"alpha": 5e-4}
            return [LocalResponseNorm(**within)]  # type: ignore[arg-type]

        def shrink() -> nn.Module:
            # Windows may hang over, as in 2012. Both halve any side alike.
            return nn.MaxPool2d(3, 2, ceil_mode=True) if switches.pool == "overlapping" else nn.MaxPool2d(2, 2)

        def after_conv1() -> list[nn.Module]:
            return [*normalise(), shrink(), act()] if code2012 else [act(), *normalise(), shrink()]

        across_space = [SpatialResponseNorm(size=5, alpha=1e-3)] if code2012 and switches.lrn else []
        # Halved is all but conv5, so that fc6, which has most of the weights, stays as it is (footnote of §3.2).
        first, second, middle = (48, 128, 192) if switches.width == "half" else (96, 256, 384)
        groups = switches.groups
        self.conv1 = nn.Sequential(CeilPad(11, 4), nn.Conv2d(image_shape[0], first, 11, 4), *after_conv1())
        self.conv2 = nn.Sequential(
            nn.Conv2d(first, second, 5, padding=2, groups=groups), act(), *normalise(), *across_space, shrink()
        )
        maps, conv3_groups = second, 1 if switches.conv3_cross_tower else 2
        for name, out, own in (("conv3", middle, conv3_groups), ("conv4", middle, groups), ("conv5", 256, groups)):
            if name != switches.drop_layer:
                self.add_module(name, nn.Sequential(nn.Conv2d(maps, out, 3, padding=1, groups=own), act()))
                maps = out
        self.pool5 = shrink()
        with torch.no_grad():
            flat = self.maps(torch.zeros(1, *image_shape)).numel()
        self.fc6 = nn.Sequential(nn.Flatten(), nn.Linear(flat, 4096), act(), nn.Dropout(dropout))
        self.fc7 = nn.Sequential(nn.Linear(4096, 4096), act(), nn.Dropout(dropout))
        self.fc8 = nn.Linear(4096, classes)

    def _initialise(self, init: str) -> None:
        initialise(self, init)
        if init != "paper":
            return
        for name, block in self.named_children():
            for layer in block.modules():
                if not isinstance(layer, nn.Conv2d | nn.Linear) or layer.bias is None:
                    continue
                if name in ("conv2", "conv4", "conv5", "fc6", "fc7"):
                    nn.init.ones_(layer.bias)
                if self.variant == "code2012" and name in MIDDLE:
                    nn.init.normal_(layer.weight, std=0.03)

    def _build_torchvisions(self, channels: int, classes: int, dropout: float, init: str, weights: str | None) -> None:
        from torchvision.models import AlexNet as Torchvisions

        theirs = Torchvisions(classes, dropout)
        if channels != 3:
            theirs.features[0] = nn.Conv2d(channels, 64, 11, 4, 2)
        self.features, self.avgpool, self.classifier = theirs.features, theirs.avgpool, theirs.classifier
        initialise(self, init)
        self.register_buffer("deviation", torch.ones(1), persistent=False)
        if weights:
            if channels != 3:
                raise InputError(
                    f"model.weights=torchvision are for colour images, and these have {channels} channels."
                )
            published = published_weights()
            if classes != len(published["classifier.6.bias"]):
                published = {k: w for k, w in published.items() if not k.startswith("classifier.6.")}
            self.load_state_dict(published, strict=False)

    def maps(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the pooled maps of the last convolution, (B, 256, 6, 6) for 224 pixels."""
        if self.variant == "torchvision":
            return self.avgpool(self.features(x / self.deviation))
        for name, block in self.named_children():
            if name.startswith(("conv", "pool")):
                x = block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Float images (B, C, H, W) → logits (B, classes)."""
        if self.variant == "torchvision":
            return self.classifier(self.maps(x).flatten(1))
        return self.fc8(self.fc7(self.fc6(self.maps(x))))
