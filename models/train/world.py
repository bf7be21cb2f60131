#!/usr/bin/python3
"""Learns a small world model of a demo task and writes models/TASK-world: /usr/bin/python3 models/train/world.py arm

Needs `npm run build:ts` (the simulation and the planner) and Debian's python3-torch. An ensemble of networks learns how the
observation changes and what the step earns (src/sim/TASK-reward.ts), first from an expert lost in noise, then from where the
planner itself comes with what was learnt so far (PETS). See models/train/README.md."""
import argparse
import math
import time

import numpy as np
import torch

from host import ROOT, Host
from write_world import write_world

ROUNDS = 5
EXPLORED = 800
PLANNED = 20


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


class Trainer:
    def __init__(self, args):
        self.args, self.task = args, args.task
        torch.manual_seed(args.seed)
        torch.set_num_threads(1)
        self.host = Host(args.task)
        if "model" not in self.host.spec:
            raise SystemExit(f"the task {args.task} has no reward to plan by (TaskModel in src/sim/task.ts)")
        self.rows = np.zeros((0, 2 * self.host.feature_dim + self.host.joints + 1), np.float32)
        self.loss = float("nan")

    def add(self, rows, times=1):
        """Without what no planner should learn from: a joint that flies (contacts of a wild arm) says nothing of the task."""
        f, a = self.host.feature_dim, self.host.joints
        joints = rows[:, f + a:f + a + 2 * a][:, a:]
        rows = rows[np.abs(joints).max(1) < 12]
        self.rows = np.concatenate([self.rows, np.repeat(rows, times, 0)])

    def fit_scales(self):
        f, a = self.host.feature_dim, self.host.joints
        self.mean, self.std = self.rows[:, :f].mean(0), np.maximum(self.rows[:, :f].std(0), 1e-3)
        self.reach = np.array(self.host.spec["model"]["reach"], np.float32)
        _, targets = self.tensors(scaled=False)
        self.out_mean, self.out_std = targets.mean(0), targets.std(0).clamp_min(1e-4)
        self.net = Members(self.args.members, f + a, self.args.hidden, f + 1)
        log(f"reward {self.rows[:, -1].mean():.2f} ± {self.rows[:, -1].std():.2f}, at least {self.rows[:, -1].min():.1f}")
        log(f"network: {sum(p.numel() for p in self.net.parameters())} parameters in {self.args.members} members")

    def tensors(self, scaled=True):
        """Normalised state and action; change of the normalised state and reward."""
        f, a = self.host.feature_dim, self.host.joints
        scale = lambda x: (x - self.mean) / (self.std + 1e-8)
        before, after = scale(self.rows[:, :f]), scale(self.rows[:, f + a:2 * f + a])
        x = np.concatenate([before, self.rows[:, f:f + a] / (self.reach + 1e-8)], 1)
        y = np.concatenate([after - before, self.rows[:, -1:]], 1)
        x, y = (torch.from_numpy(v.astype(np.float32)) for v in (x, y))
        return (x, (y - self.out_mean) / self.out_std) if scaled else (x, y)

    def update(self, updates, rate):
        x, y = self.tensors()
        held = torch.arange(len(x)) % 50 == 0
        train = torch.nonzero(~held)[:, 0]
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=rate, weight_decay=1e-5)
        begun = time.time()
        for i in range(updates):
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, (i + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * i / updates)))
            pick = train[torch.randint(len(train), (self.args.members, self.args.batch))]
            mean, logvar = self.net(x[pick])
            # Gaussian likelihood, weighed by the spread so that what is hard is not given up (Seitzer et al. 2022, β = ½).
            each = ((mean - y[pick]) ** 2 * torch.exp(-logvar) + logvar) * torch.exp(0.5 * logvar).detach()
            bounds = 0.01 * (self.net.max_logvar.sum() - self.net.min_logvar.sum())
            optimizer.zero_grad()
            (each.mean() + bounds).backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
            optimizer.step()
        with torch.no_grad():
            mean, _ = self.net(x[held].expand(self.args.members, -1, -1))
            error = ((mean.mean(0) - y[held]) ** 2).mean(0)
        self.loss = float(error.mean())
        log(f"{updates} updates in {time.time() - begun:.0f} s: held-out error {self.loss:.4f} of the variance, of the reward {float(error[-1]):.4f}")

    def run(self):
        begun = time.time()
        for start in range(0, EXPLORED, 50):
            self.add(self.host.explore(range(300_000 + start, 300_000 + start + 50)))
        log(f"explored: {EXPLORED} episodes, {len(self.rows)} transitions")
        self.fit_scales()
        self.update(4000, 2e-3)
        folder = write_world(self, time.time() - begun, None)
        for r in range(ROUNDS):
            seeds = range(400_000 + 1000 * r, 400_000 + 1000 * r + PLANNED)
            rows, won, _ = self.host.plan(folder, seeds, 0.3 if r % 2 else 0.1, self.args.execute)
            # What the planner met is rare and matters most: it counts threefold.
            self.add(rows, 3)
            log(f"round {r + 1}: the planner, disturbed, succeeded {won} of {PLANNED}; {len(rows)} new transitions")
            self.update(2000, 1.2e-3)
            write_world(self, time.time() - begun, None)
        _, won, lengths = self.host.plan(folder, range(1000, 1020), 0.0, self.args.execute)
        log(f"undisturbed: {won} of 20, {np.mean(lengths):.0f} steps")
        write_world(self, time.time() - begun, dict(success=won, episodes=20, steps=float(np.mean(lengths))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=160)
    parser.add_argument("--execute", type=int, default=2)
    parser.add_argument("--out", default=None, help="folder to write; default models/TASK-world")
    Trainer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
