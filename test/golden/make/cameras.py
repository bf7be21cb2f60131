# Goldens of networks with cameras, written from the papers' descriptions and torchvision's ResNet (not the peers'
# code), at the configs and under the key names recorded from the peers (test/golden/keys).
# /usr/bin/python3 test/golden/make/cameras.py [CASE …]
import json
import math
import os
import re
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from hashed import grid, image, uniform, weight

torch.manual_seed(0)
torch.set_grad_enabled(False)
HERE = "test/golden"


def keys(case):
    shapes = {}
    for line in open(f"{HERE}/keys/{case}.txt"):
        name, shape, dtype = line.rstrip("\n").split("\t")
        shapes[name] = eval(shape)  # our own file
    return shapes, json.load(open(f"{HERE}/keys/{case}.config.json"))


class Weights:
    def __init__(self, shapes):
        self.shapes = shapes

    def __call__(self, name):
        return weight(name, self.shapes[name])


def resnet(W, prefix, x, depth, group_norm, sequential, dilate=False):
    """torchvision's own network, filled with our weights."""
    replace = [False, False, dilate]
    norm = (lambda c: torch.nn.GroupNorm(c // 16, c)) if group_norm else torch.nn.BatchNorm2d
    net = getattr(torchvision.models, depth)(norm_layer=norm, replace_stride_with_dilation=replace).eval()
    names = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    state = {}
    for name, value in net.state_dict().items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            state[name] = value
            continue
        first, rest = name.split(".", 1)
        key = f"{prefix}{names[first] if sequential else first}.{rest}"
        assert W.shapes.get(key, tuple(value.shape)) == tuple(value.shape), key
        state[name] = weight(key, tuple(value.shape))
    net.load_state_dict(state)
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))


def linear(W, name, x):
    return F.linear(x, W(f"{name}.weight"), W(f"{name}.bias"))


def encoder(W, prefix, x, config):
    if config.get("resize_shape"):
        x = torchvision.transforms.Resize(config["resize_shape"], antialias=True)(x)
        ratio = config["crop_ratio"]
        crop = [int(s * ratio) for s in config["resize_shape"]] if ratio < 1 else None
    else:
        crop = config.get("crop_shape")
    if crop:
        x = torchvision.transforms.CenterCrop(crop)(x)
    x = resnet(W, f"{prefix}backbone.", x, config["vision_backbone"], config["use_group_norm"], True)
    n, _, h, w = x.shape
    maps = F.conv2d(x, W(f"{prefix}pool.nets.weight"), W(f"{prefix}pool.nets.bias"))
    points = torch.softmax(maps.reshape(n, -1, h * w), -1) @ grid(h, w)
    return torch.relu(linear(W, f"{prefix}out", points.reshape(n, -1)))


def unet_block(W, name, x, groups):
    kernel = W(f"{name}.block.0.weight")
    x = F.conv1d(x, kernel, W(f"{name}.block.0.bias"), padding=kernel.shape[2] // 2)
    return F.mish(F.group_norm(x, groups, W(f"{name}.block.1.weight"), W(f"{name}.block.1.bias")))


def unet(W, config, x, t, cond):
    groups, dims, dim = config["n_groups"], config["down_dims"], config["diffusion_step_embed_dim"]
    half = dim // 2
    angle = t * torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))
    emb = torch.cat([angle.sin(), angle.cos()])[None]
    p = "diffusion.unet."
    emb = linear(W, f"{p}diffusion_step_encoder.3", F.mish(linear(W, f"{p}diffusion_step_encoder.1", emb)))
    cond = F.mish(torch.cat([emb, cond], 1))

    def res(name, x):
        h = unet_block(W, f"{name}.conv1", x, groups)
        film = linear(W, f"{name}.cond_encoder.1", cond)[..., None]
        if config["use_film_scale_modulation"]:
            scale, bias = film.chunk(2, 1)
            h = scale * h + bias
        else:
            h = h + film
        h = unet_block(W, f"{name}.conv2", h, groups)
        if f"{name}.residual_conv.weight" in W.shapes:
            x = F.conv1d(x, W(f"{name}.residual_conv.weight"), W(f"{name}.residual_conv.bias"))
        return h + x

    x, skips = x.transpose(1, 2), []
    for i in range(len(dims)):
        x = res(f"{p}down_modules.{i}.1", res(f"{p}down_modules.{i}.0", x))
        skips.append(x)
        if i + 1 < len(dims):
            x = F.conv1d(x, W(f"{p}down_modules.{i}.2.weight"), W(f"{p}down_modules.{i}.2.bias"), stride=2, padding=1)
    x = res(f"{p}mid_modules.1", res(f"{p}mid_modules.0", x))
    for i in range(len(dims) - 1):
        x = res(f"{p}up_modules.{i}.1", res(f"{p}up_modules.{i}.0", torch.cat([x, skips.pop()], 1)))
        name = f"{p}up_modules.{i}.2"
        x = F.conv_transpose1d(x, W(f"{name}.weight"), W(f"{name}.bias"), stride=2, padding=1)
    x = unet_block(W, f"{p}final_conv.0", x, groups)
    return F.conv1d(x, W(f"{p}final_conv.1.weight"), W(f"{p}final_conv.1.bias")).transpose(1, 2)


def pictures(case, camera, count, height, width, mean=0.0, std=1.0):
    frames = [image(f"{case}/{camera}/{i}", height, width) for i in range(count)]
    x = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    return (x - mean) / (std + 1e-8)


def vector(name, *shape):
    return torch.from_numpy(uniform(name, math.prod(shape)).astype(np.float32)).reshape(shape)


def save(case, outputs):
    os.makedirs(f"{HERE}/{case}", exist_ok=True)
    header, at, bodies = {}, 0, []
    for name, value in outputs.items():
        body = value.contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + len(body)]}
        at += len(body)
        bodies.append(body)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{HERE}/{case}/io.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(bodies))
    print(case, {name: tuple(value.shape) for name, value in outputs.items()})


def list_keys(case, shapes):
    with open(f"{HERE}/keys/{case}.txt", "w") as file:
        file.writelines(f"{name}\t{shape}\ttorch.float32\n" for name, shape in shapes.items())


def backbone(depth, group_norm, sequential):
    """Names and shapes of torchvision's network down to its last map."""
    norm = (lambda c: torch.nn.GroupNorm(c // 16, c)) if group_norm else torch.nn.BatchNorm2d
    net = getattr(torchvision.models, depth)(norm_layer=norm).state_dict()
    first = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    name = lambda key: ".".join([first[key.split(".")[0]], *key.split(".")[1:]]) if sequential else key
    return {name(k): tuple(v.shape) for k, v in net.items() if not k.startswith("fc.") and "num_batches" not in k}


def diffusion(case, key_list, changes):
    shapes, config = keys(key_list)
    config.update(changes)
    if "vision_backbone" in changes:
        # Another backbone, one for all cameras: under the recorded names of the first.
        one = lambda name: name.replace("rgb_encoder.0.", "rgb_encoder.")
        shapes = {one(k): v for k, v in shapes.items() if "rgb_encoder.1." not in k and ".backbone." not in k}
        net = backbone(config["vision_backbone"], config["use_group_norm"], True)
        shapes.update({f"diffusion.rgb_encoder.backbone.{k}": v for k, v in net.items()})
        width = 2048 if config["vision_backbone"] == "resnet50" else 512
        shapes["diffusion.rgb_encoder.pool.nets.weight"] = (config["spatial_softmax_num_keypoints"], width, 1, 1)
        list_keys(case, shapes)
    W = Weights(shapes)
    n = config["n_obs_steps"]
    cameras = [k for k, f in config["input_features"].items() if f["type"] == "VISUAL"]
    parts = [vector(f"{case}/state", n, config["input_features"]["observation.state"]["shape"][0])]
    for i, camera in enumerate(cameras):
        _, h, w = config["input_features"][camera]["shape"]
        prefix = "diffusion.rgb_encoder." + (f"{i}." if config["use_separate_rgb_encoder_per_camera"] else "")
        mean, std = vector(f"{case}/{camera}/mean", 3, 1, 1) * 0.1 + 0.5, vector(f"{case}/{camera}/std", 3, 1, 1) * 0.1 + 0.25
        parts.append(encoder(W, prefix, pictures(case, camera, n, h, w, mean, std), config))
    cond = torch.cat(parts, 1).reshape(1, -1)
    x = vector(f"{case}/x", 1, config["horizon"], config["output_features"]["action"]["shape"][0])
    save(case, {"cond": cond, "unet": unet(W, config, x, 7, cond)})


def act(case, key_list, changes, cameras):
    shapes, config = keys(key_list)
    config.update(changes)
    D, heads = config["dim_model"], config["n_heads"]
    if "vision_backbone" in changes:
        shapes = {k: v for k, v in shapes.items() if not k.startswith("model.backbone.")}
        shapes["model.encoder_img_feat_input_proj.weight"] = (D, 2048, 1, 1)
        net = getattr(torchvision.models, changes["vision_backbone"])().state_dict()
        kept = {k: tuple(v.shape) for k, v in net.items() if not k.startswith("fc.") and "num_batches" not in k}
        shapes.update({f"model.backbone.{k}": v for k, v in kept.items()})
        os.makedirs(f"{HERE}/keys", exist_ok=True)
        with open(f"{HERE}/keys/{case}.txt", "w") as file:
            file.writelines(f"{k}\t{v}\ttorch.float32\n" for k, v in shapes.items())
    W = Weights(shapes)
    dims = config["input_features"]["observation.state"]["shape"][0]
    tokens = [W("model.encoder_latent_input_proj.bias")[None]]
    tokens.append(linear(W, "model.encoder_robot_state_input_proj", vector(f"{case}/state", 1, dims)))
    places = [W("model.encoder_1d_feature_pos_embed.weight")]
    for camera, (h, w) in cameras.items():
        dilate = bool(config["replace_final_stride_with_dilation"])
        pixels = pictures(case, camera, 1, h, w)
        maps = resnet(W, "model.backbone.", pixels, config["vision_backbone"], False, False, dilate)
        name = "model.encoder_img_feat_input_proj"
        maps = F.conv2d(maps, W(f"{name}.weight"), W(f"{name}.bias"))
        mh, mw = maps.shape[2:]
        tokens.append(maps[0].flatten(1).T)
        half = D // 2
        frequency = 10000 ** (2 * (torch.arange(half) // 2) / half)
        sine = lambda length: [(torch.arange(1, length + 1) / (length + 1e-6) * 2 * math.pi)[:, None] / frequency]
        interleave = lambda a: torch.stack([a[:, 0::2].sin(), a[:, 1::2].cos()], 2).flatten(1)
        y, x = interleave(sine(mh)[0]), interleave(sine(mw)[0])
        places.append(torch.cat([y[:, None].expand(mh, mw, half), x[None].expand(mh, mw, half)], 2).reshape(-1, D))
    memory, place = torch.cat(tokens), torch.cat(places)
    norm = lambda name, v: F.layer_norm(v, (D,), W(f"{name}.weight"), W(f"{name}.bias"))

    def attend(name, q, k, v):
        w, b = W(f"{name}.in_proj_weight").chunk(3), W(f"{name}.in_proj_bias").chunk(3)
        q, k, v = [F.linear(t, w[i], b[i]).reshape(len(t), heads, -1).transpose(0, 1) for i, t in enumerate((q, k, v))]
        mixed = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(D // heads), -1) @ v
        return linear(W, f"{name}.out_proj", mixed.transpose(0, 1).reshape(-1, D))

    feed = lambda name, v: linear(W, f"{name}.linear2", torch.relu(linear(W, f"{name}.linear1", v)))
    for i in range(config["n_encoder_layers"]):
        n = f"model.encoder.layers.{i}"
        memory = norm(f"{n}.norm1", memory + attend(f"{n}.self_attn", memory + place, memory + place, memory))
        memory = norm(f"{n}.norm2", memory + feed(n, memory))
    query = W("model.decoder_pos_embed.weight")
    h = torch.zeros(config["chunk_size"], D)
    for i in range(config["n_decoder_layers"]):
        n = f"model.decoder.layers.{i}"
        h = norm(f"{n}.norm1", h + attend(f"{n}.self_attn", h + query, h + query, h))
        h = norm(f"{n}.norm2", h + attend(f"{n}.multihead_attn", h + query, memory + place, memory))
        h = norm(f"{n}.norm3", h + feed(n, h))
    save(case, {"actions": linear(W, "model.action_head", norm("model.decoder.norm", h))})


def vqbet(case, key_list):
    shapes, config = keys(key_list)
    W = Weights(shapes)
    n, chunk, codes = config["n_obs_steps"], config["action_chunk_size"], config["vqvae_n_embed"]
    _, h, w = config["input_features"]["observation.image"]["shape"]
    dims, actions = config["input_features"]["observation.state"]["shape"][0], config["output_features"]["action"]["shape"][0]
    seen = encoder(W, "vqbet.rgb_encoder.", pictures(case, "observation.image", n, h, w), config)
    rgb = linear(W, "vqbet.rgb_feature_projector.0", seen)
    state = linear(W, "vqbet.state_projector.0", vector(f"{case}/state", n, dims))
    ask = W("vqbet.action_token")[0].expand(n, -1)
    tokens = torch.stack([rgb, state, ask], 1).flatten(0, 1)
    tokens = torch.cat([tokens, W("vqbet.action_token")[0].expand(config["n_action_pred_token"] - 1, -1)])
    p, D, heads = "vqbet.policy.transformer.", config["gpt_hidden_dim"], config["gpt_n_head"]
    x = linear(W, f"{p}wte", tokens) + W(f"{p}wpe.weight")[: len(tokens)]
    norm = lambda name, v: F.layer_norm(v, (D,), W(f"{name}.weight"), W(f"{name}.bias"))
    mask = torch.full((len(x), len(x)), -math.inf).triu(1)
    for i in range(config["gpt_n_layer"]):
        b = f"{p}h.{i}."
        q, k, v = [t.reshape(len(x), heads, -1).transpose(0, 1) for t in linear(W, f"{b}attn.c_attn", norm(f"{b}ln_1", x)).chunk(3, 1)]
        mixed = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(D // heads) + mask, -1) @ v
        x = x + linear(W, f"{b}attn.c_proj", mixed.transpose(0, 1).reshape(-1, D))
        x = x + linear(W, f"{b}mlp.2", F.gelu(linear(W, f"{b}mlp.0", norm(f"{b}ln_2", x))))
    features = F.linear(norm(f"{p}ln_f", x), W("vqbet.policy.lm_head.weight"))
    feature = features[3 * (n - 1) + 2]
    logits = linear(W, "vqbet.action_head.map_to_cbet_preds_bin.0", feature).reshape(2, codes)
    offsets = linear(W, "vqbet.action_head.map_to_cbet_preds_offset.0", feature).reshape(2, codes, -1)
    # sequentially_select: the second code's logits follow from the feature and the first code.
    head = "vqbet.action_head.map_to_cbet_preds_"
    W.shapes.update({f"{head}primary_bin.0.weight": (codes, len(feature)), f"{head}primary_bin.0.bias": (codes,)})
    W.shapes.update({f"{head}secondary_bin.0.weight": (codes, len(feature) + codes), f"{head}secondary_bin.0.bias": (codes,)})
    out = {"logits": logits, "primary": linear(W, f"{head}primary_bin.0", feature)}
    second = W(f"{head}secondary_bin.0.weight")
    second[:, len(feature) :] *= 20  # or a hashed network's feature decides alone
    after = lambda first: F.linear(
        torch.cat([feature, F.one_hot(torch.tensor(first), codes).float()]), second, W(f"{head}secondary_bin.0.bias")
    )
    likely = [int(after(first).argmax()) for first in range(codes)]
    # Two first codes after which different second ones are the likeliest.
    pair = (0, next(i for i in range(codes) if likely[i] != likely[0]))
    sequence = [[first, likely[first]] for first in pair]
    out["sequence"] = torch.tensor(sequence).float()
    out.update({f"secondary.{first}": after(first) for first in pair})
    for chosen in ([3, 11], [0, 15], *sequence):
        latent = sum(W(f"vqbet.action_head.vqvae_model.vq_layer.layers.{g}._codebook.embed")[0, c] for g, c in enumerate(chosen))
        d = "vqbet.action_head.vqvae_model.decoder."
        decoded = linear(W, f"{d}4", torch.relu(linear(W, f"{d}2", torch.relu(linear(W, f"{d}0", latent)))))
        out[f"actions.{chosen[0]}.{chosen[1]}"] = (decoded + offsets[0, chosen[0]] + offsets[1, chosen[1]]).reshape(chunk, actions)
    save(case, out)


def dp_image(case, dims, depth, shared):
    """diffusion_policy's DiffusionUnetImagePolicy: two cameras with a ResNet each, or one for both, and a low-dimensional feature,
    whose vectors of two observations are the UNet's global condition. The UNet's names are the recorded ones of its
    low-dimensional sibling. Group norm takes batch norm's place in the copies, and there are none of a shared network."""
    recorded, config = keys("dp_unet_global")
    crop, n, width = [76, 76], 2, len(dims) * (2048 if depth == "resnet50" else 512) + 2
    of = lambda camera: "rgb" if shared else camera
    shapes = {f"model.{name}": shape for name, shape in recorded.items()}
    for name, shape in shapes.items():
        if name.endswith("cond_encoder.1.weight"):
            shapes[name] = (shape[0], config["diffusion_step_embed_dim"] + n * width)
    for camera in dims:
        for name, shape in backbone(depth, not shared, False).items():
            shapes[f"obs_encoder.key_model_map.{of(camera)}.{name}"] = shape
    list_keys(case, shapes)

    def renamed(name):
        name = name.replace("diffusion.unet.", "model.").replace(".conv1.block.", ".blocks.0.block.")
        name = name.replace(".conv2.block.", ".blocks.1.block.")
        return re.sub(r"(modules\.\d\.2)\.(weight|bias)$", r"\1.conv.\2", name)

    class Renamed(Weights):
        def __init__(self, shapes):
            # What unet() looks for among the shapes, it looks for under LeRobot's names.
            super().__init__({**shapes, **{name.replace("model.", "diffusion.unet."): shape for name, shape in shapes.items()}})

        def __call__(self, name):
            return super().__call__(renamed(name))

    parts = []
    for camera in sorted(dims):
        x = pictures(case, camera, n, *dims[camera]) * 2 - 1  # its image normaliser
        x = torchvision.transforms.CenterCrop(crop)(x)
        x = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(x)
        maps = resnet(Weights(shapes), f"obs_encoder.key_model_map.{of(camera)}.", x, depth, not shared, False)
        parts.append(maps.mean((2, 3)))
    parts.append(vector(f"{case}/agent_pos", n, 2))
    cond = torch.cat(parts, 1).reshape(1, -1)
    x = vector(f"{case}/x", 1, 16, shapes["model.final_conv.1.weight"][0])
    film = {"use_film_scale_modulation": config["cond_predict_scale"]}
    save(case, {"cond": cond, "unet": unet(Renamed(shapes), {**config, **film}, x, 7, cond)})


CASES = {
    "camera_diffusion_gn": lambda case: diffusion(case, "diffusion_img_legacy_gn", {}),
    "camera_diffusion_bn_2": lambda case: diffusion(case, "diffusion_img_v06_bn_2cam", {}),
    # The feature map must keep 2×3 positions: 45×72 after cropping.
    "camera_diffusion_resize": lambda case: diffusion(
        case, "diffusion_img_v06_bn_2cam", {"resize_shape": [50, 80], "crop_ratio": 0.9}
    ),
    "camera_act": lambda case: act(case, "act_default_aloha", {}, {"observation.images.top": (480, 640)}),
    "camera_act_r50": lambda case: act(
        case,
        "act_default_aloha",
        {"vision_backbone": "resnet50", "replace_final_stride_with_dilation": True},
        {"observation.images.top": (96, 128), "observation.images.wrist": (64, 64)},
    ),
    "camera_vqbet": lambda case: vqbet(case, "vqbet_small"),
    "camera_diffusion_r34": lambda case: diffusion(
        case,
        "diffusion_img_v06_bn_2cam",
        {"vision_backbone": "resnet34", "use_group_norm": True, "use_separate_rgb_encoder_per_camera": False},
    ),
    "camera_diffusion_r50": lambda case: diffusion(
        case, "diffusion_img_legacy_gn", {"vision_backbone": "resnet50", "use_group_norm": False}
    ),
    "dp_image": lambda case: dp_image(case, {"camera_b": (97, 99), "camera_a": (96, 96)}, "resnet18", False),
    "dp_image_shared": lambda case: dp_image(case, {"camera_b": (96, 96), "camera_a": (96, 96)}, "resnet34", True),
    "dp_image_r50": lambda case: dp_image(case, {"camera_a": (96, 96)}, "resnet50", False),
}
for name in sys.argv[1:] or CASES:
    CASES[name](name)
