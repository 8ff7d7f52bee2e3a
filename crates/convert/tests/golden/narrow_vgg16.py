# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "h5py==3.14.0",
#     "keras==3.15.1",
#     "numpy==2.4.6",
#     "safetensors==0.8.0",
#     "tensorflow-cpu==2.21.0",
# ]
# ///
"""A narrow VGG16 in every Keras layout, with Keras's own outputs. Run it in its own folder.

Blocks of 2, 3, 4, 5 and 6 channels, images of 64x64 (so pool5 is 2x2 and the order in which it is
flattened shows), fc6 and fc7 of 7 units and fc8 of 9. All files hold the same numbers.

narrow_vgg16.safetensors                 what conversion must give, bit for bit; one image and
                                         Keras's pool5 and logits for it; seed.fc8 of the two
                                         transfer files
keras3.weights.h5                        Keras 3.15.1, save_weights
keras3_unnamed.weights.h5                the same, edited with h5py: without the layers' own names,
                                         and in the group that tf.keras 2.12 and later used
keras3_model.h5                          Keras 3.15.1, model.save to HDF5
keras3_fc_as_convolution.h5              the same with fc6, fc7, fc8 as convolutions, as deepface
                                         does, with Keras's default names
keras3_transfer.weights.h5               Keras 3.15.1, a VGG16 inside a Sequential with a new head
keras3_transfer_model.h5                 the same by model.save to HDF5
keras2.h5, keras2_model.h5               written with h5py, since Keras 3 no longer can: the layout
                                         of Keras 2.2.4, `engine/saving.py`
keras2_block_gzip.h5                     the same with Keras's own names, strings of variable length,
                                         compressed chunks and HDF5's latest structures
keras1.h5                                written with h5py: the layout of Keras 1.2,
                                         `engine/topology.py`, with Keras's default names
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import json
import shutil

import h5py
import keras
import numpy as np
from keras import layers
from safetensors.numpy import save_file

WIDTHS = [2, 3, 4, 5, 6]
COUNTS = [2, 2, 3, 3, 3]
CONVOLUTIONS = [f"conv{b + 1}_{c + 1}" for b in range(5) for c in range(COUNTS[b])]
BLOCKS = [f"block{b + 1}_conv{c + 1}" for b in range(5) for c in range(COUNTS[b])]
DENSE = ["fc6", "fc7", "fc8"]
SIDE_PX, UNITS = 64, [7, 7, 9]

generator = np.random.default_rng(20190131)


def draw(fan_in, shape):
    return (generator.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def weights():
    """Kernel and bias of every layer, in Keras's axes: HWIO, and (in, out) after HWC flattening."""
    drawn, channels = {}, 3
    for block, (width, count) in enumerate(zip(WIDTHS, COUNTS)):
        for convolution in range(count):
            kernel = draw(9 * channels, (3, 3, channels, width))
            drawn[f"conv{block + 1}_{convolution + 1}"] = kernel, draw(50, width)
            channels = width
    features = channels * (SIDE_PX // 32) ** 2
    for name, units in zip(DENSE, UNITS):
        drawn[name] = draw(features, (features, units)), draw(50, units)
        features = units
    return drawn


def base(names):
    images = x = keras.Input((SIDE_PX, SIDE_PX, 3))
    names = iter(names)
    for block, (width, count) in enumerate(zip(WIDTHS, COUNTS)):
        for _ in range(count):
            x = layers.Conv2D(width, 3, padding="same", activation="relu", name=next(names))(x)
        x = layers.MaxPooling2D(2, name=f"pool{block + 1}")(x)
    return images, x


def set_all(model, values):
    with_weights = [layer for layer in model.layers if layer.weights]
    assert len(with_weights) == len(values)
    for layer, (kernel, bias) in zip(with_weights, values):
        layer.set_weights([kernel.reshape(layer.weights[0].shape), bias])


def vggface(values):
    images, pool5 = base(CONVOLUTIONS)
    x = layers.Flatten(name="flatten")(pool5)
    x = layers.Activation("relu", name="fc6_relu")(layers.Dense(UNITS[0], name="fc6")(x))
    x = layers.Activation("relu", name="fc7_relu")(layers.Dense(UNITS[1], name="fc7")(x))
    logits = layers.Dense(UNITS[2], name="fc8")(x)
    model = keras.Model(images, layers.Activation("softmax", name="fc8_softmax")(logits))
    set_all(model, list(values.values()))
    return model, keras.Model(images, [pool5, logits])


def fc_as_convolution(values):
    keras.backend.clear_session()
    images, x = base([None] * 13)
    for units, side, activation in zip(UNITS, [SIDE_PX // 32, 1, 1], ["relu", "relu", None]):
        x = layers.Conv2D(units, side, activation=activation)(x)
    model = keras.Model(images, layers.Activation("softmax")(layers.Flatten()(x)))
    set_all(model, list(values.values()))
    return model


def transfer(values, seed_fc8):
    keras.backend.clear_session()
    backbone = keras.Model(*base(BLOCKS), name="vgg16")
    set_all(backbone, [values[name] for name in CONVOLUTIONS])
    head = [layers.Dense(UNITS[0], activation="relu"), layers.Dense(UNITS[2], activation="softmax")]
    model = keras.Sequential([keras.Input((SIDE_PX, SIDE_PX, 3)), backbone, layers.Flatten(), *head])
    head[0].set_weights(values["fc6"])
    head[1].set_weights(seed_fc8)
    return model


def ours(name, kernel):
    """The same weight as conversion must store it: OIHW, and (out, in) over CHW."""
    if name.startswith("conv"):
        return kernel.transpose(3, 2, 0, 1)
    if name == "fc6":
        side = SIDE_PX // 32
        kernel = kernel.reshape(side, side, WIDTHS[-1], -1).transpose(2, 0, 1, 3)
        return kernel.reshape(-1, kernel.shape[-1]).T
    return kernel.T


def put_names(group, name, names, strings):
    """A list of names as an attribute: fixed-length bytes as h5py 2 wrote them, or variable."""
    if strings == "fixed":
        group.attrs[name] = np.array([n.encode() for n in names], dtype="S") if names else []
    else:
        group.attrs.create(name, names, (len(names),), h5py.string_dtype())


def write_keras(group, stored, version, *, strings="fixed", parts=1, **storage):
    """`stored`: pairs of a layer's name and its pairs of weight name and array."""
    group.attrs["backend"] = b"tensorflow"
    group.attrs["keras_version"] = version
    names = [name for name, _ in stored]
    if parts == 1:
        put_names(group, "layer_names", names, strings)
    else:
        for part, piece in enumerate(np.array_split(names, parts)):
            put_names(group, f"layer_names{part}", list(piece), strings)
    for name, arrays in stored:
        layer = group.create_group(name)
        put_names(layer, "weight_names", [weight for weight, _ in arrays], strings)
        for weight, array in arrays:
            layer.create_dataset(weight, data=array, **(storage if array.ndim > 1 else {}))


def keras2(values, convolutions, dense):
    """Every layer of VGG16 as Keras 2.2.4 stores it; VGGFace's activations nest in their layers."""
    renamed = dict(zip(CONVOLUTIONS + DENSE, convolutions + dense))
    stored = [("input_1", [])]
    for name, (kernel, bias) in values.items():
        new = renamed[name]
        stored.append((new, [(f"{new}/kernel:0", kernel), (f"{new}/bias:0", bias)]))
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            stored.append((f"pool{name[4]}", []))
        if name == "conv5_3":
            stored.append(("flatten", []))
        if dense == DENSE and name in DENSE:
            stored.append((f"{name}/{'softmax' if name == 'fc8' else 'relu'}", []))
    return stored


def keras1(values):
    """Keras 1 names weights `<layer>_W` and `<layer>_b`, directly in the layer's group."""
    stored = []
    for number, name in enumerate(CONVOLUTIONS, 1):
        layer = f"convolution2d_{number}"
        kernel, bias = values[name]
        stored.append((layer, [(f"{layer}_W:0", kernel), (f"{layer}_b:0", bias)]))
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            stored.append((f"maxpooling2d_{name[4]}", []))
    for number, name in enumerate(DENSE, 1):
        layer = f"dense_{number}"
        kernel, bias = values[name]
        stored.append((layer, [(f"{layer}_W:0", kernel), (f"{layer}_b:0", bias)]))
    return stored


def main():
    values = weights()
    seed_fc8 = [draw(UNITS[0], (UNITS[0], UNITS[2])), draw(50, UNITS[2])]
    image = generator.uniform(-120, 150, (1, SIDE_PX, SIDE_PX, 3)).astype(np.float32)

    model, outputs = vggface(values)
    pool5, logits = (np.asarray(output) for output in outputs(image))
    model.save_weights("keras3.weights.h5")
    shutil.copy("keras3.weights.h5", "keras3_unnamed.weights.h5")
    with h5py.File("keras3_unnamed.weights.h5", "a") as file:
        for layer in file["layers"].values():
            layer["vars"].attrs.pop("name")
        file.move("layers", "_layer_checkpoint_dependencies")
    model.save("keras3_model.h5")
    fc_as_convolution(values).save("keras3_fc_as_convolution.h5")
    moved = transfer(values, seed_fc8)
    moved.save_weights("keras3_transfer.weights.h5")
    moved.save("keras3_transfer_model.h5")

    expected = {"seed.fc8.weight": seed_fc8[0].T, "seed.fc8.bias": seed_fc8[1]}
    for name, (kernel, bias) in values.items():
        expected[f"{name}.weight"] = ours(name, kernel)
        expected[f"{name}.bias"] = bias
    expected["images"] = image.transpose(0, 3, 1, 2)
    expected["pool5"] = pool5.transpose(0, 3, 1, 2)
    expected["logits"] = logits
    save_file(
        {name: np.ascontiguousarray(array) for name, array in expected.items()},
        "narrow_vgg16.safetensors",
    )

    with h5py.File("keras2.h5", "w") as file:
        write_keras(file, keras2(values, CONVOLUTIONS, DENSE), b"2.2.4")
    with h5py.File("keras2_model.h5", "w") as file:
        file.attrs["keras_version"] = b"2.2.4"
        file.attrs["model_config"] = json.dumps({"class_name": "Model"}).encode()
        group = file.create_group("model_weights")
        write_keras(group, keras2(values, CONVOLUTIONS, DENSE), b"2.2.4", parts=3)
        optimizer = file.create_group("optimizer_weights")
        optimizer.create_dataset("iterations:0", data=np.int64(17))
    with h5py.File("keras2_block_gzip.h5", "w", libver="latest") as file:
        stored = keras2(values, BLOCKS, ["fc1", "fc2", "predictions"])
        storage = {"chunks": True, "compression": "gzip", "shuffle": True}
        write_keras(file, stored, b"2.2.4", strings="variable", **storage)
    with h5py.File("keras1.h5", "w") as file:
        write_keras(file, keras1(values), b"1.2.2")


main()
