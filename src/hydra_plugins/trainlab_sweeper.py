"""Hydra finds its sweeper here: ``hydra/sweeper=listed``, the default under ``-m``."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class ListedSweeper(BasicSweeper):
    """Hydra's own, without composing each point only to see that it can be done: the launchers here do that before they
    begin with any.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """See `Sweep.launch`."""
