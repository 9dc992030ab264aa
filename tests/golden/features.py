#!/usr/bin/env python3
"""Makes tests/golden/features: what pyAudioAnalysis says of signals that test_features.c makes too, and digests
of real recordings.

    features.py [--data FOLDER]

Needs numpy, scipy and pyAudioAnalysis (0.3.14 made the files). Without --data the digests stay as they are.
"""
import argparse
import os

import numpy as np
from scipy.io import wavfile

import reference

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "features")


# ---- signals: whole numbers only, so that C makes the same ---------------------------------------------------

def noise(i, seed):
    """SplitMix64 of the sample's number, its upper 16 bits, around 0."""
    mask = (1 << 64) - 1
    out = np.empty(len(i), np.int64)
    for n, k in enumerate(i):
        z = ((seed << 32) + int(k)) * 0x9E3779B97F4A7C15 & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        out[n] = ((z ^ z >> 31) >> 48) - 32768
    return out


def triangle(i, rate, frequency):
    """From 32768 down to -32768 and up again, `frequency` times a second."""
    phase = i * frequency * 65536 // rate % 65536
    return np.abs(phase - 32768) * 2 - 32768


def tones(i, rate):
    """A voice, roughly: two tones and noise that swell five times a second."""
    swell = triangle(i, rate, 5) + 32768
    x = 3 * triangle(i, rate, 220) + 2 * triangle(i, rate, 1730) + noise(i, 1)
    return x * swell // 65536 // 8


def signal(kind, rate, samples):
    i = np.arange(samples, dtype=np.int64)
    third = samples // 3
    x = {
        "tones": lambda: tones(i, rate),
        "silence": lambda: 0 * i,
        "offset": lambda: 0 * i + 1000,
        "clipped": lambda: tones(i, rate) * 9,
        "tiny": lambda: noise(i, 2) // 32768,
        "shifted": lambda: 12000 + noise(i, 3) // 64,
        # The mean is not 0, so the silence in the middle is a constant.
        "gaps": lambda: np.where(i < third, tones(i, rate), np.where(i < 2 * third, 0, 9000 + noise(i, 4) // 8)),
        # After a start as loud as can be, so little that an eps of 1e-8 is more.
        "quiet": lambda: np.where(i < 100, i % 2 * 65534 - 32767, noise(i, 6) // 16384),
        "hum": lambda: triangle(i, rate, 97) // 2 + noise(i, 5) // 4096,
    }[kind]()
    return np.clip(x, -32768, 32767).astype(np.int16)


# kind, rate, samples, whether as older releases did
CASES = [("tones", rate, int(0.2 * rate)) for rate in
         (6989, 7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)]
CASES += [("silence", 16000, 900), ("offset", 16000, 900), ("clipped", 16000, 2400), ("tiny", 16000, 2400),
          ("shifted", 22050, 2400), ("hum", 16000, 4800), ("hum", 44100, 9000),
          ("tones", 16000, 400), ("tones", 44100, 1102), ("tones", 44120, 3000)]
CASES += [("gaps", rate, int(0.2 * rate)) for rate in (8000, 11025, 16000, 44100)]
CASES = [case + (False,) for case in CASES]
CASES += [("silence", 16000, 900, True), ("gaps", 16000, 3200, True), ("tones", 16000, 2400, True),
          ("quiet", 16000, 1600, True)]


def make_cases():
    with open(os.path.join(HERE, "cases.txt"), "w") as index:
        for kind, rate, samples, old in CASES:
            x = signal(kind, rate, samples)
            module = reference.OLD if old else reference.NOW
            with np.errstate(divide="ignore", invalid="ignore"):
                value = np.hstack([reference.features(x, rate, module), reference.harmonic(x, rate, module)])
            name = f"{kind}-{rate}-{samples}{'-old' if old else ''}"
            np.save(os.path.join(HERE, name + ".npy"), value)
            index.write(f"{name} {kind} {rate} {samples} {1e-8 if old else 0}\n")


# ---- recordings ----------------------------------------------------------------------------------------------

def digest(path):
    """Sums, sums of squares, and the first, middle and last window."""
    rate, x = wavfile.read(path)
    assert x.dtype == np.int16, path
    value = reference.features(x.mean(axis=1) if x.ndim == 2 else x, rate)
    return np.stack([value.sum(axis=0), (value ** 2).sum(axis=0), value[0], value[len(value) // 2], value[-1]])


def make_digests(data):
    speech = sorted(f"emodb/{name}" for name in os.listdir(os.path.join(data, "emodb")) if name.endswith(".wav"))
    clips = sorted(f"clips/three_class/{name}" for name in os.listdir(os.path.join(data, "clips/three_class")))
    names = speech[::20] + ["clips/3words.wav", "clips/doremi.wav", "clips/jumping.wav"] + clips[::17]
    np.save(os.path.join(HERE, "recordings.npy"), np.stack([digest(os.path.join(data, name)) for name in names]))
    with open(os.path.join(HERE, "recordings.txt"), "w") as index:
        index.writelines(name + "\n" for name in names)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", help="a folder with emodb/ and clips/")
    args = parser.parse_args()
    os.makedirs(HERE, exist_ok=True)
    make_cases()
    if args.data:
        make_digests(args.data)


if __name__ == "__main__":
    main()
