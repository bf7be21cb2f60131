# Goldens of the `rssm` family, written from DreamerV3's paper (Hafner et al. 2023) under dreamerv3-torch's key names: three
# observed steps with the posterior's draws taped, what the heads say there, and returns of imagined rollouts. Categorical
# latents (a state and a picture) and Gaussian ones (a state).
# PYTHONPATH=test/golden/make /usr/bin/python3 test/golden/make/rssm.py
import math

import torch
import torch.nn.functional as F
from saved import save

torch.set_grad_enabled(False)
A, H, ROWS = 2, 3, 6
HIDDEN, DETER, UNITS, MLP_UNITS = 12, 10, 14, 9
BUCKETS = torch.linspace(-20.0, 20.0, 255)


def symlog(x):
    return x.sign() * x.abs().log1p()


def symexp(x):
    return x.sign() * x.abs().expm1()


class Model:
    def __init__(self, seed, stoch, classes, state, picture):
        torch.manual_seed(seed)
        self.stoch, self.classes = stoch, classes
        self.flat = stoch * max(1, classes)
        self.w = {}
        dyn = "_wm.dynamics."
        embed = 0
        if picture:
            channels, side, depth = 3, 16, 3
            for i in range(2):
                out = depth * 2**i
                self.make(f"_wm.encoder._cnn.layers.{3 * i}.weight", (out, channels, 4, 4))
                self.norm(f"_wm.encoder._cnn.layers.{3 * i + 1}.norm", out)
                channels, side = out, side // 2
            embed += channels * side * side
        self.mlp("_wm.encoder._mlp", "Encoder", state, 2, MLP_UNITS)
        embed += MLP_UNITS
        self.dense(dyn + "_img_in_layers", self.flat + A, HIDDEN)
        self.make(dyn + "_cell.layers.GRU_linear.weight", (3 * DETER, HIDDEN + DETER))
        self.norm(dyn + "_cell.layers.GRU_norm", 3 * DETER)
        self.dense(dyn + "_img_out_layers", DETER, HIDDEN)
        self.dense(dyn + "_obs_out_layers", DETER + embed, HIDDEN)
        stat = self.flat if classes else 2 * stoch
        self.linear(dyn + "_imgs_stat_layer", HIDDEN, stat)
        self.linear(dyn + "_obs_stat_layer", HIDDEN, stat)
        self.w[dyn + "W"] = torch.randn(1, DETER)
        feat = self.flat + DETER
        for module, name, out in (("_wm.heads.reward", "Reward", 255), ("_wm.heads.cont", "Cont", 1),
                                  ("_task_behavior.value", "Value", 255), ("_task_behavior.actor", "Actor", A)):
            self.mlp(module, name, feat, 2, UNITS)
            self.linear(f"{module}.mean_layer", UNITS, out)
        self.linear("_task_behavior.actor.std_layer", UNITS, A)
        # What is left aside: the decoder and the slow critic.
        self.w["_wm.heads.decoder._mlp.layers.Decoder_linear0.weight"] = torch.zeros(2, 2)
        self.w["_task_behavior._slow_value.mean_layer.weight"] = torch.zeros(2, 2)

    def make(self, name, shape, gain=1.6):
        self.w[name] = torch.randn(shape) * gain / math.sqrt(math.prod(shape[1:]))

    def norm(self, name, n):
        self.w[f"{name}.weight"] = 1 + 0.2 * torch.randn(n)
        self.w[f"{name}.bias"] = 0.2 * torch.randn(n)

    def linear(self, name, a, b):
        self.make(f"{name}.weight", (b, a))
        self.w[f"{name}.bias"] = 0.2 * torch.randn(b)

    def dense(self, name, a, b):
        self.make(f"{name}.0.weight", (b, a))
        self.norm(f"{name}.1", b)

    def mlp(self, module, name, width, layers, units):
        for i in range(layers):
            self.make(f"{module}.layers.{name}_linear{i}.weight", (units, width))
            self.norm(f"{module}.layers.{name}_norm{i}", units)
            width = units

    # ---- the network ----

    def lin(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def ln(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-3)

    def run_dense(self, name, x):
        return F.silu(self.ln(f"{name}.1", self.lin(f"{name}.0", x)))

    def run_mlp(self, module, name, x):
        for i in range(2):
            x = F.silu(self.ln(f"{module}.layers.{name}_norm{i}", self.lin(f"{module}.layers.{name}_linear{i}", x)))
        return x

    def number(self, module, name, z):
        logits = self.lin(f"{module}.mean_layer", self.run_mlp(module, name, z))
        return symexp((logits.softmax(-1) * BUCKETS).sum(-1, keepdim=True))

    def reward(self, z):
        return self.number("_wm.heads.reward", "Reward", z)

    def value(self, z):
        return self.number("_task_behavior.value", "Value", z)

    def cont(self, z):
        return torch.sigmoid(self.lin("_wm.heads.cont.mean_layer", self.run_mlp("_wm.heads.cont", "Cont", z)))

    def actor(self, z, noise=None):
        h = self.run_mlp("_task_behavior.actor", "Actor", z)
        mean = torch.tanh(self.lin("_task_behavior.actor.mean_layer", h))
        if noise is None:
            return mean
        std = 0.9 * torch.sigmoid(self.lin("_task_behavior.actor.std_layer", h) + 2) + 0.1
        return (mean + std * noise).clamp(-1, 1)

    def embed(self, state, picture):
        seen = []
        if picture is not None:
            x = picture / 255.0 - 0.5
            for i in range(2):
                x = F.conv2d(x, self.w[f"_wm.encoder._cnn.layers.{3 * i}.weight"], stride=2, padding=1)
                x = F.silu(self.ln(f"_wm.encoder._cnn.layers.{3 * i + 1}.norm", x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
            seen.append(x.reshape(1, -1))
        seen.append(self.run_mlp("_wm.encoder._mlp", "Encoder", symlog(state)))
        return torch.cat(seen, 1)

    def stats(self, x, side):
        name = "_wm.dynamics."
        return self.lin(f"{name}_{'imgs' if side == 'img' else 'obs'}_stat_layer", self.run_dense(f"{name}_{side}_out_layers", x))

    def draw(self, said, noise):
        if self.classes:
            logits = said.reshape(-1, self.stoch, self.classes)
            if noise is None:
                return F.one_hot(logits.argmax(-1), self.classes).float().reshape(len(said), -1)
            probs = logits.softmax(-1) * 0.99 + 0.01 / self.classes
            u = 0.5 * (1 + torch.erf(noise.double() / math.sqrt(2)))
            index = (probs.double().cumsum(-1) <= u[..., None]).sum(-1).clamp(max=self.classes - 1)
            return F.one_hot(index, self.classes).float().reshape(len(said), -1)
        mean, std = said.chunk(2, -1)
        return mean if noise is None else mean + (2 * torch.sigmoid(std / 2) + 0.1) * noise

    def gru(self, z, action):
        s, h = z[:, : self.flat], z[:, self.flat :]
        x = self.run_dense("_wm.dynamics._img_in_layers", torch.cat([s, action], 1))
        parts = self.ln("_wm.dynamics._cell.layers.GRU_norm", self.lin("_wm.dynamics._cell.layers.GRU_linear", torch.cat([x, h], 1)))
        reset, cand, update = parts.chunk(3, -1)
        cand = torch.tanh(torch.sigmoid(reset) * cand)
        update = torch.sigmoid(update - 1)
        return update * cand + (1 - update) * h

    def imagine(self, z, action, noise):
        h = self.gru(z, action)
        return torch.cat([self.draw(self.stats(h, "img"), noise), h], 1)

    def observe(self, z, action, embed, noise):
        if z is None:
            h = torch.tanh(self.w["_wm.dynamics.W"])
            z, action = torch.cat([self.draw(self.stats(h, "img"), None), h], 1), torch.zeros(1, A)
        h = self.gru(z, action)
        return torch.cat([self.draw(self.stats(torch.cat([h, embed], 1), "obs"), noise), h], 1)


def case(name, seed, stoch, classes, state, picture):
    m = Model(seed, stoch, classes, state, picture)
    config = {
        "type": "rssm",
        "fps": 20,
        "input_features": {"observation.state": {"type": "STATE", "shape": [state]}},
        "output_features": {"action": {"type": "ACTION", "shape": [A]}},
        "dyn_hidden": HIDDEN, "dyn_deter": DETER, "dyn_stoch": stoch, "dyn_discrete": classes,
        "units": UNITS, "encoder": {"mlp_layers": 2, "mlp_units": MLP_UNITS, "cnn_depth": 3},
        "discount": 0.95, "horizon": H, "num_samples": ROWS, "iterations": 1, "num_elites": ROWS,
    }
    if picture:
        config["input_features"]["observation.image"] = {"type": "VISUAL", "shape": [3, 16, 16]}
    io, z, action = {}, None, None
    for t in range(3):
        io[f"state.{t}"] = 3 * torch.randn(1, state)
        if picture:
            io[f"image.{t}"] = torch.randint(0, 256, (1, 3, 16, 16)).float()
        io[f"noise.{t}"] = torch.randn(1, stoch)
        z = m.observe(z, action, m.embed(io[f"state.{t}"], io.get(f"image.{t}")), io[f"noise.{t}"])
        io[f"latent.{t}"] = z
        action = io[f"action.{t}"] = torch.rand(1, A) * 2 - 1
    io["reward"], io["value"], io["cont"], io["actor"] = m.reward(z), m.value(z), m.cont(z), m.actor(z)
    io["explore"] = torch.randn(1, A)
    io["explored"] = m.actor(z, io["explore"])
    io["actions"] = torch.rand(ROWS, H, A) * 2 - 1
    io["model"] = torch.randn(ROWS, H, stoch)
    io["tail"] = torch.randn(ROWS, A)
    at, alive, total = z.repeat(ROWS, 1), torch.ones(ROWS, 1), torch.zeros(ROWS, 1)
    for t in range(H):
        at = m.imagine(at, io["actions"][:, t], io["model"][:, t])
        total += config["discount"] ** t * alive * m.reward(at)
        alive = alive * m.cont(at)
    io["return"] = total + config["discount"] ** H * alive * m.value(at)
    io["end"] = at
    save(name, config, m.w, io)
    if not classes:
        # As dreamerv3-torch saves it: the agent's weights beside its optimisers' states.
        adam = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
        torch.save({"agent_state_dict": m.w, "optims_state_dict": {"_wm._model_opt._opt": adam}}, f"test/golden/{name}/latest.pt")
    print(sorted(io["return"].flatten().tolist()))


case("rssm", 5, 4, 5, 3, True)
case("rssm_gaussian", 7, 6, 0, 4, False)
