# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "numpy==2.4.6",
#     "safetensors==0.8.0",
#     "torch==2.15.0",
# ]
# ///
"""The narrow VGG16 as others publish it in safetensors, BGR. Run it in its own folder.

All by safetensors 0.8.0, without metadata, read again and run by the modules of pytorch.py.

safetensors_torchvision.safetensors   torchvision's names, features.0.weight ... classifier.6.bias
safetensors_prefixed.safetensors      the layers' own names after `model.`
safetensors_worded.safetensors        block1.one ... block5.three, whose order cannot be told; to be
                                      refused
safetensors_half.safetensors          the layers' own names, rounded to float16 (F16)
"""

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pytorch import VGG, Dag, check, dag, loaded, torchvision


def save(tensors, path, network):
    save_file(tensors, path)
    with safe_open(path, "np") as file:
        assert file.metadata() is None
    read = load_file(path)
    assert all(torch.equal(read[name], value) for name, value in tensors.items())
    if network:
        names = {name.removeprefix("model."): value for name, value in read.items()}
        check(loaded(network, names), path)


def main():
    save(torchvision(), "safetensors_torchvision.safetensors", VGG())
    prefixed = {f"model.{name}": value for name, value in dag().items()}
    save(prefixed, "safetensors_prefixed.safetensors", Dag())
    words = {"1": "one", "2": "two", "3": "three"}
    worded = {}
    for name, value in dag().items():
        layer, part = name.split(".")
        if layer.startswith("conv"):
            block, number = layer[4:].split("_")
            layer = f"block{block}.{words[number]}"
        worded[f"{layer}.{part}"] = value
    save(worded, "safetensors_worded.safetensors", None)
    half = {name: value.half() for name, value in dag().items()}
    save(half, "safetensors_half.safetensors", None)


main()
