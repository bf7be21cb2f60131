#!/usr/bin/env python3
"""Trains the maze's policies and writes them as OGBench does (flags.json, params_<updates>.pkl): python models/train/maze.py

Needs `npm run build:ts` (the simulation) and jax. HIQL (Park et al. 2023): one value of states and goals, a high level that
proposes a representation of the state some steps ahead, a low level that goes there. Beside it a flat policy of as many weights,
drawn from the same value and the same data (GCIVL). See models/train/README.md."""
import argparse
import json
import math
import os
import pathlib
import pickle
import struct
import subprocess
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
import jax
import jax.numpy as jnp
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
REACH = 0.35  # of src/sim/maze.ts, m
REACHED_STEPS = 2.5  # by the learnt distance; what it comes to is in the card
USED = 2  # entries of a goal that count: x, y; the rest is the present state's
FLAGS = dict(lr=1e-3, batch_size=256, discount=0.99, tau=0.01, expectile=0.7, low_alpha=3.0, high_alpha=3.0, flat_alpha=3.0,
             subgoal_steps=10, rep_dim=10, most_ahead=8)


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    body = data[8 + length:]
    return {name: np.frombuffer(body[slice(*t["data_offsets"])], np.float32).reshape(t["shape"]) for name, t in header.items()}


class Data:
    """Demonstrations, and the batches with goals relabelled in hindsight that HIQL learns from."""

    def __init__(self, path, rng):
        tensors = read_safetensors(path)
        self.state, self.action = tensors["state"], tensors["action"]
        begin = tensors["begin"].astype(np.int64)
        ends = np.append(begin[1:], len(self.state)) - 1
        self.last = np.repeat(ends, np.diff(np.append(begin, len(self.state))))
        self.rows = np.flatnonzero(np.arange(len(self.state)) < self.last)
        self.rng = rng

    def goals(self, at, here, ahead, anywhere):
        """Places of later states of the same episode (geometrically far), of any state, or of this one."""
        n = len(at)
        later = np.minimum(at + self.rng.geometric(1 / 25, n), self.last[at])
        random = self.rng.integers(len(self.state), size=n)
        u = self.rng.random(n)
        return self.state[np.where(u < here, at, np.where(u < here + ahead, later, random)), :USED]

    def batch(self, n):
        at = self.rng.choice(self.rows, n)
        goal = self.goals(at, 0.2, 0.5, 0.3)
        # Several steps at once (OTA's options, with lengths drawn), ended where the goal is reached on the way.
        steps = np.minimum(self.rng.integers(1, FLAGS["most_ahead"] + 1, n), self.last[at] - at)
        taken, reached = steps.copy(), np.zeros(n, bool)
        for k in range(FLAGS["most_ahead"] + 1):
            inside = (k <= steps) & ~reached
            close = np.linalg.norm(self.state[np.minimum(at + k, self.last[at]), :USED] - goal, axis=1) < REACH
            taken = np.where(inside & close, k, taken)
            reached |= inside & close
        ahead = np.minimum(at + FLAGS["subgoal_steps"], self.last[at])
        actor_goal = self.goals(at, 0.0, 0.5, 0.5)
        low = self.state[ahead, :USED]
        near = self.rng.random(n) < 0.2  # the low level meets nearer places too
        low[near] = self.goals(at, 0.0, 1.0, 0.0)[near]
        return dict(s=self.state[at], a=self.action[at], next=self.state[at + 1], later=self.state[at + taken], steps=taken.astype(np.float32),
                    done=reached.astype(np.float32), goal=goal, actor_goal=actor_goal, low_goal=low, ahead=self.state[ahead])


def dense(key, n_in, n_out, scale=1.0):
    std = math.sqrt(scale / ((n_in + n_out) / 2))
    return {"kernel": jax.random.uniform(key, (n_in, n_out), minval=-1, maxval=1) * std * math.sqrt(3), "bias": jnp.zeros(n_out)}


def mlp(key, n_in, hidden, n_out=None, norm=False):
    out, keys = {}, jax.random.split(key, len(hidden) + 1)
    for i, width in enumerate(hidden):
        out[f"Dense_{i}"] = dense(keys[i], n_in, width)
        if norm:
            out[f"LayerNorm_{i}"] = {"scale": jnp.ones(width), "bias": jnp.zeros(width)}
        n_in = width
    if n_out is not None:
        out[f"Dense_{len(hidden)}"] = dense(keys[-1], n_in, n_out)
    return out


def run(p, x, activate_final=False):
    layers = sum(name.startswith("Dense") for name in p)
    for i in range(layers):
        x = x @ p[f"Dense_{i}"]["kernel"] + p[f"Dense_{i}"]["bias"]
        if i + 1 < layers or activate_final:
            x = jax.nn.gelu(x, approximate=True)
            if f"LayerNorm_{i}" in p:
                mean = x.mean(-1, keepdims=True)
                var = (x * x).mean(-1, keepdims=True) - mean * mean
                x = (x - mean) * jax.lax.rsqrt(var + 1e-6) * p[f"LayerNorm_{i}"]["scale"] + p[f"LayerNorm_{i}"]["bias"]
    return x


def actor(key, n_in, hidden, n_out):
    a, b = jax.random.split(key)
    return {"actor_net": mlp(a, n_in, hidden), "mean_net": dense(b, hidden[-1], n_out, 0.01)}


def act(p, x):
    h = run(p["actor_net"], x, activate_final=True)
    return h @ p["mean_net"]["kernel"] + p["mean_net"]["bias"]


def length_normalize(x):
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True) * math.sqrt(x.shape[-1])


def whole(s, place):
    return jnp.concatenate([place, s[:, USED:]], 1)


def represent(p, s, place):
    return length_normalize(run(p["modules_goal_rep"]["layers_0"], jnp.concatenate([s, whole(s, place)], 1)))


def value(p, s, place, which="modules_value"):
    x = jnp.concatenate([s, represent(p, s, place)], 1)
    return jax.vmap(lambda net: run(net, x)[:, 0])(p[which]["value_net"])


def init(key, hidden, flat):
    keys = jax.random.split(key, 5)
    pair = jax.vmap(lambda k: mlp(k, 6 + FLAGS["rep_dim"], hidden, 1, norm=True))(jax.random.split(keys[0], 2))
    return {
        "modules_goal_rep": {"layers_0": mlp(keys[1], 12, hidden, FLAGS["rep_dim"], norm=True)},
        "modules_value": {"value_net": pair},
        "modules_target_value": {"value_net": jax.tree_util.tree_map(jnp.array, pair)},
        "modules_low_actor": actor(keys[2], 6 + FLAGS["rep_dim"], hidden, 2),
        "modules_high_actor": actor(keys[3], 12, hidden, FLAGS["rep_dim"]),
        "modules_actor": actor(keys[4], 12, flat, 2),
    }


def value_loss(p, target, b):
    gain = FLAGS["discount"] ** b["steps"]
    cost = -(1 - gain) / (1 - FLAGS["discount"])
    both = {**p, **target}
    later = value(both, b["later"], b["goal"], "modules_target_value")
    now = value(both, b["s"], b["goal"], "modules_target_value").mean(0)
    q = cost + gain * (1 - b["done"]) * jax.lax.stop_gradient(later)
    better = cost + gain * (1 - b["done"]) * later.min(0) - now >= 0
    weight = jnp.where(better, FLAGS["expectile"], 1 - FLAGS["expectile"])
    return (jax.lax.stop_gradient(weight) * (q - value(p, b["s"], b["goal"])) ** 2).mean()


def actor_loss(p, fixed, b):
    """Each level is drawn to what gained more than was expected (advantage-weighted regression)."""
    def weight(after, before, place, alpha):
        return jnp.minimum(jnp.exp(alpha * (value(fixed, after, place).mean(0) - before)), 100.0)

    def regress(predicted, target, w):
        return (w * ((predicted - target) ** 2).sum(1)).mean() / 2

    s = b["s"]
    low_now = value(fixed, s, b["low_goal"]).mean(0)
    far_now = value(fixed, s, b["actor_goal"]).mean(0)
    low = act(p["modules_low_actor"], jnp.concatenate([s, represent(fixed, s, b["low_goal"])], 1))
    far = jnp.concatenate([s, whole(s, b["actor_goal"])], 1)
    return (regress(low, b["a"], weight(b["next"], low_now, b["low_goal"], FLAGS["low_alpha"]))
            + regress(act(p["modules_high_actor"], far), represent(fixed, s, b["ahead"][:, :USED]),
                      weight(b["ahead"], far_now, b["actor_goal"], FLAGS["high_alpha"]))
            + regress(act(p["modules_actor"], far), b["a"], weight(b["next"], far_now, b["actor_goal"], FLAGS["flat_alpha"])))


class Adam:
    """Of one loss of trainable, other and batch, with a cosine decay of its rate."""

    def __init__(self, loss, params, updates):
        self.p, self.updates, self.i = params, updates, 0
        self.m = jax.tree_util.tree_map(jnp.zeros_like, params)
        self.v = jax.tree_util.tree_map(jnp.zeros_like, params)

        def step(p, m, v, i, rate, other, b):
            found, grads = jax.value_and_grad(loss)(p, other, b)
            m = jax.tree_util.tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
            v = jax.tree_util.tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
            p = jax.tree_util.tree_map(
                lambda p, m, v: p - rate * (m / (1 - 0.9 ** i)) / (jnp.sqrt(v / (1 - 0.999 ** i)) + 1e-8), p, m, v)
            return p, m, v, found

        self.step = jax.jit(step)

    def update(self, other, b):
        self.i += 1
        rate = FLAGS["lr"] * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.i / self.updates)))
        self.p, self.m, self.v, found = self.step(self.p, self.m, self.v, float(self.i), rate, other, b)
        return float(found)


@jax.jit
def follow(target, online):
    return jax.tree_util.tree_map(lambda t, o: t + FLAGS["tau"] * (o - t), target, online)


def train(name, updates, one):
    begun, total = time.process_time(), 0.0
    for i in range(1, updates + 1):
        total += one()
        if i % 500 == 0:
            log(f"{name} {i}/{updates}: loss {total / 500:.4f}, {(time.process_time() - begun) / i * 1e3:.1f} ms of CPU each")
            total = 0.0


def save(folder, p, agent, modules, updates, hidden, seed):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("params_*.pkl"):
        old.unlink()
    network = {"step": jnp.int32(updates), "params": {name: p[name] for name in modules}, "opt_state": {}}
    with open(folder / f"params_{updates}.pkl", "wb") as f:
        pickle.dump({"agent": {"rng": jax.random.PRNGKey(seed), "network": network}}, f)
    flags = {"env_name": "tendon-maze", "seed": seed,
             "agent": {**FLAGS, "agent_name": agent, "actor_hidden_dims": hidden, "value_hidden_dims": hidden, "layer_norm": True,
                       "const_std": True, "discrete": False, "encoder": None, "frame_stack": None, "gc_negative": True}}
    (folder / "flags.json").write_text(json.dumps(flags, indent=1) + "\n")
    config = {"type": "actor", "fps": 5, "goal_use": [0, 1]}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def cover(states, apart=0.4):
    """States that lie apart: what the page draws subgoals by, and what graphs are made of."""
    kept = np.zeros((0, states.shape[1]), np.float32)
    for state in states:
        if len(kept) == 0 or np.linalg.norm(kept[:, :USED] - state[:USED], axis=1).min() >= apart:
            kept = np.concatenate([kept, state[None]])
    return kept


def save_parts(folder, states):
    """Recorded states, and the parts that tell of progress (docs/goals.md)."""
    header = json.dumps({"states": {"dtype": "F32", "shape": list(states.shape), "data_offsets": [0, states.nbytes]}}).encode()
    header += b" " * (-len(header) % 8)
    (folder / "states.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + states.tobytes())
    progress = {"kind": "progress", "use": [0, 1], "reached_steps": REACHED_STEPS, "stall_after": 40,
                "foresee": {"states": "states.safetensors", "hops": 8}}
    (folder / "steering.json").write_text(json.dumps({"parts": {"progress": progress}}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=14_000)
    parser.add_argument("--actor-updates", type=int, default=10_000)
    parser.add_argument("--episodes", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--out", default=str(ROOT / "models"))
    args = parser.parse_args()
    data_file = ROOT / "models/train/data/maze.safetensors"
    data_file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["node", str(ROOT / "models/train/maze-data.mjs"), str(data_file), str(args.episodes)], check=True, cwd=ROOT)
    data = Data(data_file, np.random.default_rng(args.seed))
    hidden = [args.width] * 2
    count = lambda tree: sum(x.size for x in jax.tree_util.tree_leaves(tree))
    # As many weights as both levels together.
    p = init(jax.random.PRNGKey(args.seed), hidden, hidden)
    both = count(p["modules_low_actor"]) + count(p["modules_high_actor"])
    flat = [round((-16 + math.sqrt(256 + 4 * both)) / 2)] * 2
    p = init(jax.random.PRNGKey(args.seed), hidden, flat)
    log(f"{len(data.rows)} transitions; both levels {both} weights, flat {count(p['modules_actor'])}")
    pick = lambda *names: {f"modules_{name}": p[f"modules_{name}"] for name in names}

    # The value first, then what is drawn from it: the advantages of both levels come from the finished value.
    values = Adam(value_loss, pick("goal_rep", "value"), args.updates)
    target = pick("target_value")

    def learn_value():
        nonlocal target
        found = values.update(target, data.batch(FLAGS["batch_size"]))
        target = {"modules_target_value": follow(target["modules_target_value"], values.p["modules_value"])}
        return found

    train("value", args.updates, learn_value)
    actors = Adam(actor_loss, pick("low_actor", "high_actor", "actor"), args.actor_updates)
    train("actors", args.actor_updates, lambda: actors.update(values.p, data.batch(FLAGS["batch_size"])))
    p = {**values.p, **actors.p}
    out = pathlib.Path(args.out)
    save(out / "maze-hiql", p, "hiql", ["modules_goal_rep", "modules_value", "modules_low_actor", "modules_high_actor"], args.updates, hidden, args.seed)
    save(out / "maze-flat", p, "gcivl", ["modules_actor"], args.updates, flat, args.seed)
    save_parts(out / "maze-hiql", cover(data.state))
    log(f"{time.process_time():.0f} s of CPU")


if __name__ == "__main__":
    main()
