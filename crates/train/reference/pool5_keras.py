# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "tensorflow-cpu==2.21.0", "safetensors==0.8.0", "numpy==2.4.6"]
# ///
"""Holds a features file of this project against Keras on the same weights and the same pixels.

    python crates/train/reference/pool5_keras.py WEIGHTS.h5 PREPARED FEATURES.safetensors [--images 64]

WEIGHTS.h5 is the Keras file that `convert-weights` was given (`block1_conv1` naming), PREPARED the
prepared set, FEATURES what `features --layer pool5` made of it. Takes images evenly from the set
and prints the largest difference, relative to the root mean square of Keras's features.
"""

import argparse
import json
import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy
from safetensors import safe_open

TOLERANCE = 1e-4  # relative; the issue's own


def pixels(prepared, indices):
    """u8 RGB (n, 3, side, side) of these images."""
    shards = sorted(prepared.glob("pixels-*.safetensors"))
    taken, first = {}, 0
    for shard in shards:
        with safe_open(shard, "numpy") as file:
            rows = file.get_slice("pixels")
            count = rows.get_shape()[0]
            for index in indices:
                if first <= index < first + count:
                    taken[index] = rows[index - first : index - first + 1]
            first += count
    return numpy.concatenate([taken[index] for index in indices])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("weights")
    arguments.add_argument("prepared", type=pathlib.Path)
    arguments.add_argument("features")
    arguments.add_argument("--images", type=int, default=64)
    arguments = arguments.parse_args()

    manifest = json.loads((arguments.prepared / "manifest.json").read_text())
    total = len(manifest["images"])
    indices = [round(i) for i in numpy.linspace(0, total - 1, min(arguments.images, total))]
    rgb = pixels(arguments.prepared, indices).transpose(0, 2, 3, 1).astype(numpy.float32)
    images = keras.applications.vgg16.preprocess_input(rgb)

    side = images.shape[1]
    network = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(side, side, 3)
    )
    network.load_weights(arguments.weights)
    expected = numpy.concatenate(
        [network.predict(images[i : i + 8], verbose=0) for i in range(0, len(images), 8)]
    ).transpose(0, 3, 1, 2)

    with safe_open(arguments.features, "numpy") as file:
        rows = file.get_slice("features")
        found = numpy.concatenate([rows[index : index + 1] for index in indices])

    scale = numpy.sqrt(numpy.mean(expected.astype(numpy.float64) ** 2))
    difference = numpy.abs(found.astype(numpy.float64) - expected).max() / scale
    print(
        f"{len(indices)} images, pool5 {expected.shape[1:]}, root mean square {scale:.4f}, "
        f"largest difference {difference:.2e} of it"
    )
    if not difference < TOLERANCE:
        sys.exit(f"expected below {TOLERANCE}")


if __name__ == "__main__":
    main()
