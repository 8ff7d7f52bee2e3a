"""What the scripts that run exported files share: the images, what is expected of them, the verdict."""

import argparse
import pathlib
import sys

import numpy
from safetensors import safe_open
from safetensors.numpy import load_file

TOLERANCE = 1e-4  # of the largest expected value
BGR_MEANS = {
    "vggface-v1": [93.5940, 104.7624, 129.1863],
    "vggface-v2": [91.4953, 103.8827, 131.0912],
    "imagenet": [103.939, 116.779, 123.68],
    "torchvision": [103.53, 116.28, 123.675],
    "none": [0, 0, 0],
}


def parse():
    """The exported file, RGB pixels (n, 3, side, side) of 0 to 255, evenly from the set, and what
    this project's own forward pass makes of them, in f64."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("exported")
    arguments.add_argument("prepared", type=pathlib.Path)
    arguments.add_argument("features")
    arguments.add_argument("--images", type=int, default=40)
    arguments = arguments.parse_args()
    shards = sorted(arguments.prepared.glob("pixels-*.safetensors"))
    rgb = numpy.concatenate([load_file(shard)["pixels"] for shard in shards])
    indices = numpy.linspace(0, len(rgb) - 1, min(arguments.images, len(rgb))).round().astype(int)
    with safe_open(arguments.features, "numpy") as file:
        expected = file.get_tensor("features")[indices].astype(numpy.float64)
    return arguments.exported, rgb[indices].astype(numpy.float32), expected


def normalized(rgb, normalization):
    """BGR, less the channel means, (n, 3, side, side)."""
    means = numpy.array(BGR_MEANS[normalization], numpy.float32)
    return numpy.ascontiguousarray(rgb[:, ::-1] - means[:, None, None])


def judge(what, found, expected):
    """Prints how far the outputs are from those expected, and ends the script if that is too far."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    difference = numpy.abs(found - expected).max() / numpy.abs(expected).max()
    print(f"{what}: largest difference {difference:.2e} of the largest")
    if not difference < TOLERANCE:
        sys.exit(f"expected below {TOLERANCE}")
