#!/usr/bin/env python3
"""PyTorch on the workloads of `plumb bench steps`: the same models, parameters, batches and optimiser, as fast as PyTorch can.

usage: torch_step.py WORK [--mode eager|compiled] [--threads N] [--dtype f32|bf16] [--device cpu|cuda] [--size tiny|small|gpt2]
                          [--steps N] [--warmup N] [--turns]
WORK: gpt, moe, unet, resnet or tiny. Prints one JSON object: the median of --steps steps after --warmup, and memory. With --turns it is
driven by another program: bench/README.md has the protocol.

At its best means: all cores, one pool of threads (OpenMP's), no choice of BLAS kernels forced from outside, the fused AdamW,
images in channels-last order, and the loss inside what is compiled.
"""
import argparse
import glob
import json
import math
import os
import statistics
import sys
import time


def give_up(message):
    print(json.dumps({"error": message}), flush=True)
    sys.exit(3)


def start_over_with_the_best_blas():
    """A BLAS with threads of its own fights OpenMP's for the cores, and a forced choice of kernels may be another processor's."""
    forced = [name for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if os.environ.pop(name, None)]
    with open("/proc/self/maps") as maps:
        own_threads = "openblas-pthread" in maps.read()
    folders = glob.glob("/usr/lib/*/openblas-openmp") if own_threads else []
    if "PLUMB_PEER_RESTARTED" in os.environ or not (forced or folders):
        return
    os.environ["PLUMB_PEER_RESTARTED"] = "1"
    if folders:
        os.environ["LD_LIBRARY_PATH"] = ":".join(folders[:1] + os.environ.get("LD_LIBRARY_PATH", "").split(":")).rstrip(":")
    os.execv(sys.executable, [sys.executable] + sys.argv)


try:
    import torch
except ImportError as error:
    give_up(f"this Python has no PyTorch ({error})")
start_over_with_the_best_blas()
from torch import nn
from torch.nn import functional as F


class CausalAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.inputs(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.output(attend(q, k, v, causal=True).transpose(1, 2).reshape(batch, length, width))


def attend(q, k, v, causal=False):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores + torch.full(scores.shape[-2:], -math.inf, device=q.device).triu(1)
    return scores.softmax(-1) @ v


def feed_forward(width):
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class MixtureOfExperts(nn.Module):
    """Each token meets 2 of 8 experts. Pairs of a token and an expert are sorted by expert, so that an expert's rows are one product."""

    def __init__(self, width, experts=8, chosen=2):
        super().__init__()
        self.chosen = chosen
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList([feed_forward(width) for _ in range(experts)])

    def forward(self, x):
        tokens = x.flatten(0, 1)
        gates, experts = self.router(tokens).softmax(-1).topk(self.chosen, dim=-1)
        gates = gates / gates.sum(-1, keepdim=True)
        by_expert = experts.flatten().argsort()
        owners = by_expert // self.chosen
        loads = torch.bincount(experts.flatten(), minlength=len(self.experts)).tolist()
        outputs = [expert(rows) for expert, rows in zip(self.experts, tokens[owners].split(loads)) if len(rows)]
        weighted = torch.cat(outputs) * gates.flatten()[by_expert].unsqueeze(1)
        return torch.zeros_like(tokens).index_add(0, owners, weighted.to(tokens.dtype)).view_as(x)


class Block(nn.Module):
    def __init__(self, width, heads, network):
        super().__init__()
        self.norm1, self.attention, self.norm2, self.network = nn.LayerNorm(width), CausalAttention(width, heads), nn.LayerNorm(width), network

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.network(self.norm2(x))


class Gpt(nn.Module):
    def __init__(self, vocab, width, layers, heads, context, network, tied):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[Block(width, heads, network(width)) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))


class TimedBlock(nn.Module):
    """Group norm, SiLU and a convolution, twice, with a projection of the time added between them and the input added at the end."""

    def __init__(self, channels_in, channels, embedding):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, channels_in), nn.Conv2d(channels_in, channels, 3, padding=1)
        self.time = nn.Linear(embedding, channels)
        self.norm2, self.conv2 = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Identity() if channels_in == channels else nn.Conv2d(channels_in, channels, 1)

    def forward(self, x, time_code):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(time_code))[..., None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class UNet(nn.Module):
    """A denoiser after DDPM: one skip connection a level, attention in the middle."""

    def __init__(self, widths, blocks, embedding):
        super().__init__()
        self.frequencies = widths[0] // 2
        self.time1, self.time2 = nn.Linear(widths[0], embedding), nn.Linear(embedding, embedding)
        self.first = nn.Conv2d(3, widths[0], 3, padding=1)
        level = lambda before, width: nn.ModuleList([TimedBlock(before if i == 0 else width, width, embedding) for i in range(blocks)])
        self.down = nn.ModuleList([level(before, width) for before, width in zip(widths[:1] + widths, widths)])
        self.smaller = nn.ModuleList([nn.Conv2d(width, width, 3, stride=2, padding=1) for width in widths[:-1]])
        deepest = widths[-1]
        self.middle1, self.middle2 = TimedBlock(deepest, deepest, embedding), TimedBlock(deepest, deepest, embedding)
        self.norm, self.inputs, self.output = nn.GroupNorm(8, deepest), nn.Conv2d(deepest, 3 * deepest, 1), nn.Conv2d(deepest, deepest, 1)
        rising = list(reversed(widths))
        self.up = nn.ModuleList([level(before + width, width) for before, width in zip(rising[:1] + rising, rising)])
        self.larger = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for width in rising[:-1]])
        self.last_norm, self.last = nn.GroupNorm(8, widths[0]), nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, x, time):
        angles = time[:, None] * torch.exp(torch.arange(self.frequencies, device=x.device) * (-math.log(10000.0) / self.frequencies))
        code = self.time2(F.silu(self.time1(torch.cat([angles.sin(), angles.cos()], dim=1))))
        x, skips = self.first(x), []
        for i, blocks in enumerate(self.down):
            for block in blocks:
                x = block(x, code)
            skips.append(x)
            if i < len(self.smaller):
                x = self.smaller[i](x)
        x = self.middle2(self.attended(self.middle1(x, code)), code)
        for i, blocks in enumerate(self.up):
            x = torch.cat([x, skips.pop()], dim=1)
            for block in blocks:
                x = block(x, code)
            if i < len(self.larger):
                x = self.larger[i](F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.last(F.silu(self.last_norm(x)))

    def attended(self, x):
        q, k, v = (part.flatten(2).transpose(1, 2).unsqueeze(1) for part in self.inputs(self.norm(x)).chunk(3, dim=1))
        return x + self.output(attend(q, k, v).squeeze(1).transpose(1, 2).reshape(x.shape))


class ResidualBlock(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        conv = lambda inputs, size, step: nn.Sequential(nn.Conv2d(inputs, channels, size, step, size // 2, bias=False), nn.BatchNorm2d(channels))
        self.first, self.second = conv(channels_in, 3, stride), conv(channels, 3, 1)
        self.skip = nn.Identity() if stride == 1 and channels_in == channels else conv(channels_in, 1, stride)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


def resnet(width, blocks):
    layers, before = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()], width
    for level in range(4):
        for i in range(blocks):
            layers.append(ResidualBlock(before, width << level, 2 if level and i == 0 else 1))
            before = width << level
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


GPT = {"tiny": (65, 32, 2, 2, 16, 2), "small": (65, 384, 6, 6, 256, 8), "gpt2": (50304, 768, 12, 12, 1024, 16)}  # vocab, width, layers, heads, context, batch
MOE = GPT | {"small": (65, 256, 4, 4, 256, 8)}


def text_model(o, sizes, network):
    vocab, width, layers, heads, context, batch = sizes[o.size]
    tokens = torch.randint(0, vocab, (batch, context), device=o.device)
    model = Gpt(vocab, width, layers, heads, context, network, tied=o.size == "gpt2")
    return model, lambda: F.cross_entropy(model(tokens).flatten(0, 1).float(), tokens.flatten()), "tokens", tokens.numel()


def unet_model(o):
    batch, side = {"tiny": (2, 8), "small": (16, 32), "gpt2": (256, 32)}[o.size]
    model = UNet([16, 32], 1, 32) if o.size == "tiny" else UNet([64, 128, 256], 2, 256)
    draw = lambda: torch.randn(batch, 3, side, side, device=o.device).contiguous(memory_format=torch.channels_last)
    images, noise, times = draw(), draw(), torch.rand(batch, device=o.device) * 1000
    model = model.to(memory_format=torch.channels_last)
    return model, lambda: F.mse_loss(model(images + noise, times).float(), noise), "images", batch


def resnet_model(o):
    batch, side = {"tiny": (2, 8), "small": (64, 32), "gpt2": (512, 32)}[o.size]
    model = (resnet(8, 1) if o.size == "tiny" else resnet(64, 2)).to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, side, side, device=o.device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,), device=o.device)
    return model, lambda: F.cross_entropy(model(images).float(), labels), "images", batch


MODELS = {"gpt": lambda o: text_model(o, GPT, feed_forward), "moe": lambda o: text_model(o, MOE, MixtureOfExperts), "unet": unet_model, "resnet": resnet_model}


def memory_mib(o):
    """The largest resident memory of this program so far, or of tensors on the GPU."""
    if o.device != "cpu":
        return round(torch.cuda.max_memory_allocated() / 2**20)
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) >> 10


def fused_adamw(parameters):
    for choice in ({"fused": True}, {"foreach": True}, {}):
        try:
            return torch.optim.AdamW(parameters, lr=1e-3, **choice), next(iter(choice), "plain")
        except (RuntimeError, TypeError, ValueError):
            pass


def training_step(o):
    """The step as a function, and what it is."""
    model, loss, unit, items = MODELS[o.work](o)
    model.to(o.device)
    adamw, kind = fused_adamw(list(model.parameters()))
    forward = torch.compile(loss) if o.mode == "compiled" else loss

    def step():
        with torch.autocast(o.device.split(":")[0], dtype=torch.bfloat16, enabled=o.dtype == "bf16"):
            value = forward()
        adamw.zero_grad(set_to_none=True)
        value.backward()
        adamw.step()
        return value.detach()

    name = o.work + ("18" if o.work == "resnet" and o.size != "tiny" else "") + "-" + o.size
    return step, {"work": name, "unit": unit, "items": items, "params": sum(p.numel() for p in model.parameters()), "optimiser": kind}


def tiny_step(o, passes=100, operations=200):
    """What an operation costs beside its arithmetic: products and sums of a 4×4 matrix with constants, and back. A step is 100 passes."""
    w, b = torch.rand(4, 4, device=o.device, requires_grad=True), 1 + 1e-3 * torch.rand(4, 4, device=o.device)

    def one_pass():
        w.grad, y = None, w
        for _ in range(operations // 2):
            y = y * b + b
        y.sum().backward()

    run = torch.compile(one_pass) if o.mode == "compiled" else one_pass

    def step():
        for _ in range(passes):
            run()

    return step, {"work": "tiny", "unit": "operations", "items": passes * operations}


losses = {}


def timed(o, step):
    begin = time.perf_counter()
    value = step()
    if o.device != "cpu":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    if value is not None:
        losses.setdefault("first_loss", value.item())
        losses["last_loss"] = value
    return seconds


def last_words(o, before):
    """Losses of the first and the last step, and memory."""
    if "last_loss" in losses:
        losses["last_loss"] = losses["last_loss"].item()
        if not math.isfinite(losses["last_loss"]):
            give_up(f"the loss is {losses['last_loss']} at the end; the times mean nothing")
    return losses | {"peak_mib": memory_mib(o), "over_import_mib": memory_mib(o) - before}


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=[*MODELS, "tiny"])
    parser.add_argument("--mode", choices=["eager", "compiled"], default="eager")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=["tiny", "small", "gpt2"], default="small")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--turns", action="store_true")
    return parser.parse_args()


def main():
    o = options()
    torch.set_num_threads(o.threads or len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    before = memory_mib(o) if o.device == "cpu" else 0
    step, about = tiny_step(o) if o.work == "tiny" else training_step(o)
    about |= {"peer": "torch " + torch.__version__, "device": o.device, "dtype": o.dtype, "compile": o.mode == "compiled", "threads": torch.get_num_threads()}
    try:
        for _ in range(o.warmup):
            timed(o, step)
    except Exception as error:  # a compiler that is missing, most likely
        give_up(f"{o.mode}: {str(error).strip().splitlines()[0]}")
    if o.turns:
        print(json.dumps(about), flush=True)
        for line in sys.stdin:
            print(json.dumps({"step_s": [timed(o, step) for _ in range(int(line))]}), flush=True)
        print(json.dumps(last_words(o, before)), flush=True)
        return
    seconds = statistics.median(timed(o, step) for _ in range(o.steps))
    unit, items = about.pop("unit"), about.pop("items")
    print(json.dumps(about | {"step_s": seconds, unit + "_per_s": items / seconds} | last_words(o, before)))


main()
