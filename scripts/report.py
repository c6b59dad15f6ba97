"""One table and figures of many runs: ``python scripts/report.py runs/sweeps/NAME --table``."""

import sys

from trainlab.command import in_sentences

if __name__ == "__main__":

    @in_sentences
    def main() -> None:
        from trainlab.sweeps.report import report

        report(sys.argv[1:])

    main()
