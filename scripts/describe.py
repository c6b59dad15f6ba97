"""The layer table of a network: ``python scripts/describe.py model=alexnet [data=…] [describe.classes=10]``."""

import sys

from trainlab.command import in_sentences

if __name__ == "__main__":
    if "--help" in sys.argv or "-h" in sys.argv:
        sys.exit(__doc__)

    @in_sentences
    def main() -> None:
        from trainlab.lean_imports import import_lightning

        import_lightning()
        from trainlab.description import describe

        describe(sys.argv[1:])

    main()
