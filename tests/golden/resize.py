#!/usr/bin/env python3
"""Writes resize.txt: what Pillow's Image.resize(size, BILINEAR) makes of generated pictures.

One line a case: seed, style, width, height, new width, new height, the 64-bit FNV-1a hash of the result's
bytes, and for small results the bytes themselves in hexadecimal. tests/data/test_resize.c generates the same
pictures. Needs numpy and Pillow 13 (from which on tall pictures are resized along columns first).
"""
import os

import numpy as np
from PIL import Image

# Up, down, both, odd, one pixel, one axis alone, large reductions, and the network's own size.
SIZES = [
    (1, 1, 1, 1), (1, 1, 5, 3), (5, 3, 1, 1), (2, 2, 3, 3), (3, 3, 2, 2), (7, 5, 7, 5), (7, 5, 3, 5),
    (7, 5, 7, 2), (7, 5, 13, 5), (7, 5, 7, 11), (8, 8, 4, 4), (4, 4, 8, 8), (16, 9, 5, 14), (9, 16, 14, 5),
    (31, 17, 10, 6), (10, 6, 31, 17), (1, 40, 8, 6), (40, 1, 6, 8), (64, 48, 7, 5), (100, 3, 9, 9),
    (255, 2, 4, 3), (33, 33, 32, 32), (32, 32, 33, 33), (999, 5, 2, 2), (5, 999, 2, 2),
    (32, 32, 224, 224), (224, 224, 224, 224), (640, 480, 224, 224), (320, 240, 224, 224),
    (1920, 1080, 224, 224), (225, 223, 224, 224), (96, 128, 224, 224), (448, 448, 224, 224),
    (1000, 333, 77, 501), (720, 1280, 224, 224),
    # Columns shrink by more than twice as much as rows, just as much, and less.
    (20, 31, 15, 20), (20, 30, 15, 20), (20, 29, 15, 20),
]


def picture(seed, style, width, height):
    """Bytes from a hash of their index; style 1 keeps only black and white, style 2 is smooth."""
    i = np.arange(height * width * 3, dtype=np.uint64)
    if style == 2:
        x, y, c = i // 3 % width, i // 3 // width, i % 3
        return ((x * 5 + y * 3 + c * 50 + seed) % 256).astype(np.uint8).reshape(height, width, 3)
    mask = np.uint64(0xFFFFFFFF)
    h = (i * 0x9E3779B1 + seed * 0x85EBCA6B) & mask
    h = ((h ^ (h >> 15)) * 0x2C1B3C6D) & mask
    h = ((h ^ (h >> 12)) * 0x297A2D39) & mask
    b = ((h ^ (h >> 15)) >> 24).astype(np.uint8)
    if style == 1:
        b = np.where(b < 128, 0, 255).astype(np.uint8)
    return b.reshape(height, width, 3)


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resize.txt")
    with open(path, "w", encoding="ascii") as out:
        for n, (w, h, new_w, new_h) in enumerate(SIZES):
            for style in range(3):
                seed = n * 3 + style + 1
                image = Image.fromarray(picture(seed, style, w, h))
                data = image.resize((new_w, new_h), Image.Resampling.BILINEAR).tobytes()
                small = " " + data.hex() if len(data) <= 300 else ""
                out.write(f"{seed} {style} {w} {h} {new_w} {new_h} {fnv(data):016x}{small}\n")


if __name__ == "__main__":
    main()
