# robomimic's own policies (ARISE-Initiative/robomimic d309eae) through its own RolloutPolicy, on hashed weights; the
# checkpoints as `tendon import` finds them, actions of successive steps, and every draw:
#   rm_bc: BC on low-dimensional keys with statistics
#   rm_gaussian: BC-Gaussian that samples
#   rm_gmm: BC-GMM with normalised actions
#   rm_rnn_gmm: BC-RNN-GMM, LSTM of two layers, whose state begins anew every three steps
#   rm_gru: BC-RNN, GRU with a network after it
#   rm_transformer: BC-Transformer-GMM with a camera, cropped
#   rm_transformer_future: BC-Transformer on low-dimensional keys, GEGLU, pred_future_acs
# PEERS=DIR PYTHONPATH=test/golden/make python3 test/golden/make/robomimic_policies.py   (torch, torchvision, numpy)
import json
from collections import OrderedDict

import numpy as np
import peers
import torch
from hashed import image
from saved import save

import robomimic.utils.obs_utils as ObsUtils
import robomimic.utils.tensor_utils as TensorUtils
from robomimic.algo import RolloutPolicy, algo_factory
from robomimic.config import config_factory

AC = 3
LOW = OrderedDict(object=[4], robot0_eef_pos=[3])
tape = {}


def normal(mean, std, **_):
    tape["normal"] = peers.vector(f"{tape['case']}/{tape['step']}/normal", *mean.shape)
    return mean + std * tape["normal"]


def multinomial(probs, count, replacement):
    tape["pick"] = torch.full((*probs.shape[:-1], count), tape["step"] % probs.shape[-1])
    return tape["pick"]


torch.normal, torch.multinomial = normal, multinomial


def make(case, tune, shapes=LOW, steps=1, stack=1, stats=False, actions_normalised=False, algo="bc"):
    config = config_factory(algo)
    with config.unlocked():
        rgb = [k for k, s in shapes.items() if len(s) == 3]
        config.observation.modalities.obs.low_dim = [k for k in shapes if k not in rgb]
        config.observation.modalities.obs.rgb = rgb
        config.train.action_keys = ["actions"]
        tune(config)
    ObsUtils.initialize_obs_utils_with_config(config)
    model = algo_factory(algo, config, obs_key_shapes=shapes, ac_dim=AC, device="cpu")
    hashed = peers.hashed_state(model.nets, keep=("pos_x", "pos_y", "temperature", ".mask"))
    obs_stats = {k: {"offset": (0.2 * peers.vector(f"{case}/{k}/offset", 1, *s)).numpy(), "scale": (1 + 0.3 * peers.vector(f"{case}/{k}/scale", 1, *s)).numpy()}
                 for k, s in shapes.items()} if stats else None
    action_stats = {"actions": {"offset": (0.2 * peers.vector(f"{case}/actions/offset", 1, AC)).numpy(), "scale": (2 + peers.vector(f"{case}/actions/scale", 1, AC)).numpy()}} if actions_normalised else None
    policy = RolloutPolicy(model, obs_stats, action_stats)
    policy.start_episode()
    tensors = {}
    for step in range(steps):
        tape.clear()
        tape.update(case=case, step=step)
        obs = {}
        for key, shape in shapes.items():
            name = f"{case}/{key}/{step}"
            if len(shape) == 3:
                obs[key] = np.stack([image(f"{name}/{i}", *shape[1:]) for i in range(stack)])
            else:
                obs[key] = tensors[f"{step}.{key}"] = peers.vector(name, stack, *shape)
                obs[key] = obs[key].numpy()
            if stack == 1 and algo == "bc":
                obs[key] = obs[key][0]
        given = TensorUtils.to_float(TensorUtils.to_tensor(obs))
        tensors[f"{step}.action"] = torch.as_tensor(policy(given))
        if "pick" in tape:
            tensors[f"{step}.pick"] = tape["pick"].flatten()[-1:].float()
        if "normal" in tape:
            noise = tape["normal"].reshape(-1, AC) if "pick" not in tape else tape["normal"].reshape(-1, tape["normal"].shape[-2], AC)[-1]
            tensors[f"{step}.normal"] = noise
    save(case, {}, None, tensors)
    payload = {"model": model.serialize(), "config": config.dump(), "algo_name": algo, "env_metadata": {"env_name": "Lift", "env_kwargs": {"control_freq": 20}},
               "shape_metadata": {"ac_dim": AC, "all_shapes": OrderedDict(shapes), "all_obs_keys": list(shapes), "use_images": bool(rgb)}, "variable_state": None}
    if obs_stats:
        payload["obs_normalization_stats"] = TensorUtils.to_list(obs_stats)
    if action_stats:
        payload["action_normalization_stats"] = TensorUtils.to_list(action_stats)
    peers.strip(case, payload, {f"policy{k[6:]}" if k.startswith("policy") else k: v for k, v in hashed.items()})


def bc(config):
    config.algo.actor_layer_dims = [16, 12]


def gaussian(config):
    bc(config)
    config.algo.gaussian.enabled = True
    config.algo.gaussian.low_noise_eval = False


def gmm(config):
    bc(config)
    config.algo.gmm.enabled = True


def rnn_gmm(config):
    config.algo.actor_layer_dims = []
    config.algo.gmm.enabled = config.algo.rnn.enabled = True
    config.algo.rnn.hidden_dim, config.algo.rnn.horizon, config.algo.rnn.num_layers = 10, 3, 2


def gru(config):
    bc(config)
    config.algo.rnn.enabled = True
    config.algo.rnn.rnn_type, config.algo.rnn.hidden_dim, config.algo.rnn.horizon, config.algo.rnn.num_layers = "GRU", 7, 10, 1


def transformer(config):
    config.algo.transformer.enabled = True
    config.algo.transformer.context_length, config.algo.transformer.embed_dim = 3, 32
    config.algo.transformer.num_heads, config.algo.transformer.num_layers = 4, 2


def transformer_gmm(config):
    transformer(config)
    config.algo.gmm.enabled = True
    camera(config)


def camera(config):
    config.observation.encoder.rgb.core_class = "VisualCore"
    kwargs = config.observation.encoder.rgb.core_kwargs
    kwargs.feature_dimension, kwargs.backbone_class, kwargs.pool_class = 20, "ResNet18Conv", "SpatialSoftmax"
    kwargs.backbone_kwargs = {"pretrained": False, "input_coord_conv": False}
    kwargs.pool_kwargs = {"num_kp": 16, "learnable_temperature": False, "temperature": 0.5, "noise_std": 0.0, "output_variance": False}
    config.observation.encoder.rgb.obs_randomizer_class = "CropRandomizer"
    config.observation.encoder.rgb.obs_randomizer_kwargs = {"crop_height": 63, "crop_width": 60, "num_crops": 1, "pos_enc": False}


def future(config):
    transformer(config)
    config.algo.transformer.activation, config.algo.transformer.sinusoidal_embedding = "geglu", True
    config.algo.transformer.nn_parameter_for_timesteps = False
    config.algo.transformer.supervise_all_steps = config.algo.transformer.pred_future_acs = True


make("rm_bc", bc, stats=True)
make("rm_gaussian", gaussian)
make("rm_gmm", gmm, actions_normalised=True)
make("rm_rnn_gmm", rnn_gmm, steps=5)
make("rm_gru", gru, steps=3)
make("rm_transformer", transformer_gmm, shapes=OrderedDict(agentview_image=[3, 68, 66], object=[4]), stack=3)
make("rm_transformer_future", future, stack=3)
