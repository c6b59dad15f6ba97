"""What the group `debug` adds to a run: examples that have to be learned by heart, and where a NaN comes from."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from trainlab.errors import RunError
from trainlab.recording.terminal import console

RETURNED_NAN = re.compile(r"Function '(\w+)' returned nan values")  # torch's anomaly mode


class MustLearn(Callback):
    """At the end of the training, raises RunError if the last error on the training set was not 0; otherwise prints
    that it was.
    """

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say that everything was learned, or raise RunError where the training error is not 0."""
        error = float(trainer.callback_metrics["train/top1_error"])
        examples = len(trainer.datamodule.sets.train)  # type: ignore[attr-defined]
        if error == 0:
            if trainer.is_global_zero:
                said = f"the {examples} training examples are learned by heart after {trainer.current_epoch} epochs"
                console().print(said, soft_wrap=True)
            return
        loss, lr = float(trainer.callback_metrics["train/loss"]), trainer.optimizers[0].defaults["lr"]
        raise RunError(
            f"the {examples} training examples were not learned: after {trainer.current_epoch} epochs "
            f"their error is {error:.0%} and their loss {loss:.3g}",
            hint=(
                f"try optim.lr={lr * 10:g} or {lr / 10:g}, or a trainer.max_epochs above "
                f"{trainer.max_epochs}, and if nothing helps look for a mistake in the network, the loss "
                "or the labels (a linear network cannot learn every set)"
            ),
        )


class Watch:
    """Looks at the outputs and gradients of each layer of `net` in every step. trainer: tells which step it is."""

    def __init__(self, net: nn.Module, trainer: L.Trainer) -> None:
        self.net, self.trainer = net, trainer
        self.names = {m: name or "the network" for name, m in net.named_modules() if not any(m.children())}
        self.reached = "the loss"  # on the way back: where the last gradient that was computed went into

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, the first value that is infinite or not a number is a RunError that names its layer."""
        hooks = [self.net.register_forward_pre_hook(self.check_inputs)]
        hooks += [layer.register_forward_hook(self.check_output) for layer in self.names]
        try:
            with warnings.catch_warnings(), torch.autograd.set_detect_anomaly(True):
                warnings.filterwarnings("ignore", message="Error detected in")  # torch's traceback, said as a sentence
                yield
        except RuntimeError as error:
            found = RETURNED_NAN.search(str(error))
            if found is None:
                raise
            raise RunError(
                f"the gradient becomes NaN on its way back through {self.reached} (operation {found[1]}) in "
                f"{self.moment}, from values that are finite; {self.advice}"
            ) from error
        finally:
            for hook in hooks:
                hook.remove()

    def check_inputs(self, net: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A hook before the network's forward pass. Raises RunError for inputs that are not finite."""
        self.reached = "the loss"
        if not finite(inputs[0]):
            raise RunError(
                f"the inputs of the network hold a NaN or an infinity in {self.moment}, before its first layer",
                hint="look at the data",
            )

    def check_output(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """A hook after a layer's forward pass; also remembers the layer once its gradient arrives. Raises RunError for
        an output that is not finite.
        """
        if output.requires_grad:
            output.register_hook(lambda gradient: self.note(layer))
        if finite(output):
            return
        broken = [name for name, parameter in layer.named_parameters() if not finite(parameter)]
        why = f"its {broken[0]} is not finite since the step before" if broken else "from inputs that are finite"
        raise RunError(f"{self.described(layer)} gives a NaN or an infinity in {self.moment}, {why}; {self.advice}")

    def note(self, layer: nn.Module) -> None:
        """Remember the layer as the last one that the gradient has reached."""
        self.reached = self.described(layer)

    def described(self, layer: nn.Module) -> str:
        """A layer by its name in the network and its class, for a sentence."""
        return f"the layer {self.names[layer]} ({type(layer).__name__})"

    @property
    def moment(self) -> str:
        """The epoch, and the step or the validation, for a sentence; counted from 1."""
        where = f"epoch {self.trainer.current_epoch + 1}"
        return f"{where}, step {self.trainer.global_step + 1}" if self.trainer.training else f"{where}, validation"

    @property
    def advice(self) -> str:
        """What to try, as the end of a sentence."""
        lr = self.trainer.optimizers[0].defaults["lr"]
        return f"try a smaller learning rate, such as optim.lr={lr / 10:g}, or look at that operation."


def finite(values: Tensor) -> bool:
    """Whether no value of the tensor is infinite or not a number."""
    return bool(torch.isfinite(values).all())
