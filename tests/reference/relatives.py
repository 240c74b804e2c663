#!/usr/bin/env python3
"""Writes the numbers that tests/models/relatives_reference_test.cpp compares Plumb's smaller architectures with: recurrent and temporal
networks, multiple-instance learning, mixtures of experts, poses, contrastive models and the detector's parts. Each is built here from
PyTorch's own layers after its paper, under the parameter names of Plumb's module; nothing here imports Plumb.

    pip install torch==1.13.0 safetensors==0.8.0 numpy==1.24.2
    python3 tests/reference/relatives.py [SECTION …]          without sections: all of them

A section writes relatives/SECTION: model.safetensors (random weights), expected.safetensors (inputs and outputs; "…_gradient": the
gradient of the mean square of the output `y` in an input) and gradients.safetensors (the same in the parameters, or in some of them).
Numbers are f64, so that a test can ask for the last digits. All files together stay under 150 kB."""
import copy
import math
import pathlib
import sys

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

import image_networks

for library, version in ((torch, "1.13.0"), (numpy, "1.24.2")):
    assert library.__version__.startswith(version), f"{library.__name__} {library.__version__} is not {version}"

HERE = pathlib.Path(__file__).resolve().parent / "relatives"
LIMIT = 150_000
SECTIONS = {}


def section(make):
    SECTIONS[make.__name__] = make
    return make


def stir(model, seed):
    """Random weights everywhere, of the size that keeps numbers near 1; those of norms near 1; random running statistics."""
    torch.manual_seed(seed)
    model.double()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand_like(tensor))
                continue
            spread = 0.2 if tensor.dim() < 2 else 1 / math.sqrt(math.prod(tensor.shape[1:]))
            tensor.copy_(spread * torch.randn_like(tensor))
            if name.endswith("weight") and tensor.dim() == 1 or name.endswith("weight_g"):
                tensor += 1
    return model.eval()


def write(name, file, tensors):
    (HERE / name).mkdir(parents=True, exist_ok=True)
    path = HERE / name / f"{file}.safetensors"
    save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, path)
    path.chmod(0o644)


def save(name, model, y, inputs, under="", **others):
    """What a section expects. Inputs that take gradients are saved with theirs, parameters whose name begins with `under` too."""
    parameters = dict(model.named_parameters())
    leaves = {**parameters, **{key: value for key, value in inputs.items() if value.requires_grad}}
    slopes = torch.autograd.grad(y.square().mean(), list(leaves.values()), allow_unused=True)
    slopes = {key: slope for key, slope in zip(leaves, slopes) if slope is not None}
    expected = {**inputs, "y": y, **others, **{f"{key}_gradient": slopes[key] for key in inputs if key in slopes}}
    write(name, "expected", expected)
    write(name, "gradients", {key: slope for key, slope in slopes.items() if key in parameters and key.startswith(under)})


def leaf(*shape):
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


# -- recurrent encoders: packed sequences in PyTorch's layers, pooled one sequence at a time ---------------------------------------------


class RecurrentClassifier(nn.Module):
    def __init__(self, layer, inputs, hidden, layers, bidirectional, classes, vocab=0, attention=0):
        super().__init__()
        width = hidden * (2 if bidirectional else 1)
        self.bidirectional = bidirectional
        self.encoder = nn.Module()
        if vocab:
            self.encoder.embedding = nn.Embedding(vocab, inputs, padding_idx=0)
        self.encoder.rnn = layer(inputs, hidden, layers, batch_first=True, bidirectional=bidirectional)
        if attention:
            self.encoder.attention = nn.Module()
            self.encoder.attention.hidden = nn.Linear(width, attention)
            self.encoder.attention.context = nn.Linear(attention, 1, bias=False)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x, lengths, pooling):
        """Logits, states and, with attention, its weights."""
        e = self.encoder
        if hasattr(e, "embedding"):
            x = e.embedding(x)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, last = e.rnn(packed)
        states, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])
        last = last[0] if isinstance(last, tuple) else last
        vectors, weights = [], torch.zeros(x.shape[:2], dtype=x.dtype)
        for i, length in enumerate(lengths):
            h = states[i, :length]
            if pooling == "attention":
                a = e.attention.context(torch.tanh(e.attention.hidden(h)))[:, 0].softmax(0)
                weights[i, :length] = a.detach()
                h = a @ h
            elif pooling == "mean":
                h = h.mean(0)
            elif pooling == "max":
                h = h.max(0).values
            else:
                h = torch.cat([last[-2, i], last[-1, i]]) if self.bidirectional else last[-1, i]
            vectors.append(h)
        return self.classifier(torch.stack(vectors)), states, weights


def mask_of(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


@section
def lstm(name):
    """Two layers, two directions, sequences of three lengths, pooled by attention and in the other ways."""
    model = stir(RecurrentClassifier(nn.LSTM, inputs=3, hidden=3, layers=2, bidirectional=True, classes=2, attention=3), 31)
    x, lengths = leaf(3, 4, 3), [4, 1, 3]
    write(name, "model", model.state_dict())
    y, states, attention = model(x, lengths, "attention")
    ways = {pooling: model(x, lengths, pooling)[0] for pooling in ("last", "mean", "max")}
    save(name, model, y, {"x": x, "mask": mask_of(lengths, 4)}, states=states, attention=attention, **ways)


@section
def gru(name):
    """One direction, tokens; token 0 is padding."""
    model = stir(RecurrentClassifier(nn.GRU, inputs=3, hidden=4, layers=2, bidirectional=False, classes=3, vocab=6), 32)
    with torch.no_grad():
        model.encoder.embedding.weight[0] = 0
    lengths = [3, 6]
    tokens = torch.tensor([[2, 5, 1, 0, 0, 0], [4, 4, 3, 1, 2, 5]])
    write(name, "model", model.state_dict())
    y, states, _ = model(tokens, lengths, "last")
    ways = {pooling: model(tokens, lengths, pooling)[0] for pooling in ("mean", "max")}
    save(name, model, y, {"x": tokens, "mask": mask_of(lengths, 6)}, states=states, **ways)


# -- temporal convolutions ---------------------------------------------------------------------------------------------------------------


class TemporalBlock(nn.Module):
    """As in the paper's code: padding on both sides, of which what lies behind is cut off."""

    def __init__(self, inputs, outputs, kernel, dilation):
        super().__init__()
        self.beyond = (kernel - 1) * dilation
        self.conv1 = nn.utils.weight_norm(nn.Conv1d(inputs, outputs, kernel, padding=self.beyond, dilation=dilation))
        self.conv2 = nn.utils.weight_norm(nn.Conv1d(outputs, outputs, kernel, padding=self.beyond, dilation=dilation))
        self.downsample = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x):
        y = F.relu(self.conv1(x)[:, :, :-self.beyond])
        y = F.relu(self.conv2(y)[:, :, :-self.beyond])
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


@section
def tcn(name):
    """Three blocks, one of which keeps its channels; the last step's answer and every step's."""
    model = nn.Module()
    model.tcn = nn.Module()
    model.tcn.network = nn.Sequential(TemporalBlock(2, 3, 3, 1), TemporalBlock(3, 3, 3, 2), TemporalBlock(3, 4, 3, 4))
    model.linear = nn.Linear(4, 2)
    stir(model, 33)
    x = leaf(2, 2, 9)
    write(name, "model", model.state_dict())
    features = model.tcn.network(x)
    every_step = model.linear(features.transpose(1, 2))
    save(name, model, every_step, {"x": x}, last=model.linear(features[:, :, -1]))


@section
def text_cnn(name):
    """Windows of two widths over sentences without their padding, one at a time; one is shorter than a window."""
    model = nn.Module()
    model.embedding = nn.Embedding(8, 3, padding_idx=0)
    model.convs = nn.ModuleList([nn.Conv1d(3, 4, width, padding=width - 1) for width in (2, 3)])
    model.fc = nn.Linear(8, 2)
    stir(model, 134)
    with torch.no_grad():
        for conv in model.convs:
            conv.bias += 1  # what a window of nothing but padding would answer; no such window is looked through
    tokens = torch.tensor([[3, 7, 1, 4, 6, 2], [5, 0, 0, 0, 0, 0], [2, 2, 6, 1, 0, 0]])
    rows = []
    for sentence in tokens:
        x = model.embedding(sentence[sentence != 0]).t()[None]
        rows.append(torch.cat([F.relu(conv(x)).max(2).values[0] for conv in model.convs]))
    features = torch.stack(rows)
    write(name, "model", model.state_dict())
    save(name, model, model.fc(features), {"x": tokens}, features=features)


# -- multiple-instance learning, one bag at a time ---------------------------------------------------------------------------------------


class Abmil(nn.Module):
    def __init__(self, inputs, width, attention, gated, bias, act, classes):
        super().__init__()
        if width:
            self.projection = nn.Linear(inputs, width)
        pooled = width or inputs
        self.pool = nn.Module()
        self.pool.attention_V = nn.Linear(pooled, attention, bias=bias)
        if gated:
            self.pool.attention_U = nn.Linear(pooled, attention, bias=bias)
        self.pool.attention_w = nn.Linear(attention, 1, bias=bias)
        self.classifier = nn.Linear(pooled, classes)
        self.act = act

    def forward(self, x, sizes):
        bags, weights = [], torch.zeros(x.shape[:2], dtype=x.dtype)
        for i, size in enumerate(sizes):
            h = x[i, :size]
            if hasattr(self, "projection"):
                h = F.relu(self.projection(h))
            a = self.act(self.pool.attention_V(h))
            if hasattr(self.pool, "attention_U"):
                a = a * torch.sigmoid(self.pool.attention_U(h))
            a = self.pool.attention_w(a)[:, 0].softmax(0)
            weights[i, :size] = a.detach()
            bags.append(a @ h)
        return self.classifier(torch.stack(bags)), torch.stack(bags), weights


def abmil_section(name, model, sizes):
    x = leaf(len(sizes), max(sizes), 3)
    write(name, "model", model.state_dict())
    y, bag, attention = model(x, sizes)
    save(name, model, y, {"x": x, "mask": mask_of(sizes, max(sizes))}, bag=bag, attention=attention)


@section
def abmil(name):
    """Projected instances and gated attention; bags of three sizes."""
    abmil_section(name, stir(Abmil(3, 5, 4, gated=True, bias=True, act=torch.tanh, classes=2), 35), [4, 1, 3])


@section
def abmil_plain(name):
    """Instances as they come; attention without gate and bias, with relu."""
    abmil_section(name, stir(Abmil(3, 0, 4, gated=False, bias=False, act=F.relu, classes=3), 36), [2, 5])


class TransLayer(nn.Module):
    def __init__(self, width, heads, kernel):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.attn = nn.Module()
        self.attn.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.attn.to_out = nn.Sequential(nn.Linear(width, width))
        self.attn.res_conv = nn.Conv2d(heads, heads, (kernel, 1), padding=(kernel // 2, 0), groups=heads, bias=False)

    def forward(self, x):
        """PyTorch's own multi-head attention for the softmax part; the convolution of the values joins through the same last layer."""
        a, out, width = self.attn, self.attn.to_out[0], x.shape[2]
        h = self.norm(x).transpose(0, 1)
        y, weights = F.multi_head_attention_forward(h, h, h, width, self.heads, a.to_qkv.weight, None, None, None, False, 0.0, out.weight,
                                                    out.bias, need_weights=True, average_attn_weights=False)
        v = F.linear(h, a.to_qkv.weight[2 * width:]).transpose(0, 1)
        values = v.unflatten(2, (self.heads, -1)).transpose(1, 2)
        local = a.res_conv(values).transpose(1, 2).flatten(2)
        return x + y.transpose(0, 1) + F.linear(local, out.weight), weights


@section
def trans_mil(name):
    """Five instances, four of them repeated to fill a square of side 3."""
    width, heads, side = 4, 2, 3
    model = nn.Module()
    model.cls_token = nn.Parameter(torch.zeros(1, 1, width))
    model._fc1 = nn.Sequential(nn.Linear(3, width), nn.ReLU())
    model.layer1, model.layer2 = TransLayer(width, heads, 3), TransLayer(width, heads, 3)
    model.pos_layer = nn.Module()
    for part, kernel in (("proj", 7), ("proj1", 5), ("proj2", 3)):
        setattr(model.pos_layer, part, nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width))
    model.norm, model._fc2 = nn.LayerNorm(width), nn.Linear(width, 2)
    stir(model, 37)
    x = leaf(2, 5, 3)
    h = model._fc1(x)
    h = torch.cat([model.cls_token.expand(2, -1, -1), h, h[:, :4]], 1)
    h, _ = model.layer1(h)
    picture, pos = h[:, 1:].transpose(1, 2).reshape(2, width, side, side), model.pos_layer
    picture = picture + pos.proj(picture) + pos.proj1(picture) + pos.proj2(picture)
    h = torch.cat([h[:, :1], picture.flatten(2).transpose(1, 2)], 1)
    h, weights = model.layer2(h)
    bag = model.norm(h)[:, 0]
    seen = weights[:, :, 0, 1:]
    attention = torch.stack([sum(seen[:, :, place] for place in range(i, 9, 5)) for i in range(5)], 2)
    write(name, "model", model.state_dict())
    save(name, model, model._fc2(bag), {"x": x}, bag=bag, attention=attention)


# -- mixtures of experts: every expert for every token, times a matrix of weights that is mostly 0 ---------------------------------------


class StackedLinear(nn.Module):
    def __init__(self, experts, inputs, outputs, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(experts, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(experts, outputs)) if bias else None

    def one(self, e, x):
        return F.linear(x, self.weight[e], None if self.bias is None else self.bias[e])


class Mixture(nn.Module):
    def __init__(self, width, experts, inner, act, gated, bias, shared):
        super().__init__()
        self.act, self.count = act, experts
        self.router = nn.Module()
        self.router.gate = nn.Linear(width, experts, bias=False)
        self.experts = nn.Module()
        layers = [("gate", width, inner)] * gated + [("up", width, inner), ("down", inner, width)]
        for part, i, o in layers:
            setattr(self.experts, part, StackedLinear(experts, i, o, bias))
        if shared:
            self.shared = nn.Module()
            for part, i, o in [("gate", width, shared)] * gated + [("up", width, shared), ("down", shared, width)]:
                setattr(self.shared, part, nn.Linear(i, o, bias=bias))

    def weights(self, x, router, k, normalize=True):
        """[N, E]: what each expert's answer to each token counts."""
        logits = self.router.gate(x)
        score = torch.sigmoid(logits) if router == "sigmoid" else logits.softmax(1)
        if router == "expert_choice":
            kept = torch.zeros_like(score, dtype=torch.bool)
            each = round(k * len(x) / self.count)
            for e in range(self.count):
                kept[score[:, e].argsort(descending=True)[:each], e] = True
            return score * kept
        k = 1 if router == "switch" else k
        kept = score >= score.sort(1, descending=True).values[:, k - 1:k]
        w = score * kept
        return w / w.sum(1, keepdim=True) if normalize and router != "switch" else w

    def forward(self, x, *how, **options):
        rows = x.flatten(0, -2)
        w = self.weights(rows, *how, **options)
        y = torch.zeros_like(rows)
        for e in range(self.count):
            up = self.experts.up.one(e, rows)
            inner = self.act(self.experts.gate.one(e, rows)) * up if hasattr(self.experts, "gate") else self.act(up)
            y = y + w[:, e:e + 1] * self.experts.down.one(e, inner)
        if hasattr(self, "shared"):
            up = self.shared.up(rows)
            inner = self.act(self.shared.gate(rows)) * up if hasattr(self.shared, "gate") else self.act(up)
            y = y + self.shared.down(inner)
        return y.reshape(x.shape)


def mixture_section(name, model):
    x = leaf(2, 4, 4)
    write(name, "model", model.state_dict())
    others = {way: model(x, way, 2) for way in ("sigmoid", "switch", "expert_choice")}
    others["unscaled"] = model(x, "softmax", 2, normalize=False)
    logits = model.router.gate(x.flatten(0, 1))
    chosen = F.one_hot(logits.topk(2, 1).indices, 4).sum((0, 1)) / 16
    balance = 4 * (chosen * logits.softmax(1).mean(0)).sum()
    z = logits.logsumexp(1).square().mean()
    summed = model.weights(x.flatten(0, 1), "softmax", 2).sum(0)
    importance = summed.var(unbiased=False) / summed.mean().square()
    save(name, model, model(x, "softmax", 2), {"x": x}, balance=balance, z=z, importance=importance, **others)


@section
def mixture_gelu(name):
    """Four plain experts with biases, and a shared one."""
    mixture_section(name, stir(Mixture(4, 4, 3, F.gelu, gated=False, bias=True, shared=5), 38))


@section
def mixture_swiglu(name):
    """Four gated experts without biases."""
    mixture_section(name, stir(Mixture(4, 4, 5, F.silu, gated=True, bias=False, shared=0), 39))


# -- poses -------------------------------------------------------------------------------------------------------------------------------


@section
def pose(name):
    """A ResNet of two stages and two transposed convolutions: heat maps in evaluation, and in training with what it changes."""
    model = image_networks.ResNet(channels=1, width=2, blocks=(1, 1), classes=1)
    del model.fc
    model.deconv_layers = nn.Sequential(nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.BatchNorm2d(3), nn.ReLU(),
                                        nn.ConvTranspose2d(3, 3, 4, 2, 1, bias=False), nn.BatchNorm2d(3), nn.ReLU())
    model.final_layer = nn.Conv2d(3, 2, 1)
    stir(model, 40)

    def maps(net, x):
        x = F.max_pool2d(F.relu(net.bn1(net.conv1(x))), 3, 2, 1)
        return net.final_layer(net.deconv_layers(net.layer2(net.layer1(x))))

    x = leaf(2, 1, 12, 16)
    write(name, "model", model.state_dict())
    training = copy.deepcopy(model).train()
    trained, norm = maps(training, x), training.deconv_layers[1]
    save(name, model, maps(model, x), {"x": x}, under="deconv_layers.", trained=trained, running_mean=norm.running_mean,
         running_var=norm.running_var)


# -- contrastive models ------------------------------------------------------------------------------------------------------------------


@section
def shared_space(name):
    """Two encoders' outputs into one space; y is the loss, the mean of both directions' cross-entropies."""
    model = nn.Module()
    model.visual_projection, model.text_projection = nn.Linear(5, 4, bias=False), nn.Linear(3, 4, bias=False)
    model.logit_scale = nn.Parameter(torch.zeros(()))
    stir(model, 41)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(1 / 0.07))
    images, texts = leaf(4, 5), leaf(4, 3)
    logits = F.cosine_similarity(model.visual_projection(images)[:, None], model.text_projection(texts)[None], dim=2)
    logits = logits * model.logit_scale.exp()
    own = torch.arange(4)
    loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.t(), own)) / 2
    write(name, "model", model.state_dict())
    save(name, model, loss, {"images": images, "texts": texts}, logits=logits)


@section
def prototypes(name):
    """An episode of two ways, two shots and one query in training; y is the loss. Also embeddings in evaluation."""
    model = nn.Module()
    block = [nn.Sequential(nn.Conv2d(i, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)) for i in (1, 3)]
    model.encoder = nn.Sequential(*block)
    stir(model, 42)
    x = leaf(6, 1, 9, 6)
    write(name, "model", model.state_dict())
    evaluated = model.encoder(x).flatten(1)
    model.train()
    z = model.encoder(x).flatten(1)
    centres = torch.stack([z[[0, 1]].mean(0), z[[2, 3]].mean(0)])
    logits = -torch.stack([(z[4:] - centre).square().sum(1) for centre in centres], 1)
    save(name, model, F.cross_entropy(logits, torch.tensor([0, 1])), {"x": x}, logits=logits, evaluated=evaluated)


# -- the detector's parts ----------------------------------------------------------------------------------------------------------------


@section
def pyramid(name):
    """Three levels of odd sizes, so that enlarging is not doubling."""
    model = nn.Module()
    model.inner_blocks = nn.ModuleList([nn.Conv2d(c, 3, 1) for c in (2, 3, 4)])
    model.layer_blocks = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)])
    stir(model, 43)
    maps = [leaf(1, 2, 9, 7), leaf(1, 3, 5, 4), leaf(1, 4, 3, 2)]
    top = model.inner_blocks[2](maps[2])
    middle = model.inner_blocks[1](maps[1]) + F.interpolate(top, size=(5, 4), mode="nearest")
    bottom = model.inner_blocks[0](maps[0]) + F.interpolate(middle, size=(9, 7), mode="nearest")
    levels = [layer(x) for layer, x in zip(model.layer_blocks, (bottom, middle, top))]
    write(name, "model", model.state_dict())
    y = torch.cat([level.flatten() for level in levels])
    save(name, model, y, {f"x{i}": x for i, x in enumerate(maps)})


class BoxStage(nn.Module):
    def __init__(self, c):
        super().__init__()
        w = c["width"]
        self.c = c
        self.self_attn = nn.Module()
        for part in ("query", "key", "value", "out"):
            setattr(self.self_attn, part, nn.Linear(w, w))
        d = self.inst_interact = nn.Module()
        d.dynamic_layer, d.norm1, d.norm2 = nn.Linear(w, 2 * w * c["dynamic"]), nn.LayerNorm(c["dynamic"]), nn.LayerNorm(w)
        d.out_layer, d.norm3 = nn.Linear(w * c["size"] ** 2, w), nn.LayerNorm(w)
        self.linear1, self.linear2 = nn.Linear(w, c["inner"]), nn.Linear(c["inner"], w)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(w), nn.LayerNorm(w), nn.LayerNorm(w)
        self.block_time_mlp = nn.Sequential(nn.SiLU(), nn.Linear(4 * w, 2 * w))
        self.cls_module = nn.Sequential(nn.Linear(w, w, bias=False), nn.LayerNorm(w), nn.ReLU())
        self.reg_module = nn.Sequential(nn.Linear(w, w, bias=False), nn.LayerNorm(w), nn.ReLU(), nn.Linear(w, w, bias=False),
                                        nn.LayerNorm(w), nn.ReLU())
        self.class_logits, self.bboxes_delta = nn.Linear(w, c["classes"]), nn.Linear(w, 4)

    def bins(self, levels, strides, box, image):
        """A box's bins [size², width]: means of samples that grid_sample reads."""
        c = self.c
        side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
        level = min(max(math.floor(math.log2(side / (c["cells"] * strides[0]))), 0), len(levels) - 1)
        x, stride = levels[level][image:image + 1], strides[level]
        share = (torch.arange(c["size"] * c["sampling"], dtype=torch.float64) + 0.5) / (c["size"] * c["sampling"])
        across = 2 * (box[0] + share * (box[2] - box[0])) / stride / x.shape[3] - 1
        down = 2 * (box[1] + share * (box[3] - box[1])) / stride / x.shape[2] - 1
        grid = torch.stack([across[None, :].expand(len(share), -1), down[:, None].expand(-1, len(share))], 2)
        samples = F.grid_sample(x, grid[None], mode="bilinear", padding_mode="border", align_corners=False)
        return F.avg_pool2d(samples, c["sampling"])[0].flatten(1).t()

    def forward(self, levels, strides, boxes, state, time):
        batch, count, w, a = *boxes.shape[:2], self.c["width"], self.self_attn
        bins = torch.stack([self.bins(levels, strides, boxes[b, p], b) for b in range(batch) for p in range(count)])
        if state is None:
            state = bins.mean(1).reshape(batch, count, w)
        h = state.transpose(0, 1)
        weights = torch.cat([a.query.weight, a.key.weight, a.value.weight]), torch.cat([a.query.bias, a.key.bias, a.value.bias])
        y, _ = F.multi_head_attention_forward(h, h, h, w, self.c["heads"], *weights, None, None, False, 0.0, a.out.weight, a.out.bias)
        x = self.norm1(state + y.transpose(0, 1))
        d = self.inst_interact
        first, second = d.dynamic_layer(x.reshape(-1, w)).chunk(2, 1)
        z = F.relu(d.norm1(bins @ first.reshape(-1, w, self.c["dynamic"])))
        z = F.relu(d.norm2(z @ second.reshape(-1, self.c["dynamic"], w)))
        z = F.relu(d.norm3(d.out_layer(z.flatten(1))))
        x = self.norm2(x + z.reshape(x.shape))
        state = self.norm3(x + self.linear2(F.relu(self.linear1(x))))
        scale, shift = self.block_time_mlp(time)[:, None].chunk(2, 2)
        x = state * (1 + scale) + shift
        dx, dy, dw, dh = self.bboxes_delta(self.reg_module(x)).unbind(2)
        x1, y1, x2, y2 = boxes.unbind(2)
        width, height = x2 - x1, y2 - y1
        cx, cy = (x1 + x2) / 2 + width * dx / 2, (y1 + y2) / 2 + height * dy / 2
        width, height = width * dw.exp(), height * dh.exp()
        moved = torch.stack([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2], 2)
        return self.class_logits(self.cls_module(x)), moved, state


@section
def box_decoder(name):
    """Two stages over two levels; the second reads the first one's boxes. y is both stages' logits and boxes, these over 16."""
    c = {"classes": 2, "width": 4, "heads": 2, "inner": 3, "dynamic": 2, "size": 2, "sampling": 2, "cells": 2}
    model = nn.Module()
    model.time_mlp = nn.Sequential(nn.Identity(), nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 16))
    model.head_series = nn.ModuleList([BoxStage(c) for _ in range(2)])
    stir(model, 44)
    with torch.no_grad():
        for stage in model.head_series:
            stage.bboxes_delta.weight.mul_(0.2)
    levels, strides = [leaf(2, 4, 8, 8), leaf(2, 4, 4, 4)], [4.0, 8.0]
    boxes = torch.tensor([[[3.0, 4.0, 15.0, 13.0], [6.0, 5.0, 28.0, 29.0]], [[10.0, 12.0, 19.0, 22.0], [4.0, 8.0, 30.0, 25.0]]],
                         dtype=torch.float64)
    time = torch.tensor([0.0, 421.0], dtype=torch.float64)
    angles = time[:, None] * 10000 ** (-torch.arange(2, dtype=torch.float64) / 2)
    t = model.time_mlp(torch.cat([angles.sin(), angles.cos()], 1))
    parts, state, now = [], None, boxes
    for stage in model.head_series:
        logits, moved, state = stage(levels, strides, now, state, t)
        parts += [logits.flatten(), moved.flatten() / 16]
        now = moved.detach()
    write(name, "model", model.state_dict())
    save(name, model, torch.cat(parts), {"level0": levels[0], "level1": levels[1], "boxes": boxes, "time": time},
         under=tuple(f"head_series.0.{part}" for part in ("self_attn.query", "inst_interact.dynamic_layer", "block_time_mlp")))


def main(names):
    for name in names or SECTIONS:
        SECTIONS[name](name)
    sizes = {name: sum(file.stat().st_size for file in (HERE / name).iterdir()) for name in SECTIONS if (HERE / name).is_dir()}
    for name, size in sizes.items():
        print(f"{name}: {size:,} bytes")
    assert sum(sizes.values()) < LIMIT, f"{sum(sizes.values()):,} bytes are more than {LIMIT:,}"


if __name__ == "__main__":
    main(sys.argv[1:])
