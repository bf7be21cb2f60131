# Numbers that both sides make for themselves, so that goldens of networks with tens of millions of weights need no
# weights in the repository: element i of tensor `name` is a hash of both (test/golden/hashed.ts is the same).
import math

import numpy as np
import torch


def uniform(name, count):
    """Float32 in [-1, 1), exact multiples of 2^-23."""
    seed = np.uint32(2166136261)
    with np.errstate(over="ignore"):
        for byte in name.encode():
            seed = np.uint32((seed ^ np.uint32(byte)) * np.uint32(16777619))
        h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + seed
        h ^= h >> np.uint32(16)
        h *= np.uint32(0x7FEB352D)
        h ^= h >> np.uint32(15)
        h *= np.uint32(0x846CA68B)
        h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float64) / 2**23 - 1


def weight(name, shape):
    count = math.prod(shape)
    u = uniform(name, count)
    if name.endswith("pos_grid"):
        raise ValueError("the grid is no weight: see grid()")
    if name.endswith("running_var"):
        values = 1 + 0.5 * u
    elif len(shape) <= 1 and name.endswith("weight"):
        values = 1 + 0.1 * u
    elif len(shape) <= 1:
        values = 0.1 * u
    else:
        values = math.sqrt((6 if len(shape) == 4 else 3) / math.prod(shape[1:])) * u
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def grid(h, w):
    x, y = np.meshgrid(np.linspace(-1.0, 1.0, w), np.linspace(-1.0, 1.0, h))
    return torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1)).float()


def image(name, height, width):
    """uint8 (height, width, 3): blocks of 8 pixels, so that resizing has something to say."""
    coarse = uniform(name, math.ceil(height / 8) * math.ceil(width / 8) * 3)
    coarse = ((coarse + 1) * 127.5).astype(np.uint8).reshape(math.ceil(height / 8), math.ceil(width / 8), 3)
    return coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
