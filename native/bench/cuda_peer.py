# The PyTorch side of native/check-gpu.sh: the networks of native/test/networks.h with random weights, the same
# number of denoising steps and the same DDIM-shaped combination, in bf16: eagerly, through torch.compile, and as
# one replayed CUDA graph. Medians by CUDA events. `--cpu` builds the networks and counts their parameters.
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_grad_enabled(False)


class Block(nn.Module):
    def __init__(self, inside, outside, kernel=5, groups=8):
        super().__init__()
        self.conv = nn.Conv1d(inside, outside, kernel, padding=kernel // 2)
        self.norm = nn.GroupNorm(groups, outside)

    def forward(self, x):
        return F.mish(self.norm(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, inside, outside, cond):
        super().__init__()
        self.first, self.second = Block(inside, outside), Block(outside, outside)
        self.film = nn.Linear(cond, 2 * outside)
        self.skip = nn.Conv1d(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x, cond):
        scale, shift = self.film(cond).unsqueeze(-1).chunk(2, 1)
        return self.second(self.first(x) * scale + shift) + self.skip(x)


class Unet(nn.Module):
    shapes = ((16, 2), (128,), (132,))  # x, step embedding, condition
    steps = 10

    def __init__(self, down=(512, 1024, 2048), action_dim=2, step_dim=128, cond_dim=132):
        super().__init__()
        cond = step_dim + cond_dim
        self.step = nn.Sequential(nn.Linear(step_dim, 4 * step_dim), nn.Mish(), nn.Linear(4 * step_dim, step_dim))
        widths = (action_dim, *down)
        pair = lambda a, b: nn.ModuleList([Residual(a, b, cond), Residual(b, b, cond)])
        self.downs = nn.ModuleList(pair(a, b) for a, b in zip(widths, widths[1:]))
        self.halves = nn.ModuleList(nn.Conv1d(c, c, 3, 2, 1) for c in down[:-1])
        self.middle = pair(down[-1], down[-1])
        self.ups = nn.ModuleList(pair(2 * a, b) for a, b in zip(down[:0:-1], down[-2::-1]))
        self.doubles = nn.ModuleList(nn.ConvTranspose1d(c, c, 4, 2, 1) for c in down[-2::-1])
        self.last = Block(down[0], down[0])
        self.out = nn.Conv1d(down[0], action_dim, 1)

    def forward(self, x, emb, cond):
        cond = F.mish(torch.cat([self.step(emb), cond], 1))
        h, skips = x.transpose(1, 2), []
        for level, (a, b) in enumerate(self.downs):
            h = b(a(h, cond), cond)
            skips.append(h)
            if level < len(self.halves):
                h = self.halves[level](h)
        for residual in self.middle:
            h = residual(h, cond)
        for (a, b), double in zip(self.ups, self.doubles):
            h = double(b(a(torch.cat([h, skips.pop()], 1), cond), cond))
        return self.out(self.last(h)).transpose(1, 2)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h):
        b, n, c = h.shape
        q, k, v = self.qkv(self.before(h)).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        h = h + self.join(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, n, c))
        return h + self.narrow(F.gelu(self.wide(self.after(h))))


class Score(nn.Module):
    # x, c_noise, states and goals and earlier actions side by side
    shapes = ((1, 9), (1, 1), (6 * 30 + 3 * 9,))
    steps = 3

    def __init__(self, width=360, heads=6, layers=6):
        super().__init__()
        self.sigma, self.state, self.action = nn.Linear(1, width), nn.Linear(30, width), nn.Linear(9, width)
        self.goal = nn.Linear(30, width)
        self.place = nn.Parameter(torch.zeros(1, 11, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(width, 100), nn.SiLU(), nn.Linear(100, 9))

    def forward(self, x, noise, seen):
        states, goals = self.state(seen[:, :120].unflatten(1, (4, 30))), self.goal(seen[:, 120:180].unflatten(1, (2, 30)))
        actions = self.action(torch.cat([seen[:, 180:].unflatten(1, (3, 9)), x], 1))
        turns = torch.stack([states, actions], 2).flatten(1, 2)
        h = torch.cat([self.sigma(noise), goals, turns], 1) + self.place
        for layer in self.layers:
            h = layer(h)
        return self.head(self.norm(h)[:, -1:])


def inference(net, steps, x, levels, cond):
    for i in range(steps):
        clean = (1.1 * x - 0.4 * net(x, levels[i], cond)).clamp(-1, 1)
        x = 0.8 * x + 0.2 * clean
    return x


def median_us(run, rounds=100):
    times = []
    for i in range(rounds + 10):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        if i >= 10:
            times.append(begin.elapsed_time(end) * 1e3)
    return sorted(times)[len(times) // 2]


def graphed(run):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def main():
    on_cpu = "--cpu" in sys.argv
    for name, make in (("unet-251m, 10 steps of DDIM", Unet), ("score transformer 9.4m, 3 steps", Score)):
        device, dtype = ("cpu", torch.float32) if on_cpu else ("cuda", torch.bfloat16)
        net = make().to(device, dtype).eval()
        count = sum(p.numel() for p in net.parameters())
        for batch in (1, 16):
            x, level, cond = (torch.randn(batch, *s, device=device, dtype=dtype) for s in make.shapes)
            levels = [level * (i + 1) for i in range(net.steps)]
            if on_cpu:
                y = net(x, levels[0], cond)
                assert y.shape == x.shape
                print(f"{name}: {count / 1e6:.1f} M parameters, {tuple(y.shape)}")
                continue
            compiled = torch.compile(net)
            for mode, of in (("eager", net), ("torch.compile", compiled)):
                run = lambda: inference(of, net.steps, x, levels, cond)
                print(f"PyTorch {torch.__version__} {mode}, {name}, bf16, batch {batch}: {median_us(run):.1f} us", flush=True)
                replay = graphed(run)
                print(f"PyTorch {torch.__version__} {mode} + CUDA graph, {name}, bf16, batch {batch}: {median_us(replay):.1f} us", flush=True)


main()
