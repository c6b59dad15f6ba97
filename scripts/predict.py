"""The most probable classes of pictures: ``python scripts/predict.py CKPT IMAGE… [--similar SET]``."""

import sys

from trainlab.command import in_sentences

if __name__ == "__main__":

    @in_sentences
    def main() -> None:
        from trainlab.lean_imports import import_lightning

        import_lightning()
        from trainlab.prediction import predict

        predict(sys.argv[1:])

    main()
