# Goldens of the `ensemble` family, written from PETS (Chua et al. 2018) and MOPO (Yu et al. 2020): what each member says
# of a batch, and returns of whole rollouts with every draw taped, by each way of propagating and each penalty.
# PYTHONPATH=test/golden/make /usr/bin/python3 test/golden/make/ensemble.py
import torch
import torch.nn.functional as F
from saved import save

torch.manual_seed(3)
torch.set_grad_enabled(False)
S, A, E, HIDDEN, LAYERS = 4, 2, 3, 16, 2  # state, action, members, hidden width, hidden layers
P, H, ROWS = 6, 3, 5  # particles, horizon, candidates
ELITES = [0, 2]
NO_DELTA = [1]
config = {
    "type": "ensemble",
    "fps": 10,
    "input_features": {"observation.state": {"type": "STATE", "shape": [S]}},
    "output_features": {"action": {"type": "ACTION", "shape": [A]}},
    "normalization_mapping": {"STATE": "IDENTITY", "ACTION": "IDENTITY"},
    "ensemble_size": E,
    "elites": ELITES,
    "num_layers": LAYERS,
    "hid_size": HIDDEN,
    "no_delta_list": NO_DELTA,
    "num_particles": P,
    "horizon": H,
    "discount": 0.97,
    "population_size": ROWS,
    "num_iterations": 1,
}

weights = {}
width = S + A
for i in range(LAYERS + 1):
    name, out = (f"hidden_layers.{i}.0", HIDDEN) if i < LAYERS else ("mean_and_logvar", 2 * (S + 1))
    weights[f"{name}.weight"] = torch.randn(E, width, out) * (1.5 / width**0.5)
    weights[f"{name}.bias"] = torch.randn(E, 1, out) * 0.2
    width = out
# Bounds that bite, on both sides.
weights["min_logvar"] = torch.full((1, S + 1), -3.0) + 0.3 * torch.randn(1, S + 1)
weights["max_logvar"] = torch.full((1, S + 1), 0.2) + 0.3 * torch.randn(1, S + 1)
weights["input_normalizer.mean"] = 0.3 * torch.randn(1, S + A)
weights["input_normalizer.std"] = 0.5 + torch.rand(1, S + A)


def member(e, x):
    """Mean and standard deviation of (change, reward) for x (n, state + action)."""
    h = (x - weights["input_normalizer.mean"]) / weights["input_normalizer.std"]
    for i in range(LAYERS):
        h = F.silu(h @ weights[f"hidden_layers.{i}.0.weight"][e] + weights[f"hidden_layers.{i}.0.bias"][e])
    out = h @ weights["mean_and_logvar.weight"][e] + weights["mean_and_logvar.bias"][e]
    mean, logvar = out[:, : S + 1], out[:, S + 1 :]
    logvar = weights["max_logvar"] - F.softplus(weights["max_logvar"] - logvar)
    logvar = weights["min_logvar"] + F.softplus(logvar - weights["min_logvar"])
    return mean, logvar.exp().sqrt()


def penalty(kind, x):
    means, stds = zip(*(member(e, x) for e in range(E)))
    if kind == "learned_var":
        return torch.stack(stds).norm(dim=2).max(0).values
    means = torch.stack(means)[:, :, :S]
    return (means - means.mean(0)).norm(dim=2).max(0).values


def after(states, change):
    moved = states + change
    moved[:, NO_DELTA] = change[:, NO_DELTA]
    return moved


def rollout(propagation, kind, coefficient, start, actions, noise):
    """The return of one candidate: actions (H, A), noise (H, draws)."""
    states = start.repeat(1 if propagation == "expectation" else P, 1)
    total = 0.0
    for t in range(H):
        draws = noise[t] if noise is not None else None
        if propagation == "ts1":
            states = states[draws[:P].argsort(stable=True)]
            draws = draws[P:]
        x = torch.cat([states, actions[t].expand(len(states), A)], 1)
        if propagation == "expectation":
            said = torch.stack([member(e, x)[0] for e in ELITES]).mean(0)
        else:
            each = P // len(ELITES)
            owner = [ELITES[i // each] for i in range(P)]
            pairs = [member(e, x[i : i + 1]) for i, e in enumerate(owner)]
            mean, std = torch.cat([m for m, _ in pairs]), torch.cat([s for _, s in pairs])
            said = mean + std * draws.reshape(P, S + 1)
        reward = said[:, S]
        if coefficient > 0:
            reward = reward - coefficient * penalty(kind, x)
        total += config["discount"] ** t * reward.mean()
        states = after(states, said[:, :S])
    return total


io = {"x": torch.randn(7, S + A)}
for e in range(E):
    io[f"mean.{e}"], io[f"std.{e}"] = member(e, io["x"])
io["start"] = torch.randn(1, S)
io["actions"] = torch.rand(ROWS, H, A) * 2 - 1
cases = [("ts_inf", "learned_var", 0.0), ("ts1", "learned_var", 0.0), ("expectation", "learned_var", 0.0),
         ("ts_inf", "learned_var", 0.7), ("ts1", "disagreement", 0.7), ("expectation", "disagreement", 0.7)]
for propagation, kind, coefficient in cases:
    name = f"{propagation}.{kind}.{coefficient}"
    draws = {"ts_inf": P * (S + 1), "ts1": P + P * (S + 1), "expectation": 0}[propagation]
    noise = torch.randn(ROWS, H, draws) if draws else None
    if noise is not None:
        io[f"{name}.noise"] = noise
    if propagation == "ts1":
        io[f"{name}.noise"][0, 0, :3] = 0.25  # equal numbers keep their order
    io[f"{name}.return"] = torch.stack(
        [rollout(propagation, kind, coefficient, io["start"], io["actions"][r], noise[r] if draws else None) for r in range(ROWS)]
    )
save("ensemble", config, weights, io)
