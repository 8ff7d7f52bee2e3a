# /// script
# requires-python = ">=3.11"
# dependencies = ["pillow==13.0.0", "numpy==2.4.6"]
# ///
"""Pillow's side of `cargo xtask bench --faces DIR`: what Pillow alone does with the same photographs.

    python crates/train/benches/peer_pillow.py PROCESSES

Reads `prepare DIR` a line, decodes each photograph of the people with at least six, resizes it with
Pillow's bilinear filter and keeps the pixels as u8; nothing is written, no digest is taken. Prints the
seconds. At `peak` it prints the most memory that it has held, without its workers, in bytes.
"""

import multiprocessing
import pathlib
import sys
import time

import numpy
import PIL
from PIL import Image

MIN_FACES = 6
SIDE = 224


def prepare(path):
    with Image.open(path) as photograph:
        pixels = photograph.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return int(numpy.asarray(pixels).sum(dtype=numpy.int64))


def peak():
    """The most memory that this process has held; that of its workers is not counted."""
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main():
    processes = int(sys.argv[1])
    print(f"Pillow {PIL.__version__}", flush=True)
    for line in sys.stdin:
        case, _, faces = line.strip().partition(" ")
        if case == "peak":
            print(peak(), flush=True)
            continue
        start = time.perf_counter()
        people = [sorted(person.glob("*.jpg")) for person in sorted(pathlib.Path(faces).iterdir())]
        photographs = [path for person in people if len(person) >= MIN_FACES for path in person]
        with multiprocessing.Pool(processes) as pool:
            sum(pool.imap(prepare, photographs, chunksize=16))
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
