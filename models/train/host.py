"""The trainer's end of models/train/host.mjs: a Node process that hosts the simulated task."""
import json
import pathlib
import subprocess

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Host:
    def __init__(self, task):
        self.process = subprocess.Popen(
            ["node", str(ROOT / "models/train/host.mjs"), task], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self.spec, _ = self.ask({"command": "spec"})
        self.feature_dim = sum(self.spec["observation_dims"].values())
        self.joints = self.spec["joints"]

    def ask(self, request, payload=None):
        body = b"" if payload is None else np.ascontiguousarray(payload, np.float32).tobytes()
        self.process.stdin.write((json.dumps({**request, "bytes": len(body)}) + "\n").encode() + body)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the simulation host ended; run `npm run build:ts` and try again")
        reply = json.loads(line)
        return reply, np.frombuffer(self.process.stdout.read(reply["bytes"]), np.float32).copy()

    def collect(self, seeds, horizon, stride, noise):
        """Features (n, F) and clean chunks (n, horizon, joints) along noisy expert episodes, and its successes."""
        reply, flat = self.ask({"command": "collect", "seeds": list(seeds), "horizon": horizon, "stride": stride, "noise": noise})
        rows = flat.reshape(-1, self.feature_dim + horizon * self.joints)
        return rows[:, :self.feature_dim], rows[:, self.feature_dim:].reshape(-1, horizon, self.joints), reply["successes"]

    def reset(self, seeds):
        _, flat = self.ask({"command": "reset", "seeds": list(seeds)})
        rows = flat.reshape(len(seeds), self.feature_dim + self.joints)
        return rows[:, :self.feature_dim], rows[:, self.feature_dim:]

    def advance(self, targets, horizon=0):
        """Executes (episodes, count, joints); returns features, positions, labels or None, status."""
        reply, flat = self.ask({"command": "advance", "count": targets.shape[1], "horizon": horizon, "labels": horizon > 0}, targets)
        rows = flat.reshape(targets.shape[0], -1)
        features = rows[:, :self.feature_dim]
        position = rows[:, self.feature_dim:self.feature_dim + self.joints]
        labels = rows[:, self.feature_dim + self.joints:].reshape(len(rows), horizon, self.joints) if horizon else None
        return features, position, labels, reply["status"]

    def explore(self, seeds):
        """Transitions (n, …): features, action, features after, reward."""
        _, flat = self.ask({"command": "explore", "seeds": list(seeds)})
        return flat.reshape(-1, 2 * self.feature_dim + self.joints + 1)

    def plan(self, folder, seeds, noise, execute):
        """The planner of the model in `folder` drives: its transitions, successes and the episodes' lengths."""
        reply, flat = self.ask({"command": "plan", "dir": str(folder), "seeds": list(seeds), "noise": noise, "execute": execute})
        return flat.reshape(-1, 2 * self.feature_dim + self.joints + 1), reply["successes"], reply["lengths"]
