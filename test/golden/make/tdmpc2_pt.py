# Makes test/golden/tdmpc2_tiny/tdmpc2.pt: the case's weights as TD-MPC2 saves them, torch.save({"model": state_dict}),
# without the critics' training copies. /usr/bin/python3 test/golden/make/tdmpc2_pt.py
import json
import struct

import torch

path = "test/golden/tdmpc2_tiny/model.safetensors"
data = open(path, "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8 : 8 + size])
state = {}
for name, entry in header.items():
    if name == "__metadata__" or "detach" in name or "target" in name:
        continue
    begin, end = entry["data_offsets"]
    dtype = {"F32": torch.float32, "I64": torch.int64}[entry["dtype"]]
    state[name] = torch.frombuffer(bytearray(data[8 + size + begin : 8 + size + end]), dtype=dtype).reshape(entry["shape"])
torch.save({"model": state}, "test/golden/tdmpc2_tiny/tdmpc2.pt")
