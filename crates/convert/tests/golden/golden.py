"""What the scripts of this folder share: golden tensors and the check of a tool's output."""

import numpy as np
from safetensors.numpy import load_file

everything = load_file("narrow_vgg16.safetensors")
IMAGES, LOGITS = everything["images"], everything["logits"]

COUNTS = [2, 2, 3, 3, 3]
CONVOLUTIONS = [f"conv{b + 1}_{c + 1}" for b in range(5) for c in range(COUNTS[b])]
LAST_OF_BLOCK = [f"conv{b + 1}_{COUNTS[b]}" for b in range(5)]
DENSE = ["fc6", "fc7", "fc8"]
PARTS = ["weight", "bias"]
NAMES = CONVOLUTIONS + DENSE
# The network's size is that of its tensors, so that the same scripts make files of full size.
WIDTHS = [len(everything[f"{name}.bias"]) for name in LAST_OF_BLOCK]
UNITS = [len(everything[f"{name}.bias"]) for name in DENSE]
SIDE_PX, POOL5 = IMAGES.shape[2], everything["pool5"].shape[1:]
# The mean of VGGFace's images, in RGB.
MEAN_RGB = [129.1863, 104.7624, 93.5940]


def golden(*, rgb=False):
    """Weight and bias of every layer, by name; with `rgb`, for a network that takes RGB."""
    tensors = {f"{name}.{part}": everything[f"{name}.{part}"] for name in NAMES for part in PARTS}
    if rgb:
        tensors["conv1_1.weight"] = np.ascontiguousarray(tensors["conv1_1.weight"][:, ::-1])
    return tensors


def images(*, rgb=False):
    return np.ascontiguousarray(IMAGES[:, ::-1]) if rgb else IMAGES


def fc6_hwc(weight):
    """fc6 of (out, in) over CHW flattening, as (rows, columns, channels, out)."""
    return weight.reshape(-1, *POOL5).transpose(2, 3, 1, 0)


def agree(logits, what):
    """A tool's logits for the image must be Keras's."""
    logits = np.asarray(logits).reshape(LOGITS.shape)
    error = np.abs(logits - LOGITS).max() / np.abs(LOGITS).max()
    assert error < 1e-5, (what, error, logits)
    print(f"{what}: logits agree to {error:.1e}")
