"""Test error of a checkpoint: ``python scripts/evaluate.py ckpt=runs/… [aug=tencrop] [data.root=…]``."""

import sys

from trainlab.command import in_sentences

if __name__ == "__main__":
    if len(sys.argv) == 1 or "--help" in sys.argv or "-h" in sys.argv:
        sys.exit(__doc__)

    @in_sentences
    def main() -> None:
        from trainlab.lean_imports import import_lightning

        import_lightning()
        from trainlab.evaluation import evaluate

        evaluate(sys.argv[1:])

    main()
