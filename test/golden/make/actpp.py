# actpp_2cam: act-plus-plus's own DETRVAE (MarkFzp/act-plus-plus 26bab07) with a ResNet18 for each of two cameras, on hashed
# weights: one chunk, and its state dict as `tendon import` finds it (imports/actpp_2cam).
# PEERS=DIR PYTHONPATH=test/golden/make python3 test/golden/make/actpp.py   (torch, torchvision, numpy)
import pickle
import sys
import types

import numpy as np
import peers
import torch
from hashed import image
from saved import save

import util.misc

util.misc.is_main_process = lambda: False
from models import detr_vae

args = types.SimpleNamespace(lr_backbone=1e-5, masks=False, backbone="resnet18", dilation=False, position_embedding="sine", hidden_dim=32,
                             dropout=0.1, nheads=8, dim_feedforward=64, enc_layers=2, dec_layers=3, pre_norm=False, no_encoder=False,
                             camera_names=["high", "wrist"], num_queries=6, vq=False, vq_class=0, vq_dim=0, action_dim=16)
model = detr_vae.build(args).eval()
holder = torch.nn.Module()
holder.model = model
hashed = peers.hashed_state(holder, keep=("pos_table",))
qpos = peers.vector("actpp/qpos", 1, 14)
frames = np.stack([image(f"actpp/{name}", 64, 96) for name in args.camera_names])
x = torch.from_numpy(frames).float().permute(0, 3, 1, 2) / 255
mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
stats = {f"{key}_{stat}": (0.2 * peers.vector(f"actpp/{key}_{stat}", n) + (1 if stat == "std" else 0)).numpy()
         for key, n in (("qpos", 14), ("action", 16)) for stat in ("mean", "std")}
normal = (qpos - torch.from_numpy(stats["qpos_mean"])) / torch.from_numpy(stats["qpos_std"])
chunk = model(normal, ((x - mean) / std)[None], None)[0][0]
actions = chunk * torch.from_numpy(stats["action_std"]) + torch.from_numpy(stats["action_mean"])
save("actpp_2cam", {}, None, {"qpos": qpos[0], "actions": actions})
peers.strip("actpp_2cam", holder.state_dict(), hashed)
with open("test/golden/imports/actpp_stats.pkl", "wb") as out:
    pickle.dump(stats, out)
