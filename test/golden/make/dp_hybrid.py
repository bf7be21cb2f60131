# diffusion_policy's own image policies (real-stanford/diffusion_policy 5ba07ac) over robomimic's own encoder (ARISE-
# Initiative/robomimic d309eae), on hashed weights: chunks after four steps of DDIM from a given noise, and the checkpoints
# as `tendon import` finds them:
#   dp_hybrid_2cam: two cameras around a state, batch norm, centre crop
#   dp_hybrid_painted: one camera, features painted into the trajectory, group norm, robomimic's own crop of an odd margin
#   dp_hybrid_transformer: two cameras as condition of the transformer, no crop
#   dp_hybrid_bert: features painted, time as a token
#   dp_image_resized: MultiImageObsEncoder that resizes (without antialiasing) and crops each camera, painted
# PEERS=DIR PYTHONPATH=test/golden/make python3 test/golden/make/dp_hybrid.py   (torch, torchvision, numpy)
import numpy as np
import peers
import robomimic.models.base_nets
import robomimic.models.obs_core
import torch
import torchvision
from hashed import image
from saved import save

from diffusion_policy.model.common.normalizer import LinearNormalizer, SingleFieldLinearNormalizer
from diffusion_policy.model.vision.model_getter import get_resnet
from diffusion_policy.model.vision.multi_image_obs_encoder import MultiImageObsEncoder
from diffusion_policy.policy.diffusion_transformer_hybrid_image_policy import DiffusionTransformerHybridImagePolicy
from diffusion_policy.policy.diffusion_unet_hybrid_image_policy import DiffusionUnetHybridImagePolicy
from diffusion_policy.policy.diffusion_unet_image_policy import DiffusionUnetImagePolicy

# diffusion_policy was written for robomimic 0.2, which had it there.
robomimic.models.base_nets.CropRandomizer = robomimic.models.obs_core.CropRandomizer
# As torchvision resized tensors before 0.17, of which the peer pins 0.13.
_Resize = torchvision.transforms.Resize
torchvision.transforms.Resize = lambda size: _Resize(size, antialias=False)
SCHEDULER = {"_target_": "diffusers.schedulers.scheduling_ddim.DDIMScheduler", "num_train_timesteps": 100, "beta_start": 0.0001, "beta_end": 0.02,
             "beta_schedule": "squaredcos_cap_v2", "clip_sample": True, "set_alpha_to_one": True, "steps_offset": 0, "prediction_type": "epsilon"}
UNET = {"diffusion_step_embed_dim": 16, "down_dims": [16, 32], "kernel_size": 5, "n_groups": 8, "cond_predict_scale": True}
TRANSFORMER = {"n_layer": 2, "n_cond_layers": 0, "n_head": 4, "n_emb": 32, "causal_attn": True}


def rgb(h, w):
    return {"shape": [3, h, w], "type": "rgb"}


def low(n):
    return {"shape": [n]}


def make(case, build, target, obs, options, extra):
    """options go to the class and into the configuration, extra into the configuration alone."""
    meta = {"obs": obs, "action": {"shape": [3]}}
    common = {"shape_meta": meta, "horizon": 8, "n_action_steps": 4, "n_obs_steps": 2, "num_inference_steps": 4, **options}
    policy = build(noise_scheduler=peers.Scheduler(), **common).eval()
    normalizer = LinearNormalizer()
    for key, attr in {**obs, "action": {"shape": [3]}}.items():
        n = 1 if attr.get("type") == "rgb" else attr["shape"][0]
        u = peers.vector(f"{case}/{key}", 2 * n)
        scale, offset = (torch.tensor([2.0]), torch.tensor([-1.0])) if attr.get("type") == "rgb" else (1 + 0.5 * u[:n], 0.2 * u[n:])
        stats = {s: torch.zeros(n) for s in ("min", "max", "mean", "std")}
        normalizer[key] = SingleFieldLinearNormalizer.create_manual(scale, offset, stats)
    policy.set_normalizer(normalizer)
    hashed = peers.hashed_state(policy, keep=("pos_x", "pos_y", "temperature", "mask", "scale", "offset", "min", "max", "mean", "std", "_dummy_variable"))
    seen, tensors = {}, {}
    for key, attr in obs.items():
        if attr.get("type") == "rgb":
            _, h, w = attr["shape"]
            frames = np.stack([image(f"{case}/{key}/{i}", h, w) for i in range(2)])
            seen[key] = torch.from_numpy(frames).float().permute(0, 3, 1, 2)[None] / 255
        else:
            seen[key] = tensors[key] = peers.vector(f"{case}/{key}/seen", 1, 2, attr["shape"][0])
    def noise(size, **_):
        tensors["noise"] = peers.vector(f"{case}/noise", *size)
        return tensors["noise"].clone()
    draw, torch.randn = torch.randn, noise
    tensors["actions"] = policy.predict_action(seen)["action_pred"][0]
    torch.randn = draw
    save(case, {}, None, tensors)
    cfg = {"policy": {"_target_": f"diffusion_policy.policy.x.{target}", "noise_scheduler": SCHEDULER, **common, **extra}, "training": {"use_ema": True},
           "n_action_steps": 4, "n_latency_steps": 0}
    # As the shipped configurations have it.
    cfg["policy"]["n_action_steps"] = "${eval:'${n_action_steps}+${n_latency_steps}'}"
    peers.strip(case, {"cfg": cfg, "state_dicts": {"ema_model": policy.state_dict()}, "pickles": {}}, hashed)


unet, transformer = DiffusionUnetHybridImagePolicy, DiffusionTransformerHybridImagePolicy
make("dp_hybrid_2cam", unet, unet.__name__, {"wrist": rgb(72, 88), "pos": low(5), "front": rgb(72, 88)},
     {**UNET, "crop_shape": [64, 71], "obs_encoder_group_norm": False, "eval_fixed_crop": True}, {})
make("dp_hybrid_painted", unet, unet.__name__, {"pos": low(2), "front": rgb(66, 77)},
     {**UNET, "obs_as_global_cond": False, "crop_shape": [63, 74], "obs_encoder_group_norm": True}, {})
make("dp_hybrid_transformer", transformer, transformer.__name__, {"pos": low(2), "front": rgb(64, 64), "side": rgb(64, 64), "grip": low(1)},
     {**TRANSFORMER, "crop_shape": None, "obs_encoder_group_norm": True, "eval_fixed_crop": True, "time_as_cond": True, "obs_as_cond": True}, {})
make("dp_hybrid_bert", transformer, transformer.__name__, {"front": rgb(80, 80), "pos": low(2)},
     {**TRANSFORMER, "obs_encoder_group_norm": True, "eval_fixed_crop": True, "time_as_cond": False, "obs_as_cond": False}, {})


def image_policy(shape_meta, **options):
    encoder = MultiImageObsEncoder(shape_meta, get_resnet("resnet18"), resize_shape={"b": (50, 70), "a": (40, 40)}, crop_shape={"b": (45, 64), "a": (39, 36)},
                                   random_crop=True, use_group_norm=True, imagenet_norm=True)
    return DiffusionUnetImagePolicy(shape_meta=shape_meta, obs_encoder=encoder, **options)


make("dp_image_resized", image_policy, DiffusionUnetImagePolicy.__name__, {"b": rgb(72, 60), "pos": low(2), "a": rgb(64, 64)},
     {**UNET, "obs_as_global_cond": False},
     {"obs_encoder": {"rgb_model": {"_target_": "x.get_resnet", "name": "resnet18", "weights": None}, "resize_shape": {"b": [50, 70], "a": [40, 40]},
                      "crop_shape": {"b": [45, 64], "a": [39, 36]}, "random_crop": True, "use_group_norm": True, "share_rgb_model": False, "imagenet_norm": True}})
