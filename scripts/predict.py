"""The most probable classes of pictures: ``python scripts/predict.py CKPT IMAGE… [--similar SET]``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.prediction", "predict", lightning=True)
