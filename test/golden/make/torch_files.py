# Makes the torch files of two cases from their safetensors, as the peers save them:
#   tdmpc2_tiny/tdmpc2.pt: TD-MPC2's torch.save({"model": state_dict}), without the critics' training copies
#   beso_small/model_state_dict.pth: BESO's torch.save(state_dict)
# /usr/bin/python3 test/golden/make/torch_files.py
import json
import struct

import torch

DTYPES = {"F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool, "U8": torch.uint8}


def state(case, keep=lambda name: True):
    data = open(f"test/golden/{case}/model.safetensors", "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__" or not keep(name):
            continue
        begin, end = entry["data_offsets"]
        raw = bytearray(data[8 + size + begin : 8 + size + end])
        out[name] = torch.frombuffer(raw, dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


trained = lambda name: "detach" not in name and "target" not in name
torch.save({"model": state("tdmpc2_tiny", trained)}, "test/golden/tdmpc2_tiny/tdmpc2.pt")
torch.save(state("beso_small"), "test/golden/beso_small/model_state_dict.pth")
