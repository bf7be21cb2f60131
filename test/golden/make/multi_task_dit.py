# multi_task_dit, multi_task_dit_flow: LeRobot's own MultiTaskDiTPolicy (huggingface/lerobot 7427f318) with transformers' own
# CLIPVisionModel and CLIPTextModel, small, on hashed weights; a CLIP tokenizer of few words beside them. DDIM is peers.py's.
# PEERS=DIR PYTHONPATH=test/golden/make python3 test/golden/make/multi_task_dit.py   (torch, torchvision, transformers, numpy)
import importlib
import json
import os
import sys
import types

import peers
import torch
from hashed import image
from saved import save
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModel

ROOT = os.path.join(peers.PEERS, "lerobot/src/lerobot")
OBS = "observation."


def stub(name, path=None, **values):
    module = types.ModuleType(name)
    if path is not None:
        module.__path__ = [path]
    vars(module).update(values)
    sys.modules[name] = module


class PreTrainedPolicy(torch.nn.Module):
    def __init__(self, config):
        super().__init__()


# The class needs of its packages these names alone.
stub("lerobot", ROOT)
stub("lerobot.policies", f"{ROOT}/policies")
stub("lerobot.policies.multi_task_dit", f"{ROOT}/policies/multi_task_dit")
stub("lerobot.policies.pretrained", PreTrainedPolicy=PreTrainedPolicy)
stub("lerobot.policies.utils", populate_queues=None)
stub("lerobot.utils", f"{ROOT}/utils")
stub("lerobot.utils.import_utils", _diffusers_available=True, _transformers_available=True, require_package=lambda *a, **k: None)
stub("lerobot.utils.constants", ACTION="action", OBS_IMAGES=f"{OBS}images", OBS_LANGUAGE_ATTENTION_MASK=f"{OBS}language.attention_mask",
     OBS_LANGUAGE_TOKENS=f"{OBS}language.tokens", OBS_STATE=f"{OBS}state")
stub("lerobot.policies.multi_task_dit.configuration_multi_task_dit", MultiTaskDiTConfig=object)
modeling = importlib.import_module("lerobot.policies.multi_task_dit.modeling_multi_task_dit")
modeling.DDIMScheduler = lambda num_train_timesteps, **_: peers.Scheduler(num_train_timesteps)


def rearrange(x, pattern, b=None, s=None, **_):
    before, after = pattern.split(" -> ")
    if after.startswith("("):  # frames side by side
        return x.reshape(-1, *x.shape[-3:])
    return x.reshape(b, s, -1)


modeling.einops = types.SimpleNamespace(rearrange=rearrange)

VISION = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=48, patch_size=12, hidden_act="quick_gelu")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.!"
MERGES = [("p", "i"), ("pi", "c"), ("pic", "k</w>"), ("c", "u"), ("cu", "b"), ("cub", "e</w>"), ("t", "h"), ("th", "e</w>"), ("r", "e"), ("re", "d</w>")]


def tokenizer(folder):
    words = [*LETTERS, *(f"{c}</w>" for c in LETTERS), *("".join(pair) for pair in MERGES), "<|startoftext|>", "<|endoftext|>"]
    made = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=MERGES)
    made.save_pretrained(folder)
    for name in os.listdir(folder):
        if name not in ("tokenizer.json", "tokenizer_config.json"):
            os.remove(os.path.join(folder, name))
    return made, len(words)


def make(case, task, cameras, size, **options):
    os.makedirs(f"test/golden/{case}/tokenizer", exist_ok=True)
    reader, count = tokenizer(f"test/golden/{case}/tokenizer")
    text = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=16, vocab_size=count, hidden_act="quick_gelu",
                eos_token_id=count - 1, bos_token_id=count - 2, pad_token_id=count - 1)
    modeling.CLIPVisionModel = types.SimpleNamespace(from_pretrained=lambda name: CLIPVisionModel(CLIPVisionConfig(**VISION)))
    modeling.CLIPTextModel = types.SimpleNamespace(from_pretrained=lambda name: CLIPTextModel(CLIPTextConfig(**text)))
    features = {**{f"{OBS}images.{c}": {"type": "VISUAL", "shape": [3, *size]} for c in cameras}, f"{OBS}state": {"type": "STATE", "shape": [5]}}
    config = {"input_features": features, "output_features": {"action": {"type": "ACTION", "shape": [4]}}, "n_obs_steps": 2, "horizon": 8, "n_action_steps": 4,
              "objective": "diffusion", "noise_scheduler_type": "DDIM", "num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2", "beta_start": 1e-4, "beta_end": 0.02,
              "prediction_type": "epsilon", "clip_sample": True, "clip_sample_range": 1.0, "num_inference_steps": 5, "num_integration_steps": 5, "integration_method": "euler",
              "hidden_dim": 48, "num_layers": 2, "num_heads": 4, "dropout": 0.1, "use_positional_encoding": False, "timestep_embed_dim": 16, "use_rope": True, "rope_base": 10000.0,
              "vision_encoder_name": "some/clip", "use_separate_rgb_encoder_per_camera": False, "image_resize_shape": None, "image_crop_shape": None, "image_crop_is_random": True,
              "text_encoder_name": "some/clip", "tokenizer_max_length": 12, "tokenizer_padding": "max_length", "tokenizer_padding_side": "right", "tokenizer_truncation": True, **options}
    seen = types.SimpleNamespace(**config)
    seen.is_diffusion, seen.is_flow_matching = config["objective"] == "diffusion", config["objective"] == "flow_matching"
    seen.image_features = {k: f for k, f in features.items() if f["type"] == "VISUAL"}
    seen.robot_state_feature, seen.action_feature = types.SimpleNamespace(shape=[5]), types.SimpleNamespace(shape=[4])
    seen.validate_features, seen.do_mask_loss_for_padding = lambda: None, False
    policy = modeling.MultiTaskDiTPolicy(seen).eval()
    state = policy.state_dict(keep_vars=True)
    for name, tensor in state.items():
        tensor.data.copy_(peers.weight(name, tuple(tensor.shape)))
    io = {f"{OBS}state": peers.vector(f"{case}/state", 1, 2, 5), "noise": peers.vector(f"{case}/noise", 1, 8, 4)}
    frames = [[torch.from_numpy(image(f"{case}/{c}/{i}", *size).copy()).float().permute(2, 0, 1) / 255 for c in seen.image_features] for i in range(2)]
    read = reader([task], padding="max_length", padding_side="right", max_length=12, truncation=True, return_tensors="pt")
    normal, torch.randn = torch.randn, lambda *a, **k: io["noise"].clone()
    io["actions"] = policy._generate_actions({f"{OBS}state": io[f"{OBS}state"], f"{OBS}images": torch.stack([torch.stack(f) for f in frames])[None],
                                              f"{OBS}language.tokens": read["input_ids"], f"{OBS}language.attention_mask": read["attention_mask"]})
    torch.randn = normal
    io["ids"] = read["input_ids"].float()
    save(case, {"type": "multi_task_dit", **config, "normalization_mapping": {}}, None, io)
    for name, value in (("clip_config", {"text_config": text, "vision_config": VISION}), ("task", task)):
        with open(f"test/golden/{case}/{name}.json", "w") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
    with open(f"test/golden/keys/{case}.txt", "w") as file:
        file.writelines(f"{name}\t{tuple(tensor.shape)}\tF32\n" for name, tensor in state.items())


make("multi_task_dit", "Pick the red cube!", ["front", "wrist"], (60, 80), image_resize_shape=[54, 64], image_crop_shape=[48, 48])
make("multi_task_dit_flow", "pick up the cube, then pick up the other cube, and go on", ["front", "wrist"], (48, 48), objective="flow_matching",
     use_rope=False, use_positional_encoding=True, use_separate_rgb_encoder_per_camera=True)
