"""Speed beside a bare loop and the usual ways: ``python scripts/benchmark.py [--quick]``."""

from trainlab.command import in_sentences

if __name__ == "__main__":
    import sys

    @in_sentences
    def main() -> None:
        from trainlab.benchmark.report import benchmark

        benchmark(sys.argv[1:])

    main()
