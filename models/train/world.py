#!/usr/bin/python3
"""Learns a small world model of a demo task and writes models/TASK-world: /usr/bin/python3 models/train/world.py arm

Needs `npm run build:ts` (the simulation and the planner) and Debian's python3-torch. An ensemble of networks learns how the
observation changes, as far as that does not follow (structure.py), and another network what a step earned (src/sim/TASK-reward.ts), first from
an expert lost in noise, then from where the planner itself comes with what was learnt so far (PETS). See models/train/README.md."""
import argparse
import math
import time

import numpy as np
import torch

from host import ROOT, Host
from structure import STRUCTURES
from write_world import write_world

EXPLORED = 2000
FIRST_UPDATES = 10_000
PLANNED = 60
ROUND_UPDATES = 3000
CHECKED = range(1000, 1050)


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


class Members(torch.nn.Module):
    """Layers (members, in, out), so that all members are one product; mean and log-variance, as mbrl-lib's GaussianMLP."""

    def __init__(self, members, inputs, hidden, outputs):
        super().__init__()
        sizes = [inputs, hidden, hidden, 2 * outputs]
        self.weights = torch.nn.ParameterList(
            [torch.nn.Parameter(torch.randn(members, a, b) / (2 * math.sqrt(a))) for a, b in zip(sizes, sizes[1:])])
        self.biases = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(members, 1, b)) for b in sizes[1:]])
        self.min_logvar = torch.nn.Parameter(-8 * torch.ones(1, outputs))
        self.max_logvar = torch.nn.Parameter(torch.ones(1, outputs))

    def forward(self, x):
        for weight, bias in zip(self.weights[:-1], self.biases[:-1]):
            x = torch.nn.functional.silu(torch.baddbmm(bias, x, weight))
        mean, raw = torch.baddbmm(self.biases[-1], x, self.weights[-1]).chunk(2, -1)
        logvar = self.max_logvar - torch.nn.functional.softplus(self.max_logvar - raw)
        return mean, self.min_logvar + torch.nn.functional.softplus(logvar - self.min_logvar)


def symlog(x):
    return np.sign(x) * np.log1p(np.abs(x))


class Trainer:
    def __init__(self, args):
        self.args, self.task = args, args.task
        torch.manual_seed(args.seed)
        torch.set_num_threads(1)
        self.host = Host(args.task)
        if "model" not in self.host.spec or args.task not in STRUCTURES:
            raise SystemExit(f"the task {args.task} has no reward to plan by (TaskModel in src/sim/task.ts)")
        self.structure = STRUCTURES[args.task]
        self.explored = 0
        self.rows = np.zeros((0, 2 * self.host.feature_dim + self.host.joints + 1), np.float32)
        self.loss = float("nan")

    def add(self, rows, times=1):
        """Without what no planner should learn from: MuJoCo begins anew where a contact blows up, and all joints jump."""
        f, a = self.host.feature_dim, self.host.joints
        moved = rows[:, f + a:f + 2 * a] - rows[:, :a]
        rows = rows[np.abs(moved).max(1) < 0.3]
        self.rows = np.concatenate([self.rows, np.repeat(rows, times, 0)])

    def fit_scales(self):
        f, a = self.host.feature_dim, self.host.joints
        self.mean, self.std = self.rows[:, :f].mean(0), np.maximum(self.rows[:, :f].std(0), 1e-3)
        self.reach = np.array(self.host.spec["model"]["reach"], np.float32)
        _, y, _, reward = self.tensors(scaled=False)
        self.out_mean, self.out_std = y.mean(0), y.std(0).clamp_min(1e-4)
        self.reward_mean, self.reward_std = reward.mean(), reward.std()
        hidden = self.args.hidden
        self.net = Members(self.args.members, f + a, hidden, y.shape[1])
        self.earned = torch.nn.Sequential(
            torch.nn.Linear(2 * f + a, hidden), torch.nn.SiLU(), torch.nn.Linear(hidden, hidden), torch.nn.SiLU(),
            torch.nn.Linear(hidden, 1))
        count = lambda net: sum(p.numel() for p in net.parameters())
        log(f"network: {count(self.net)} parameters in {self.args.members} members, {count(self.earned)} of the reward")

    def tensors(self, scaled=True):
        """Normalised state and action; what is predicted of the state after; state, action and state after; reward."""
        f, a = self.host.feature_dim, self.host.joints
        scale = lambda x: (x - self.mean) / (self.std + 1e-8)
        before, after = scale(self.rows[:, :f]), scale(self.rows[:, f + a:2 * f + a])
        x = np.concatenate([before, self.rows[:, f:f + a] / (self.reach + 1e-8)], 1)
        kept = np.ones(f)
        kept[self.structure["switches"]] = 0
        y = (after - kept * before)[:, self.structure["predicted"]]
        arrays = (x, y, np.concatenate([x, after], 1), symlog(self.rows[:, -1:]))
        x, y, both, reward = (torch.from_numpy(v.astype(np.float32)) for v in arrays)
        if not scaled:
            return x, y, both, reward
        return x, (y - self.out_mean) / self.out_std, both, (reward - self.reward_mean) / self.reward_std

    def update(self, updates, rate):
        x, y, both, reward = self.tensors()
        # Of the expert's episodes alone: what the planner met is in there more than once.
        held = (torch.arange(len(x)) % 50 == 0) & (torch.arange(len(x)) < self.explored)
        train = torch.nonzero(~held)[:, 0]
        optimizer = torch.optim.AdamW([*self.net.parameters(), *self.earned.parameters()], lr=rate, weight_decay=1e-5)
        begun = time.time()
        for i in range(updates):
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, (i + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * i / updates)))
            pick = train[torch.randint(len(train), (self.args.members, self.args.batch))]
            mean, logvar = self.net(x[pick])
            # Gaussian likelihood, weighed by the spread so that what is hard is not given up (Seitzer et al. 2022, β = ½).
            each = ((mean - y[pick]) ** 2 * torch.exp(-logvar) + logvar) * torch.exp(0.5 * logvar).detach()
            bounds = 0.01 * (self.net.max_logvar.sum() - self.net.min_logvar.sum())
            pick = pick.flatten()
            miss = torch.nn.functional.smooth_l1_loss(self.earned(both[pick]), reward[pick], beta=0.5)
            optimizer.zero_grad()
            (each.mean() + bounds + miss).backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
            torch.nn.utils.clip_grad_norm_(self.earned.parameters(), 10.0)
            optimizer.step()
        with torch.no_grad():
            mean, _ = self.net(x[held].expand(self.args.members, -1, -1))
            error = ((mean.mean(0) - y[held]) ** 2).mean(0)
            off = (self.earned(both[held]) - reward[held]).abs()[:, 0] * self.reward_std
        self.loss = float(error.mean())
        log(f"{updates} updates in {time.time() - begun:.0f} s: held-out error {self.loss:.4f} of the variance; symlog of the reward off by "
            f"{float(off.median()):.4f} (median), {float(off.mean()):.3f} (mean)")

    def run(self):
        begun = time.time()
        for start in range(0, EXPLORED, 50):
            self.add(self.host.explore(range(300_000 + start, 300_000 + start + 50)))
        self.explored = len(self.rows)
        log(f"explored: {EXPLORED} episodes, {len(self.rows)} transitions")
        self.fit_scales()
        self.update(FIRST_UPDATES, 2e-3)
        folder = write_world(self, time.time() - begun, None)
        for r in range(self.args.rounds):
            seeds = range(400_000 + 1000 * r, 400_000 + 1000 * r + PLANNED)
            rows, won, _ = self.host.plan(folder, seeds, 0.3 if r % 2 else 0.1, self.args.execute)
            # What the planner met is rare and matters most: it counts threefold.
            self.add(rows, 3)
            log(f"round {r + 1}: the planner, disturbed, succeeded {won} of {PLANNED}; {len(rows)} new transitions")
            self.update(ROUND_UPDATES, 1.2e-3)
            write_world(self, time.time() - begun, None)
        _, won, lengths = self.host.plan(folder, CHECKED, 0.0, self.args.execute)
        log(f"undisturbed: {won} of {len(CHECKED)}, {np.mean(lengths):.0f} steps")
        write_world(self, time.time() - begun, dict(success=won, episodes=len(CHECKED), steps=float(np.mean(lengths))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--batch", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=4, help="of its own planner driving; 0: the expert's episodes alone")
    parser.add_argument("--penalty", type=float, default=0.4, help="of what the members disagree about")
    parser.add_argument("--execute", type=int, default=2)
    parser.add_argument("--out", default=None, help="folder to write; default models/TASK-world")
    Trainer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
