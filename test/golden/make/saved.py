# Writes a golden case: tensors as safetensors by hand (Debian's torch comes without that package) and config.json.
import json
import os
import struct

import torch

HERE = "test/golden"


def save(case, config, weights, io):
    os.makedirs(f"{HERE}/{case}", exist_ok=True)
    with open(f"{HERE}/{case}/config.json", "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
    for name, tensors in (("model", weights), ("io", io)):
        if tensors is None:  # the test makes them itself
            continue
        header, bodies, at = {}, [], 0
        for key, value in tensors.items():
            body = value.detach().to(torch.float32).contiguous().numpy().tobytes()
            header[key] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + len(body)]}
            bodies.append(body)
            at += len(body)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(f"{HERE}/{case}/{name}.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + b"".join(bodies))
    size = sum(os.path.getsize(f"{HERE}/{case}/{f}") for f in os.listdir(f"{HERE}/{case}"))
    print(case, size, "bytes")
