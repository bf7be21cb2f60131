# Makes test/golden/onnx_*: small networks exported by PyTorch, with inputs and outputs recorded from PyTorch itself.
# /usr/bin/python3 test/golden/make/onnx_exports.py (Debian's python3-torch and python3-onnx; run from the repository's root)
import json
import math
import os

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)


class Residual(nn.Module):
    def __init__(self, inner, outer, cond, groups=4):
        super().__init__()
        block = lambda i: nn.Sequential(nn.Conv1d(i, outer, 5, padding=2), nn.GroupNorm(groups, outer), nn.Mish())
        self.first, self.second = block(inner), block(outer)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(cond, 2 * outer))
        self.skip = nn.Conv1d(inner, outer, 1) if inner != outer else nn.Identity()

    def forward(self, x, c):
        h = self.first(x)
        film = self.film(c).reshape(c.shape[0], 2, -1, 1)
        return self.second(film[:, 0] * h + film[:, 1]) + self.skip(x)


class Unet(nn.Module):
    """A conditional 1-D UNet with one level, in (batch, time, channels)."""

    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(8, 16), nn.Mish(), nn.Linear(16, 8))
        self.down = Residual(2, 16, 14)
        self.stride = nn.Conv1d(16, 16, 3, 2, 1)
        self.mid = Residual(16, 32, 14)
        self.up = nn.ConvTranspose1d(32, 16, 4, 2, 1)
        self.join = Residual(32, 16, 14)
        self.out = nn.Conv1d(16, 2, 1)

    def forward(self, x, t, cond):
        f = torch.exp(torch.arange(4) * (-math.log(10000.0) / 3))
        e = t[:, None] * f[None]
        c = torch.cat([self.time(torch.cat([e.sin(), e.cos()], -1)), cond], -1)
        h = self.down(x.transpose(1, 2), c)
        m = self.up(self.mid(self.stride(h), c))
        return self.out(self.join(torch.cat([m, h], 1), c)).transpose(1, 2)


class Transformer(nn.Module):
    """Pre-norm encoder with a causal mask, over tokens of a state and of noisy actions."""

    def __init__(self, norm_first=True):
        super().__init__()
        self.state, self.action = nn.Linear(5, 24), nn.Linear(3, 24)
        self.position = nn.Parameter(0.1 * torch.randn(1, 6, 24))
        layer = nn.TransformerEncoderLayer(24, 3, 48, activation="gelu", batch_first=True, norm_first=norm_first)
        self.layers = nn.TransformerEncoder(layer, 2)
        self.register_buffer("mask", torch.triu(torch.full((6, 6), float("-inf")), 1))
        self.head = nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 3))

    def forward(self, x, state):
        h = torch.cat([self.state(state), self.action(x)], 1) + self.position
        return self.head(self.layers(h, self.mask))[:, 2:]


class Attention(nn.Module):
    """Written by hand, as minGPT does it, with four-dimensional heads."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))
        self.o, self.norm = nn.Linear(16, 16), nn.LayerNorm(16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 16))
        self.register_buffer("mask", torch.tril(torch.ones(5, 5)).view(1, 1, 5, 5))

    def forward(self, x):
        b, t, c = x.shape
        h = self.norm(x)
        q, k, v = (f(h).view(b, t, 4, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        a = (q @ k.transpose(-2, -1)) * 0.5
        a = torch.softmax(a + (self.mask - 1) * 1e9, -1)
        x = x + self.o((a @ v).transpose(1, 2).reshape(b, t, c))
        return x + self.mlp(x)


class Pixels(nn.Module):
    """A small convolutional encoder: batch norm, pooling, a residual, a mean over the picture."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.GroupNorm(2, 8), nn.ELU(), nn.Conv2d(8, 8, 3, 1, 1))
        self.head = nn.Linear(8, 4)
        for m in self.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(), m.running_var.uniform_(0.5, 2)

    def forward(self, image):
        h = self.stem(image)
        h = torch.relu(h + self.block(h))
        return self.head(h.mean((2, 3)).clamp(-0.5, 3))


class Critic(nn.Module):
    """An MLP over a joined state and action: tanh, softplus, a softmax over bins, an expectation."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Linear(9, 32), nn.LayerNorm(32), nn.Tanh(), nn.Linear(32, 32), nn.Softplus())
        self.b = nn.Linear(32, 11)

    def forward(self, z, action):
        p = torch.softmax(self.b(self.a(torch.cat([z, action], -1))), -1)
        bins = torch.linspace(-5, 5, 11)
        v = (p * bins).sum(-1, keepdim=True)
        return torch.sign(v).abs() * v if False else v * v / (1 + v.abs()) - v


class Timestep(nn.Module):
    """A denoiser told its timestep as a whole number: looked up in a table, or as the number it is."""

    def __init__(self, lookup):
        super().__init__()
        self.table = nn.Embedding(100, 6) if lookup else None
        self.net = nn.Sequential(nn.Linear(20, 24), nn.SiLU(), nn.Linear(24, 8))

    def forward(self, x, t, cond):
        e = torch.sin(t.float() * torch.arange(1, 7) / 20).reshape(1, 6) if self.table is None else self.table(t)
        return self.net(torch.cat([x.reshape(1, 8), e, cond], -1)).reshape(1, 4, 2)


def save(name, net, inputs, opset):
    net.eval()
    folder = f"test/golden/onnx_{name}"
    os.makedirs(folder, exist_ok=True)
    with torch.no_grad():
        out = net(*inputs.values())
    torch.onnx.export(
        net, tuple(inputs.values()), f"{folder}/model.onnx", opset_version=opset, input_names=list(inputs), output_names=["out"],
        dynamic_axes={k: {0: "batch"} for k in [*inputs, "out"]} if name in ("critic", "unet") else None,
    )
    io = {k: v.flatten().tolist() for k, v in inputs.items()} | {"out": out.flatten().tolist()}
    with open(f"{folder}/io.json", "w") as f:
        json.dump({k: [float(np.float32(x)) for x in v] for k, v in io.items()}, f)


r = torch.randn
save("unet", Unet(), {"x": r(1, 8, 2), "t": torch.tensor([37.0]), "cond": r(1, 6)}, 16)
save("transformer", Transformer(), {"x": r(1, 4, 3), "state": r(1, 2, 5)}, 14)
save("transformer_post", Transformer(False), {"x": r(1, 4, 3), "state": r(1, 2, 5)}, 17)
save("attention", Attention(), {"x": r(1, 5, 16)}, 13)
save("pixels", Pixels(), {"image": r(1, 3, 24, 32)}, 15)
save("critic", Critic(), {"z": r(1, 6), "action": r(1, 3)}, 13)
save("timestep", Timestep(True), {"x": r(1, 4, 2), "t": torch.tensor([37]), "cond": r(1, 6)}, 16)
save("timestep_scalar", Timestep(False), {"x": r(1, 4, 2), "t": torch.tensor(37), "cond": r(1, 6)}, 16)
