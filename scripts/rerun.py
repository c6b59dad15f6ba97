"""A run once more, from its directory alone: ``python scripts/rerun.py RUN_DIR [hydra.run.dir=…]``."""

import sys

from trainlab.command import in_sentences

if __name__ == "__main__":
    if len(sys.argv) == 1 or "--help" in sys.argv or "-h" in sys.argv:
        sys.exit(__doc__)

    @in_sentences
    def main() -> None:
        from trainlab.rerun import rerun

        rerun(sys.argv[1], sys.argv[2:])

    main()
