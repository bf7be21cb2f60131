# vit_clip, vit_siglip: transformers' own CLIPVisionModel (quick GELU, pooled class token) and SiglipVisionModel (every
# token), small, on hashed weights. python3 test/golden/make/vit.py   (torch, transformers, numpy; PYTHONPATH=test/golden/make)
import json

import numpy as np
import peers
import torch
from hashed import image
from saved import save
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

SIZE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=48, patch_size=12)
x = torch.from_numpy(np.stack([image(f"vit/{i}", 48, 48) for i in range(2)])).float().permute(0, 3, 1, 2) / 255
clip = CLIPVisionModel(CLIPVisionConfig(**SIZE, hidden_act="quick_gelu")).eval()
siglip = SiglipVisionModel(SiglipVisionConfig(**SIZE, vision_use_head=False)).eval()
for name, model in (("vit_clip", clip), ("vit_siglip", siglip)):
    hashed = peers.hashed_state(model)
    out = model(x)
    save(name, {}, None, {"out": out.pooler_output if name == "vit_clip" else out.last_hidden_state})
    with open(f"test/golden/keys/{name}.txt", "w") as file:
        file.writelines(f"{key}\t{tuple(value.shape)}\tF32\n" for key, value in hashed.items())
