# Makes test/golden/onnx_prefix: a small flow with a time for each row, as training-time action conditioning trains them
# (Black et al. 2025), exported by PyTorch, and chunks of five Euler steps recorded from a plain loop, with and without a
# beginning that is given.
# /usr/bin/python3 test/golden/make/onnx_prefix.py (Debian's python3-torch and python3-onnx; run from the repository's root)
import math
import os

import torch
from saved import save
from torch import nn

torch.manual_seed(0)
H, A, S, STEPS = 8, 3, 4, 5


class Flow(nn.Module):
    """Velocity towards noise (noise at time 1) of tokens that each have a time."""

    def __init__(self):
        super().__init__()
        self.state, self.action, self.time = nn.Linear(S, 24), nn.Linear(A, 24), nn.Linear(8, 24)
        layer = nn.TransformerEncoderLayer(24, 3, 48, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(24, A)

    def forward(self, x, t, state):
        f = torch.exp(torch.arange(4) * (-math.log(100.0) / 3)) * 6
        e = t[..., None] * f
        h = self.action(x) + self.time(torch.cat([e.sin(), e.cos()], -1)) + self.state(state)[:, None]
        return self.head(self.layers(h))


def chunk(net, noise, state, prefix, delay):
    x = noise.clone()
    for i in range(STEPS):
        t = torch.full((1, H), 1 - i / STEPS)
        x[:, :delay] = prefix[:, :delay]
        t[:, :delay] = 0
        x = x - net(x, t, state) / STEPS
    x[:, :delay] = prefix[:, :delay]
    return x


net = Flow().eval()
folder = "test/golden/onnx_prefix"
os.makedirs(folder, exist_ok=True)
noise, state, prefix = torch.randn(1, H, A), torch.randn(1, S), torch.randn(1, H, A)
with torch.no_grad():
    out = {"noise": noise, "state": state, "prefix": prefix}
    for delay in (0, 2, 5):
        out[f"chunk.{delay}"] = chunk(net, noise, state, prefix, delay)
    torch.onnx.export(
        net, (noise, torch.rand(1, H), state), f"{folder}/model.onnx", opset_version=17,
        input_names=["x", "t", "state"], output_names=["v"],
        dynamic_axes={k: {0: "batch"} for k in ("x", "t", "state", "v")},
    )
save("onnx_prefix", {"horizon": H, "action_dim": A, "state_dim": S, "steps": STEPS}, {}, out)
