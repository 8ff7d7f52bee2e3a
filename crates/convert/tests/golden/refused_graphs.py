# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "numpy==2.4.6",
#     "onnx==1.23.2",
#     "safetensors==0.8.0",
#     "torch==2.15.0",
#     "torchfile==0.1.0",
# ]
# ///
"""Networks that look like VGG16 and are not, and one that is. Run it in its own folder.

They are edits of the files that onnx_models.py, torch7.py and caffe.py have written; nothing runs
them.

onnx_batchnorm.onnx      a BatchNormalization behind the first convolution
onnx_quantized.onnx      fc7's weights through a QuantizeLinear and a DequantizeLinear
onnx_dilated.onnx        conv5_1 dilated
onnx_side.onnx           a Transpose on a branch beside the dense layers, which changes nothing: VGG16
onnx_transposed.onnx     fc7's weights through an Identity and a Transpose: VGG16
torch7_batchnorm.t7      an nn.SpatialBatchNormalization behind the first convolution
caffe_transposed.caffemodel  fc7 with `transpose`, its weights (in, out): VGG16
"""

import copy

import numpy as np
import onnx
from onnx import helper, numpy_helper

import caffe
import torch7
from golden import golden


def node(model, name):
    return next(it for it in model.graph.node if name in it.input)


def insert(model, place, made, *tensors):
    nodes = list(model.graph.node)
    nodes[place:place] = made
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(tensors)


def save(model, path):
    onnx.checker.check_model(model)
    with open(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))


def tensor(name, values):
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def onnx_files():
    given = onnx.load("onnx_dag.onnx")

    model = copy.deepcopy(given)
    first = node(model, "conv1_1.weight")
    output, first.output[0] = first.output[0], "convolved"
    channels = golden()["conv1_1.bias"].size
    parts = [tensor(f"bn.{part}", np.ones(channels)) for part in ("scale", "bias", "mean", "var")]
    inputs = ["convolved", *(part.name for part in parts)]
    insert(model, 1, [helper.make_node("BatchNormalization", inputs, [output], "bn")], *parts)
    save(model, "onnx_batchnorm.onnx")

    model = copy.deepcopy(given)
    fc7 = node(model, "fc7.weight")
    place = list(model.graph.node).index(fc7)
    fc7.input[1] = "fc7.dequantized"
    scale = tensor("scale", 0.01)
    quantize = helper.make_node("QuantizeLinear", ["fc7.weight", "scale"], ["fc7.quantized"], "q")
    back = helper.make_node("DequantizeLinear", ["fc7.quantized", "scale"], ["fc7.dequantized"], "d")
    insert(model, place, [quantize, back], scale)
    save(model, "onnx_quantized.onnx")

    model = copy.deepcopy(given)
    for attribute in node(model, "conv5_1.weight").attribute:
        if attribute.name in ("dilations", "pads"):
            attribute.ints[:] = [2] * len(attribute.ints)
    save(model, "onnx_dilated.onnx")

    model = copy.deepcopy(given)
    last = node(model, "conv5_3.weight").output[0]
    side = helper.make_node("Transpose", [last], ["side"], "side", perm=[0, 2, 3, 1])
    insert(model, len(model.graph.node), [side])
    save(model, "onnx_side.onnx")

    model = copy.deepcopy(given)
    fc7 = node(model, "fc7.weight")
    place = list(model.graph.node).index(fc7)
    stored = next(it for it in model.graph.initializer if it.name == "fc7.weight")
    turned = np.ascontiguousarray(numpy_helper.to_array(stored).T)
    stored.CopyFrom(numpy_helper.from_array(turned, "fc7.weight"))
    fc7.input[1] = "fc7.turned"
    same = helper.make_node("Identity", ["fc7.weight"], ["fc7.same"], "same")
    turn = helper.make_node("Transpose", ["fc7.same"], ["fc7.turned"], "turn", perm=[1, 0])
    insert(model, place, [same, turn])
    save(model, "onnx_transposed.onnx")


def torch7_file():
    made = torch7.Modules("Float", np.float32, convolution="SpatialConvolutionMM")
    modules = [*made.features(), *made.classifier()]
    channels = golden()["conv1_1.bias"].size
    part = lambda: made.own(np.ones(channels, np.float32))
    norm = {name: part() for name in ("weight", "bias", "running_mean", "running_var")}
    modules.insert(1, made.module("nn.SpatialBatchNormalization", eps=1e-5, **norm))
    writer = torch7.Writer(torch7.Binary())
    writer.write(made.sequential(modules))
    with open("torch7_batchnorm.t7", "wb") as file:
        file.write(writer.file.content)


def caffe_file():
    net = caffe.v2()
    fc7 = next(layer for layer in net.layer if layer.name == "fc7")
    fc7.blobs[0].data[:] = golden()["fc7.weight"].T.ravel().tolist()
    # Field 117, inner_product_param, as the messages here know it, and its field 6, `transpose`.
    fc7.inner_product_param.MergeFromString(b"\x30\x01")
    with open("caffe_transposed.caffemodel", "wb") as file:
        file.write(net.SerializeToString(deterministic=True))


def main():
    onnx_files()
    torch7_file()
    caffe_file()


if __name__ == "__main__":
    main()
