#!/usr/bin/env python3
"""Writes pictures/: small JPEG files of every kind that is read, and what Pillow decodes of each (NAME.rgb, its
bytes in order). Decoders differ by a few levels (inverse DCT, chroma upsampling). Needs numpy and Pillow."""
import os

import numpy as np
from PIL import Image

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pictures")


def main():
    os.makedirs(FOLDER, exist_ok=True)
    y, x = np.mgrid[0:13, 0:21]
    pixels = np.stack([x * 12, y * 19, 255 - x * 6 - y * 8], axis=2).astype(np.uint8)
    rgb = Image.fromarray(pixels)
    kinds = {
        "baseline420": (rgb, {"subsampling": 2}),
        "baseline444": (rgb, {"subsampling": 0}),
        "progressive": (rgb, {"subsampling": 2, "progressive": True}),
        "restart": (rgb, {"subsampling": 2, "restart_marker_blocks": 1}),
        "grey": (rgb.convert("L"), {}),
        "cmyk": (rgb.convert("CMYK"), {}),
    }
    for name, (image, options) in kinds.items():
        path = os.path.join(FOLDER, name)
        image.save(path + ".jpg", quality=95, optimize=True, **options)
        with open(path + ".rgb", "wb") as out:
            out.write(Image.open(path + ".jpg").convert("RGB").tobytes())


if __name__ == "__main__":
    main()
