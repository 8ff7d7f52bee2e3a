# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "h5py==3.14.0",
#     "keras==3.15.1",
#     "numpy==2.4.6",
#     "safetensors==0.8.0",
#     "tensorflow-cpu==2.21.0",
#     "tf-keras==2.21.0",
# ]
# ///
"""Holds a file exported for Keras, run by Keras 3 and Keras 2, against this project's own forward pass.

    cargo xtask quickstart
    cargo xtask export runs/quickstart --fold 0 --to keras --out lfw.h5
    cargo xtask features --data data/quickstart-64 --weights runs/quickstart/fold-00/weights.safetensors \\
        --layer fc8 --out logits.safetensors
    uv run crates/convert/reference/export_keras.py lfw.h5 data/quickstart-64 logits.safetensors

For a base, `--layer pool5`. Weights are loaded in the layers' order, then by name.
"""

import argparse
import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import h5py
import keras
import numpy
import tf_keras
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


def network(version, shapes, side):
    """VGG16 with the units and the dense layers of a file."""
    layers = version.layers
    images = x = version.Input((side, side, 3))
    for block, count in enumerate([2, 2, 3, 3, 3], 1):
        for name in [f"conv{block}_{number}" for number in range(1, count + 1)]:
            units = shapes[name][-1]
            x = layers.Conv2D(units, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    dense = [name for name in ["fc6", "fc7", "fc8"] if name in shapes]
    if dense:
        x = layers.Flatten()(x)
    for name in dense:
        activation = None if name == "fc8" else "relu"
        x = layers.Dense(shapes[name][-1], activation=activation, name=name)(x)
    return version.Model(images, x)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("exported")
    arguments.add_argument("prepared", type=pathlib.Path)
    arguments.add_argument("features")
    arguments.add_argument("--images", type=int, default=40)
    arguments = arguments.parse_args()

    with h5py.File(arguments.exported) as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        shapes = {name: file[f"{name}/{name}/kernel:0"].shape for name in names}
        normalization = file.attrs["normalization"].decode()
        if "identities" in file:
            assert len(file["identities"].asstr()[:]) == shapes["fc8"][-1]

    shards = sorted(arguments.prepared.glob("pixels-*.safetensors"))
    rgb = numpy.concatenate([load_file(shard)["pixels"] for shard in shards])
    indices = numpy.linspace(0, len(rgb) - 1, min(arguments.images, len(rgb))).round().astype(int)
    means = numpy.array(BGR_MEANS[normalization], numpy.float32)
    images = rgb[indices].transpose(0, 2, 3, 1)[..., ::-1].astype(numpy.float32) - means

    with safe_open(arguments.features, "numpy") as file:
        expected = file.get_tensor("features")[indices].astype(numpy.float64)
    if expected.ndim == 4:
        expected = expected.transpose(0, 2, 3, 1)

    for version in [keras, tf_keras]:
        for options in [{}, {"by_name": True}]:
            model = network(version, shapes, images.shape[1])
            model.load_weights(arguments.exported, **options)
            found = model.predict(images, batch_size=5, verbose=0)
            assert found.shape == expected.shape, (found.shape, expected.shape)
            difference = numpy.abs(found - expected).max() / numpy.abs(expected).max()
            print(
                f"{version.__name__} {version.__version__} {options or 'in order'}, "
                f"{len(images)} images, outputs {found.shape[1:]}: "
                f"largest difference {difference:.2e} of the largest"
            )
            if not difference < TOLERANCE:
                sys.exit(f"expected below {TOLERANCE}")


if __name__ == "__main__":
    main()
