# gaussian_actor, gaussian_actor_states: LeRobot's own GaussianActorPolicy (huggingface/lerobot 7427f318) on hashed weights: two
# cameras, environment state, a gripper by the discrete critic and a shared encoder; states alone with an encoder of its own.
# Weights under the names that safetensors keeps of shared ones, the first by the alphabet.
# PEERS=DIR PYTHONPATH=test/golden/make python3 test/golden/make/gaussian_actor.py   (torch, numpy)
import dataclasses
import importlib
import json
import os
import sys
import types

import numpy as np
import peers
import torch
from hashed import image
from saved import save

ROOT = os.path.join(peers.PEERS, "lerobot/src/lerobot")


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
stub("lerobot.policies.gaussian_actor", f"{ROOT}/policies/gaussian_actor")
stub("lerobot.policies.pretrained", PreTrainedPolicy=PreTrainedPolicy)
stub("lerobot.policies.utils", get_device_from_parameters=lambda module: next(module.parameters()).device)
stub("lerobot.utils", f"{ROOT}/utils")
stub("lerobot.utils.constants", ACTION="action", OBS_ENV_STATE="observation.environment_state", OBS_STATE="observation.state")
stub("lerobot.policies.gaussian_actor.configuration_gaussian_actor", GaussianActorConfig=object, is_image_feature=lambda key: key.startswith("observation.image"))
modeling = importlib.import_module("lerobot.policies.gaussian_actor.modeling_gaussian_actor")


@dataclasses.dataclass
class Net:
    hidden_dims: list
    activate_final: bool = True


@dataclasses.dataclass
class Critic(Net):
    final_activation: object = None


@dataclasses.dataclass
class Head:
    use_tanh_squash: bool = True
    std_min: float = 1e-5
    std_max: float = 10.0
    init_final: float = 0.05


def make(case, features, **options):
    config = {"input_features": {k: {"type": "VISUAL" if len(s) == 3 else "STATE", "shape": s} for k, s in features.items()},
              "output_features": {"action": {"type": "ACTION", "shape": [3]}}, "latent_dim": 16, "image_encoder_hidden_dim": 8, "image_embedding_pooling_dim": 4,
              "vision_encoder_name": None, "freeze_vision_encoder": True, **options}
    nets = {"actor_network_kwargs": Net([24, 20]), "policy_kwargs": Head(), "discrete_critic_network_kwargs": Critic([18, 12])}
    shaped = {k: {key: types.SimpleNamespace(**f) for key, f in config[k].items()} for k in ("input_features", "output_features")}
    policy = modeling.GaussianActorPolicy(types.SimpleNamespace(**{**config, **nets, **shaped}, validate_features=lambda: None)).eval()
    # The first name by the alphabet of each tensor.
    names = {}
    for name, tensor in sorted(policy.state_dict(keep_vars=True).items()):
        names.setdefault(tensor.data_ptr(), (name, tensor))
    kept = dict(names.values())
    for name, tensor in kept.items():
        tensor.data.copy_(peers.weight(name, tuple(tensor.shape)))
    tensors, batch = {}, {}
    for key, shape in features.items():
        if len(shape) == 3:
            batch[key] = torch.from_numpy(image(f"{case}/{key}", *shape[1:]).copy()).float().permute(2, 0, 1)[None] / 255
        else:
            batch[key] = tensors[key] = peers.vector(f"{case}/{key}", 1, *shape)
    drawn = peers.vector(f"{case}/noise", 1, 3)
    normal = torch.distributions.multivariate_normal._standard_normal
    torch.distributions.multivariate_normal._standard_normal = lambda *a, **k: drawn
    tensors["action"] = policy.select_action(batch)[0]
    torch.distributions.multivariate_normal._standard_normal = normal
    tensors["noise"] = drawn
    plain = {k: dataclasses.asdict(v) for k, v in nets.items()}
    save(case, {"type": "gaussian_actor", **config, **plain, "normalization_mapping": {}}, None, tensors)
    with open(f"test/golden/keys/{case}.txt", "w") as file:
        file.writelines(f"{name}\t{tuple(tensor.shape)}\tF32\n" for name, tensor in kept.items())


make("gaussian_actor", {"observation.images.front": [3, 64, 72], "observation.state": [5], "observation.images.wrist": [3, 64, 72], "observation.environment_state": [2]},
     shared_encoder=True, num_discrete_actions=3)
make("gaussian_actor_states", {"observation.state": [5]}, shared_encoder=False, num_discrete_actions=None)
