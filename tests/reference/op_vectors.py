#!/usr/bin/env python3
"""Writes op_vectors/vectors.npz beside this file: inputs of operations in f32, what NumPy, SciPy and PyTorch make of them in f64, and for every element of a
result the sum of the absolute terms that it is made of, which is what rounding errors are measured by.

    pip install numpy==2.4.6 scipy==1.17.1 torch==2.15.0     # written with these; NumPy from 1.24 and PyTorch from 1.13 have all that is used
    python3 tests/reference/make.py op_vectors               # or this file by itself

Arrays: `cases`, lines of text (bytes): operation;whole numbers;other numbers;shapes of the inputs;shape of the result, numbers joined by spaces,
sizes by x, shapes by commas; `inputs` (f32), `expected` (f64) and `terms` (f32), of all cases one after another. tests/ops/op_reference_test.cpp reads it."""
import pathlib
import sys

import numpy
import scipy.fft
import scipy.linalg
import scipy.special
import torch
import torch.nn.functional as F

generator = numpy.random.default_rng(13)
SHAPES = [(), (1,), (7,), (3, 5), (4, 1), (2, 3, 4), (1, 6), (2, 2, 2, 3), (24,), (5, 5), (2, 1, 3), (33,), (8, 4)]
cases, all_inputs, all_expected, all_terms = [], [], [], []


def case(op, inputs, expected, terms, whole=(), other=()):
    """One case. Inputs are f32 already (or whole numbers); terms broadcast to the result."""
    expected = numpy.asarray(expected, "f8")
    terms = numpy.broadcast_to(numpy.asarray(terms, "f8"), expected.shape)
    assert numpy.isfinite(expected).all() and numpy.isfinite(terms).all(), op
    def shape(x): return "x".join(map(str, x.shape)) or "s"
    cases.append(";".join([op, " ".join(str(int(n)) for n in whole), " ".join(repr(float(r)) for r in other), ",".join(map(shape, inputs)), shape(expected)]))
    all_inputs.extend(numpy.asarray(x, "f4").ravel() for x in inputs)
    all_expected.append(expected.ravel())
    all_terms.append(terms.astype("f4").ravel())


def draw(shape, low=-3.0, high=3.0):
    """f32 numbers, as f64."""
    return generator.uniform(low, high, shape).astype("f4").astype("f8")


def places(shape, below):
    return generator.integers(0, below, shape).astype("f8")


def t(x):
    return torch.from_numpy(numpy.asarray(x, "f8"))


def by_torch(f, *inputs, **options):
    return f(*map(t, inputs), **options).numpy()


# -- element by element: the terms are the result itself, and what else is added on the way ------------------------------------------------

def softplus(x):
    return numpy.logaddexp(0, x)


def sigmoid(x):
    return scipy.special.expit(x)


UNARY = {
    "abs": (numpy.abs, -3, 3), "sign": (numpy.sign, -3, 3), "square": (numpy.square, -3, 3), "sqrt": (numpy.sqrt, 0, 9),
    "rsqrt": (lambda x: 1 / numpy.sqrt(x), .01, 9),
    "reciprocal": (lambda x: 1 / x, .1, 9), "exp": (numpy.exp, -20, 20), "exp2": (numpy.exp2, -20, 20), "expm1": (numpy.expm1, -3, 3),
    "log": (numpy.log, 1e-3, 50),
    "log2": (numpy.log2, 1e-3, 50), "log10": (numpy.log10, 1e-3, 50), "log1p": (numpy.log1p, -.9, 9), "sin": (numpy.sin, -9, 9), "cos": (numpy.cos, -9, 9),
    "tan": (numpy.tan, -1.5, 1.5), "asin": (numpy.arcsin, -1, 1), "acos": (numpy.arccos, -1, 1), "atan": (numpy.arctan, -9, 9), "sinh": (numpy.sinh, -5, 5),
    "cosh": (numpy.cosh, -5, 5), "tanh": (numpy.tanh, -5, 5), "asinh": (numpy.arcsinh, -9, 9), "acosh": (numpy.arccosh, 1.01, 9),
    "atanh": (numpy.arctanh, -.95, .95),
    "erf": (scipy.special.erf, -3, 3), "erfc": (scipy.special.erfc, -3, 5), "erfinv": (scipy.special.erfinv, -.98, .98), "sigmoid": (sigmoid, -20, 20),
    "floor": (numpy.floor, -9, 9), "ceil": (numpy.ceil, -9, 9), "round": (numpy.round, -9, 9), "trunc": (numpy.trunc, -9, 9), "neg": (numpy.negative, -3, 3),
    "relu": (lambda x: numpy.maximum(x, 0), -3, 3), "relu6": (lambda x: numpy.clip(x, 0, 6), -3, 9), "silu": (lambda x: x * sigmoid(x), -9, 9),
    "mish": (lambda x: x * numpy.tanh(softplus(x)), -9, 9), "softplus": (softplus, -9, 15), "logsigmoid": (lambda x: -softplus(-x), -15, 9),
    "softsign": (lambda x: x / (1 + abs(x)), -9, 9), "hardtanh": (lambda x: numpy.clip(x, -1, 1), -3, 3),
    "hardsigmoid": (lambda x: numpy.clip(x + 3, 0, 6) / 6, -5, 5),
    "hardswish": (lambda x: x * numpy.clip(x + 3, 0, 6) / 6, -5, 5),
    "selu": (lambda x: by_torch(F.selu, x), -5, 5), "elu": (lambda x: by_torch(F.elu, x), -5, 5), "celu": (lambda x: by_torch(F.celu, x), -5, 5),
    "leaky_relu": (lambda x: numpy.where(x > 0, x, .01 * x), -5, 5), "hardshrink": (lambda x: by_torch(F.hardshrink, x), -2, 2),
}
ADDED = {  # with the terms of a difference
    "lgamma": (scipy.special.gammaln, lambda x: abs(scipy.special.gammaln(x)) + 1, .1, 20),
    "digamma": (scipy.special.digamma, lambda x: abs(scipy.special.digamma(x)) + 1, .1, 20),
    "tanhshrink": (lambda x: x - numpy.tanh(x), lambda x: abs(x), -3, 3), "softshrink": (lambda x: by_torch(F.softshrink, x), lambda x: abs(x) + .5, -3, 3),
    "logit": (scipy.special.logit, lambda x: abs(numpy.log(x)) + abs(numpy.log1p(-x)), .02, .98), "gelu": (lambda x: by_torch(F.gelu, x), abs, -5, 5),
    "gelu_tanh": (lambda x: by_torch(F.gelu, x, approximate="tanh"), abs, -5, 5),
}
for name, (f, low, high) in UNARY.items():
    for shape in SHAPES:
        x = draw(shape, low, high)
        case(name, [x], f(x), abs(f(x)) if name not in ("hardsigmoid", "hardswish", "relu6") else abs(f(x)) + (abs(x) + 3) / 6)
for name, (f, terms, low, high) in ADDED.items():
    for shape in SHAPES:
        x = draw(shape, low, high)
        case(name, [x], f(x), terms(x))
for n in range(4):
    for shape in SHAPES[:6]:
        x = draw(shape, .3, 9)
        case("polygamma", [x], scipy.special.polygamma(n, x), abs(scipy.special.polygamma(n, x)) + 1, [n])

PAIRS = [((), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 4)), ((2, 3, 4), (3, 1)), ((1,), (5,)), ((), (2, 3)), ((2, 2, 2), (2, 1, 2)), ((4, 3), (4, 3)),
     ((6, 1), (6, 2))]
BINARY = {
    "add": (numpy.add, lambda a, b: abs(a) + abs(b), -3, 3), "sub": (numpy.subtract, lambda a, b: abs(a) + abs(b), -3, 3), "mul": (numpy.multiply, None, -3, 3),
    "div": (numpy.divide, None, .2, 3), "maximum": (numpy.maximum, None, -3, 3), "minimum": (numpy.minimum, None, -3, 3),
    "pow": (numpy.power, lambda a, b: numpy.power(a, b) * (1 + abs(b * numpy.log(a))), .1, 3), "atan2": (numpy.arctan2, None, -3, 3),
    "hypot": (numpy.hypot, None, -3, 3),
    "xlogy": (scipy.special.xlogy, None, .1, 3), "logaddexp": (numpy.logaddexp, lambda a, b: abs(a) + abs(b) + 1, -9, 9),
    "floor_divide": (numpy.floor_divide, None, .2, 3),
    "remainder": (numpy.remainder, lambda a, b: abs(a) + abs(b), .2, 3),
}
for name, (f, terms, low, high) in BINARY.items():
    for left, right in PAIRS:
        a, b = draw(left, low, high), draw(right, low, high)
        case(name, [a, b], f(a, b), abs(f(a, b)) if terms is None else terms(a, b))
for left, right in PAIRS:
    a, b, c = draw(left), draw(right), draw(right, 0, 1)
    case("lerp", [a, b, c], a + c * (b - a), abs(a) + abs(c) * (abs(a) + abs(b)))
    condition = places(left, 2)
    case("where", [condition, a, b], numpy.where(condition != 0, a, b), 0)

# -- reductions ---------------------------------------------------------------------------------------------------------------------------

DIMS = [((7,), (0,)), ((3, 5), (0,)), ((3, 5), (1,)), ((3, 5), (0, 1)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((2, 3, 4), (2,)), ((2, 2, 2, 3), (1, 3)),
     ((64,), (0,)), ((2, 33), (1,))]
for shape, dims in DIMS:
    for keep in (False, True):
        x, k, n = draw(shape), {"axis": dims, "keepdims": keep}, numpy.prod([shape[d] for d in dims])
        whole = [keep, *dims]
        case("sum", [x], x.sum(**k), abs(x).sum(**k), whole)
        case("mean", [x], x.mean(**k), abs(x).mean(**k), whole)
        y = draw(shape, .5, 1.5)
        case("prod", [y], y.prod(**k), n * y.prod(**k), whole)
        spread = numpy.square(abs(x) + abs(x.mean(axis=dims, keepdims=True)))
        case("var", [x], x.var(ddof=1, **k), spread.sum(**k) / (n - 1), whole)
        case("std_dev", [x], x.std(ddof=1, **k), spread.sum(**k) / (n - 1) / x.std(ddof=1, **k), whole)
        for p in (1, 2, 3, .5):
            length = numpy.power(numpy.power(abs(x), p).sum(**k), 1 / p)
            case("norm", [x], length, length * max(1, 1 / p), whole, [p])
        case("amax", [x], x.max(**k), 0, whole)
        case("amin", [x], x.min(**k), 0, whole)
        case("logsumexp", [x], scipy.special.logsumexp(x, **k), abs(x).max(**k) + numpy.log(n) + 1, whole)
    d = dims[0]
    x = draw(shape)
    case("argmax", [x], x.argmax(d), 0, [d])
    case("argmin", [x], x.argmin(d), 0, [d])
    for q in (.1, .5, .77):
        case("quantile", [x], numpy.quantile(x, q, axis=dims), abs(x).max(axis=dims), dims, [q])
    case("median", [x], by_torch(lambda v: v.median(d).values, x), 0, [d])

# -- along a dimension --------------------------------------------------------------------------------------------------------------------

for shape in [(7,), (3, 5), (2, 3, 4), (2, 2, 2, 3), (40,), (1, 1)]:
    for d in range(len(shape)):
        x, y = draw(shape, -6, 6), draw(shape, .5, 1.5)
        p, top = scipy.special.softmax(x, d), x.max(d, keepdims=True)
        case("softmax", [x], p, p * (1 + abs(x - top) + abs(x - top).max()), [d])
        case("log_softmax", [x], scipy.special.log_softmax(x, d), abs(x) + abs(top) + numpy.log(shape[d]) + 1, [d])
        case("cumsum", [x], x.cumsum(d), abs(x).cumsum(d), [d])
        case("cumprod", [y], y.cumprod(d), y.cumprod(d) * shape[d], [d])
        case("sort", [x], numpy.sort(x, d), 0, [d, 0])
        case("sort", [x], -numpy.sort(-x, d), 0, [d, 1])
        case("argsort", [x], numpy.argsort(x, d, kind="stable"), 0, [d])
        for k in {1, (shape[d] + 1) // 2}:
            case("topk", [x], by_torch(lambda v: v.topk(k, d).values, x), 0, [d, k])
            case("kthvalue", [x], by_torch(lambda v: v.kthvalue(k, d).values, x), 0, [d, k])
        length = numpy.linalg.norm(x, axis=d, keepdims=True)
        case("normalize", [x], x / length, abs(x / length), [d])
    w, b = draw(shape[-1:]), draw(shape[-1:])
    x = draw(shape)
    if shape[-1] > 1:
        m, s = x.mean(-1, keepdims=True), numpy.sqrt(x.var(-1, keepdims=True) + 1e-5)
        case("layer_norm", [x, w, b], (x - m) / s * w + b, (abs(x) + abs(m)).max(-1, keepdims=True) ** 2 / s ** 2 * abs(w) + abs(b))
    r = numpy.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    case("rms_norm", [x, w], x / r * w, abs(x / r * w))

# -- moving elements: exactly -------------------------------------------------------------------------------------------------------------

for shape in [(7,), (3, 5), (2, 3, 4), (2, 2, 2, 3), (1, 4)]:
    x, rank = draw(shape), len(shape)
    for d in range(rank):
        case("flip", [x], numpy.flip(x, d), 0, [d])
        for shift in (-5, -1, 0, 2, shape[d]):
            case("roll", [x], numpy.roll(x, shift, d), 0, [d, shift])
        for n in (1, 3):
            case("repeat_interleave", [x], numpy.repeat(x, n, d), 0, [d, n])
        case("movedim", [x], numpy.moveaxis(x, d, -1), 0, [d, -1])
        index = places((4,), shape[d])
        case("index_select", [x, index], numpy.take(x, index.astype(int), d), 0, [d])
        index = places(shape, shape[d])
        case("gather", [x, index], numpy.take_along_axis(x, index.astype(int), d), 0, [d])
        added = draw(shape)
        case("scatter_add", [x, index, added], by_torch(lambda a, i, s: a.scatter_add(d, i.long(), s), x, index, added),
             by_torch(lambda a, i, s: a.scatter_add(d, i.long(), s), abs(x), index, abs(added)), [d])
        case("cat", [x, added], numpy.concatenate([x, added], d), 0, [d])
        case("stack", [x, added], numpy.stack([x, added], d), 0, [d])
    case("permute", [x], x.transpose(range(rank)[::-1]), 0, range(rank)[::-1])
    case("tile", [x], numpy.tile(x, (2, 3)), 0, [2, 3])
    case("reshape", [x], x.reshape(-1), 0, [-1])
    case("roll_flat", [x], numpy.roll(x, 3), 0, [3])
    if rank >= 2:
        for k in (-1, 0, 1):
            case("tril", [x], numpy.tril(x, k), 0, [k])
            case("triu", [x], numpy.triu(x, k), 0, [k])
            case("diagonal", [x], numpy.diagonal(x, k, -2, -1), 0, [k])
        for k in range(-1, 4):
            case("rot90", [x], numpy.rot90(x, k), 0, [k])
    for mode in ("constant", "reflect", "edge", "wrap"):
        for before, after in ((0, 2), (2, 0), (1, 1)):
            if mode == "constant" or max(before, after) < shape[-1]:
                case("pad_" + mode, [x], numpy.pad(x, [(0, 0)] * (rank - 1) + [(before, after)], mode), 0, [before, after])

# -- products -----------------------------------------------------------------------------------------------------------------------------

for left, right in [((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (3, 2)), ((2, 3), (2, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)),
     ((1, 40), (40, 2)), ((5, 17), (17, 5)), ((4, 1), (1, 4))]:
    for _ in range(4):
        a, b = draw(left), draw(right)
        case("matmul", [a, b], a @ b, abs(a) @ abs(b))
for lead, inside, outside in [((2,), 3, 4), ((2, 3), 5, 2), ((), 4, 3), ((1,), 33, 2)]:
    x, w, b = draw((*lead, inside)), draw((outside, inside)), draw(outside)
    case("linear", [x, w, b], x @ w.T + b, abs(x) @ abs(w).T + abs(b))
    case("outer", [w[0], b], numpy.outer(w[0], b), abs(numpy.outer(w[0], b)))
for a_shape, b_shape in [((2, 2), (2, 3)), ((1, 3), (2, 1)), ((3,), (2,))]:
    a, b = draw(a_shape), draw(b_shape)
    case("kron", [a, b], numpy.kron(a, b), abs(numpy.kron(a, b)))

# -- convolutions and pooling -------------------------------------------------------------------------------------------------------------

CONV1 = [(1, 1, 5, 2, 3, 1, 0, 1, 1), (2, 2, 7, 4, 3, 2, 1, 1, 1), (1, 4, 9, 4, 3, 1, 2, 2, 2), (1, 3, 6, 3, 2, 1, 1, 1, 3), (2, 3, 5, 2, 1, 1, 0, 1, 1),
     (1, 2, 8, 2, 4, 3, 2, 1, 1)]
for n, inside, size, outside, kernel, stride, padding, dilation, groups in CONV1:
    for _ in range(2):
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        whole = [stride, padding, dilation, groups]
        for dims, conv in ((1, F.conv1d), (2, F.conv2d), (3, F.conv3d)):
            if dims == 3 and size > 6:
                continue
            x, w, b = draw((n, inside, *[size] * dims)), draw((outside, inside // groups, *[kernel] * dims)), draw(outside)
            case(f"conv{dims}d", [x, w, b], by_torch(conv, x, w, b, **options), by_torch(conv, abs(x), abs(w), abs(b), **options), whole)
        for dims, conv in ((1, F.conv_transpose1d), (2, F.conv_transpose2d)):
            small = min(size, 4)
            x, w, b = draw((n, outside, *[small] * dims)), draw((outside, inside // groups, *[kernel] * dims)), draw(inside)
            case(f"conv_transpose{dims}d", [x, w, b], by_torch(conv, x, w, b, **options), by_torch(conv, abs(x), abs(w), abs(b), **options), whole)
for size, window, stride, padding, ceil in [(6, 2, 2, 0, 0), (7, 3, 2, 1, 0), (7, 3, 2, 1, 1), (5, 2, 1, 0, 0), (8, 4, 3, 2, 0), (4, 4, 4, 0, 0)]:
    for dims, most, average in ((1, F.max_pool1d, F.avg_pool1d), (2, F.max_pool2d, F.avg_pool2d)):
        x, options, whole = draw((2, 2, *[size] * dims)), {"stride": stride, "padding": padding, "ceil_mode": bool(ceil)}, [window, stride, padding, ceil]
        case(f"max_pool{dims}d", [x], by_torch(most, x, kernel_size=window, **options), 0, whole)
        case(f"avg_pool{dims}d", [x], by_torch(average, x, kernel_size=window, **options), by_torch(average, abs(x), kernel_size=window, **options), whole)
for size, result in [(6, 2), (7, 3), (5, 5), (4, 1)]:
    x = draw((2, 2, size, size))
    case("adaptive_avg_pool2d", [x], by_torch(F.adaptive_avg_pool2d, x, output_size=result), by_torch(F.adaptive_avg_pool2d, abs(x), output_size=result),
         [result])
    case("adaptive_max_pool2d", [x], by_torch(F.adaptive_max_pool2d, x, output_size=result), 0, [result])
    for corners in (False, True):
        for mode, called in (("bilinear", "interpolate_linear"), ("bicubic", "interpolate_bicubic")):
            y = by_torch(F.interpolate, x, size=(result + 2, size), mode=mode, align_corners=corners)
            case(called, [x], y, 2 * abs(x).max(), [result + 2, size, corners])
    case("interpolate_nearest", [x], by_torch(F.interpolate, x, size=(result + 2, size), mode="nearest"), 0, [result + 2, size])
    case("interpolate_area", [x], by_torch(F.interpolate, x, size=(result, result), mode="area"), abs(x).max(), [result, result])
for r in (1, 2, 3):
    x = draw((2, r * r * 2, 2, 3))
    case("pixel_shuffle", [x], by_torch(F.pixel_shuffle, x, upscale_factor=r), 0, [r])
    x = draw((1, 2, 2 * r, 3 * r))
    case("pixel_unshuffle", [x], by_torch(F.pixel_unshuffle, x, downscale_factor=r), 0, [r])
    x = draw((1, 2, 5, 6))
    case("unfold", [x], by_torch(F.unfold, x, kernel_size=r, padding=r // 2, stride=r), 0, [r, r // 2, r])
for groups in (1, 2, 4):
    x, w, b = draw((2, 4, 3, 2)), draw(4), draw(4)
    s = numpy.sqrt(x.reshape(2, groups, -1).var(-1) + 1e-5).min()
    case("group_norm", [x, w, b], by_torch(F.group_norm, x, weight=t(w), bias=t(b), num_groups=groups), 36 / s ** 2 * abs(w).max() + abs(b).max(), [groups])

# -- attention, embeddings, losses --------------------------------------------------------------------------------------------------------

for heads, queries, keys, size, causal in [(1, 2, 3, 4, 0), (2, 4, 4, 3, 1), (3, 5, 2, 8, 0), (1, 6, 6, 16, 1), (2, 1, 7, 4, 0)]:
    for _ in range(3):
        q, k, v = draw((1, heads, queries, size), -1, 1), draw((1, heads, keys, size), -1, 1), draw((1, heads, keys, size), -1, 1)
        bound = abs(v).max() * (1 + numpy.sqrt(size))
        scores = q @ numpy.swapaxes(k, -1, -2) / numpy.sqrt(size)
        if causal:
            scores = numpy.where(numpy.tri(queries, keys) > 0, scores, -numpy.inf)
        case("attention", [q, k, v], scipy.special.softmax(scores, -1) @ v, bound, [causal])
for shape in [(3,), (2, 2), ()]:
    w, index = draw((5, 3)), places(shape, 5)
    case("embedding", [w, index], w[index.astype(int)], 0)
REDUCTIONS = ("none", "mean", "sum")
for shape in [(4, 3), (6, 5), (2, 11), (1, 2)]:
    for r, reduction in enumerate(REDUCTIONS):
        x, target, y = draw(shape), places(shape[:1], shape[1]), draw(shape)
        total = 1 if reduction != "sum" else shape[0]
        bound = total * (2 * abs(x).max() + numpy.log(shape[1]) + 1)
        for smoothing in (0.0, 0.125):
            case("cross_entropy", [x, target], F.cross_entropy(t(x), t(target).long(), label_smoothing=smoothing, reduction=reduction).numpy(), bound, [r],
                 [smoothing])
        p, bits = draw(shape, .05, .95), places(shape, 2)
        all_elements = 1 if reduction != "sum" else x.size
        case("bce_with_logits", [x, bits], by_torch(F.binary_cross_entropy_with_logits, x, bits, reduction=reduction), all_elements * (abs(x).max() + 1), [r])
        case("bce", [p, bits], by_torch(F.binary_cross_entropy, p, bits, reduction=reduction), all_elements * 4, [r])
        square = all_elements * (abs(x).max() + abs(y).max()) ** 2
        case("mse_loss", [x, y], by_torch(F.mse_loss, x, y, reduction=reduction), square, [r])
        case("l1_loss", [x, y], by_torch(F.l1_loss, x, y, reduction=reduction), square, [r])
        case("smooth_l1_loss", [x, y], by_torch(F.smooth_l1_loss, x, y, reduction=reduction, beta=.5), square, [r], [.5])
        case("huber_loss", [x, y], by_torch(F.huber_loss, x, y, reduction=reduction, delta=1.5), square, [r], [1.5])
        case("poisson_nll_loss", [x, bits], by_torch(F.poisson_nll_loss, x, bits, reduction=reduction), all_elements * (numpy.exp(x.max()) + abs(x).max()), [r])
        variance = draw(shape, .3, 2)
        case("gaussian_nll_loss", [x, y, variance], F.gaussian_nll_loss(t(x), t(y), t(variance), reduction=reduction).numpy(), square * 4 + all_elements * 2,
             [r])
        if shape[0] > 1:
            case("triplet_margin_loss", [x, y, variance], by_torch(F.triplet_margin_loss, x, y, variance, reduction=reduction),
                 total * (4 * abs(x).max() * numpy.sqrt(shape[1]) + 1), [r])
    a, b = draw(shape), draw(shape)
    case("cosine_similarity", [a, b], by_torch(F.cosine_similarity, a, b, dim=-1), 1)

# -- linear algebra and Fourier transforms: errors are measured by the condition and by the sum of all terms ----------------------------------

for n in (1, 2, 3, 5, 8):
    for batch in ((), (2,)):
        a = draw((*batch, n, n)) + 4 * numpy.sign(draw(n)) * numpy.eye(n)
        a = a.astype("f4").astype("f8")
        b, condition = draw((*batch, n, 2)), numpy.linalg.cond(a).max()
        case("solve", [a, b], numpy.linalg.solve(a, b), condition * abs(numpy.linalg.solve(a, b)).max() + 1e-6)
        case("inv", [a], numpy.linalg.inv(a), condition * abs(numpy.linalg.inv(a)).max())
        case("slogdet", [a], numpy.linalg.slogdet(a)[1], condition + abs(numpy.linalg.slogdet(a)[1]))
        s = numpy.linalg.svd(a, compute_uv=False)
        case("singular_values", [a], s, s.max() * n)
        m = (a @ numpy.swapaxes(a, -1, -2) + numpy.eye(n)).astype("f4").astype("f8")
        m = (m + numpy.swapaxes(m, -1, -2)) / 2
        m = m.astype("f4").astype("f8")
        c = numpy.linalg.cond(m).max()
        case("cholesky", [m], numpy.linalg.cholesky(m), c * numpy.sqrt(abs(m).max()))
        case("eigenvalues", [m], numpy.linalg.eigvalsh(m), abs(m).max() * n)
        lower = numpy.tril(a)
        case("triangular_solve", [lower, b], numpy.linalg.solve(lower, b), numpy.linalg.cond(lower).max() * abs(numpy.linalg.solve(lower, b)).max() + 1e-6)
        small = draw((*batch, n, n), -.5, .5)
        case("matrix_exp", [small], scipy.linalg.expm(small), numpy.exp(numpy.linalg.norm(small, 1, axis=(-2, -1)).max()) * n)
for n in (1, 2, 3, 4, 5, 7, 8, 12, 16, 17):
    for batch in ((), (2,)):
        x, z = draw((*batch, n)), draw((*batch, n, 2))
        def pair(c): return numpy.stack([c.real, c.imag], -1)
        complex_z = z[..., 0] + 1j * z[..., 1]
        size = abs(z).sum((-1, -2)).max() * (1 + numpy.log2(n))
        case("fft", [z], pair(numpy.fft.fft(complex_z)), size, [-2])
        case("ifft", [z], pair(numpy.fft.ifft(complex_z)), size / n, [-2])
        case("rfft", [x], pair(numpy.fft.rfft(x)), abs(x).sum(-1).max() * (1 + numpy.log2(n)))

expected, terms, inputs = numpy.concatenate(all_expected), numpy.concatenate(all_terms), numpy.concatenate(all_inputs)
path = (pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("op_vectors")) / "vectors.npz"
path.parent.mkdir(exist_ok=True)
numpy.savez_compressed(path, cases=numpy.frombuffer("\n".join(cases).encode(), "u1"), inputs=inputs, expected=expected, terms=terms)
assert len(cases) >= 2000 and path.stat().st_size < 3_000_000, (len(cases), path.stat().st_size)
print(f"{path.name}: {len(cases):,} cases of {len({c.split(';')[0] for c in cases})} operations, {path.stat().st_size:,} bytes")
