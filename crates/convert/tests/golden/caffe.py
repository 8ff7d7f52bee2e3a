# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "numpy==2.4.6",
#     "opencv-python-headless==4.14.0.94",
#     "protobuf==7.36.2",
#     "safetensors==0.8.0",
# ]
# ///
"""The narrow VGG16 as Caffe's binary NetParameter, BGR. Run it in its own folder.

Caffe itself is not used: the messages are those of BVLC's caffe.proto, as far as they are needed,
serialised by Google's protobuf 7.36.2. OpenCV 4.14.0's importer of Caffe reads the files and runs
the network. Weights are out x in x rows x columns, inner products out x in over CHW flattening.

caffe_v1.caffemodel       `layers` (V1LayerParameter) with every blob in four dimensions (num,
                          channels, height, width): inner products 1,1,out,in and biases 1,1,1,n
caffe_v2.caffemodel       `layer` (LayerParameter) with BlobShape
caffe_double.caffemodel   the same with double_data, and double_diff of zeros, as a solver that
                          works in double may snapshot; OpenCV, which reads no doubles, runs them
                          after they were put back as floats
caffe_transposed.caffemodel    caffe_v2.caffemodel with the weight of fc7 as in x out, and so said
                          (`transpose`), which OpenCV does not heed: it runs it turned back
caffe_v1_transposed.caffemodel the same of caffe_v1.caffemodel
"""

import cv2
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from golden import (
    DENSE,
    LAST_OF_BLOCK,
    NAMES,
    SIDE_PX,
    UNITS,
    WIDTHS,
    agree,
    golden,
    images,
)

FIELD = descriptor_pb2.FieldDescriptorProto
# Fields as number, name and type; a leading * repeats, ** repeats in packed form.
MESSAGES = {
    "BlobShape": [(1, "dim", "**int64")],
    "BlobProto": [
        (1, "num", "int32"),
        (2, "channels", "int32"),
        (3, "height", "int32"),
        (4, "width", "int32"),
        (5, "data", "**float"),
        (6, "diff", "**float"),
        (7, "shape", "BlobShape"),
        (8, "double_data", "**double"),
        (9, "double_diff", "**double"),
    ],
    "ConvolutionParameter": [
        (1, "num_output", "uint32"),
        (3, "pad", "*uint32"),
        (4, "kernel_size", "*uint32"),
    ],
    "InnerProductParameter": [(1, "num_output", "uint32"), (6, "transpose", "bool")],
    "PoolingParameter": [
        (1, "pool", "PoolMethod"),
        (2, "kernel_size", "uint32"),
        (3, "stride", "uint32"),
    ],
    "DropoutParameter": [(1, "dropout_ratio", "float")],
    "ParamSpec": [(3, "lr_mult", "float"), (4, "decay_mult", "float")],
    "LayerParameter": [
        (1, "name", "string"),
        (2, "type", "string"),
        (3, "bottom", "*string"),
        (4, "top", "*string"),
        (6, "param", "*ParamSpec"),
        (7, "blobs", "*BlobProto"),
        (10, "phase", "Phase"),
        (106, "convolution_param", "ConvolutionParameter"),
        (108, "dropout_param", "DropoutParameter"),
        (117, "inner_product_param", "InnerProductParameter"),
        (121, "pooling_param", "PoolingParameter"),
    ],
    "V1LayerParameter": [
        (2, "bottom", "*string"),
        (3, "top", "*string"),
        (4, "name", "string"),
        (5, "type", "LayerType"),
        (6, "blobs", "*BlobProto"),
        (7, "blobs_lr", "*float"),
        (8, "weight_decay", "*float"),
        (10, "convolution_param", "ConvolutionParameter"),
        (12, "dropout_param", "DropoutParameter"),
        (17, "inner_product_param", "InnerProductParameter"),
        (19, "pooling_param", "PoolingParameter"),
    ],
    "NetParameter": [
        (1, "name", "string"),
        (2, "layers", "*V1LayerParameter"),
        (3, "input", "*string"),
        (4, "input_dim", "*int32"),
        (100, "layer", "*LayerParameter"),
    ],
}
ENUMS = {
    "PoolMethod": {"MAX": 0, "AVE": 1},
    "Phase": {"TRAIN": 0, "TEST": 1},
    "LayerType": {
        "NONE": 0,
        "CONVOLUTION": 4,
        "DROPOUT": 6,
        "INNER_PRODUCT": 14,
        "POOLING": 17,
        "RELU": 18,
        "SOFTMAX": 20,
    },
}
NEW_TYPES = {
    "CONVOLUTION": "Convolution",
    "DROPOUT": "Dropout",
    "INNER_PRODUCT": "InnerProduct",
    "POOLING": "Pooling",
    "RELU": "ReLU",
    "SOFTMAX": "Softmax",
}


def field(message, number, name, kind):
    made = message.field.add(name=name, number=number)
    repeats = len(kind) - len(kind.lstrip("*"))
    made.label = FIELD.LABEL_REPEATED if repeats else FIELD.LABEL_OPTIONAL
    made.options.packed = repeats == 2
    if repeats < 2:
        made.ClearField("options")
    kind = kind.lstrip("*")
    if kind in MESSAGES or kind in ENUMS:
        made.type = FIELD.TYPE_MESSAGE if kind in MESSAGES else FIELD.TYPE_ENUM
        made.type_name = f".caffe.{kind}"
    else:
        made.type = getattr(FIELD, f"TYPE_{kind.upper()}")


def net_parameter():
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for one in fields:
            field(message, *one)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


NetParameter = net_parameter()


def steps():
    """Name, type, bottom and top of every layer; activations work in place."""
    bottom = "data"
    for name in NAMES:
        yield name, "INNER_PRODUCT" if name in DENSE else "CONVOLUTION", bottom, name
        bottom = name
        if name != "fc8":
            yield name.replace("conv", "relu").replace("fc", "relu"), "RELU", bottom, bottom
        if name in ("fc6", "fc7"):
            yield name.replace("fc", "drop"), "DROPOUT", bottom, bottom
        if name in LAST_OF_BLOCK:
            bottom = f"pool{name[4]}"
            yield bottom, "POOLING", name, bottom
    yield "prob", "SOFTMAX", bottom, "prob"


def describe(layer, name, kind):
    """The parameters that both forms of a layer share."""
    if kind == "CONVOLUTION":
        layer.convolution_param.num_output = WIDTHS[int(name[4]) - 1]
        layer.convolution_param.pad.append(1)
        layer.convolution_param.kernel_size.append(3)
    elif kind == "INNER_PRODUCT":
        layer.inner_product_param.num_output = UNITS[DENSE.index(name)]
    elif kind == "POOLING":
        layer.pooling_param.pool = ENUMS["PoolMethod"]["MAX"]
        layer.pooling_param.kernel_size = layer.pooling_param.stride = 2
    elif kind == "DROPOUT":
        layer.dropout_param.dropout_ratio = 0.5


def arrays(name):
    values = golden()
    return (values[f"{name}.weight"], values[f"{name}.bias"]) if name in NAMES else ()


def network(name):
    net = NetParameter(name=name)
    net.input.append("data")
    net.input_dim.extend([1, 3, SIDE_PX, SIDE_PX])
    return net


def v1():
    net = network("VGG_FACE_16_layers")
    for name, kind, bottom, top in steps():
        layer = net.layers.add(name=name, type=ENUMS["LayerType"][kind], bottom=[bottom], top=[top])
        describe(layer, name, kind)
        for array in arrays(name):
            dims = (1,) * (4 - array.ndim) + array.shape
            blob = layer.blobs.add(data=array.ravel())
            blob.num, blob.channels, blob.height, blob.width = dims
        if layer.blobs:
            layer.blobs_lr.extend([1, 2])
            layer.weight_decay.extend([1, 0])
    return net


def v2(*, double=False):
    net = network("VGG_FACE_16_layers")
    for name, kind, bottom, top in steps():
        layer = net.layer.add(name=name, type=NEW_TYPES[kind], bottom=[bottom], top=[top])
        layer.phase = ENUMS["Phase"]["TEST"]
        describe(layer, name, kind)
        for decay, array in zip([1, 0], arrays(name)):
            layer.param.add(lr_mult=2 - decay, decay_mult=decay)
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            if double:
                blob.double_data.extend(array.ravel().astype(np.float64))
                blob.double_diff.extend(np.zeros(array.size))
            else:
                blob.data.extend(array.ravel())
    return net


def transposed(net):
    """fc7 as (in, out), or back from that; it has as many inputs as outputs."""
    turned = NetParameter()
    turned.CopyFrom(net)
    (layer,) = [layer for layer in [*turned.layers, *turned.layer] if layer.name == "fc7"]
    side = layer.inner_product_param.num_output
    weight = np.array(layer.blobs[0].data, np.float32).reshape(side, side)
    layer.blobs[0].ClearField("data")
    layer.blobs[0].data.extend(weight.T.ravel())
    layer.inner_product_param.transpose = not layer.inner_product_param.transpose
    return turned


def without_blobs(net):
    """The network as text, what Caffe calls its prototxt."""
    bare = NetParameter()
    bare.CopyFrom(net)
    for layer in [*bare.layers, *bare.layer]:
        layer.ClearField("blobs")
    return text_format.MessageToString(bare).encode()


def with_floats(content):
    net = NetParameter.FromString(content)
    for layer in net.layer:
        for blob in layer.blobs:
            blob.data.extend(blob.double_data)
            blob.ClearField("double_data")
            blob.ClearField("double_diff")
    return net.SerializeToString(deterministic=True)


def save(net, path):
    with open(path, "wb") as file:
        file.write(net.SerializeToString(deterministic=True))
    with open(path, "rb") as file:
        content = file.read()
    if path == "caffe_double.caffemodel":
        content = with_floats(content)
    if path.endswith("transposed.caffemodel"):
        net = transposed(net)
        content = net.SerializeToString(deterministic=True)
    text = without_blobs(net)
    read = cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8), np.frombuffer(content, np.uint8))
    read.setInput(images())
    agree(read.forward("fc8"), path)


def main():
    save(v1(), "caffe_v1.caffemodel")
    save(v2(), "caffe_v2.caffemodel")
    save(v2(double=True), "caffe_double.caffemodel")
    save(transposed(v2()), "caffe_transposed.caffemodel")
    save(transposed(v1()), "caffe_v1_transposed.caffemodel")


if __name__ == "__main__":
    main()
