"""The denoiser of the `edm` family (src/policies/edm): a residual MLP with EDM preconditioning (Karras et al. 2022),
its loss and the DPM-Solver++ 2M sampler (Lu et al. 2022) on a Karras schedule, for training and closed-loop checks."""
import math

import torch
from torch import nn
import torch.nn.functional as F


class Denoiser(nn.Module):
    def __init__(self, cond_dim, horizon, action_dim, hidden=384, blocks=4, sigma_embed=64):
        super().__init__()
        self.horizon, self.action_dim = horizon, action_dim
        self.sigma_mlp = nn.Sequential(nn.Linear(1, sigma_embed), nn.SiLU(), nn.Linear(sigma_embed, sigma_embed))
        self.cond_proj = nn.Linear(cond_dim + sigma_embed, hidden)
        self.input_proj = nn.Linear(horizon * action_dim + cond_dim, hidden)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm": nn.LayerNorm(hidden), "fc1": nn.Linear(hidden, hidden),
                           "film": nn.Linear(hidden, 2 * hidden), "fc2": nn.Linear(hidden, hidden)}) for _ in range(blocks))
        self.output_norm = nn.LayerNorm(hidden)
        self.output_proj = nn.Linear(hidden, horizon * action_dim)
        for block in self.blocks:
            nn.init.zeros_(block["fc2"].weight)
            nn.init.zeros_(block["fc2"].bias)

    def forward(self, x, cond, c_noise):
        e = self.sigma_mlp(c_noise[:, None])
        c = F.silu(self.cond_proj(torch.cat([cond, e], 1)))
        h = self.input_proj(torch.cat([x.flatten(1), cond], 1))
        for block in self.blocks:
            scale, shift = block["film"](c).chunk(2, 1)
            h = h + block["fc2"](F.silu(block["fc1"](block["norm"](h)) * (1 + scale) + shift))
        return self.output_proj(F.silu(self.output_norm(h))).view(-1, self.horizon, self.action_dim)


def denoise(net, x, cond, sigma, sigma_data=0.5):
    """D(x; σ) with σ (batch)."""
    s = sigma[:, None, None]
    total = s ** 2 + sigma_data ** 2
    out = net(x / total.sqrt(), cond, sigma.log() / 4)
    return sigma_data ** 2 / total * x + s * sigma_data / total.sqrt() * out


def loss(net, clean, cond, sigma_data=0.5, mean=-0.8, std=1.2):
    sigma = (mean + std * torch.randn(len(clean))).exp()
    weight = (sigma ** 2 + sigma_data ** 2) / (sigma * sigma_data) ** 2
    noisy = clean + sigma[:, None, None] * torch.randn_like(clean)
    return (weight[:, None, None] * (denoise(net, noisy, cond, sigma) - clean) ** 2).mean()


def karras(steps, low=0.02, high=5.0, rho=7.0):
    ramp = torch.linspace(0, 1, steps)
    sigmas = (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return torch.cat([sigmas, torch.zeros(1)])


@torch.no_grad()
def sample(net, cond, steps, generator):
    sigmas = karras(steps)
    x = sigmas[0] * torch.randn(len(cond), net.horizon, net.action_dim, generator=generator)
    previous = None
    for i in range(steps):
        d = denoise(net, x, cond, sigmas[i].expand(len(cond)))
        if sigmas[i + 1] == 0:
            return d
        t, following = -math.log(sigmas[i]), -math.log(sigmas[i + 1])
        h = following - t
        target = d
        if previous is not None:
            r = (t + math.log(sigmas[i - 1])) / h
            target = (1 + 1 / (2 * r)) * d - 1 / (2 * r) * previous
        x = sigmas[i + 1] / sigmas[i] * x - math.expm1(-h) * target
        previous = d
    return x
