"""A bound on the memory that a network takes, kept while it is made: before the memory is asked for, not after."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)


class WeightBudget(TorchFunctionMode):
    """A context in which tensors of at most `most` values in all can be made; for one beyond that it raises
    `refusal()`.

    It watches torch's factory functions, by which the layers of ``torch.nn`` make their weights, so that the memory
    is not asked for before it is known to be there.
    """

    def __init__(self, most: float, refusal: Callable[[], Exception]) -> None:
        super().__init__()
        self.left, self.refusal = most, refusal

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES:
            size = kwargs.get("size", args)
            while len(size) and not isinstance(size[0], int):  # torch.empty((2, 3)) as well as torch.empty(2, 3)
                size = size[0]
            self.left -= math.prod(size)
            if self.left < 0:
                raise self.refusal()
        return func(*args, **kwargs)
