"""A network for other programs: ``python scripts/export.py RUN --onnx out.onnx --state-dict out.safetensors``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.export", "export", lightning=True)
