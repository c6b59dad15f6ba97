"""Test error of a checkpoint: ``python scripts/evaluate.py ckpt=runs/… [aug=tencrop] [data.root=…]``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.evaluation", "evaluate", usage=__doc__, lightning=True)
