"""Writes a trained policy as a LeRobot folder: config.json, model.safetensors, processor files, README.md."""
import json
import math
import pathlib
import struct

import numpy as np

from host import ROOT

HORIZON = 16


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            f.write(np.ascontiguousarray(array, np.float32).tobytes())


def wilson(k, n, z=1.96):
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


def write_checkpoint(trainer, results, seconds):
    spec, plan, args = trainer.host.spec, trainer.plan, trainer.args
    folder = pathlib.Path(args.out) if args.out else ROOT / "models" / trainer.task
    folder.mkdir(parents=True, exist_ok=True)
    dims = spec["observation_dims"]
    kinds = {key: "STATE" if key == "observation.state" else "ENV" for key in dims}
    features = {key: {"type": kinds[key], "shape": [size]} for key, size in dims.items()}
    action = {"action": {"type": "ACTION", "shape": [trainer.host.joints]}}
    norm_map = {"STATE": "MEAN_STD", "ENV": "MEAN_STD", "ACTION": "MEAN_STD"}
    config = {
        "type": "edm", "n_obs_steps": 1, "horizon": HORIZON, "n_action_steps": plan["execute"], "fps": spec["rate_hz"],
        "input_features": features, "output_features": action, "normalization_mapping": norm_map,
        "goal_feature": plan["goal"], "guidance_scale": 1.0, "goal_drop": 0.1 if plan["goal"] else 0.0,
        "hidden_dim": args.hidden, "num_blocks": args.blocks, "sigma_embed_dim": 64,
        "sigma_data": 0.5, "sigma_min": 0.02, "sigma_max": 5.0, "rho": 7.0, "sigma_schedule": "karras",
        "sampler": "dpmpp_2m", "num_inference_steps": 10,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_safetensors(folder / "model.safetensors",
                      {f"model.{k}": v.detach().numpy() for k, v in trainer.ema.state_dict().items()})
    stats, at = {}, 0
    for key, size in dims.items():
        stats[f"{key}.mean"], stats[f"{key}.std"] = trainer.mean[at:at + size], trainer.std[at:at + size]
        at += size
    stats["action.mean"], stats["action.std"] = trainer.action_mean, trainer.action_std
    for side, step, keys in (("pre", "normalizer", None), ("post", "unnormalizer", ["action"])):
        name = f"policy_{side}processor_step_0_{step}_processor.safetensors"
        kept = {k: v.astype(np.float32) for k, v in stats.items() if keys is None or k.split(".")[0] in keys}
        write_safetensors(folder / name, kept)
        steps = [{"registry_name": f"{step}_processor", "state_file": name, "config": {
            "eps": 1e-8, "features": {**(features if side == "pre" else {}), **action}, "norm_map": norm_map}}]
        # Chunks are relative to where the joints were when the observation was made: one step keeps it, one adds it.
        if side == "pre":
            relative = {"enabled": True, "exclude_joints": [], "action_names": None}
            steps.insert(0, {"registry_name": "relative_actions_processor", "config": relative})
        else:
            steps.append({"registry_name": "absolute_actions_processor", "config": {"enabled": True}})
        text = {"name": f"policy_{side}processor", "steps": steps}
        (folder / f"policy_{side}processor.json").write_text(json.dumps(text, indent=2) + "\n")
    train = {"task": trainer.task, "seed": args.seed, "plan": plan, "hidden": args.hidden, "blocks": args.blocks,
             "batch": args.batch, "states": len(trainer.chunks), "seconds": round(seconds), "loss": trainer.last_loss}
    (folder / "train_config.json").write_text(json.dumps(train, indent=2) + "\n")
    (folder / "README.md").write_text(card(trainer, results, train))


def card(trainer, results, train):
    rows = []
    for r in results:
        low, high = wilson(r["success"], r["episodes"])
        modes = ", ".join(f"{k} {v}" for k, v in sorted(r["modes"].items()))
        rows.append(f"| {r['steps']} | {r['success']}/{r['episodes']} | {100 * low:.1f}–{100 * high:.1f} % | {r['mean_length']:.0f} | {modes} |")
    table = "\n".join(rows)
    return f"""# {trainer.task}

A small diffusion policy (family `edm`: residual MLP, EDM preconditioning) for Tendon's simulated task `{trainer.task}`.

| denoising steps | success | 95 % interval (Wilson) | mean episode, steps | modes |
|---|---|---|---|---|
{table}

Sampler DPM-Solver++ 2M on a Karras schedule, {trainer.plan['execute']} of {HORIZON} actions executed, unseen seeds from 0 on
(the trainer's own loop; `npm run eval -- --task {trainer.task}` measures the deployed one).

- **Data**: {train['states']} states with chunk labels from the scripted expert in `src/sim`: noisy expert episodes
  (DART), then {trainer.plan['rounds']} rounds of DAgger. No outside data.
- **Command**: `/usr/bin/python3 models/train/train.py {trainer.task} --seed {train['seed']}`
- **Time**: {train['seconds']} s on {trainer.args.threads} CPU thread(s); last training loss {train['loss']:.4f}.
- **Physics**: MuJoCo, own MJCF; it differs from tasks of the same name elsewhere, so success rates do not compare.
- **Licence**: Apache-2.0.
"""
