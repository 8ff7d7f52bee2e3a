# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "numpy==2.4.6",
#     "safetensors==0.8.0",
#     "torch==2.15.0",
#     "torchfile==0.1.0",
# ]
# ///
"""The narrow VGG16 in Lua Torch's serialisation, BGR. Run it in its own folder.

Lua Torch has no packages any more: the files are written here as torch7's File.lua, DiskFile and
Tensor write them. The binary ones are read by torchfile 0.1.0, the one of text by a reader below,
and PyTorch runs the modules that come back. Once, torch7 was built from its sources: its torch.load
reads all three to their ends, and what its torch.save then writes is read here likewise. Weights
are out x in x rows x columns.

torch7_nn.t7       binary: nn.Sequential of nn.SpatialConvolutionMM (weight out x in*3*3), nn.ReLU,
                   nn.SpatialMaxPooling, nn.View, nn.Linear, nn.Dropout, nn.SoftMax; FloatTensor,
                   each with its own storage; gradients and buffers empty, as after clearState
torch7_cudnn.t7    binary: an nn.Sequential of two (features and classifier) with cudnn.* modules
                   (weight out x in x 3 x 3); CudaTensor, all parameters in one CudaStorage and all
                   gradients in another, as getParameters leaves them
torch7_ascii.t7    text: nn.SpatialConvolution; DoubleTensor
torch7_batchnorm.t7    as torch7_nn.t7, with an nn.SpatialBatchNormalization that changes nothing
                   behind conv1_1; to be refused
"""

import struct

import numpy as np
import torch
import torchfile
from torch.nn import functional

from golden import CONVOLUTIONS, DENSE, LAST_OF_BLOCK, agree, golden, images

NIL, NUMBER, STRING, TABLE, OBJECT, BOOLEAN = range(6)


class Object:
    """Of a Torch class, with its fields as a dict."""

    def __init__(self, name, fields):
        self.name, self.fields = name, fields


class Storage:
    def __init__(self, kind, array):
        self.name, self.array = f"torch.{kind}Storage", array


class Tensor:
    """`shape` numbers of a storage from `offset` on; without a storage it is empty."""

    def __init__(self, kind, shape=(), storage=None, offset=0):
        self.name, self.shape = f"torch.{kind}Tensor", shape
        self.storage, self.offset = storage, offset


class Binary:
    codes = {"int": "i", "long": "q", "double": "d", "float": "f"}

    def __init__(self):
        self.content = b""

    def put(self, kind, *values):
        self.content += struct.pack(f"<{len(values)}{self.codes[kind]}", *values)

    def text(self, text):
        self.content += text.encode()


class Ascii(Binary):
    """Numbers of one call on a line; nothing, not even the line, for none."""

    formats = {"int": "%d", "long": "%d", "double": "%.17g", "float": "%.9g"}

    def put(self, kind, *values):
        if values:
            self.text(" ".join(self.formats[kind] % value for value in values))

    def text(self, text):
        self.content += text.encode() + b"\n"


def strides(shape):
    return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]


class Writer:
    """File.lua's writeObject."""

    def __init__(self, file):
        self.file, self.indices, self.kept = file, {}, []

    def string(self, text):
        self.file.put("int", len(text))
        self.file.text(text)

    def is_new(self, value):
        """Writes the index of an object that others may refer to."""
        new = id(value) not in self.indices
        self.file.put("int", self.indices.setdefault(id(value), len(self.indices) + 1))
        self.kept.append(value)
        return new

    def write(self, value):
        put = self.file.put
        if value is None:
            put("int", NIL)
        elif isinstance(value, bool):
            put("int", BOOLEAN)
            put("int", int(value))
        elif isinstance(value, (int, float)):
            put("int", NUMBER)
            put("double", value)
        elif isinstance(value, str):
            put("int", STRING)
            self.string(value)
        elif isinstance(value, (dict, list)):
            put("int", TABLE)
            if self.is_new(value):
                self.table(value)
        else:
            put("int", OBJECT)
            if self.is_new(value):
                self.string("V 1")
                self.string(value.name)
                self.body(value)

    def table(self, value):
        pairs = value.items() if isinstance(value, dict) else enumerate(value, 1)
        self.file.put("int", len(value))
        for key, field in pairs:
            self.write(key)
            self.write(field)

    def body(self, value):
        put = self.file.put
        if isinstance(value, Object):
            self.write(value.fields)
        elif isinstance(value, Storage):
            kind = {np.float32: "float", np.float64: "double", np.int64: "long"}[
                value.array.dtype.type
            ]
            put("long", value.array.size)
            put(kind, *value.array.tolist())
        else:
            put("int", len(value.shape))
            put("long", *value.shape)
            put("long", *strides(value.shape))
            put("long", value.offset + 1)
            self.write(value.storage)


# The networks


class Modules:
    """Modules of one kind of tensor."""

    def __init__(self, kind, dtype, *, package="nn", convolution="SpatialConvolution"):
        self.kind, self.dtype, self.package = kind, dtype, package
        self.convolution = convolution

    def empty(self):
        return Tensor(self.kind)

    def own(self, array):
        storage = Storage(self.kind, array.ravel().astype(self.dtype))
        return Tensor(self.kind, array.shape, storage)

    def module(self, name, **fields):
        common = {"_type": f"torch.{self.kind}Tensor", "output": self.empty()}
        return Object(name, common | {"gradInput": self.empty(), "train": False} | fields)

    def parameters(self, name, shape):
        values = golden()
        return {
            "weight": self.own(values[f"{name}.weight"].reshape(shape)),
            "bias": self.own(values[f"{name}.bias"]),
            "gradWeight": self.empty(),
            "gradBias": self.empty(),
        }

    def convolve(self, name):
        out, given, rows, columns = shape = golden()[f"{name}.weight"].shape
        flat = self.convolution == "SpatialConvolutionMM"
        fields = {"nInputPlane": given, "nOutputPlane": out, "kW": columns, "kH": rows}
        fields |= {"dW": 1, "dH": 1, "padW": 1, "padH": 1}
        if self.package == "cudnn":
            fields |= {"groups": 1}
        fields |= self.parameters(name, (out, given * rows * columns) if flat else shape)
        return self.module(f"{self.package}.{self.convolution}", **fields)

    def linear(self, name):
        return self.module("nn.Linear", **self.parameters(name, golden()[f"{name}.weight"].shape))

    def relu(self):
        fields = {"inplace": True, "threshold": 0, "val": 0}
        return self.module(f"{self.package}.ReLU", **fields)

    def pool(self):
        fields = {"kW": 2, "kH": 2, "dW": 2, "dH": 2, "padW": 0, "padH": 0, "ceil_mode": False}
        if self.package == "nn":
            fields |= {"indices": Tensor("Long")}
        return self.module(f"{self.package}.SpatialMaxPooling", **fields)

    def view(self):
        size = Storage("Long", np.array([24], np.int64))
        return self.module("nn.View", size=size, numElements=24)

    def dropout(self):
        return self.module("nn.Dropout", p=0.5, noise=self.empty(), inplace=False, v2=True)

    def sequential(self, modules):
        return self.module("nn.Sequential", modules=modules)

    def features(self):
        for name in CONVOLUTIONS:
            yield self.convolve(name)
            yield self.relu()
            if name in LAST_OF_BLOCK:
                yield self.pool()

    def classifier(self):
        yield self.view()
        for name in DENSE:
            yield self.linear(name)
            if name != "fc8":
                yield self.relu()
                yield self.dropout()
        yield self.module(f"{self.package}.SoftMax")


def flatten_parameters(modules, kind):
    """What getParameters does: one storage for all parameters, one for all gradients."""
    arrays = [module.fields[part] for module in modules for part in ("weight", "bias")]
    flat = Storage(kind, np.concatenate([tensor.storage.array for tensor in arrays]))
    gradients = Storage(kind, np.zeros_like(flat.array))
    offset = 0
    for module in modules:
        for part, gradient in [("weight", "gradWeight"), ("bias", "gradBias")]:
            shape = module.fields[part].shape
            module.fields[part] = Tensor(kind, shape, flat, offset)
            module.fields[gradient] = Tensor(kind, shape, gradients, offset)
            offset += int(np.prod(shape))


def nn():
    made = Modules("Float", np.float32, convolution="SpatialConvolutionMM")
    return made.sequential([*made.features(), *made.classifier()])


def batch_normalization():
    made = Modules("Float", np.float32, convolution="SpatialConvolutionMM")
    values = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    fields = {part: made.own(np.full(2, value)) for part, value in values.items()}
    first, *features = made.features()
    normalization = made.module("nn.SpatialBatchNormalization", **fields, eps=0.0, affine=True)
    return made.sequential([first, normalization, *features, *made.classifier()])


def cudnn():
    made = Modules("Cuda", np.float32, package="cudnn")
    features, classifier = list(made.features()), list(made.classifier())
    flatten_parameters([m for m in features + classifier if "weight" in m.fields], "Cuda")
    return made.sequential([made.sequential(features), made.sequential(classifier)])


def ascii():
    made = Modules("Double", np.float64)
    return made.sequential([*made.features(), *made.classifier()])


# Reading again


class AsciiReader:
    """File.lua's readObject of the text form."""

    def __init__(self, content):
        self.content, self.at, self.known = content, 0, {}

    def line(self):
        end = self.content.index(b"\n", self.at)
        line, self.at = self.content[self.at : end], end + 1
        return line.split()

    def int(self):
        (number,) = self.line()
        return int(number)

    def string(self):
        size = self.int()
        text, self.at = self.content[self.at : self.at + size], self.at + size + 1
        assert self.content[self.at - 1 : self.at] == b"\n"
        return text.decode()

    def read(self):
        kind = self.int()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return float(self.line()[0])
        if kind == STRING:
            return self.string()
        if kind == BOOLEAN:
            return bool(self.int())
        index = self.int()
        if index not in self.known:
            self.known[index] = {} if kind == TABLE else None
            if kind == TABLE:
                self.table(self.known[index])
            else:
                assert kind == OBJECT and self.string() == "V 1"
                self.known[index] = self.object(self.string())
        return self.known[index]

    def table(self, table):
        for _ in range(self.int()):
            key = self.read()
            table[key] = self.read()

    def object(self, name):
        if name.endswith("Storage"):
            size = self.int()
            return np.array(self.line(), np.float64) if size else np.empty(0)
        if name.endswith("Tensor"):
            dimensions = self.int()
            shape = [int(size) for size in self.line()] if dimensions else []
            steps = [int(step) * 8 for step in self.line()] if dimensions else []
            offset, storage = self.int() - 1, self.read()
            if storage is None:
                return None
            return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)
        return Object(name, self.read())


def plain(value):
    """What torchfile gives, as this file's Object."""
    if isinstance(value, torchfile.TorchObject):
        return Object(value.torch_typename().decode(), plain(value._obj))
    if isinstance(value, dict):
        return {plain(key): plain(field) for key, field in value.items()}
    if isinstance(value, list):
        return dict(enumerate(map(plain, value), 1))
    return value.decode() if isinstance(value, bytes) else value


def read(path):
    if path == "torch7_ascii.t7":
        with open(path, "rb") as file:
            reader = AsciiReader(file.read())
        network = reader.read()
        assert reader.at == len(reader.content)
        return network
    return plain(torchfile.load(path))


def run(module, x):
    """Up to the logits."""
    name, fields = module.name.split(".")[1], module.fields
    if name == "Sequential":
        for number in sorted(fields["modules"]):
            x = run(fields["modules"][number], x)
        return x
    if name == "SpatialBatchNormalization":
        return x
    if "weight" in fields:
        weight, bias = (torch.from_numpy(np.float32(fields[part])) for part in ("weight", "bias"))
    if name.startswith("SpatialConvolution"):
        sizes = (int(fields[size]) for size in ("nOutputPlane", "nInputPlane", "kH", "kW"))
        return functional.conv2d(x, weight.reshape(*sizes), bias, padding=int(fields["padW"]))
    if name == "SpatialMaxPooling":
        return functional.max_pool2d(x, int(fields["kW"]))
    if name == "Linear":
        return functional.linear(x, weight, bias)
    assert name in ("ReLU", "View", "Dropout", "SoftMax")
    return torch.relu(x) if name == "ReLU" else x.flatten(1) if name == "View" else x


def save(network, path, form):
    writer = Writer(form())
    writer.write(network)
    with open(path, "wb") as file:
        file.write(writer.file.content)
    agree(run(read(path), torch.from_numpy(images())).numpy(), path)


def main():
    save(nn(), "torch7_nn.t7", Binary)
    save(cudnn(), "torch7_cudnn.t7", Binary)
    save(ascii(), "torch7_ascii.t7", Ascii)
    save(batch_normalization(), "torch7_batchnorm.t7", Binary)


if __name__ == "__main__":
    main()
