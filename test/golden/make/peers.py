# Opens the peers' own classes from checkouts under $PEERS (diffusion_policy, robomimic, act-plus-plus), in an environment
# that has torch, torchvision and numpy alone. What they import and do not need to run a policy is replaced by empty
# names; diffusers' scheduler by the DDIM below, which tests elsewhere hold against diffusers' own recordings.
import importlib.abc
import importlib.machinery
import io
import json
import math
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import torch

from hashed import uniform, weight

PEERS = os.environ.get("PEERS", "peers")
OUT = "test/golden/imports"
EMPTY = ("IPython", "diffusers", "h5py", "egl_probe", "imageio", "tensorboardX", "matplotlib", "robosuite", "gym", "termcolor",
         "psutil", "wandb", "cv2", "dill", "hydra", "omegaconf", "timm", "zarr", "numcodecs", "scipy", "pynput", "tianshou")
for folder in ("robomimic", "diffusion_policy", "act-plus-plus", "act-plus-plus/detr"):
    sys.path.insert(0, os.path.join(PEERS, folder))


class _Rearrange(torch.nn.Module):
    """einops' layer in the only pattern that the peers give it, "batch t -> batch t 1"."""

    def __init__(self, pattern):
        super().__init__()

    def forward(self, x):
        return x.unsqueeze(-1)


class _Empty(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "rearrange":
            return lambda x, pattern: x.transpose(1, 2)
        if name == "Rearrange":
            return _Rearrange
        return type(name, (), {"__init__": lambda self, *a, **k: None, "__call__": lambda self, *a, **k: None})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in (*EMPTY, "einops"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Empty(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(_Finder())
sys.modules["six"] = types.SimpleNamespace(add_metaclass=lambda meta: lambda c: meta(c.__name__, c.__bases__, {k: v for k, v in vars(c).items() if k not in ("__dict__", "__weakref__")}))
# torchvision's compiled operators are not needed for its ResNet, and may be missing.
_register = torch.library.register_fake
torch.library.register_fake = lambda name, *a, **k: (lambda f: f) if str(name).startswith("torchvision::") else _register(name, *a, **k)
torch.set_grad_enabled(False)


class Scheduler:
    """DDIM, "leading" timesteps, squaredcos_cap_v2, epsilon, clipped at 1: what the policies call of diffusers'."""

    def __init__(self, trained=100):
        bar = lambda s: math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = torch.tensor([min(1 - bar((i + 1) / trained) / bar(i / trained), 0.999) for i in range(trained)])
        self.bar = torch.cumprod(1 - betas, 0)
        self.trained = trained
        self.config = types.SimpleNamespace(num_train_timesteps=trained, prediction_type="epsilon")

    def set_timesteps(self, steps):
        self.ratio = self.trained // steps
        self.timesteps = torch.arange(steps - 1, -1, -1) * self.ratio

    def step(self, output, t, sample, generator=None, **_):
        a, before = self.bar[t], self.bar[t - self.ratio] if t >= self.ratio else torch.tensor(1.0)
        x0 = ((sample - (1 - a).sqrt() * output) / a.sqrt()).clamp(-1, 1)
        return types.SimpleNamespace(prev_sample=before.sqrt() * x0 + (1 - before).sqrt() * output)


def vector(name, *shape):
    return torch.from_numpy(uniform(name, math.prod(shape)).astype(np.float32)).reshape(shape)


def hashed_state(module, keep=()):
    """Hashed numbers into every float tensor of the module, one name for shared ones; `keep`: endings left as they are."""
    named = {}
    seen = set()
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.data_ptr() in seen and tensor.numel() > 0:
            continue
        seen.add(tensor.data_ptr())
        if tensor.is_floating_point() and tensor.numel() > 0 and not name.endswith(tuple(keep)):
            tensor.data.copy_(weight(name, tuple(tensor.shape)))
            named[name] = tensor
    return named


def strip(case, payload, hashed, pickle_module=pickle):
    """Saves as torch does; keeps the pickle, the hashed tensor in each storage, and the bytes of the other storages."""
    file = io.BytesIO()
    torch.save(payload, file, pickle_module=pickle_module)
    archive = zipfile.ZipFile(file)
    prefix = next(n for n in archive.namelist() if n.endswith("data.pkl"))[: -len("data.pkl")]
    os.makedirs(OUT, exist_ok=True)
    with open(f"{OUT}/{case}.pkl", "wb") as out:
        out.write(archive.read(f"{prefix}data.pkl"))
    at = {tensor.numpy().tobytes(): name for name, tensor in hashed.items()}
    storages, shapes = {}, {}
    for entry in archive.namelist():
        if "/data/" in entry:
            found = at.get(archive.read(entry))
            storages[entry.split("/")[-1]] = found if found else list(archive.read(entry))
            if found:
                shapes[found] = list(hashed[found].shape)
    with open(f"{OUT}/{case}.json", "w") as out:
        json.dump(storages, out)
    with open(f"test/golden/keys/{case}.txt", "w") as out:
        out.writelines(f"{name}\t{tuple(shape)}\tF32\n" for name, shape in shapes.items())
    print(case, len(storages), "storages,", os.path.getsize(f"{OUT}/{case}.pkl"), "bytes of pickle")
