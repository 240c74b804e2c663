#!/usr/bin/env python3
"""PyTorch's own kernels on the rows of `plumb bench kernels`, which drives this: bench/README.md has the protocol.

usage: torch_kernels.py [--threads N] [--device cpu|cuda] NAME...     NAME: kernel/shape/type, as plumb_bench --benchmark_list_tests has them
After a line about itself, each line of input is the seconds to spend on a row, and is answered by {"seconds": {NAME: seconds a call}}.
Rows that are not known here are left out.
"""
import argparse
import json
import os
import re
import sys
import time


def give_up(message):
    print(json.dumps({"error": message}), flush=True)
    sys.exit(3)


try:
    import torch
except ImportError as error:
    give_up(f"this Python has no PyTorch ({error})")
from torch.nn import functional as F

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
device = "cpu"


def normal(*shape, dtype, grad=False):
    return torch.randn(*shape, dtype=dtype, device=device).requires_grad_(grad)


def backward(y, inputs):
    """The call of y's backward pass, into fresh gradients of the inputs."""
    dy = torch.randn_like(y)

    def call():
        for x in inputs:
            x.grad = None
        y.backward(dy, retain_graph=True)

    return call


def forward_and_backward(function):
    """The pair of calls of a function of (sizes, dtype) that gives its inputs and the function of them."""

    def forward(sizes, dtype):
        inputs, f = function(sizes, dtype)
        return lambda: f(*inputs)

    def back(sizes, dtype):
        inputs, f = function(sizes, dtype)
        for x in inputs:
            x.requires_grad_()
        return backward(f(*inputs), inputs)

    return forward, back


def gemm(shape, dtype):
    sizes = [int(n) for n in re.findall(r"\d+", shape)]
    m, n, k, batch = (sizes + [1])[:4]
    lead = [batch] if batch > 1 else []
    a = normal(*lead, k, m, dtype=dtype).mT if shape.endswith("tn") else normal(*lead, m, k, dtype=dtype)
    b = normal(*lead, n, k, dtype=dtype).mT if shape.endswith("nt") else normal(*lead, k, n, dtype=dtype)
    return lambda: a @ b


def convolution(wanted):
    """wanted: which of input and weight get a gradient; none of them: forward. Channels last, PyTorch's fastest order on a CPU."""

    def make(shape, dtype):
        n, channels, side, outputs, kernel, stride, padding, groups = (int(x) for x in re.findall(r"\d+", shape))
        x = normal(n, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
        w = normal(outputs, channels // groups, kernel, kernel, dtype=dtype).contiguous(memory_format=torch.channels_last)
        if not any(wanted):
            return lambda: F.conv2d(x, w, None, stride, padding, 1, groups)
        dy = torch.randn_like(F.conv2d(x, w, None, stride, padding, 1, groups))
        return lambda: torch.ops.aten.convolution_backward(dy, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, [*wanted, False])

    return make


def with_sizes(make):
    return lambda shape, dtype: make([int(n) for n in re.findall(r"\d+", shape)], dtype)


def attention(s, dtype):
    return [normal(*s, dtype=dtype) for _ in range(3)], lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)


def layer_norm(s, dtype):
    return [normal(*s, dtype=dtype), normal(s[-1], dtype=dtype), normal(s[-1], dtype=dtype)], lambda x, w, b: F.layer_norm(x, s[-1:], w, b)


def image_norm(function):
    def make(s, dtype):
        x = normal(*s, dtype=dtype).contiguous(memory_format=torch.channels_last)
        return [x.detach(), normal(s[1], dtype=dtype), normal(s[1], dtype=dtype)], function

    return make


def unary(function):
    return lambda s, dtype: ([normal(*s, dtype=dtype)], function)


def cross_entropy(s, dtype):
    x, target = normal(*s, dtype=dtype), torch.randint(s[1], (s[0],), device=device)
    return lambda: F.cross_entropy(x, target)


def cross_entropy_with_backward(s, dtype):
    x, target = normal(*s, dtype=dtype, grad=True), torch.randint(s[1], (s[0],), device=device)

    def call():
        x.grad = None
        F.cross_entropy(x, target).backward()

    return call


def embedding(s, dtype):
    tokens, vocabulary, width = s
    at = torch.randint(vocabulary, (tokens,), device=device)
    return [normal(vocabulary, width, dtype=dtype)], lambda weight: F.embedding(at, weight)


def where(s, dtype):
    x = normal(*s, dtype=dtype)
    condition = x > 0
    return [x, -x], lambda a, b: torch.where(condition, a, b)


def adamw(s, dtype):
    parameter = torch.nn.Parameter(torch.zeros(s[0], device=device))
    parameter.grad = torch.ones_like(parameter)
    return torch.optim.AdamW([parameter], lr=1e-4, fused=True).step


def copy(transposed):
    def make(s, dtype):
        x = normal(s[1], s[0], dtype=dtype).mT if transposed else normal(*s, dtype=dtype)
        y = torch.empty(*s, dtype=dtype, device=device)
        return lambda: y.copy_(x)

    return make


def call_of(f):
    """A row of a function of (sizes, dtype) that gives inputs and a function of them."""
    return with_sizes(lambda s, dtype: (lambda inputs, g: lambda: g(*inputs))(*f(s, dtype)))


ROWS = {
    "gemm": gemm,
    "conv": convolution((False, False)), "conv_input_gradient": convolution((True, False)), "conv_weight_gradient": convolution((False, True)),
    "cross_entropy": with_sizes(cross_entropy), "cross_entropy_with_backward": with_sizes(cross_entropy_with_backward),
    "adamw": with_sizes(adamw), "copy": with_sizes(copy(False)), "copy_transposed": with_sizes(copy(True)),
    "add": call_of(lambda s, dtype: ([normal(*s, dtype=dtype), normal(*s, dtype=dtype)], torch.add)),
    "add_row": call_of(lambda s, dtype: ([normal(*s, dtype=dtype), normal(s[1], dtype=dtype)], torch.add)),
    "dropout": call_of(unary(lambda x: F.dropout(x, 0.1))),
    "sum_rows": call_of(unary(lambda x: x.sum(1))), "sum_columns": call_of(unary(lambda x: x.sum(0))), "sum_all": call_of(unary(torch.sum)),
    "rand": with_sizes(lambda s, dtype: lambda: torch.rand(*s, device=device)), "randn": with_sizes(lambda s, dtype: lambda: torch.randn(*s, device=device)),
    "bernoulli": with_sizes(lambda s, dtype: lambda: torch.empty(*s, device=device).bernoulli_(0.1)),
}
BOTH_WAYS = {
    "attention": attention, "layer_norm": layer_norm, "embedding": embedding, "where": where,
    "batch_norm": image_norm(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)), "group_norm": image_norm(lambda x, w, b: F.group_norm(x, 8, w, b)),
    "softmax": unary(lambda x: F.softmax(x, -1)), "gelu": unary(F.gelu), "silu": unary(F.silu),
}
for name, function in BOTH_WAYS.items():
    forward, back = forward_and_backward(function)
    ROWS[name], ROWS[name + "_backward"] = with_sizes(forward), with_sizes(back)


def wait():
    if device != "cpu":
        torch.cuda.synchronize()


def seconds_a_call(call, at_least):
    call()
    wait()
    calls, begin = 0, time.perf_counter()
    while True:
        call()
        wait()
        calls += 1
        spent = time.perf_counter() - begin
        if spent >= at_least:
            return spent / calls


def main():
    global device
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("names", nargs="*")
    o = parser.parse_args()
    device = o.device
    torch.set_num_threads(o.threads or len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    calls = {}
    for name in o.names:
        kernel, shape, dtype = name.split("/")[:3]
        if kernel in ROWS and dtype in TYPES:
            calls[name] = ROWS[kernel](shape, TYPES[dtype])
    print(json.dumps({"peer": "torch " + torch.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": {name: seconds_a_call(call, float(line)) for name, call in calls.items()}}), flush=True)


main()
