"""ImageNet, or any folder of classes, once into a packed set: ``python scripts/pack_images.py SRC OUT --size 256``."""

import sys

from trainlab.command import in_sentences

if __name__ == "__main__":

    @in_sentences
    def main() -> None:
        from trainlab.packer import pack_images

        pack_images(sys.argv[1:])

    main()
