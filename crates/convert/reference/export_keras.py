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

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import h5py
import keras
import tf_keras

from exported import judge, normalized, parse


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
    path, rgb, expected = parse()
    with h5py.File(path) as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        shapes = {name: file[f"{name}/{name}/kernel:0"].shape for name in names}
        normalization = file.attrs["normalization"].decode()
        if "identities" in file:
            assert len(file["identities"].asstr()[:]) == shapes["fc8"][-1]

    images = normalized(rgb, normalization).transpose(0, 2, 3, 1)
    if expected.ndim == 4:
        expected = expected.transpose(0, 2, 3, 1)

    for version in [keras, tf_keras]:
        for options in [{}, {"by_name": True}]:
            model = network(version, shapes, images.shape[1])
            model.load_weights(path, **options)
            found = model.predict(images, batch_size=5, verbose=0)
            what = (
                f"{version.__name__} {version.__version__} {options or 'in order'}, "
                f"{len(images)} images, outputs {found.shape[1:]}"
            )
            judge(what, found, expected)


if __name__ == "__main__":
    main()
