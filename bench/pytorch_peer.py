# The PyTorch side of `tendon bench`: runs a recorded graph op by op, eagerly, on the same weights and threads.
# Reads one JSON line that describes the graph and its inputs, then answers every further line after one run.
import json
import mmap
import sys

import torch
import torch.nn.functional as F

torch.set_grad_enabled(False)
job = json.loads(sys.stdin.readline())
torch.set_num_threads(job["threads"])
files = {}


def tensor(ref):
    if "values" in ref:
        return torch.tensor(ref["values"], dtype=torch.float32).reshape(ref["shape"])
    if ref["file"] not in files:
        with open(ref["file"], "rb") as f:
            files[ref["file"]] = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
    count = 1
    for d in ref["shape"]:
        count *= d
    return torch.frombuffer(files[ref["file"]], dtype=torch.float32, count=count, offset=ref["offset"]).reshape(ref["shape"]).clone()


def first(x):  # channels first, as PyTorch's convolutions want them
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def attention(q, k, v, *mask, heads, scale=0):
    d = q.shape[-1] // heads
    split = lambda x: x.unflatten(-1, (heads, d)).transpose(1, 2)
    scores = split(q) @ split(k).transpose(-1, -2) * (scale or d**-0.5)
    if mask:
        scores = scores + mask[0]
    return (torch.softmax(scores, -1) @ split(v)).transpose(1, 2).flatten(2)


OPS = {
    "linear": lambda x, w, b=None: F.linear(x, w, b),
    "conv1d": lambda x, w, b=None, stride=1, pad=0: last(F.conv1d(first(x), w, b, stride, pad)),
    "conv2d": lambda x, w, b=None, stride=1, pad=0: last(F.conv2d(first(x), w, b, stride, pad)),
    "conv_transpose1d": lambda x, w, b=None, stride=1, pad=0: last(F.conv_transpose1d(first(x), w, b, stride, pad)),
    "group_norm": lambda x, w, b, groups, eps=1e-5: last(F.group_norm(first(x), groups, w, b, eps)),
    "layer_norm": lambda x, w=None, b=None, eps=1e-5: F.layer_norm(x, x.shape[-1:], w, b, eps),
    "concat": lambda *x, axis: torch.cat([p.expand(max(q.shape[0] for q in x), *p.shape[1:]) for p in x], axis),
    "slice": lambda x, axis, start, length: x.narrow(axis, start, length),
    "reshape": lambda x, shape: x.reshape(x.shape[0] if shape[0] == 1 else shape[0], *shape[1:]),
    "permute": lambda x, perm: x.permute(perm),
    "expand": lambda x, shape: x.expand(x.shape[0], *shape[1:]),
    "affine": lambda x, mul=1, add=0: x * mul + add,
    "softmax": lambda x: torch.softmax(x, -1),
    "sum": lambda x, axis: x.sum(axis, keepdim=True),
    "symexp": lambda x: torch.sign(x) * (torch.exp(torch.abs(x)) - 1),
    "attention": attention,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "elu": F.elu,
    **{name: getattr(torch, name) for name in "relu tanh sigmoid exp log sin cos sqrt rsqrt abs neg square reciprocal erf".split()},
    **{name: getattr(torch, name) for name in "add sub mul div minimum maximum".split()},
}

constants = {i: tensor(n["tensor"]) for i, n in enumerate(job["nodes"]) if "tensor" in n}
feeds = {k: [torch.tensor(v, dtype=torch.float32).reshape(job["shapes"][k]) for v in calls] for k, calls in job["feeds"].items()}


def run(call):
    values = dict(constants)
    for i, n in enumerate(job["nodes"]):
        if n["op"] == "input":
            values[i] = feeds[n["name"]][min(call, len(feeds[n["name"]]) - 1)]
        elif i not in values:
            values[i] = OPS[n["op"]](*(values[k] for k in n["inputs"]), **n["attributes"])
    return values[job["output"]]


print("ready", flush=True)
for line in sys.stdin:
    for call in range(job["calls"]):
        run(call)
    print("done", flush=True)
