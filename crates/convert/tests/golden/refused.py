# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "h5py==3.14.0",
#     "keras==3.15.1",
#     "numpy==2.4.6",
#     "tensorflow-cpu==2.21.0",
# ]
# ///
"""HDF5 files that must be refused. Run it in its own folder.

residual.weights.h5     Keras 3.15.1: another network
two_convolutions.h5     Keras 3.15.1, model.save to HDF5: another network
theano.h5               Keras 1.2's layout (h5py) with its Theano backend, whose kernels are flipped
channels_first.h5       Keras 2.2.4's layout (h5py) of a model that flattens (channel, row, column)
keras0.h5               Keras 0.3's layout (h5py): numbered layers, kernels in Theano's order
float64.h5              Keras 1.2's layout (h5py) of a VGG16 with one channel everywhere, in f64
no_keras.h5             HDF5 that Keras did not write
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import json

import h5py
import keras
import numpy as np
from keras import layers


def residual():
    images = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 7, strides=2, padding="same", name="conv1")(images)
    for block in range(2):
        y = layers.Conv2D(4, 3, padding="same", name=f"res{block}_conv1")(x)
        y = layers.BatchNormalization(name=f"res{block}_bn1")(y)
        y = layers.Conv2D(4, 3, padding="same", name=f"res{block}_conv2")(layers.ReLU()(y))
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(5, name="classifier")(x))


def two_convolutions():
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv1_1")(images)
    x = layers.Conv2D(8, 3, name="conv1_2")(x)
    return keras.Model(images, layers.Dense(5, name="fc8")(layers.Flatten()(x)))


def one_layer(group, backend, version):
    group.attrs["backend"] = backend
    group.attrs["keras_version"] = version
    group.attrs["layer_names"] = np.array([b"conv1_1"])
    layer = group.create_group("conv1_1")
    layer.attrs["weight_names"] = np.array([b"conv1_1_W", b"conv1_1_b"])
    layer["conv1_1_W"] = np.zeros((3, 3, 3, 2), np.float32)
    layer["conv1_1_b"] = np.zeros(2, np.float32)


def float64(group):
    names = [f"conv{b + 1}_{c + 1}" for b, count in enumerate([2, 2, 3, 3, 3]) for c in range(count)]
    group.attrs["layer_names"] = [name.encode() for name in names]
    for name in names:
        layer = group.create_group(name)
        layer.attrs["weight_names"] = [b"W", b"b"]
        layer["W"] = np.zeros((3, 3, 3 if name == "conv1_1" else 1, 1))
        layer["b"] = np.zeros(1)


def main():
    keras.utils.set_random_seed(1)
    residual().save_weights("residual.weights.h5")
    two_convolutions().save("two_convolutions.h5")
    with h5py.File("theano.h5", "w") as file:
        one_layer(file, b"theano", b"1.2.2")
    with h5py.File("channels_first.h5", "w") as file:
        layer = {"class_name": "Conv2D", "config": {"data_format": "channels_first"}}
        config = {"class_name": "Model", "config": {"layers": [layer]}}
        file.attrs["model_config"] = json.dumps(config).encode()
        one_layer(file.create_group("model_weights"), b"tensorflow", b"2.2.4")
    with h5py.File("keras0.h5", "w") as file:
        file.attrs["nb_layers"] = 2
        file.create_group("layer_0").attrs["nb_params"] = 0
        layer = file.create_group("layer_1")
        layer.attrs["nb_params"] = 2
        layer["param_0"] = np.zeros((2, 3, 3, 3), np.float32)
        layer["param_1"] = np.zeros(2, np.float32)
    with h5py.File("float64.h5", "w", libver="latest") as file:
        float64(file)
    with h5py.File("no_keras.h5", "w") as file:
        file["temperature"] = np.zeros(3, np.float32)


main()
