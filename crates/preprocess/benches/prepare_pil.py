# /// script
# requires-python = ">=3.11"
# dependencies = ["pillow==13.0.0", "numpy==2.4.6"]
# ///
"""The peer of `prepare`: what Pillow alone does with the same photographs, in two processes.

    python crates/preprocess/benches/prepare_pil.py FACES [--min-faces 6] [--side 224] [--processes 2]

Decodes each photograph of the people with enough of them, resizes it with Pillow's bilinear filter
and keeps the pixels as u8; nothing is written, no digest is taken. Prints photographs a second.
"""

import argparse
import multiprocessing
import pathlib
import time

import numpy
from PIL import Image


def prepare(task):
    path, side = task
    with Image.open(path) as photograph:
        pixels = photograph.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return int(numpy.asarray(pixels).sum(dtype=numpy.int64))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("faces", type=pathlib.Path)
    arguments.add_argument("--min-faces", type=int, default=6)
    arguments.add_argument("--side", type=int, default=224)
    arguments.add_argument("--processes", type=int, default=2)
    arguments = arguments.parse_args()
    start = time.perf_counter()
    people = [sorted(person.glob("*.jpg")) for person in sorted(arguments.faces.iterdir())]
    tasks = [
        (photograph, arguments.side)
        for photographs in people
        if len(photographs) >= arguments.min_faces
        for photograph in photographs
    ]
    with multiprocessing.Pool(arguments.processes) as pool:
        checksum = sum(pool.imap(prepare, tasks, chunksize=16))
    seconds = time.perf_counter() - start
    print(f"{len(tasks)} photographs in {seconds:.2f} s, {len(tasks) / seconds:.0f} a second ({checksum})")


if __name__ == "__main__":
    main()
