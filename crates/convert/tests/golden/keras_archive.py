# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "h5py==3.14.0",
#     "keras==3.15.1",
#     "numpy==2.4.6",
#     "safetensors==0.8.0",
#     "tensorflow-cpu==2.21.0",
#     "tf-keras==2.21.0",
# ]
# ///
"""Keras 3's archives, and what older Keras saved of channels-first networks and under Theano.

The narrow VGG16, BGR, in each. Run it in its own folder. Archives are Keras 3.15.1's own, only
with dates and addresses replaced. Keras 0, 1 and 2 can no longer be run: their HDF5 files are
written with h5py as the sources of that version write them. TF-Keras 2.21.0, which still converts
Keras 1's axes, loads them and runs the network (channels first by XLA); of keras0_theano.h5 it gets
the arrays as Keras 0.3 would set them.

"Flipped": Theano convolves where others correlate, so both spatial axes are reversed. TF-Keras no
longer turns them, so that is done here, as Keras 2.2.4's `convert_kernel` did.

keras3.keras                     model.save: a zip of config.json, metadata.json, model.weights.h5
channels_first.keras             the same, channels first, whose Flatten says channels_last (what
                                 Keras gives it when only the other layers are told): CHW order
channels_first_flatten.keras     the same, whose Flatten says channels_first: HWC order
keras1_theano.h5                 Keras 1.2, dim_ordering th, Theano: kernels OIHW, flipped, dense in
                                 x out over CHW; with attributes `backend` and `keras_version`
keras1_theano_bare.h5            the same as Keras 1.2.2's save_weights writes it: with neither
keras1_theano_tf_backend.h5      the same axes on TensorFlow: not flipped; with both attributes
keras2_theano.h5                 Keras 2.2.4, channels last, Theano: kernels HWIO, flipped, dense
                                 over HWC, names of weights without ":0"
keras0_theano.h5                 Keras 0.3: nb_layers, layer_0 ..., param_0 ..., as keras1_theano.h5
keras2_channels_first_model.h5   Keras 2.0.8, model.save, TensorFlow, channels first: kernels HWIO,
                                 a Flatten without data_format: dense over CHW
keras2_channels_first_flatten_model.h5
                                 Keras 2.2.4, the same, whose Flatten says channels_first: over HWC
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import json
import re
import zipfile

import h5py
import keras
import numpy as np
import tensorflow as tf
import tf_keras

from golden import (
    CONVOLUTIONS,
    COUNTS,
    DENSE,
    LAST_OF_BLOCK,
    NAMES,
    SIDE_PX,
    UNITS,
    WIDTHS,
    agree,
    fc6_hwc,
    golden,
    images,
)

FIRST, LAST = "channels_first", "channels_last"


def stored(*, kernel, flipped, flatten):
    """Kernel and bias by layer; kernels "OIHW" or "HWIO", dense (in, out) over "CHW" or "HWC"."""
    values, made = golden(), {}
    for name in NAMES:
        weight = values[f"{name}.weight"]
        if name in CONVOLUTIONS:
            weight = weight[:, :, ::-1, ::-1] if flipped else weight
            weight = weight if kernel == "OIHW" else weight.transpose(2, 3, 1, 0)
        elif name == "fc6" and flatten == "HWC":
            weight = fc6_hwc(weight).reshape(-1, UNITS[0])
        else:
            weight = weight.T
        made[name] = np.ascontiguousarray(weight), values[f"{name}.bias"]
    return made


# Keras 3


def network(library, order, flatten_order):
    """As narrow_vgg16.py's `vggface`, up to the logits and with the softmax."""
    layers = library.layers
    side = (3, SIDE_PX, SIDE_PX) if order == FIRST else (SIDE_PX, SIDE_PX, 3)
    given = x = library.Input(side)
    options = {"padding": "same", "activation": "relu", "data_format": order}
    for block, (width, count) in enumerate(zip(WIDTHS, COUNTS), 1):
        for number in range(1, count + 1):
            x = layers.Conv2D(width, 3, name=f"conv{block}_{number}", **options)(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}", data_format=order)(x)
    x = layers.Flatten(name="flatten", data_format=flatten_order)(x)
    x = layers.Activation("relu", name="fc6_relu")(layers.Dense(UNITS[0], name="fc6")(x))
    x = layers.Activation("relu", name="fc7_relu")(layers.Dense(UNITS[1], name="fc7")(x))
    logits = layers.Dense(UNITS[2], name="fc8")(x)
    return library.Model(given, layers.Activation("softmax", name="fc8_softmax")(logits))


def with_values(model, values):
    for name in NAMES:
        model.get_layer(name).set_weights(values[name])
    return model


def check(library, model, order, what):
    logits = library.Model(model.inputs, model.get_layer("fc8").output)
    given = images() if order == FIRST else images().transpose(0, 2, 3, 1)
    # TensorFlow convolves channels first on a CPU only by XLA.
    run = tf.function(lambda x: logits(x, training=False), jit_compile=order == FIRST)
    agree(run(tf.constant(given)).numpy(), what)


def renumber(config):
    """Keras numbers objects that layers share by their addresses."""
    numbers = {}

    def number(found):
        new = numbers.setdefault(found[2], 140000000000000 + 64 * len(numbers))
        return found[1] + str(new).encode()

    return re.sub(rb'("shared_object_id": )(\d+)', number, config)


def replace_dates(path):
    with zipfile.ZipFile(path) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members:
            if member.filename == "metadata.json":
                metadata = json.loads(content) | {"date_saved": "2019-01-31@00:00:00"}
                content = json.dumps(metadata).encode()
            elif member.filename == "config.json":
                content = renumber(content)
            member.date_time = (2019, 1, 31, 0, 0, 0)
            archive.writestr(member, content)


def archive(path, order, flatten_order, flatten):
    keras.backend.clear_session()
    values = stored(kernel="HWIO", flipped=False, flatten=flatten)
    with_values(network(keras, order, flatten_order), values).save(path)
    replace_dates(path)
    check(keras, keras.models.load_model(path), order, path)


# Older Keras


def turn_kernels(model):
    for name in CONVOLUTIONS:
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel[::-1, ::-1], bias])


def names_attribute(group, attribute, names):
    """A list of names as h5py 2 stored it."""
    group.attrs[attribute] = np.array([n.encode() for n in names], dtype="S") if names else []


def write_layers(group, layers):
    """`layers`: pairs of a layer's name and its pairs of weight name and array."""
    names_attribute(group, "layer_names", [name for name, _ in layers])
    for name, arrays in layers:
        layer = group.create_group(name)
        names_attribute(layer, "weight_names", [weight for weight, _ in arrays])
        for weight, array in arrays:
            layer.create_dataset(weight, data=array)


def write_origin(group, backend, version):
    group.attrs["backend"] = backend.encode()
    group.attrs["keras_version"] = version.encode()


def keras1(path, backend, *, attributes=True):
    values = stored(kernel="OIHW", flipped=backend == "theano", flatten="CHW")
    suffix = "" if backend == "theano" else ":0"
    layers = [("convolution2d_input_1", [])]
    for number, name in enumerate(NAMES, 1):
        dense = name in DENSE
        layer = f"dense_{number - 13}" if dense else f"convolution2d_{number}"
        arrays = zip(["W", "b"], values[name])
        layers.append((layer, [(f"{layer}_{part}{suffix}", array) for part, array in arrays]))
        if name in LAST_OF_BLOCK:
            layers.append((f"maxpooling2d_{name[4]}", []))
        if name == "conv5_3":
            layers.append(("flatten_1", []))
        if name in ("fc6", "fc7"):
            layers.append((f"dropout_{number - 13}", []))
    with h5py.File(path, "w") as file:
        write_layers(file, layers)
        if attributes:
            write_origin(file, backend, "1.2.2")
    check_keras1(path, backend)


def check_keras1(path, backend):
    """TF-Keras takes as Keras 1's axes what says "1" or nothing."""
    with h5py.File(path) as file, h5py.File.in_memory() as copy:
        for name in file:
            file.copy(name, copy)
        copy.attrs["layer_names"] = file.attrs["layer_names"]
        write_origin(copy, backend, "1")
        model = network(tf_keras, FIRST, LAST)
        load_group(copy, model)
    if backend == "theano":
        turn_kernels(model)
    check(tf_keras, model, FIRST, path)


def load_group(group, model):
    tf_keras.src.saving.legacy.hdf5_format.load_weights_from_hdf5_group(group, model)


def keras2(values, suffix):
    layers = [("input_1", [])]
    for name in NAMES:
        arrays = zip(["kernel", "bias"], values[name])
        layers.append((name, [(f"{name}/{part}{suffix}", array) for part, array in arrays]))
        if name in LAST_OF_BLOCK:
            layers.append((f"pool{name[4]}", []))
        if name == "conv5_3":
            layers.append(("flatten", []))
        if name in DENSE:
            layers.append((f"{name}_{'softmax' if name == 'fc8' else 'relu'}", []))
    return layers


def keras2_theano(path):
    values = stored(kernel="HWIO", flipped=True, flatten="HWC")
    with h5py.File(path, "w") as file:
        write_layers(file, keras2(values, ""))
        write_origin(file, "theano", "2.2.4")
    model = network(tf_keras, LAST, LAST)
    model.load_weights(path)
    turn_kernels(model)
    check(tf_keras, model, LAST, path)


def keras0_theano(path):
    """As the VGG16 of Keras's early examples: padding, convolution, ..., and dropout."""
    values, layers = stored(kernel="OIHW", flipped=True, flatten="CHW"), []
    for name in NAMES:
        layers += [()] if name in CONVOLUTIONS else []
        layers.append(values[name])
        # Pooling, and after the last block Flatten; Dropout.
        layers += [()] if name in LAST_OF_BLOCK or name in ("fc6", "fc7") else []
        layers += [()] if name == "conv5_3" else []
    assert len(layers) == 37
    with h5py.File(path, "w") as file:
        file.attrs["nb_layers"] = len(layers)
        for number, arrays in enumerate(layers):
            group = file.create_group(f"layer_{number}")
            group.attrs["nb_params"] = len(arrays)
            for parameter, array in enumerate(arrays):
                group.create_dataset(f"param_{parameter}", data=array)
    check_keras0(path)


def check_keras0(path):
    read = []
    with h5py.File(path) as file:
        for number in range(file.attrs["nb_layers"]):
            group = file[f"layer_{number}"]
            arrays = [group[f"param_{p}"][()] for p in range(group.attrs["nb_params"])]
            read += [arrays] if arrays else []
    for arrays in read[:13]:
        arrays[0] = arrays[0][:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    model = with_values(network(tf_keras, FIRST, LAST), dict(zip(NAMES, read)))
    check(tf_keras, model, FIRST, path)


def initializers():
    scaling = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}
    nothing = ["kernel_regularizer", "bias_regularizer", "activity_regularizer"]
    nothing += ["kernel_constraint", "bias_constraint"]
    return {
        "use_bias": True,
        "kernel_initializer": {"class_name": "VarianceScaling", "config": scaling},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        **dict.fromkeys(nothing),
    }


def layer_config(name, flatten):
    """The class and configuration of a layer of a channels-first network."""
    config = {"name": name, "trainable": True}
    if name == "input_1":
        shape = {"batch_input_shape": [None, 3, SIDE_PX, SIDE_PX], "dtype": "float32"}
        return "InputLayer", {**shape, "sparse": False, "name": name}
    if name in CONVOLUTIONS:
        config |= {"filters": WIDTHS[int(name[4]) - 1], "kernel_size": [3, 3], "strides": [1, 1]}
        config |= {"padding": "same", "data_format": FIRST, "dilation_rate": [1, 1]}
        return "Conv2D", config | {"activation": "relu"} | initializers()
    if name in DENSE:
        units = UNITS[DENSE.index(name)]
        return "Dense", config | {"units": units, "activation": "linear"} | initializers()
    if name.startswith("pool"):
        config |= {"pool_size": [2, 2], "padding": "valid", "strides": [2, 2]}
        return "MaxPooling2D", config | {"data_format": FIRST}
    if name == "flatten":
        return "Flatten", config | flatten
    return "Activation", config | {"activation": name.split("_")[1]}


def model_config(names, flatten):
    layers, before = [], None
    for name in names:
        class_name, config = layer_config(name, flatten)
        nodes = [[[before, 0, 0, {}]]] if before else []
        layer = {"name": name, "class_name": class_name, "config": config, "inbound_nodes": nodes}
        layers.append(layer)
        before = name
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [[before, 0, 0]]}
    return {"class_name": "Model", "config": {"name": "vggface_vgg16", "layers": layers, **ends}}


def channels_first_model(path, version, flatten, order):
    layers = keras2(stored(kernel="HWIO", flipped=False, flatten=order), ":0")
    with h5py.File(path, "w") as file:
        write_origin(file, "tensorflow", version)
        config = model_config([name for name, _ in layers], flatten)
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        write_layers(group, layers)
        write_origin(group, "tensorflow", version)
    check(tf_keras, tf_keras.models.load_model(path, compile=False), FIRST, path)


def main():
    archive("keras3.keras", LAST, LAST, "HWC")
    archive("channels_first.keras", FIRST, LAST, "CHW")
    archive("channels_first_flatten.keras", FIRST, FIRST, "HWC")
    keras1("keras1_theano.h5", "theano")
    keras1("keras1_theano_bare.h5", "theano", attributes=False)
    keras1("keras1_theano_tf_backend.h5", "tensorflow")
    keras2_theano("keras2_theano.h5")
    keras0_theano("keras0_theano.h5")
    channels_first_model("keras2_channels_first_model.h5", "2.0.8", {}, "CHW")
    path = "keras2_channels_first_flatten_model.h5"
    channels_first_model(path, "2.2.4", {"data_format": FIRST}, "HWC")


if __name__ == "__main__":
    main()
