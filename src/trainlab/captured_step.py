"""A step of gradient descent that is recorded once on a GPU and then replayed, so that Python launches no kernel of it.

A small net's step is some forty kernels of a few microseconds each, and launching one from Python takes as long. What
may differ from step to step lies in fixed memory: the batch, the learning rates, the ratios that `Momentum` needs where
they change. Source: torch's "CUDA semantics", CUDA Graphs, whole-network capture.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainlab.objective import Loss
from trainlab.optim import GradientDescent

WARM_UP = 3  # steps that are not captured: libraries choose their kernels, the optimiser makes its state


class Graphs(Protocol):
    """Where the work is captured. `CudaGraphs`, and what stands for it in a test."""

    def beside(self) -> AbstractContextManager[Any]:
        """Work in here is out of the way of a capture to come."""

    def capture(self, work: Callable[[], tuple[Tensor, Tensor]]) -> tuple[tuple[Tensor, Tensor], Callable[[], Any]]:
        """Record `work` without doing it. Returns the tensors that it makes, and what does it and fills them anew."""


class CudaGraphs:
    @contextmanager
    def beside(self) -> Any:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            yield
        torch.cuda.current_stream().wait_stream(stream)

    def capture(self, work: Callable[[], tuple[Tensor, Tensor]]) -> tuple[tuple[Tensor, Tensor], Callable[[], Any]]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            made = work()
        return made, graph.replay


class CapturedStep:
    """Steps on batches of one shape. The first few are done as they are, then one is captured and replayed.

    optimizer: whose rates may change at any time, and which may also make steps by itself in between.
    """

    def __init__(self, net: nn.Module, loss: Loss, optimizer: GradientDescent, graphs: Graphs) -> None:
        self.net, self.loss, self.optimizer, self.graphs = net, loss, optimizer, graphs
        self.steps = 0
        self.replay: Callable[[], Any] | None = None

    def __call__(self, inputs: Tensor, labels: Tensor, step: Callable[..., Any]) -> tuple[Tensor, Tensor]:
        """One step: the outputs (B, K) and the loss of before it, without gradients.

        step: the optimiser's `step`, or what counts it and passes on what it is given.
        """
        self.steps += 1
        if self.steps <= WARM_UP:
            with self.graphs.beside():
                outputs, loss = self.gradients(inputs, labels)
                step()
            return outputs, loss
        if self.replay is None:
            self.capture(inputs, labels)
        assert self.replay is not None
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.set_rates()
        step(update=self.replay)
        outputs, loss = self.made
        return outputs.clone(), loss.clone()  # the next step writes where they lie

    def gradients(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self.optimizer.zero_grad()
        outputs = self.net(inputs)
        loss = self.loss(outputs, labels)
        loss.backward()
        return outputs.detach(), loss.detach()

    def capture(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs, self.labels = inputs.clone(), labels.clone()
        groups = self.optimizer.param_groups
        self.rates = [torch.tensor(float(group["lr"]), device=inputs.device) for group in groups]
        self.ratios = [torch.ones((), device=inputs.device) for _ in groups]
        self.known = [(float(group["lr"]), 1.0) for group in groups]

        def work() -> tuple[Tensor, Tensor]:
            made = self.gradients(self.inputs, self.labels)
            self.optimizer.step_from_memory(self.rates, self.ratios)
            return made

        self.made, self.replay = self.graphs.capture(work)

    def set_rates(self) -> None:
        """Put this step's learning rates where the graph reads them, if they are others than before."""
        wanted = self.optimizer.rates_and_ratios()
        for rate, ratio, (new_rate, new_ratio), (old_rate, old_ratio) in zip(
            self.rates, self.ratios, wanted, self.known, strict=True
        ):
            if new_rate != old_rate:
                rate.fill_(new_rate)
            if new_ratio != old_ratio:
                ratio.fill_(new_ratio)
        self.known = wanted
