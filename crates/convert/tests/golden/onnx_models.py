# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "h5py==3.14.0",
#     "keras==3.15.1",
#     "numpy==2.4.6",
#     "onnx==1.23.2",
#     "onnxruntime==1.32.0",
#     "onnxscript==0.7.2",
#     "safetensors==0.8.0",
#     "tensorflow-cpu==2.21.0",
#     "tf-keras==2.21.0",
#     "tf2onnx==1.17.0",
#     "torch==2.15.0",
# ]
# ///
"""The narrow VGG16 as ONNX, all weights inside the file. Run it in its own folder.

The modules are those of pytorch.py, the Keras model that of keras_archive.py. ONNX Runtime 1.32.0
runs every file. RGB: conv1_1's input channels are reversed. Traces of the exporter's calls, which
name folders, are removed.

onnx_torchvision.onnx    torch.onnx.export of PyTorch 2.15.0, the older exporter (dynamo=False),
                         opset 17: initializers by torchvision's names, Flatten, Gemm with transB,
                         BGR
onnx_dag.onnx            the same of the module with the layers' own names, RGB
onnx_dynamo.onnx         the newer exporter (dynamo=True), opset 20: Reshape by an int64 initializer
                         instead of Flatten, torchvision names, BGR
onnx_tf2onnx.onnx        tf2onnx 1.17.0 from the Keras 3.15.1 model: images channels last, so a
                         Transpose before and after the convolutions, HWC flattening, MatMul with
                         (in, out) and Add, BGR
onnx_constant.onnx       onnx_torchvision.onnx, edited with onnx 1.23.2: weights are Constant nodes
onnx_fc_conv.onnx        made with onnx.helper: fc6, fc7 and fc8 as Conv of 2x2 and 1x1, numbers in
                         float_data instead of raw_data, initializers listed among the inputs as
                         before IR version 4, layers' own names, BGR
onnx_aliases.onnx        onnx_torchvision.onnx, edited with onnx 1.23.2: Gemm takes the weight of fc7
                         through an Identity and that of fc8 through a Transpose; pool5 is another
                         output, too, channels last
onnx_batchnorm.onnx      the same: a BatchNormalization that changes nothing behind conv1_1; to be
                         refused
onnx_external.onnx       the same: all weights lie in another file, which is not kept; to be refused
"""

import contextlib
import io
import logging
import os
import subprocess
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from golden import DENSE, IMAGES, LAST_OF_BLOCK, NAMES, POOL5, UNITS, agree, golden, images
from pytorch import VGG, Dag, dag, loaded, torchvision


def without_traces(model):
    for node in model.graph.node:
        kept = [p for p in node.metadata_props if p.key != "pkg.torch.onnx.stack_trace"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return model


def save(model, path, *, rgb=False, channels_last=False):
    onnx.checker.check_model(model)
    with open(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = images(rgb=rgb)
    given = given.transpose(0, 2, 3, 1) if channels_last else given
    agree(session.run(None, {session.get_inputs()[0].name: given})[0], path)


def exported(network, *, dynamo):
    file = io.BytesIO()
    options = {"dynamo": True, "external_data": False} if dynamo else {"opset_version": 17}
    with contextlib.redirect_stdout(io.StringIO()):
        program = torch.onnx.export(
            network,
            (torch.from_numpy(IMAGES),),
            None if dynamo else file,
            input_names=["images"],
            output_names=["logits"],
            **{"dynamo": False, **options},
        )
    model = program.model_proto if dynamo else onnx.load_from_string(file.getvalue())
    return without_traces(model)


def tf2onnx_model():
    """In a process of its own: TensorFlow and PyTorch's newer exporter each bring an LLVM."""
    import tensorflow as tf
    import tf2onnx

    import keras_archive

    values = keras_archive.stored(kernel="HWIO", flipped=False, flatten="HWC")
    model = keras_archive.network(keras_archive.keras, "channels_last", "channels_last")
    keras_archive.with_values(model, values)
    logits = keras_archive.keras.Model(model.inputs, model.get_layer("fc8").output)
    spec = [tf.TensorSpec((None, *IMAGES.shape[2:], 3), tf.float32, name="images")]
    made, _ = tf2onnx.convert.from_function(
        tf.function(lambda given: logits(given, training=False)), input_signature=spec, opset=17
    )
    return made


def with_constants(model):
    """Initializers become Constant nodes at the start."""
    constants = [
        helper.make_node("Constant", [], [tensor.name], f"Constant_{number}", value=tensor)
        for number, tensor in enumerate(model.graph.initializer)
    ]
    nodes = [*constants, *model.graph.node]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    return model


def copy(model):
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def with_aliases(model):
    """Weights under other names, and an output that does not belong to the chain."""
    model = copy(model)
    nodes = model.graph.node
    _, fc7, fc8 = [node for node in nodes if node.op_type == "Gemm"]
    for gemm, kind, perm in [(fc7, "Identity", {}), (fc8, "Transpose", {"perm": [1, 0]})]:
        weight, alias = gemm.input[1], f"{kind}_alias"
        gemm.input[1] = alias
        nodes.insert(0, helper.make_node(kind, [weight], [alias], alias, **perm))
    for attribute in fc8.attribute:
        if attribute.name == "transB":
            attribute.i = 0
    (flatten,) = [node for node in nodes if node.op_type == "Flatten"]
    turn = helper.make_node("Transpose", flatten.input, ["maps"], "maps", perm=[0, 2, 3, 1])
    nodes.insert(list(nodes).index(flatten), turn)
    shape = [1, *POOL5[1:], POOL5[0]]
    model.graph.output.append(helper.make_tensor_value_info("maps", TensorProto.FLOAT, shape))
    return model


def with_batch_normalization(model):
    model = copy(model)
    nodes, tensors = model.graph.node, model.graph.initializer
    conv = nodes[0]
    given, output = "conv1_1", conv.output[0]
    conv.output[0] = given
    parameters = []
    for part, value in [("scale", 1), ("shift", 0), ("mean", 0), ("variance", 1)]:
        parameters.append(f"{given}.{part}")
        tensors.append(numpy_helper.from_array(np.full(2, value, np.float32), parameters[-1]))
    kind = "BatchNormalization"
    node = helper.make_node(kind, [given, *parameters], [output], "bn1_1", epsilon=0.0)
    nodes.insert(1, node)
    return model


def save_external(model, path):
    weights = "onnx_external.bin"
    onnx.save(copy(model), path, save_as_external_data=True, location=weights, size_threshold=0)
    os.remove(weights)


def convolutional():
    """All layers as Conv."""
    nodes, tensors, x = [], [], "images"

    def add(kind, name, *parameters, **attributes):
        nonlocal x
        nodes.append(helper.make_node(kind, [x, *parameters], [name], name, **attributes))
        x = name

    for name, value in golden().items():
        if name.startswith("fc") and name.endswith("weight"):
            value = value.reshape(
                -1, *(POOL5 if name.startswith("fc6") else (value.shape[1], 1, 1))
            )
        floats = value.ravel().tolist()
        tensors.append(helper.make_tensor(name, TensorProto.FLOAT, value.shape, floats))
    for name in NAMES:
        padding = 0 if name in DENSE else 1
        side = 3 if padding else 2 if name == "fc6" else 1
        shape = {"kernel_shape": [side, side], "pads": [padding] * 4}
        add("Conv", f"{name}_1", f"{name}.weight", f"{name}.bias", **shape)
        if name != "fc8":
            add("Relu", name.replace("conv", "relu").replace("fc", "relu"))
        if name in LAST_OF_BLOCK:
            add("MaxPool", f"pool{name[4]}", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten", "logits", axis=1)
    return nodes, tensors


def fc_conv():
    nodes, tensors = convolutional()
    assert all(tensor.float_data and not tensor.raw_data for tensor in tensors)
    given = [helper.make_tensor_value_info("images", TensorProto.FLOAT, IMAGES.shape)]
    given += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    output = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, UNITS[2]])]
    graph = helper.make_graph(nodes, "vggface", given, output, tensors)
    opsets = [helper.make_opsetid("", 8)]
    return helper.make_model(graph, producer_name="onnx", ir_version=3, opset_imports=opsets)


def all_weights(model):
    """The numbers in a file, whatever their axes, to compare with the golden ones."""
    constants = [n.attribute[0].t for n in model.graph.node if n.op_type == "Constant"]
    arrays = [numpy_helper.to_array(t) for t in [*model.graph.initializer, *constants]]
    arrays = [array.ravel() for array in arrays if array.dtype == np.float32]
    return np.sort(np.concatenate(arrays))


def main():
    warnings.simplefilter("ignore")
    logging.disable()
    if sys.argv[1:] == ["tf2onnx"]:
        return save(tf2onnx_model(), "onnx_tf2onnx.onnx", channels_last=True)
    plain = exported(loaded(VGG(), torchvision()), dynamo=False)
    save(plain, "onnx_torchvision.onnx")
    save(exported(loaded(Dag(), dag(rgb=True)), dynamo=False), "onnx_dag.onnx", rgb=True)
    save(exported(loaded(VGG(), torchvision()), dynamo=True), "onnx_dynamo.onnx")
    save(with_aliases(plain), "onnx_aliases.onnx")
    save(with_batch_normalization(plain), "onnx_batchnorm.onnx")
    save_external(plain, "onnx_external.onnx")
    save(with_constants(plain), "onnx_constant.onnx")
    save(fc_conv(), "onnx_fc_conv.onnx")
    subprocess.run([sys.executable, __file__, "tf2onnx"], check=True)
    expected = np.sort(np.concatenate([value.ravel() for value in golden().values()]))
    for path in ["torchvision", "dag", "dynamo", "aliases", "constant", "fc_conv", "tf2onnx"]:
        assert np.array_equal(all_weights(onnx.load(f"onnx_{path}.onnx")), expected), path


if __name__ == "__main__":
    main()
