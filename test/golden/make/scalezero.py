# Goldens of the `scalezero` family, written from the papers (UniZero, Pu et al. 2024; ScaleZero 2025) under LightZero's key
# names: the transformer's feature after each of four observed steps, heads there, and returns of imagined rollouts. The whole
# sequence is run anew for every token: no keys or values are kept here.
# PYTHONPATH=test/golden/make /usr/bin/python3 test/golden/make/scalezero.py
import math

import torch
import torch.nn.functional as F
from saved import save

torch.set_grad_enabled(False)
S, A, H, ROWS, STEPS = 4, 2, 3, 6, 4


class Model:
    def __init__(self, seed, c):
        torch.manual_seed(seed)
        self.c, self.w = c, {}
        D = self.D = c["embed_dim"]
        task = c["task_id"]
        self.linear(f"representation_network.fc_representation.{task}.0", S, D)
        self.norm(f"representation_network.fc_representation.{task}.1")
        self.linear(f"representation_network.fc_representation.{task}.3", D, D)
        if c["final_norm_option_in_encoder"] == "LayerNorm":
            self.norm("representation_network.final_norm")
        self.make(f"world_model.act_embedding_table.{task}.0.weight", (D, A))
        self.w["world_model.pos_emb.weight"] = 0.5 * torch.randn(c["max_tokens"], D)
        # Another task's encoder and actions, which are left aside.
        self.w["representation_network.fc_representation.7.0.weight"] = torch.zeros(2, 2)
        self.w["world_model.act_embedding_table.7.0.weight"] = torch.zeros(2, 2)
        for i in range(c["num_layers"]):
            b = f"world_model.transformer.blocks.{i}."
            for ln in ("ln1", "ln2"):
                self.norm(b + ln)
            for part in ("key", "query", "value", "proj"):
                self.linear(f"{b}attn.{part}", D, D, adapted=True)
            self.w[f"{b}attn.mask"] = torch.ones(c["max_tokens"], c["max_tokens"]).tril()
            E = c["num_experts_of_moe_in_transformer"]
            self.make(f"{b}feed_forward.gate.weight", (E, D), 3.0)
            for e in range(E):
                x = f"{b}feed_forward.experts.{e}."
                if c["moe_in_transformer"]:
                    self.linear(x + "0", D, 4 * D)
                    self.linear(x + "2", 4 * D, D)
                else:
                    for part, a, o in (("w1", D, 4 * D), ("w2", 4 * D, D), ("w3", D, 4 * D)):
                        self.make(f"{x}{part}.weight", (o, a))
                        self.adapters(x + part, a, o)
            if c["n_shared_experts"]:
                self.linear(f"{b}feed_forward.shared_expert.0", D, 4 * D)
                self.linear(f"{b}feed_forward.shared_expert.2", 4 * D, D)
        self.norm("world_model.transformer.ln_f")
        head = 0 if c["share_head"] else task
        for kind, out in (("rewards", 101), ("value", 101), ("observations", D)):
            m = f"world_model.head_{kind}_multi_task.{head}.head_module."
            self.norm(m + "0"), self.linear(m + "1", D, D), self.norm(m + "2"), self.linear(m + "4", D, out)
        if c["final_norm_option_in_obs_head"] == "LayerNorm":
            self.norm(f"world_model.head_observations_multi_task.{head}.head_module.5")
        m = f"world_model.head_policy_multi_task.{head}.head_module."
        self.linear(m + "main.0", D, D), self.linear(m + "main.2", D, D), self.linear(m + "mu", D, A)
        if c["sigma_type"] == "conditioned":
            self.linear(m + "log_sigma_layer", D, A)
        self.head_id = head

    def make(self, name, shape, gain=1.3):
        self.w[name] = torch.randn(shape) * gain / math.sqrt(shape[1])

    def norm(self, name):
        self.w[f"{name}.weight"] = 1 + 0.2 * torch.randn(self.D)
        self.w[f"{name}.bias"] = 0.2 * torch.randn(self.D)

    def adapters(self, name, a, o):
        if not self.c["lora_r"]:
            return
        self.w[f"{name}.base_weight_scale.logit"] = torch.tensor(0.4)
        for j in range(2):
            self.w[f"{name}.adapters.{j}.lora_A"] = 0.4 * torch.randn(self.c["lora_r"], a)
            self.w[f"{name}.adapters.{j}.lora_B"] = 0.4 * torch.randn(o, self.c["lora_r"])
            self.w[f"{name}.adapter_scales.{j}.logit"] = torch.tensor(-0.7 + j)

    def linear(self, name, a, o, adapted=False):
        self.make(f"{name}.weight", (o, a))
        self.w[f"{name}.bias"] = 0.2 * torch.randn(o)
        if adapted:
            self.adapters(name, a, o)

    # ---- the network ----

    def lin(self, name, x):
        w, c = self.w, self.c
        bias = w.get(f"{name}.bias")
        if f"{name}.base_weight_scale.logit" not in w or c["curriculum_stage"] == 0:
            return F.linear(x, w[f"{name}.weight"], bias)
        limit = lambda logit: 1 + 0.2 * torch.tanh(logit)
        out = F.linear(x, w[f"{name}.weight"] * limit(w[f"{name}.base_weight_scale.logit"]), bias)
        for j in range(c["curriculum_stage"]):
            side = F.linear(F.linear(x, w[f"{name}.adapters.{j}.lora_A"]), w[f"{name}.adapters.{j}.lora_B"])
            out = out + c["lora_alpha"] / c["lora_r"] * side * limit(w[f"{name}.adapter_scales.{j}.logit"])
        return out

    def ln(self, name, x):
        return F.layer_norm(x, (self.D,), self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def simnorm(self, x):
        return x.reshape(*x.shape[:-1], -1, self.c["group_size"]).softmax(-1).reshape(x.shape)

    def final(self, kind, name, x):
        return self.ln(name, x) if kind == "LayerNorm" else self.simnorm(x)

    def encode(self, state):
        n = f"representation_network.fc_representation.{self.c['task_id']}."
        h = F.gelu(self.ln(n + "1", self.lin(n + "0", state)), approximate="tanh")
        return self.final(self.c["final_norm_option_in_encoder"], "representation_network.final_norm", self.lin(n + "3", h))

    def action(self, a):
        return self.simnorm(self.lin(f"world_model.act_embedding_table.{self.c['task_id']}.0", a))

    def expert(self, name, x):
        if self.c["moe_in_transformer"]:
            return self.lin(name + "2", F.gelu(self.lin(name + "0", x), approximate="tanh"))
        return self.lin(name + "w2", F.silu(self.lin(name + "w1", x)) * self.lin(name + "w3", x))

    def moe(self, name, x):
        flat = x.reshape(-1, self.D)
        weights, index = self.lin(name + "gate", flat).topk(self.c["num_experts_per_tok"], 1)
        weights, out = weights.softmax(1), torch.zeros_like(flat)
        for t in range(len(flat)):
            for share, e in zip(weights[t], index[t]):
                out[t] += share * self.expert(f"{name}experts.{e}.", flat[t])
        if self.c["n_shared_experts"]:
            out += self.lin(name + "shared_expert.2", F.gelu(self.lin(name + "shared_expert.0", flat)))
        return out.reshape(x.shape)

    def transformer(self, tokens):
        """(n, D) with positions from 0 to (n, D)."""
        heads = self.c["num_heads"]
        n = len(tokens)
        x = tokens + self.w["world_model.pos_emb.weight"][:n]
        for i in range(self.c["num_layers"]):
            b = f"world_model.transformer.blocks.{i}."
            h = self.ln(b + "ln1", x)
            q, k, v = (self.lin(f"{b}attn.{p}", h).reshape(n, heads, -1).transpose(0, 1) for p in ("query", "key", "value"))
            scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
            scores = scores.masked_fill(torch.ones(n, n).tril() == 0, -math.inf).softmax(-1)
            x = x + self.lin(b + "attn.proj", (scores @ v).transpose(0, 1).reshape(n, -1))
            x = x + self.moe(b + "feed_forward.", self.ln(b + "ln2", x))
        return self.ln("world_model.transformer.ln_f", x)

    def head(self, kind, x):
        m = f"world_model.head_{kind}_multi_task.{self.head_id}.head_module."
        h = F.gelu(self.ln(m + "2", self.lin(m + "1", self.ln(m + "0", x))), approximate="tanh")
        out = self.lin(m + "4", h)
        if kind == "observations":
            return self.final(self.c["final_norm_option_in_obs_head"], m + "5", out)
        scaled = (out.softmax(-1).double() * torch.arange(-50, 51)).sum(-1, keepdim=True)
        eps = 0.001
        root = (1 + 4 * eps * (scaled.abs() + 1 + eps)).sqrt()
        return (scaled.sign() * (((root - 1) / (2 * eps)) ** 2 - 1)).float()

    def policy(self, x, noise=None):
        m = f"world_model.head_policy_multi_task.{self.head_id}.head_module."
        h = F.gelu(self.lin(m + "main.2", F.gelu(self.lin(m + "main.0", x), approximate="tanh")), approximate="tanh")
        mu = self.lin(m + "mu", h)
        if self.c["bound_type"] == "tanh":
            mu = mu.tanh()
        if noise is None:
            return mu.tanh()
        fixed = self.c["sigma_type"] == "fixed"
        sigma = self.c["fixed_sigma_value"] if fixed else self.lin(m + "log_sigma_layer", h).clamp(-20, 2).exp()
        return (mu + sigma * noise).tanh()


def case(name, seed, changes):
    c = {
        "type": "scalezero", "fps": 10,
        "input_features": {"observation.state": {"type": "STATE", "shape": [S]}},
        "output_features": {"action": {"type": "ACTION", "shape": [A]}},
        "task_id": 1, "share_head": False, "num_layers": 2, "num_heads": 2, "embed_dim": 16, "group_size": 8,
        "max_tokens": 12, "infer_context_length": 3, "horizon": H,
        "final_norm_option_in_encoder": "LayerNorm", "final_norm_option_in_obs_head": "LayerNorm",
        "moe_in_transformer": False, "multiplication_moe_in_transformer": True,
        "num_experts_of_moe_in_transformer": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
        "lora_r": 2, "lora_alpha": 1, "curriculum_stage": 2,
        "sigma_type": "conditioned", "fixed_sigma_value": 0.5, "bound_type": None, "discount_factor": 0.9,
        **changes,
    }
    m = Model(seed, c)
    io, tokens = {}, []
    for t in range(STEPS):
        io[f"state.{t}"] = torch.randn(1, S)
        tokens.append(m.encode(io[f"state.{t}"])[0])
        # Of what came before, the newest observations and the actions between them.
        tokens = tokens[-(2 * c["infer_context_length"] - 1) :]
        feature = m.transformer(torch.stack(tokens))[-1:]
        io[f"feature.{t}"] = feature
        io[f"action.{t}"] = torch.rand(1, A) * 2 - 1
        if t + 1 < STEPS:
            tokens.append(m.action(io[f"action.{t}"])[0])
    io["value"], io["actor"] = m.head("value", feature), m.policy(feature)
    io["explore"] = torch.randn(1, A)
    io["explored"] = m.policy(feature, io["explore"])
    io["actions"] = torch.rand(ROWS, H, A) * 2 - 1
    returns, ends, first = [], [], []
    for r in range(ROWS):
        seen, total = list(tokens), 0.0
        for t in range(H):
            seen.append(m.action(io["actions"][r, t]))
            acted = m.transformer(torch.stack(seen))[-1:]
            if t == 0:
                first.append(m.head("rewards", acted))
            total += c["discount_factor"] ** t * m.head("rewards", acted)
            seen.append(m.head("observations", acted)[0])
        end = m.transformer(torch.stack(seen))[-1:]
        returns.append(total + c["discount_factor"] ** H * m.head("value", end))
        ends.append(end)
    io["first_reward"], io["end"], io["return"] = torch.cat(first), torch.cat(ends), torch.cat(returns)
    save(name, c, m.w, io)
    print(sorted(io["return"].flatten().tolist()))


case("scalezero", 11, {})
case("scalezero_gelu", 13, {
    "infer_context_length": 1, "share_head": True, "moe_in_transformer": True, "multiplication_moe_in_transformer": False,
    "num_experts_of_moe_in_transformer": 3, "num_experts_per_tok": 1, "n_shared_experts": 0, "lora_r": 0, "curriculum_stage": 0,
    "final_norm_option_in_encoder": "SimNorm", "final_norm_option_in_obs_head": "SimNorm",
    "sigma_type": "fixed", "bound_type": "tanh",
})
