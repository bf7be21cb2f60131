# Makes the torch files of this folder with Debian's python3-torch: /usr/bin/python3 make.py
import collections, io, os, torch

here = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(0)
base = torch.arange(24, dtype=torch.float32)
state = collections.OrderedDict(
    [
        ("a.weight", base.reshape(4, 6)),
        ("a.bias", base[6:12]),
        ("half", torch.tensor([1.5, -2.0, 65504.0]).half()),
        ("bf16", torch.tensor([1.5, -3.0]).bfloat16()),
        ("double", torch.tensor([1e-3, 7.0]).double()),
        ("long", torch.tensor([1, -2, 3])),
        ("bool", torch.tensor([True, False])),
        ("scalar", torch.tensor(4.0)),
        ("empty", torch.zeros(0)),
        ("parameter", torch.nn.Parameter(torch.ones(2, 2))),
    ]
)
torch.save({"model": state, "epoch": 3, "note": "x", "optimizer": [{"lr": 1e-3, "exp": [torch.ones(2)]}]}, os.path.join(here, "state.pt"))
torch.save({"w": base.reshape(4, 6).t()}, os.path.join(here, "strided.pt"))


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/tendon-was-here",))


torch.save({"w": base, "evil": Evil()}, os.path.join(here, "evil.pt"))
torch.save({"w": base}, os.path.join(here, "old.pt"), _use_new_zipfile_serialization=False)
