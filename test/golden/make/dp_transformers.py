# The transformers of diffusion_policy that its own recordings leave out, written from the paper over torch.nn's layers:
#   dp_bert: time as the first token of an encoder, observations painted into the trajectory
#   dp_bert_causal: the same, each position seeing only what came before
#   dp_time_memory: a decoder whose memory is the time alone, observations painted
#   dp_memory_layers: a memory of two encoder layers, with room for more observations than there are
# Weights are hashes (hashed.py) under that repository's names, which are written to keys/.
# PYTHONPATH=test/golden/make /usr/bin/python3 test/golden/make/dp_transformers.py
import json
import math

import numpy as np
import torch
from hashed import uniform, weight
from saved import HERE, save

torch.set_grad_enabled(False)
HORIZON, OBSERVED, ACTION, OBS, D, HEADS, LAYERS = 8, 2, 3, 5, 32, 4, 2
CASES = {
    "dp_bert": {"time_as_cond": False, "causal_attn": False, "painted": True, "n_cond_layers": 0},
    "dp_bert_causal": {"time_as_cond": False, "causal_attn": True, "painted": True, "n_cond_layers": 0},
    "dp_time_memory": {"time_as_cond": True, "causal_attn": True, "painted": True, "n_cond_layers": 0},
    "dp_memory_layers": {"time_as_cond": True, "causal_attn": False, "painted": False, "n_cond_layers": 2},
}


def vector(name, *shape):
    return torch.from_numpy(uniform(name, math.prod(shape)).astype(np.float32)).reshape(shape)


class Network(torch.nn.Module):
    def __init__(self, time_as_cond, causal_attn, painted, n_cond_layers):
        super().__init__()
        width = ACTION + (OBS if painted else 0)
        args = {"d_model": D, "nhead": HEADS, "dim_feedforward": 4 * D, "dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        encoder = lambda n: torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(**args), n)
        self.positions = HORIZON + (0 if time_as_cond else 1)
        self.pos_emb = torch.nn.Parameter(torch.zeros(1, self.positions, D))
        self.input_emb = torch.nn.Linear(width, D)
        self.painted, self.time_as_cond = painted, time_as_cond
        if time_as_cond:
            if not painted:
                self.cond_obs_emb = torch.nn.Linear(OBS, D)
            self.cond_pos_emb = torch.nn.Parameter(torch.zeros(1, 1 + (0 if painted else HORIZON), D))
            mlp = torch.nn.Sequential(torch.nn.Linear(D, 4 * D), torch.nn.Mish(), torch.nn.Linear(4 * D, D))
            self.encoder = encoder(n_cond_layers) if n_cond_layers > 0 else mlp
            self.decoder = torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(**args), LAYERS)
        else:
            self.encoder = encoder(LAYERS)
        if causal_attn:
            self.register_buffer("mask", torch.full((self.positions, self.positions), float("-inf")).triu(1))
        else:
            self.mask = None
        self.ln_f = torch.nn.LayerNorm(D)
        self.head = torch.nn.Linear(D, width)

    def forward(self, x, t, cond):
        angles = t * torch.exp(torch.arange(D // 2) * (-math.log(10000) / (D // 2 - 1)))
        time = torch.cat([angles.sin(), angles.cos()]).reshape(1, 1, D)
        tokens = self.input_emb(x)
        if not self.time_as_cond:
            h = self.encoder(torch.cat([time, tokens], 1) + self.pos_emb, mask=self.mask)[:, 1:]
        else:
            memory = time if self.painted else torch.cat([time, self.cond_obs_emb(cond)], 1)
            memory = self.encoder(memory + self.cond_pos_emb[:, : memory.shape[1]])
            h = self.decoder(tokens + self.pos_emb, memory, tgt_mask=self.mask)
        return self.head(self.ln_f(h))


bar = lambda s: math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2
betas = np.array([min(1 - bar((i + 1) / 100) / bar(i / 100), 0.999) for i in range(100)], np.float32)
ALPHA = np.cumprod(1 - betas, dtype=np.float32).astype(np.float64)


def sample(network, start, obs, steps, noise, prediction="epsilon"):
    """DDIM, or with noise DDPM; the trajectory is painted before each call."""
    x = start.clone()
    ratio = 100 // steps
    for i, t in enumerate(reversed(range(0, steps * ratio, ratio))):
        if network.painted:
            x[:, :OBSERVED, ACTION:] = obs
        out = network(x, t, obs)
        now, before = ALPHA[t], ALPHA[t - ratio] if t >= ratio else 1.0
        a, b = math.sqrt(now), math.sqrt(1 - now)
        # What the output is of x = a·x0 + b·ε; for v, v = a·ε − b·x0 (Salimans and Ho 2022).
        x0, eps = {
            "epsilon": lambda: ((x - b * out) / a, out),
            "sample": lambda: (out, (x - a * out) / b),
            "v_prediction": lambda: (a * x - b * out, a * out + b * x),
        }[prediction]()
        x0 = x0.clamp(-1, 1)
        if noise is None:
            x = math.sqrt(before) * x0 + math.sqrt(1 - before) * eps
            continue
        alpha = now / before
        x = math.sqrt(before) * (1 - alpha) / (1 - now) * x0 + math.sqrt(alpha) * (1 - before) / (1 - now) * x
        if t > 0:
            x = x + math.sqrt((1 - before) / (1 - now) * (1 - alpha)) * noise[i]
    return x[0, :, :ACTION]


for case, options in CASES.items():
    network = Network(**options).eval()
    state = {name: value if name == "mask" else weight(f"model.{name}", tuple(value.shape)) for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    with open(f"{HERE}/keys/{case}.txt", "w") as file:
        file.writelines(f"model.{name}\t{tuple(value.shape)}\ttorch.float32\n" for name, value in state.items())
    width = ACTION + (OBS if options["painted"] else 0)
    start = vector(f"{case}/start", 1, HORIZON, width)
    obs = vector(f"{case}/obs", 1, OBSERVED, OBS)
    noise = vector(f"{case}/noise", 4, 1, HORIZON, width)
    x = start.clone()
    if options["painted"]:
        x[:, :OBSERVED, ACTION:] = obs
    io = {"out": network(x, 37, obs)[0], "ddim": sample(network, start, obs, 5, None), "ddpm": sample(network, start, obs, 5, noise)}
    if case == "dp_memory_layers":
        for prediction in ("sample", "v_prediction"):
            io[f"ddim.{prediction}"] = sample(network, start, obs, 5, None, prediction)
            io[f"ddpm.{prediction}"] = sample(network, start, obs, 5, noise, prediction)
    kind = {"horizon": HORIZON, "n_obs_steps": OBSERVED, "action_dim": ACTION, "obs_dim": OBS, "n_emb": D, "n_head": HEADS, "n_layer": LAYERS}
    save(case, {**kind, **options}, None, io)
