"""ImageNet, or any folder of classes, once into a packed set: ``python scripts/pack_images.py SRC OUT --size 256``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.packer", "pack_images")
