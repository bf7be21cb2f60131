# Makes test/golden/onnx_opset{18,21}/model.onnx: the ops that newer opsets changed or added, put together by hand with
# onnx.helper (Debian's onnx checks only up to opset 17, so nothing is checked here; onnxruntime-node is the judge).
# /usr/bin/python3 test/golden/make/onnx_new.py
import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)


def build(opset):
    nodes, tensors = [], []

    def const(name, value):
        tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(kind, inputs, outputs=1, **attributes):
        names = [f"{kind}_{len(nodes)}_{i}" for i in range(outputs)]
        nodes.append(helper.make_node(kind, inputs, names, name=f"n{len(nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    f = lambda *shape: (rng.standard_normal(shape) * 0.3).astype(np.float32)
    h = op("Conv", ["x", const("w", f(8, 4, 3)), const("b", f(8))], pads=[1, 1], kernel_shape=[3])
    channels = 8 if opset >= 21 else 2
    h = op("GroupNormalization", [h, const("gs", 1 + f(channels)), const("gb", f(channels))], num_groups=2, epsilon=1e-5)
    h = op("Mish", [h])
    a, b = op("Split", [h], 2, axis=1, num_outputs=2)
    h = op("Mul", [op("Gelu", [a], approximate="tanh") if opset >= 20 else op("Elu", [a]), op("Sigmoid", [b])])
    h = op("Transpose", [h], perm=[0, 2, 1])
    h = op("LayerNormalization", [h, const("ls", 1 + f(4)), const("lb", f(4))], axis=-1)
    mean = op("ReduceMean", [h, const("axes", np.array([1], np.int64))], keepdims=1)
    h = op("Sub", [h, mean])
    top = op("ReduceMax", [h, const("axes1", np.array([2], np.int64))], keepdims=0)
    top = op("Unsqueeze", [top, const("axes2", np.array([2], np.int64))])
    h = op("Add", [h, op("Expand", [top, const("to", np.array([1, 6, 4], np.int64))])])
    h = op("Clip", [h, const("low", np.float32(-1)), const("high", np.float32(1.5))])
    nodes.append(helper.make_node("Identity", [h], ["out"]))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "new", [info("x", TensorProto.FLOAT, [1, 4, 6])], [info("out", TensorProto.FLOAT, [1, 6, 4])], tensors
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    folder = f"test/golden/onnx_opset{opset}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/model.onnx", "wb") as out:
        out.write(model.SerializeToString())


for opset in (18, 21):
    build(opset)
