#!/usr/bin/python3
"""Trains one demo policy and writes it in LeRobot layout: /usr/bin/python3 models/train/train.py TASK

Needs `npm run build:ts` (the simulation) and Debian's python3-torch. Noisy expert episodes with clean chunk labels
(DART), then rounds of DAgger: the learner drives, the expert labels where it came. See models/train/README.md."""
import argparse
import copy
import math
import time

import numpy as np
import torch

import edm
from host import ROOT, Host
from write import write_checkpoint

# Per task: expert episodes, DAgger rounds × episodes, updates at first and per round, noise on executed targets.
TASKS = {
    "arm": dict(episodes=1200, stride=3, rounds=8, round_episodes=200, updates=8000, round_updates=3000, noise=[0.012], execute=4, goal="observation.goal"),
    "pusht": dict(episodes=800, stride=3, rounds=7, round_episodes=200, updates=12000, round_updates=4000, noise=[0.006], execute=4, goal=None),
    "block-push": dict(episodes=1000, stride=4, rounds=2, round_episodes=150, updates=9000, round_updates=4000, noise=[0.008], execute=4, goal=None),
}
HORIZON = 16
KEPT = ("features", "chunks", "mean", "std", "action_mean", "action_std", "last_loss")


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


class Trainer:
    def __init__(self, task, args):
        self.task, self.args, self.plan = task, args, TASKS[task]
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        self.host = Host(task)
        self.progress = ROOT / "models/train/data" / f"{task}-{args.seed}.pt"
        self.generator = torch.Generator().manual_seed(args.seed)
        self.features = np.zeros((0, self.host.feature_dim), np.float32)
        self.chunks = np.zeros((0, HORIZON, self.host.joints), np.float32)

    def add(self, features, chunks):
        self.features = np.concatenate([self.features, features])
        self.chunks = np.concatenate([self.chunks, chunks])

    def demonstrate(self):
        successes = episodes = 0
        for start in range(0, self.plan["episodes"], 50):
            seeds = range(100_000 + start, 100_000 + min(start + 50, self.plan["episodes"]))
            features, chunks, won = self.host.collect(seeds, HORIZON, self.plan["stride"], self.plan["noise"])
            self.add(features, chunks)
            successes, episodes = successes + won, episodes + len(seeds)
            if start % 300 == 0:
                log(f"demonstrations: {episodes} episodes, {len(self.chunks)} states, noisy expert {successes}/{episodes}")

    def fit_statistics(self):
        self.mean, self.std = self.features.mean(0), np.maximum(self.features.std(0), 1e-3)
        # Twice the spread, so that normalised actions have the σ_data of 0.5 that the preconditioning expects.
        self.action_mean = self.chunks.mean((0, 1))
        self.action_std = 2 * np.maximum(self.chunks.std((0, 1)), 1e-4)
        self.build()
        log(f"network: {sum(p.numel() for p in self.net.parameters())} parameters")

    def build(self):
        self.net = edm.Denoiser(self.host.feature_dim, HORIZON, self.host.joints, self.args.hidden, self.args.blocks)
        self.ema = copy.deepcopy(self.net)

    def keep(self, rounds, seconds):
        """All that the next round depends on, so that a run that was stopped goes on as if it had not been."""
        self.progress.parent.mkdir(parents=True, exist_ok=True)
        fields = {name: getattr(self, name) for name in KEPT}
        unfinished = self.progress.with_suffix(".tmp")
        torch.save({"fields": fields, "net": self.net.state_dict(), "ema": self.ema.state_dict(), "rounds": rounds, "seconds": seconds,
                    "random": (torch.get_rng_state(), self.generator.get_state())}, unfinished)
        unfinished.replace(self.progress)

    def resume(self):
        """Rounds behind us and seconds spent on them."""
        kept = torch.load(self.progress, weights_only=False)
        for name, value in kept["fields"].items():
            setattr(self, name, value)
        self.build()
        self.net.load_state_dict(kept["net"])
        self.ema.load_state_dict(kept["ema"])
        torch.set_rng_state(kept["random"][0])
        self.generator.set_state(kept["random"][1])
        log(f"resumed after round {kept['rounds']} with {len(self.chunks)} states")
        return kept["rounds"], kept["seconds"]

    def condition(self, features):
        return torch.from_numpy(((features - self.mean) / (self.std + 1e-8)).astype(np.float32))

    def update(self, updates, rate):
        cond = self.condition(self.features)
        clean = torch.from_numpy(((self.chunks - self.action_mean) / (self.action_std + 1e-8)).astype(np.float32))
        goal = self.goal_columns()
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=rate, weight_decay=1e-4)
        total, begun = 0.0, time.time()
        for i in range(updates):
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, (i + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * i / updates)))
            pick = torch.randint(len(clean), (self.args.batch,))
            c = cond[pick]
            if goal is not None:
                c[:, goal[0]:goal[1]] *= (torch.rand(len(c), 1) > 0.1).float()
            value = edm.loss(self.net, clean[pick], c)
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            optimizer.step()
            decay = min(0.999, (i + 1) / (i + 10))
            with torch.no_grad():
                for e, p in zip(self.ema.parameters(), self.net.parameters()):
                    e.lerp_(p, 1 - decay)
            total += value.item()
            if (i + 1) % 1000 == 0:
                self.last_loss = total / 1000
                log(f"  update {i + 1}/{updates} loss {self.last_loss:.4f} {(time.time() - begun) / (i + 1) * 1e3:.1f} ms each")
                total = 0.0

    def goal_columns(self):
        key, at = self.plan["goal"], 0
        for name, size in self.host.spec["observation_dims"].items():
            if name == key:
                return at, at + size
            at += size
        return None

    def drive(self, seeds, steps, label):
        """Closed loop: executes the first targets of each chunk; returns the final status of every episode."""
        features, position = self.host.reset(seeds)
        alive = np.ones(len(seeds), bool)
        execute = self.plan["execute"]
        status = None
        while alive.any():
            chunk = edm.sample(self.ema, self.condition(features), steps, self.generator).numpy()
            targets = (chunk * self.action_std + self.action_mean + position[:, None])[:, :execute]
            features, position, labels, status = self.host.advance(targets, HORIZON if label else 0)
            alive = np.array([s[0] == 0 for s in status])
            if label and alive.any():
                self.add(features[alive], labels[alive])
        return status

    def evaluate(self, seeds, steps):
        seeds, won, modes, length = list(seeds), 0, {}, 0
        for start in range(0, len(seeds), 50):
            for _, success, count, mode in self.drive(seeds[start:start + 50], steps, False):
                won, length = won + success, length + count
                modes[mode or "none"] = modes.get(mode or "none", 0) + 1
        return dict(success=won, episodes=len(seeds), steps=steps, modes=modes, mean_length=length / len(seeds))

    def run(self):
        done, spent = 0, 0.0
        if self.args.resume:
            done, spent = self.resume()
        begun = time.time() - spent
        if not self.args.resume:
            self.demonstrate()
            self.fit_statistics()
            self.update(self.plan["updates"], 1e-3)
            log(f"cloned: {self.evaluate(range(1000, 1100), 10)}")
            self.keep(0, time.time() - begun)
        for r in range(done, self.plan["rounds"]):
            before, won = len(self.chunks), 0
            for start in range(0, self.plan["round_episodes"], 50):
                seeds = range(200_000 + 1000 * r + start, 200_000 + 1000 * r + start + 50)
                won += sum(s[1] for s in self.drive(list(seeds), 3 if (start // 50) % 2 else 10, True))
            log(f"DAgger {r + 1}: learner {won}/{self.plan['round_episodes']}, {len(self.chunks) - before} new states of {len(self.chunks)}")
            self.update(self.plan["round_updates"], 6e-4)
            self.save([self.evaluate(range(1000, 1100), n) for n in (10, 3)], time.time() - begun, provisional=True)
            self.keep(r + 1, time.time() - begun)
        results = [self.evaluate(range(0, 200), n) for n in (10, 3)]
        self.save(results, time.time() - begun)

    def save(self, results, seconds, provisional=False):
        for r in results:
            log(f"{'so far' if provisional else 'final'}: {r}")
        write_checkpoint(self, results, seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=320)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--resume", action="store_true", help="go on from the last finished round of this task and seed")
    parser.add_argument("--out", default=None, help="folder to write; default models/TASK")
    args = parser.parse_args()
    Trainer(args.task, args).run()


if __name__ == "__main__":
    main()
