# reward_classifier, reward_classifier_clip: LeRobot's own Classifier (huggingface/lerobot 7427f318) over transformers' own ResNetModel
# (two cameras, success or not) and the vision tower of its CLIPModel (three classes, normalised pictures), small, on hashed
# weights. Weights under the names that safetensors keeps of shared ones, the first by the alphabet.
# PEERS=DIR PYTHONPATH=test/golden/make python3 test/golden/make/reward_classifier.py   (torch, torchvision, transformers, numpy)
import importlib
import os
import sys
import types

import peers
import torch
import transformers
from hashed import image
from saved import save

ROOT = os.path.join(peers.PEERS, "lerobot/src/lerobot")


def stub(name, path=None, **values):
    module = types.ModuleType(name)
    if path is not None:
        module.__path__ = [path]
    vars(module).update(values)
    sys.modules[name] = module


class PreTrainedRewardModel(torch.nn.Module):
    def __init__(self, config):
        super().__init__()


# The class needs of its packages these names alone.
stub("lerobot", ROOT)
stub("lerobot.rewards", f"{ROOT}/rewards")
stub("lerobot.rewards.classifier", f"{ROOT}/rewards/classifier")
stub("lerobot.rewards.pretrained", PreTrainedRewardModel=PreTrainedRewardModel)
stub("lerobot.rewards.classifier.configuration_classifier", RewardClassifierConfig=object)
stub("lerobot.utils", f"{ROOT}/utils")
stub("lerobot.utils.constants", OBS_IMAGE="observation.image", REWARD="next.reward")
modeling = importlib.import_module("lerobot.rewards.classifier.modeling_classifier")


def make(case, encoder, cameras, side, normal=None, **options):
    transformers.AutoModel.from_pretrained = lambda *a, **k: encoder
    features = {key: {"type": "VISUAL", "shape": [3, side, side]} for key in cameras}
    config = {"input_features": features, "output_features": {"next.reward": {"type": "REWARD", "shape": [1]}}, "hidden_dim": 24, "latent_dim": 16,
              "image_embedding_pooling_dim": 4, "dropout_rate": 0.1, "device": "cpu", "num_cameras": len(cameras), **options}
    model = modeling.Classifier(types.SimpleNamespace(**config)).eval()
    names = {}
    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        names.setdefault(tensor.data_ptr(), (name, tensor))
    kept = {name: tensor for name, tensor in names.values() if tensor.is_floating_point()}
    for name, tensor in kept.items():
        tensor.data.copy_(peers.weight(name, tuple(tensor.shape)))
    xs = [torch.from_numpy(image(f"{case}/{key}", side, side).copy()).float().permute(2, 0, 1)[None] / 255 for key in cameras]
    if normal is not None:
        xs = [(x - normal[0]) / normal[1] for x in xs]
    out = model.predict(xs)
    mapping = {"VISUAL": "IDENTITY" if normal is None else "MEAN_STD"}
    save(case, {"type": "reward_classifier", **config, "normalization_mapping": mapping}, None, {"scores": out.probabilities.reshape(-1), "logits": out.logits.reshape(-1)})
    with open(f"test/golden/keys/{case}.txt", "w") as file:
        file.writelines(f"{name}\t{tuple(tensor.shape)}\tF32\n" for name, tensor in kept.items())
    print(out.probabilities)


resnet = transformers.ResNetModel(transformers.ResNetConfig(embedding_size=16, hidden_sizes=[16, 24, 32, 48], depths=[1, 2, 1, 1], layer_type="basic"))
make("reward_classifier", resnet, ["observation.images.front", "observation.images.wrist"], 128, num_classes=2, model_name="some/resnet", model_type="cnn")
deep = transformers.ResNetModel(transformers.ResNetConfig(embedding_size=16, hidden_sizes=[32, 48, 64, 96], depths=[1, 2, 1, 1], layer_type="bottleneck"))
make("reward_classifier_bottleneck", deep, ["observation.image"], 128, num_classes=2, model_name="some/resnet", model_type="cnn")
size = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1, image_size=48, patch_size=12)
clip = transformers.CLIPModel(transformers.CLIPConfig(vision_config=size, text_config=dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=1, vocab_size=8)))
make("reward_classifier_clip", clip, ["observation.image"], 48, (0.5, 0.25), num_classes=3, model_name="openai/clip-vit-base-patch16", model_type="transformer")
