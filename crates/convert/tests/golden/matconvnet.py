# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "h5py==3.14.0",
#     "hdf5storage==0.2.2",
#     "numpy==2.4.6",
#     "safetensors==0.8.0",
#     "scipy==1.17.1",
#     "torch==2.15.0",
# ]
# ///
"""The narrow VGG16 in MatConvNet's structs, for RGB. Run it in its own folder; needs Octave.

MatConvNet's own importer writes with scipy.io.savemat, as here. Filters are rows x columns x in x
out, fully connected layers convolutions (fc6 of 2x2). Every file is read again (version 5 by scipy,
7.3 by h5py) and run in PyTorch layer by layer as the file says. Dates in headers are replaced.

matconvnet_simple.mat        version 5, SciPy 1.17.1: `layers`, a 1xN cell of structs that hold
                             `weights` = {filters, biases (1xn)}, and `meta`
matconvnet_simple_gzip.mat   the same, compressed
matconvnet_old.mat           version 5, SciPy: the form before `weights`: fields `filters` and
                             `biases`; `normalization` (averageImage of 64x64x3) and `classes` are
                             variables of their own
matconvnet_net.mat           version 5, SciPy: `layers` and `meta` inside one struct `net`
matconvnet_dag.mat           version 5, SciPy: what DagNN's saveobj gives: struct arrays `vars`,
                             `params` and `layers`, and `meta`
matconvnet_simple73.mat      version 7.3 (HDF5), hdf5storage 0.2.2: as matconvnet_simple.mat; its
                             cells, structs and struct arrays lie as MATLAB's do
matconvnet_dag73.mat         version 7.3, written with h5py in the same layout: matconvnet_dag.mat;
                             large arrays are chunks compressed by deflate, and, to keep the file
                             small, equal values of cells and struct arrays are stored once, and
                             blocks have no `size`
matconvnet_octave.mat        version 7 (5, compressed), Octave 7.3.0: as matconvnet_simple.mat, but
                             `layers` is Nx1 and biases nx1, as MatConvNet's importer wrote them
"""

import os
import subprocess

import h5py
import hdf5storage
import numpy as np
import scipy.io
import torch
from torch.nn import functional

from golden import (
    DENSE,
    LAST_OF_BLOCK,
    MEAN_RGB,
    NAMES,
    SIDE_PX,
    UNITS,
    agree,
    fc6_hwc,
    golden,
    images,
)

PEOPLE = ["A.J._Buckley", "A.R._Rahman", "Aamir_Khan", "Aaron_Staton", "Aaron_Tveit"]
PEOPLE += ["Aaron_Yoo", "Abbie_Cornish", "Abel_Ferrara", "Abigail_Breslin"]
PEOPLE += [f"Person_{number}" for number in range(len(PEOPLE), UNITS[-1])]
DATE = "Created on: Thu Jan 31 00:00:00 2019"


def cell(values):
    """1xN."""
    made = np.empty((1, len(values)), object)
    for index, value in enumerate(values):
        made[0, index] = value
    return made


def row(*numbers):
    return np.array([numbers], np.float64)


def struct_array(names, rows):
    """1xN, of tuples of values in the order of `names`."""
    made = np.empty((1, len(rows)), [(name, object) for name in names])
    for index, values in enumerate(rows):
        made[0, index] = tuple(values)
    return made


def parameters():
    """Filters and biases by name, in MATLAB's axes."""
    values = golden(rgb=True)
    found = {}
    for name in NAMES:
        weight = values[f"{name}.weight"]
        if name == "fc6":
            filters = fc6_hwc(weight)
        elif name in DENSE:
            filters = weight.T[None, None]
        else:
            filters = weight.transpose(2, 3, 1, 0)
        found[name] = np.asfortranarray(filters), values[f"{name}.bias"][None]
    return found


def steps():
    """Name and kind of every layer."""
    for name in NAMES:
        yield name, "conv"
        if name != "fc8":
            yield name.replace("conv", "relu").replace("fc", "relu"), "relu"
        if name in LAST_OF_BLOCK:
            yield f"pool{name[4]}", "pool"
    yield "prob", "softmax"


def padding(name):
    return row(0, 0, 0, 0) if name in DENSE else row(1, 1, 1, 1)


def simple_layers(*, old=False):
    values, layers = parameters(), []
    for name, kind in steps():
        layer = {"type": kind, "name": name}
        if kind == "conv" and old:
            filters, biases = values[name]
            layer |= {"filters": filters, "biases": biases}
        elif kind == "conv":
            layer |= {"weights": cell(values[name])}
        if kind == "conv":
            layer |= {"stride": row(1, 1), "pad": padding(name)}
        elif kind == "pool":
            layer |= {"method": "max", "pool": row(2, 2), "stride": row(2, 2)}
            layer |= {"pad": row(0, 0, 0, 0)}
        layers.append(layer)
    return cell(layers)


def normalization(average):
    return {
        "imageSize": row(SIDE_PX, SIDE_PX, 3),
        "averageImage": average,
        "interpolation": "bicubic",
        "keepAspect": True,
        "border": row(32, 32),
    }


def classes():
    return {"name": cell(PEOPLE), "description": cell(PEOPLE)}


def meta():
    average = np.array(MEAN_RGB, np.float32).reshape(1, 1, 3)
    return {"normalization": normalization(average), "classes": classes()}


def simple():
    return {"layers": simple_layers(), "meta": meta()}


def old():
    average = np.broadcast_to(np.array(MEAN_RGB, np.float32), (SIDE_PX, SIDE_PX, 3))
    layers = simple_layers(old=True)
    return {"layers": layers, "normalization": normalization(average), "classes": classes()}


def dag(*, sizes=True):
    values, layers, params = parameters(), [], []
    for number, (name, kind) in enumerate(steps()):
        names = np.empty((1, 0), object)
        if kind == "conv":
            names = cell([f"{name}f", f"{name}b"])
            params += [(*pair, 1.0, 1.0) for pair in zip(names[0], values[name])]
            block = {"size": row(*values[name][0].shape)} if sizes else {}
            block |= {"hasBias": True, "opts": cell(["cuDNN"])}
            block |= {"pad": padding(name), "stride": row(1, 1), "dilate": row(1, 1)}
        elif kind == "relu":
            block = {"useShortCircuit": True, "leak": 0.0, "opts": np.empty((1, 0), object)}
        elif kind == "pool":
            block = {"method": "max", "poolSize": row(2, 2), "opts": cell(["cuDNN"])}
            block |= {"pad": row(0, 0, 0, 0), "stride": row(2, 2)}
        else:
            block = {"opts": np.empty((1, 0), object)}
        type_ = "dagnn." + {"conv": "Conv", "relu": "ReLU", "pool": "Pooling"}.get(kind, "SoftMax")
        variables = [cell([f"x{number}"]), cell([f"x{number + 1}"])]
        layers.append((name, type_, *variables, names, block))
    layers = struct_array(["name", "type", "inputs", "outputs", "params", "block"], layers)
    names = [f"x{number}" for number in range(layers.size + 1)]
    return {
        "vars": struct_array(["name", "precious"], [(name, False) for name in names]),
        "params": struct_array(["name", "value", "learningRate", "weightDecay"], params),
        "layers": layers,
        "meta": meta(),
    }


# Reading again: structs become dicts, cells and struct arrays lists, text str.


def plain(value):
    """What scipy.io.loadmat gives."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        dicts = [{name: plain(one[name]) for name in value.dtype.names} for one in value.ravel("F")]
        return dicts[0] if len(dicts) == 1 else dicts
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [plain(one) for one in value.ravel("F")]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return str(value.item()) if value.size else ""
    return value


def plain73(file, node):
    """A node of a MATLAB 7.3 file by its attributes; struct arrays are groups of references."""
    kind = node.attrs.get("MATLAB_class", b"").decode()
    if isinstance(node, h5py.Group):
        fields = {name: plain73(file, node[name]) for name in node}
        if fields and not any("MATLAB_class" in field.attrs for field in node.values()):
            return [dict(zip(fields, values)) for values in zip(*fields.values())]
        return fields
    if node.attrs.get("MATLAB_empty"):
        return [] if kind == "cell" else np.empty(node[()].astype(int))
    if node.dtype == h5py.ref_dtype:
        return [plain73(file, file[reference]) for reference in node[()].ravel()]
    if kind == "char":
        return node[()].tobytes().decode("utf-16-le")
    return node[()].T


def read(path):
    if "73" in path:
        with h5py.File(path) as file:
            return {name: plain73(file, file[name]) for name in file if name != "#refs#"}
    content = scipy.io.loadmat(path)
    return {name: plain(value) for name, value in content.items() if not name.startswith("__")}


def convolve(x, filters, biases, pad):
    filters, pad = np.asarray(filters), np.asarray(pad).ravel()
    filters = filters.reshape(filters.shape + (1,) * (4 - filters.ndim))
    weight = torch.from_numpy(filters.transpose(3, 2, 0, 1).copy())
    return functional.conv2d(
        x, weight, torch.from_numpy(biases.ravel().copy()), padding=int(pad[0])
    )


def run_simple(layers):
    x = torch.from_numpy(images(rgb=True))
    for layer in layers:
        if layer["type"] == "conv":
            filters, biases = layer.get("weights") or (layer["filters"], layer["biases"])
            x = convolve(x, filters, biases, layer["pad"])
        elif layer["type"] == "relu":
            x = torch.relu(x)
        elif layer["type"] == "pool":
            x = functional.max_pool2d(x, [int(size) for size in np.ravel(layer["pool"])])
        else:
            assert layer["type"] == "softmax"
    return x


def run_dag(content):
    params = {param["name"]: param["value"] for param in content["params"]}
    x = {"x0": torch.from_numpy(images(rgb=True))}
    for layer in content["layers"]:
        given, block = x[layer["inputs"][0]], layer["block"]
        if layer["type"] == "dagnn.Conv":
            given = convolve(given, *(params[name] for name in layer["params"]), block["pad"])
        elif layer["type"] == "dagnn.ReLU":
            given = torch.relu(given)
        elif layer["type"] == "dagnn.Pooling":
            given = functional.max_pool2d(
                given, [int(size) for size in np.ravel(block["poolSize"])]
            )
        else:
            assert layer["type"] == "dagnn.SoftMax"
        x[layer["outputs"][0]] = given
    return given


def check(path):
    content = read(path)
    content = content.get("net", content)
    run = run_dag(content) if "params" in content else run_simple(content["layers"])
    agree(run.numpy(), path)
    meta = content.get("meta", content)
    assert meta["classes"]["name"] == meta["classes"]["description"] == PEOPLE
    average = np.asarray(meta["normalization"]["averageImage"]).reshape(-1, 3)[0]
    assert np.array_equal(average, np.float32(MEAN_RGB))
    assert len(run.ravel()) == UNITS[2]


def put_header(path, text):
    """The 116 bytes of text at the start of the file."""
    with open(path, "r+b") as file:
        file.write(text.encode().ljust(116))


def save5(path, content, **options):
    scipy.io.savemat(path, content, **options)
    put_header(path, f"MATLAB 5.0 MAT-file Platform: posix, {DATE}")
    check(path)


def save73(path, content):
    if os.path.exists(path):
        os.remove(path)
    hdf5storage.writes(content, filename=path, matlab_compatible=True, store_python_metadata=False)
    put_header(path, f"MATLAB 7.3 MAT-file, Platform: hdf5storage 0.2.2, {DATE} HDF5 schema 1.00 .")
    check(path)


class Matlab73:
    """Writes variables as MATLAB lays them out in HDF5."""

    def __init__(self, file):
        self.references = file.create_group("#refs#")
        self.stored = {}

    def reference(self, value):
        key = self.key(value)
        if key not in self.stored:
            name = f"r{len(self.stored)}"
            self.stored[key] = None
            node = self.write(self.references, name, value)
            node.attrs["H5PATH"] = np.bytes_(node.name)
            self.stored[key] = node.ref
        return self.stored[key]

    def key(self, value):
        if isinstance(value, dict):
            return tuple((name, self.key(field)) for name, field in value.items())
        if isinstance(value, np.ndarray) and value.dtype == object:
            return "cell", value.shape, *(self.key(one) for one in value.ravel("F"))
        if isinstance(value, np.ndarray):
            return value.dtype.str, value.shape, value.tobytes()
        return type(value), value

    def write(self, group, name, value):
        if isinstance(value, dict):
            return self.struct(group, name, value, lambda *field: self.write(*field))
        if isinstance(value, np.ndarray) and value.dtype.names:
            columns = {field: value[field] for field in value.dtype.names}
            return self.struct(group, name, columns, lambda *field: self.pointers(*field))
        if isinstance(value, np.ndarray) and value.dtype == object and value.size == 0:
            dims = np.array(value.shape, np.uint64)
            return self.array(group, name, dims, "cell", MATLAB_empty=np.uint8(1))
        if isinstance(value, np.ndarray) and value.dtype == object:
            node = self.pointers(group, name, value)
            node.attrs["MATLAB_class"] = np.bytes_(b"cell")
            return node
        if isinstance(value, str):
            text = np.frombuffer(value.encode("utf-16-le"), np.uint16)[:, None]
            return self.array(group, name, text, "char", MATLAB_int_decode=np.int32(2))
        if isinstance(value, bool):
            flag = np.uint8([[value]])
            return self.array(group, name, flag, "logical", MATLAB_int_decode=np.int32(1))
        value = np.atleast_2d(value)
        return self.array(group, name, value.T, "single" if value.dtype == np.float32 else "double")

    def struct(self, group, name, fields, write):
        made = group.create_group(name)
        for field, value in fields.items():
            write(made, field, value)
        made.attrs["MATLAB_class"] = np.bytes_(b"struct")
        letters = np.empty(len(fields), object)
        for index, field in enumerate(fields):
            letters[index] = np.frombuffer(field.encode(), "S1")
        made.attrs.create("MATLAB_fields", letters, dtype=h5py.vlen_dtype(np.dtype("S1")))
        return made

    def pointers(self, group, name, values):
        references = np.empty(values.shape[::-1], h5py.ref_dtype)
        for index, value in np.ndenumerate(values):
            references[index[::-1]] = self.reference(value)
        return group.create_dataset(name, data=references, dtype=h5py.ref_dtype)

    def array(self, group, name, values, kind, **attributes):
        large = {"chunks": values.shape, "compression": "gzip", "compression_opts": 3}
        storage = large if values.nbytes > 1000 else {}
        node = group.create_dataset(name, data=values, **storage)
        node.attrs["MATLAB_class"] = np.bytes_(kind.encode())
        for attribute, value in attributes.items():
            node.attrs[attribute] = value
        return node


def save73_shared(path, content):
    with h5py.File(path, "w", userblock_size=512) as file:
        writer = Matlab73(file)
        for name, value in content.items():
            writer.write(file, name, value)
    put_header(path, f"MATLAB 7.3 MAT-file, Platform: GLNXA64, {DATE} HDF5 schema 1.00 .")
    with open(path, "r+b") as file:
        file.seek(124)
        file.write(b"\x00\x02IM")
    check(path)


OCTAVE = """
given = load('matconvnet_simple.mat');
layers = cell(numel(given.layers), 1);
for k = 1:numel(layers)
  old = given.layers{k};
  layer = struct('name', old.name, 'type', old.type);
  if isfield(old, 'weights')
    layer.weights = {old.weights{1}, old.weights{2}(:)};
  end
  for field = {'pad', 'stride', 'pool', 'method'}
    if isfield(old, field{1})
      layer.(field{1}) = old.(field{1});
    end
  end
  layers{k} = layer;
end
meta = given.meta;
save('-v7', 'matconvnet_octave.mat', 'layers', 'meta');
"""


def octave():
    path = "matconvnet_octave.mat"
    # Octave 7 can fail as it exits, its file written, so the file is what is checked.
    if os.path.exists(path):
        os.remove(path)
    subprocess.run(["octave-cli", "--quiet", "--norc", "--eval", OCTAVE])
    put_header(path, "MATLAB 5.0 MAT-file, written by Octave 7.3.0, 2019-01-31 00:00:00 UTC")
    check(path)


def main():
    save5("matconvnet_simple.mat", simple())
    save5("matconvnet_simple_gzip.mat", simple(), do_compression=True)
    save5("matconvnet_old.mat", old(), do_compression=True)
    save5("matconvnet_net.mat", {"net": simple()})
    save5("matconvnet_dag.mat", dag())
    save73("matconvnet_simple73.mat", simple())
    save73_shared("matconvnet_dag73.mat", dag(sizes=False))
    octave()


if __name__ == "__main__":
    main()
