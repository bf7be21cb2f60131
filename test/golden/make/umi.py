# UMI's own TimmObsEncoder and DiffusionUnetTimmPolicy (real-stanford/universal_manipulation_interface d095ba9) on hashed
# weights. timm is not at hand: its ResNet18 is torchvision's (the same layers in the same order), its ViT the one below, which
# has timm's names. The peer's random crop is replaced by the centre's, and its colours are left out.
#   umi_vit: CLIP's ViT (norm before the layers, no bias of the patches), keys of one and of two observations, one ignored
#   umi_resnet: ResNet18 with group norm, attention pooling
#   umi_resnet_soft: ResNet18 of three stages with batch norm, soft attention
# PEERS=DIR PYTHONPATH=test/golden/make python3 test/golden/make/umi.py   (torch, torchvision, numpy)
import os
import sys
import types

import numpy as np
import peers
import torch
import torchvision
from hashed import image
from saved import save

sys.path.insert(0, os.path.join(peers.PEERS, "umi"))
from diffusion_policy.model.common.normalizer import LinearNormalizer, SingleFieldLinearNormalizer
from diffusion_policy.model.vision import timm_obs_encoder
from diffusion_policy.policy.diffusion_unet_timm_policy import DiffusionUnetTimmPolicy

SCHEDULER = {"_target_": "diffusers.DDIMScheduler", "num_train_timesteps": 100, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "squaredcos_cap_v2",
             "clip_sample": True, "set_alpha_to_one": True, "steps_offset": 0, "prediction_type": "epsilon"}
UNET = {"diffusion_step_embed_dim": 16, "down_dims": [16, 32], "kernel_size": 5, "n_groups": 8, "cond_predict_scale": True}
torchvision.transforms.RandomCrop = torchvision.transforms.CenterCrop


class Block(torch.nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.heads = dim // 64
        self.norm1, self.norm2 = torch.nn.LayerNorm(dim, eps), torch.nn.LayerNorm(dim, eps)
        self.attn = torch.nn.ModuleDict({"qkv": torch.nn.Linear(dim, 3 * dim), "proj": torch.nn.Linear(dim, dim)})
        self.mlp = torch.nn.ModuleDict({"fc1": torch.nn.Linear(dim, 4 * dim), "fc2": torch.nn.Linear(4 * dim, dim)})

    def forward(self, x):
        B, N, D = x.shape
        q, k, v = self.attn["qkv"](self.norm1(x)).reshape(B, N, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, D)
        x = x + self.attn["proj"](mixed)
        return x + self.mlp["fc2"](torch.nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class ViT(torch.nn.Module):
    def __init__(self, dim=128, patch=16, depth=2, side=64, clip=True):
        super().__init__()
        eps = 1e-5 if clip else 1e-6
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = torch.nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, dim))
        self.patch_embed = torch.nn.ModuleDict({"proj": torch.nn.Conv2d(3, dim, patch, patch, bias=not clip)})
        self.norm_pre = torch.nn.LayerNorm(dim, eps) if clip else torch.nn.Identity()
        self.blocks = torch.nn.Sequential(*[Block(dim, eps) for _ in range(depth)])
        self.norm = torch.nn.LayerNorm(dim, eps)

    def forward(self, x):
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.norm(self.blocks(self.norm_pre(x)))


def create_model(model_name, **_):
    return ViT(clip="clip" in model_name) if model_name.startswith("vit") else torchvision.models.resnet18()


timm_obs_encoder.timm = types.SimpleNamespace(create_model=create_model)


def make(case, obs, encoder):
    meta = {"obs": obs, "action": {"shape": [4], "horizon": 8}}
    transforms = [types.SimpleNamespace(**encoder["transforms"][0])] if encoder["transforms"] else None
    net = timm_obs_encoder.TimmObsEncoder(meta, frozen=False, **{**encoder, "transforms": transforms})
    policy = DiffusionUnetTimmPolicy(meta, peers.Scheduler(), net, num_inference_steps=4, **UNET).eval()
    normalizer = LinearNormalizer()
    for key, attr in {**obs, "action": meta["action"]}.items():
        n = 1 if attr.get("type") == "rgb" else attr["shape"][0]
        u = peers.vector(f"{case}/{key}", 2 * n)
        scale, offset = (torch.ones(1), torch.zeros(1)) if attr.get("type") == "rgb" else (1 + 0.5 * u[:n], 0.2 * u[n:])
        normalizer[key] = SingleFieldLinearNormalizer.create_manual(scale, offset, {s: torch.zeros(n) for s in ("min", "max", "mean", "std")})
    policy.set_normalizer(normalizer)
    hashed = peers.hashed_state(policy, keep=("scale", "offset", "min", "max", "mean", "std", "_dummy_variable"))
    seen, tensors = {}, {}
    for key, attr in obs.items():
        T = attr["horizon"]
        if attr.get("type") == "rgb":
            frames = np.stack([image(f"{case}/{key}/{i}", *attr["shape"][1:]) for i in range(2 - T, 2)])
            seen[key] = torch.from_numpy(frames).float().permute(0, 3, 1, 2)[None] / 255
        else:
            tensors[key] = peers.vector(f"{case}/{key}/seen", 1, 2, attr["shape"][0])
            seen[key] = tensors[key][:, 2 - T :]

    def noise(size, **_):
        tensors["noise"] = peers.vector(f"{case}/noise", *size)
        return tensors["noise"].clone()

    draw, torch.randn = torch.randn, noise
    tensors["actions"] = policy.predict_action(seen)["action_pred"][0]
    torch.randn = draw
    save(case, {}, None, tensors)
    cfg = {"n_action_steps": 6, "training": {"use_ema": True},
           "policy": {"_target_": "diffusion_policy.policy.diffusion_unet_timm_policy.DiffusionUnetTimmPolicy", "shape_meta": meta, "noise_scheduler": SCHEDULER,
                      "obs_encoder": encoder, "num_inference_steps": 4, "obs_as_global_cond": True, **UNET}}
    peers.strip(case, {"cfg": cfg, "state_dicts": {"ema_model": policy.state_dict()}, "pickles": {}}, hashed)


def rgb(side, horizon):
    return {"shape": [3, side, side], "horizon": horizon, "type": "rgb"}


def low(n, horizon, **more):
    return {"shape": [n], "horizon": horizon, "type": "low_dim", **more}


crop = [{"type": "RandomCrop", "ratio": 0.95}, {"_target_": "torchvision.transforms.ColorJitter", "brightness": 0.3}]
common = {"global_pool": "", "share_rgb_model": False, "imagenet_norm": True, "use_group_norm": True}
make("umi_vit", {"robot0_eef_pos": low(3, 2), "camera0_rgb": rgb(64, 1), "robot0_gripper_width": low(1, 1), "start": low(6, 2, ignore_by_policy=True)},
     {**common, "model_name": "vit_base_patch16_clip_224.openai", "pretrained": True, "feature_aggregation": "attention_pool_2d", "transforms": crop})
make("umi_resnet", {"camera1_rgb": rgb(64, 2), "camera0_rgb": rgb(64, 2), "robot0_eef_pos": low(3, 2)},
     {**common, "model_name": "resnet18", "pretrained": False, "feature_aggregation": "attention_pool_2d", "transforms": crop})
make("umi_resnet_soft", {"camera0_rgb": rgb(64, 1), "robot0_eef_pos": low(3, 2)},
     {**common, "model_name": "resnet18.a1_in1k", "pretrained": True, "feature_aggregation": "soft_attention", "downsample_ratio": 16, "transforms": None})
