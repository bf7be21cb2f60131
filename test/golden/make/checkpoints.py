# Checkpoints as other trainings save them, for `tendon import`, without the weights: imports/<case>.pkl is the data.pkl of
# torch.save's zip, imports/<case>.json the tensor in each storage. The tests put the numbers in (test/golden/torch-zip.ts):
#   dp_transformer, dp_unet, dp_bert: diffusion_policy's save_checkpoint ({cfg: OmegaConf, state_dicts, pickles}, by dill)
#   act: the original ACT's state dict, under its names (from the LeRobot keys recorded for ALOHA)
#   dataset_stats.pkl: its statistics
# PYTHONPATH=test/golden/make /usr/bin/python3 test/golden/make/checkpoints.py  (Debian: python3-dill python3-omegaconf)
import io
import json
import os
import pickle
import struct
import zipfile

import dill
import numpy as np
import torch
from hashed import uniform, weight
from omegaconf import OmegaConf

OUT = "test/golden/imports"
os.makedirs(OUT, exist_ok=True)


def state(case):
    if not os.path.exists(f"test/golden/{case}/model.safetensors"):
        lines = (line.split("\t") for line in open(f"test/golden/keys/{case}.txt"))
        return {name: weight(name, eval(shape)) for name, shape, _ in lines}  # our own file
    data = open(f"test/golden/{case}/model.safetensors", "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if end > begin:
            raw = bytearray(data[8 + size + begin : 8 + size + end])
            out[f"model.{name}"] = torch.frombuffer(raw, dtype=torch.float32).reshape(entry["shape"])
    return out


def strip(case, payload, tensors):
    """Saves as torch does, then keeps the pickle and which tensor lies in which storage, in order of saving."""
    file = io.BytesIO()
    torch.save(payload, file, pickle_module=dill)
    zip = zipfile.ZipFile(file)
    prefix = next(n for n in zip.namelist() if n.endswith("data.pkl"))[: -len("data.pkl")]
    open(f"{OUT}/{case}.pkl", "wb").write(zip.read(f"{prefix}data.pkl"))
    at = {}
    for name, tensor in tensors.items():
        if tensor.numel() > 0:
            at.setdefault(tensor.numpy().tobytes(), []).append(name)
    storages = {}
    for entry in zip.namelist():
        if "/data/" in entry:
            found = at.get(zip.read(entry))
            storages[entry.split("/")[-1]] = found.pop(0) if found else list(zip.read(entry))
    json.dump(storages, open(f"{OUT}/{case}.json", "w"))
    print(case, len(storages), "storages")


def normalizer(key, n):
    p = f"normalizer.params_dict.{key}."
    u = torch.from_numpy(uniform(p, 2 * n).astype(np.float32))
    stats = {f"{p}input_stats.{s}": torch.zeros(n) for s in ("min", "max", "mean", "std")}
    return {f"{p}scale": 1 + 0.5 * u[:n], f"{p}offset": 0.2 * u[n:], **stats}


def save(name, case, obs_dim, action_dim, cfg):
    weights = {**state(case), **normalizer("obs", obs_dim), **normalizer("action", action_dim), "mask_generator._dummy_variable": torch.zeros(0)}
    plain = {k: torch.zeros(1) for k in weights}
    payload = {
        "cfg": OmegaConf.create(cfg),
        "state_dicts": {"model": plain, "ema_model": weights, "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}},
        "pickles": {"global_step": dill.dumps(7), "epoch": dill.dumps(1)},
    }
    strip(name, payload, weights)


scheduler = {"_target_": "diffusers.schedulers.scheduling_ddpm.DDPMScheduler", "num_train_timesteps": 100, "beta_start": 0.0001,
             "beta_end": 0.02, "beta_schedule": "squaredcos_cap_v2", "variance_type": "fixed_small", "clip_sample": True, "prediction_type": "epsilon"}
common = {"n_obs_steps": 2, "n_action_steps": 8, "training": {"use_ema": True, "seed": 42}}
save("dp_transformer", "dp_transformer_causal", 9, 4, {
    **common, "horizon": 10,
    "policy": {"_target_": "diffusion_policy.policy.diffusion_transformer_lowdim_policy.DiffusionTransformerLowdimPolicy",
               "noise_scheduler": scheduler, "horizon": "${horizon}", "obs_dim": 9, "action_dim": 4, "n_action_steps": "${n_action_steps}",
               "n_obs_steps": "${n_obs_steps}", "num_inference_steps": 100, "obs_as_cond": True, "pred_action_steps_only": False,
               "model": {"_target_": "x.TransformerForDiffusion", "input_dim": 4, "output_dim": 4, "horizon": 10, "n_obs_steps": 2, "cond_dim": 9,
                         "n_layer": 2, "n_head": 4, "n_emb": 64, "p_drop_emb": 0.0, "p_drop_attn": 0.3, "causal_attn": True, "time_as_cond": True,
                         "obs_as_cond": True, "n_cond_layers": 0}}})
save("dp_bert", "dp_bert", 5, 3, {
    **common, "horizon": 8,
    "policy": {"_target_": "diffusion_policy.policy.diffusion_transformer_lowdim_policy.DiffusionTransformerLowdimPolicy",
               "noise_scheduler": scheduler, "horizon": "${horizon}", "obs_dim": 5, "action_dim": 3, "n_action_steps": "${n_action_steps}",
               "n_obs_steps": "${n_obs_steps}", "num_inference_steps": 100, "obs_as_cond": False, "pred_action_steps_only": False,
               "model": {"_target_": "x.TransformerForDiffusion", "input_dim": "${eval:'5+3'}", "output_dim": "${eval:'5+3'}", "horizon": "${horizon}",
                         "n_obs_steps": None, "cond_dim": 0, "n_layer": 2, "n_head": 4, "n_emb": 32, "causal_attn": False, "time_as_cond": False,
                         "obs_as_cond": False, "n_cond_layers": 0}}})
save("dp_unet", "dp_unet_local", 5, 3, {
    **common, "horizon": 16,
    "policy": {"_target_": "diffusion_policy.policy.diffusion_unet_lowdim_policy.DiffusionUnetLowdimPolicy",
               "noise_scheduler": scheduler, "horizon": 16, "obs_dim": 5, "action_dim": 3, "n_action_steps": 8, "n_obs_steps": 2,
               "num_inference_steps": 100, "obs_as_local_cond": True, "obs_as_global_cond": False, "pred_action_steps_only": False, "oa_step_convention": True,
               "model": {"_target_": "x.ConditionalUnet1D", "input_dim": 3, "local_cond_dim": 5, "global_cond_dim": None, "diffusion_step_embed_dim": 32,
                         "down_dims": [32, 64], "kernel_size": 3, "n_groups": 8, "cond_predict_scale": False}}})
numbers = lambda name, n, scale, base: (base + scale * uniform(name, n)).astype(np.float32)
pickle.dump({"action_mean": numbers("action_mean", 14, 0.5, 0), "action_std": numbers("action_std", 14, 0.2, 0.5),
             "qpos_mean": numbers("qpos_mean", 14, 0.5, 0), "qpos_std": numbers("qpos_std", 14, 0.2, 0.5),
             "example_qpos": np.zeros((2, 14))}, open(f"{OUT}/dataset_stats.pkl", "wb"))

THEIRS = [("model.backbone.", "model.backbones.0.0.body."), ("model.encoder.", "model.transformer.encoder."), ("model.decoder.", "model.transformer.decoder."),
          ("model.decoder_pos_embed.", "model.query_embed."), ("model.encoder_img_feat_input_proj.", "model.input_proj."),
          ("model.encoder_robot_state_input_proj.", "model.input_proj_robot_state."), ("model.encoder_latent_input_proj.", "model.latent_out_proj."),
          ("model.encoder_1d_feature_pos_embed.", "model.additional_pos_embed."), ("model.action_head.", "model.action_head.")]
theirs, values = {}, {}
for line in open("test/golden/keys/act_default_aloha.txt"):
    name, shape, _ = line.split("\t")
    for ours, other in THEIRS:
        if name.startswith(ours):
            # The numbers are the test's: here each tensor only has to be told from the others.
            tensor = torch.full(eval(shape), float(len(theirs) + 1))
            theirs[name.replace(ours, other, 1)], values[name] = tensor, tensor
theirs["model.is_pad_head.weight"] = torch.zeros(1, 512)
theirs["model.transformer.decoder.layers.1.norm1.weight"] = torch.zeros(512)
strip("act", theirs, values)
