"""Writes a learned world model as a folder of the `ensemble` family: config.json, model.safetensors, processors, card."""
import json
import pathlib

import numpy as np
import torch

from host import ROOT
from write import wilson, write_safetensors


def write_world(trainer, seconds, result):
    """Returns the folder. `result`: the last closed loop, absent before it."""
    spec, args = trainer.host.spec, trainer.args
    folder = pathlib.Path(args.out) if args.out else ROOT / "models" / f"{args.task}-world"
    folder.mkdir(parents=True, exist_ok=True)
    dims = spec["observation_dims"]
    kinds = {key: "STATE" if key == "observation.state" else "ENV" for key in dims}
    features = {key: {"type": kinds[key], "shape": [size]} for key, size in dims.items()}
    action = {"action": {"type": "ACTION", "shape": [spec["joints"]]}}
    norm_map = {"STATE": "MEAN_STD", "ENV": "MEAN_STD", "ACTION": "MEAN_STD"}
    config = {
        "type": "ensemble", "fps": spec["rate_hz"], "n_action_steps": args.execute,
        "input_features": features, "output_features": action, "normalization_mapping": norm_map,
        "action_relative_to": "observation.state", "action_travel": spec["model"]["travel"],
        "ensemble_size": args.members, "num_layers": 2, "hid_size": args.hidden, "activation": "silu",
        **trainer.structure, "reward": {"num_layers": 2, "hid_size": args.hidden},
        "propagation": "expectation", "penalty": "disagreement", "penalty_coeff": args.penalty, "horizon": spec["model"]["horizon"],
        "planner": "mppi", "population_size": 192, "num_iterations": 4, "elite_ratio": 0.1, "alpha": 0.0,
        "initial_std": 0.5, "min_std": 0.05, "temperature": 3.0,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_safetensors(folder / "model.safetensors", tensors(trainer))
    stats, at = {}, 0
    for key, size in dims.items():
        stats[f"{key}.mean"], stats[f"{key}.std"] = trainer.mean[at:at + size], trainer.std[at:at + size]
        at += size
    stats["action.mean"], stats["action.std"] = np.zeros(spec["joints"], np.float32), trainer.reach
    for side, step, keys in (("pre", "normalizer", None), ("post", "unnormalizer", ["action"])):
        name = f"policy_{side}processor_step_0_{step}_processor.safetensors"
        kept = {k: v.astype(np.float32) for k, v in stats.items() if keys is None or k.split(".")[0] in keys}
        write_safetensors(folder / name, kept)
        steps = [{"registry_name": f"{step}_processor", "state_file": name, "config": {
            "eps": 1e-8, "features": {**(features if side == "pre" else {}), **action}, "norm_map": norm_map}}]
        text = {"name": f"policy_{side}processor", "steps": steps}
        (folder / f"policy_{side}processor.json").write_text(json.dumps(text, indent=2) + "\n")
    train = {"task": args.task, "seed": args.seed, "members": args.members, "hidden": args.hidden, "batch": args.batch,
             "transitions": len(trainer.rows), "seconds": round(seconds), "loss": trainer.loss, "closed_loop": result}
    (folder / "train_config.json").write_text(json.dumps(train, indent=2) + "\n")
    if result is not None:
        (folder / "README.md").write_text(card(args, train))
    return folder


def tensors(trainer):
    """mbrl-lib's names; the scales of the predictions become part of the last layer."""
    net, found = trainer.net, {}
    numbers = lambda p: p.detach().numpy()
    mean, std = trainer.out_mean.numpy(), trainer.out_std.numpy()
    for i, (weight, bias) in enumerate(zip(net.weights, net.biases)):
        weight, bias = numbers(weight), numbers(bias)
        last = i == len(net.weights) - 1
        if last:
            weight = weight * np.concatenate([std, np.ones_like(std)])
            bias = bias * np.concatenate([std, np.ones_like(std)]) + np.concatenate([mean, 2 * np.log(std)])
        name = "mean_and_logvar" if last else f"hidden_layers.{i}.0"
        found[f"{name}.weight"], found[f"{name}.bias"] = weight.astype(np.float32), bias.astype(np.float32)
    for name in ("min_logvar", "max_logvar"):
        found[name] = (numbers(getattr(net, name)) + 2 * np.log(std)).astype(np.float32)
    for i, layer in enumerate(module for module in trainer.earned if isinstance(module, torch.nn.Linear)):
        weight, bias = numbers(layer.weight), numbers(layer.bias)
        if layer.out_features == 1:
            weight, bias = weight * trainer.reward_std.numpy(), bias * trainer.reward_std.numpy() + trainer.reward_mean.numpy()
        found[f"reward_layers.{i}.weight"], found[f"reward_layers.{i}.bias"] = weight.astype(np.float32), bias.astype(np.float32)
    return found


def card(args, train):
    result = train["closed_loop"]
    low, high = wilson(result["success"], result["episodes"])
    return f"""# {args.task}-world

A small world model (family `ensemble`: {args.members} networks of 2 × {args.hidden} that predict how the robot moves, and one that says what a step
earned) for Tendon's simulated task `{args.task}`, planned through by MPPI. There is no policy prior and no value in it.

The trainer's own loop, seeds 1000 on: {result['success']}/{result['episodes']}, 95 % interval (Wilson) {100 * low:.1f}–{100 * high:.1f} %, {result['steps']:.0f} steps on average.
`npm run eval -- --task {args.task} --policy models/{args.task}-world` measures the deployed one.

- **Data**: {train['transitions']} transitions of the simulation in `src/sim`: an expert lost in noise, then the planner itself. No outside data.
- **Reward**: learnt; its examples are paid by `src/sim/{args.task}-reward.ts`, which physics as the model is planned by too.
- **Command**: `/usr/bin/python3 models/train/world.py {args.task} --seed {args.seed}`
- **Time**: {train['seconds']} s on one CPU thread; held-out error {train['loss']:.4f} of the variance.
- **Licence**: Apache-2.0.
"""
