"""Image networks written out from their papers in plain PyTorch, for make.py: each is a function of a state dictionary under the names of the
published implementation, and a function that lists that dictionary's names and shapes."""
import math

import torch
import torch.nn.functional as F


def random_state(shapes, seed):
    """Random weights everywhere; those of norms near 1."""
    torch.manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        spread = 0.2 if len(shape) < 2 else 1 / math.sqrt(math.prod(shape[1:]))
        state[name] = spread * torch.randn(shape)
    for name in list(state):
        if name.endswith("weight") and state[name].dim() == 1:
            state[name] += 1
    return state


def conv_shapes(name, inputs, outputs, kernel, dims=2):
    return {f"{name}.weight": (outputs, inputs) + dims * (kernel,), f"{name}.bias": (outputs,)}


def linear_shapes(name, inputs, outputs, bias=True):
    return {f"{name}.weight": (outputs, inputs), **({f"{name}.bias": (outputs,)} if bias else {})}


def norm_shapes(name, channels):
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


class Layers:
    """A state dictionary as layers: s.conv("conv1", x, padding=1)."""

    def __init__(self, state, groups=1):
        self.state, self.groups = state, groups

    def __contains__(self, name):
        return f"{name}.weight" in self.state

    def of(self, name):
        return self.state[f"{name}.weight"], self.state.get(f"{name}.bias")

    def conv(self, name, x, **options):
        return (F.conv1d if x.dim() == 3 else F.conv2d)(x, *self.of(name), **options)

    def linear(self, name, x):
        return F.linear(x, *self.of(name))

    def group_norm(self, name, x, eps=1e-5):
        return F.group_norm(x, self.groups, *self.of(name), eps)

    def layer_norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], *self.of(name))


# -- the diffusion U-Net of Dhariwal & Nichol 2021, with cross-attention as of Rombach et al. 2022 ---------------------------------------


def unet_shapes(c):
    emb, film = c["embedding"], 2 if c["scale_shift"] else 1
    shapes = {**linear_shapes("time_embed.0", c["width"], emb), **linear_shapes("time_embed.2", emb, emb)}
    if c["classes"]:
        shapes["label_emb.weight"] = (c["classes"], emb)

    def res(name, i, o):
        shapes.update({**norm_shapes(f"{name}.in_layers.0", i), **conv_shapes(f"{name}.in_layers.2", i, o, 3)})
        shapes.update(linear_shapes(f"{name}.emb_layers.1", emb, film * o))
        shapes.update({**norm_shapes(f"{name}.out_layers.0", o), **conv_shapes(f"{name}.out_layers.3", o, o, 3)})
        if i != o:
            shapes.update(conv_shapes(f"{name}.skip_connection", i, o, 1))

    def attention(name, w):
        shapes.update(norm_shapes(f"{name}.norm", w))
        if not c["context"]:
            shapes.update({**conv_shapes(f"{name}.qkv", w, 3 * w, 1, 1), **conv_shapes(f"{name}.proj_out", w, w, 1, 1)})
            return
        shapes.update({**conv_shapes(f"{name}.proj_in", w, w, 1), **conv_shapes(f"{name}.proj_out", w, w, 1)})
        block = f"{name}.transformer_blocks.0"
        for layer, source in (("attn1", w), ("attn2", c["context"])):
            shapes.update(linear_shapes(f"{block}.{layer}.to_q", w, w, False))
            for part in ("to_k", "to_v"):
                shapes.update(linear_shapes(f"{block}.{layer}.{part}", source, w, False))
            shapes.update(linear_shapes(f"{block}.{layer}.to_out.0", w, w))
        shapes.update({**linear_shapes(f"{block}.ff.net.0.proj", w, 8 * w), **linear_shapes(f"{block}.ff.net.2", 4 * w, w)})
        for i in (1, 2, 3):
            shapes.update(norm_shapes(f"{block}.norm{i}", w))

    widths = [c["width"] * m for m in c["multipliers"]]
    channels, skips, n = widths[0], [widths[0]], 1
    shapes.update(conv_shapes("input_blocks.0.0", c["channels"], channels, 3))
    for level, w in enumerate(widths):
        for _ in range(c["blocks"]):
            res(f"input_blocks.{n}.0", channels, w)
            if level in c["attention"]:
                attention(f"input_blocks.{n}.1", w)
            channels, n = w, n + 1
            skips.append(channels)
        if level < len(widths) - 1:
            if c["resample_blocks"]:
                res(f"input_blocks.{n}.0", channels, channels)
            else:
                shapes.update(conv_shapes(f"input_blocks.{n}.0.op", channels, channels, 3))
            skips.append(channels)
            n += 1
    res("middle_block.0", channels, channels)
    attention("middle_block.1", channels)
    res("middle_block.2", channels, channels)
    n = 0
    for level in reversed(range(len(widths))):
        for i in range(c["blocks"] + 1):
            res(f"output_blocks.{n}.0", channels + skips.pop(), widths[level])
            channels, place = widths[level], 1
            if level in c["attention"]:
                attention(f"output_blocks.{n}.{place}", channels)
                place += 1
            if level and i == c["blocks"]:
                if c["resample_blocks"]:
                    res(f"output_blocks.{n}.{place}", channels, channels)
                else:
                    shapes.update(conv_shapes(f"output_blocks.{n}.{place}.conv", channels, channels, 3))
            n += 1
    shapes.update({**norm_shapes("out.0", channels), **conv_shapes("out.2", channels, c["channels"], 3)})
    return shapes


def unet(c, state, x, t, labels=None, context=None):
    s = Layers(state, c["groups"])
    frequencies = torch.exp(-math.log(10000) * torch.arange(c["width"] // 2) / (c["width"] // 2))
    angles = t[:, None] * frequencies
    e = s.linear("time_embed.2", F.silu(s.linear("time_embed.0", torch.cat([angles.cos(), angles.sin()], 1))))
    if labels is not None:
        e = e + state["label_emb.weight"][labels]

    def res(name, x, resize=None):
        h = F.silu(s.group_norm(f"{name}.in_layers.0", x))
        if resize:
            x, h = resize(x), resize(h)
        h = s.conv(f"{name}.in_layers.2", h, padding=1)
        film = s.linear(f"{name}.emb_layers.1", F.silu(e))[:, :, None, None]
        if c["scale_shift"]:
            scale, shift = film.chunk(2, 1)
            h = s.group_norm(f"{name}.out_layers.0", h) * (1 + scale) + shift
        else:
            h = s.group_norm(f"{name}.out_layers.0", h + film)
        h = s.conv(f"{name}.out_layers.3", F.silu(h), padding=1)
        return (s.conv(f"{name}.skip_connection", x) if f"{name}.skip_connection" in s else x) + h

    def heads(q, k, v):
        q, k, v = (part.unflatten(2, (c["heads"], -1)).transpose(1, 2) for part in (q, k, v))
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[3]), 3)
        return (weights @ v).transpose(1, 2).flatten(2)

    def attention(name, x):
        qkv = s.conv(f"{name}.qkv", s.group_norm(f"{name}.norm", x.flatten(2)))
        qkv = qkv.unflatten(1, (c["heads"], 3, -1))  # every head's query, key and value stand together
        q, k, v = (qkv[:, :, i].flatten(1, 2).transpose(1, 2) for i in range(3))
        return x + s.conv(f"{name}.proj_out", heads(q, k, v).transpose(1, 2)).reshape(x.shape)

    def transformer(name, x):
        h = s.conv(f"{name}.proj_in", s.group_norm(f"{name}.norm", x, 1e-6)).flatten(2).transpose(1, 2)
        block = f"{name}.transformer_blocks.0"
        for layer, norm, source in (("attn1", "norm1", None), ("attn2", "norm2", context)):
            y = s.layer_norm(f"{block}.{norm}", h)
            seen = y if source is None else source
            q, k, v = s.linear(f"{block}.{layer}.to_q", y), s.linear(f"{block}.{layer}.to_k", seen), s.linear(f"{block}.{layer}.to_v", seen)
            h = h + s.linear(f"{block}.{layer}.to_out.0", heads(q, k, v))
        value, gate = s.linear(f"{block}.ff.net.0.proj", s.layer_norm(f"{block}.norm3", h)).chunk(2, 2)
        h = h + s.linear(f"{block}.ff.net.2", value * F.gelu(gate))
        return x + s.conv(f"{name}.proj_out", h.transpose(1, 2).reshape(x.shape))

    def halve(x):
        return F.avg_pool2d(x, 2)

    def double(x):
        return F.interpolate(x, scale_factor=2, mode="nearest")

    def stage(name, x, resize):
        place = 0
        while any(key.startswith(f"{name}.{place}.") for key in state):
            layer = f"{name}.{place}"
            if f"{layer}.in_layers.0" in s:
                x = res(layer, x, resize if resize and c["resample_blocks"] and f"{layer}.skip_connection" not in s and place == last(name) else None)
            elif f"{layer}.qkv" in s:
                x = attention(layer, x)
            elif f"{layer}.proj_in" in s:
                x = transformer(layer, x)
            elif f"{layer}.op" in s:
                x = s.conv(f"{layer}.op", x, stride=2, padding=1)
            elif f"{layer}.conv" in s:
                x = s.conv(f"{layer}.conv", double(x), padding=1)
            else:
                x = s.conv(layer, x, padding=1)
            place += 1
        return x

    def last(name):
        return max(int(key[len(name) + 1:].split(".")[0]) for key in state if key.startswith(f"{name}."))

    levels, blocks = len(c["multipliers"]), c["blocks"]
    skips, n = [stage("input_blocks.0", x, None)], 1
    x = skips[0]
    for level in range(levels):
        for change in [None] * blocks + ([halve] if level < levels - 1 else []):
            x = stage(f"input_blocks.{n}", x, change)
            skips.append(x)
            n += 1
    x = stage("middle_block", x, None)
    n = 0
    for level in reversed(range(levels)):
        for i in range(blocks + 1):
            x = stage(f"output_blocks.{n}", torch.cat([x, skips.pop()], 1), double if level and i == blocks else None)
            n += 1
    return s.conv("out.2", F.silu(s.group_norm("out.0", x)), padding=1)


# -- the autoencoder of Rombach et al. 2022 -----------------------------------------------------------------------------------------------


def autoencoder_shapes(c):
    shapes = {}

    def res(name, i, o):
        shapes.update({**norm_shapes(f"{name}.norm1", i), **conv_shapes(f"{name}.conv1", i, o, 3)})
        shapes.update({**norm_shapes(f"{name}.norm2", o), **conv_shapes(f"{name}.conv2", o, o, 3)})
        if i != o:
            shapes.update(conv_shapes(f"{name}.nin_shortcut", i, o, 1))

    def middle(name, w):
        res(f"{name}.block_1", w, w)
        shapes.update(norm_shapes(f"{name}.attn_1.norm", w))
        for part in ("q", "k", "v", "proj_out"):
            shapes.update(conv_shapes(f"{name}.attn_1.{part}", w, w, 1))
        res(f"{name}.block_2", w, w)

    widths, channels = [c["width"] * m for m in c["multipliers"]], c["width"]
    shapes.update(conv_shapes("encoder.conv_in", c["channels"], channels, 3))
    for level, w in enumerate(widths):
        for i in range(c["blocks"]):
            res(f"encoder.down.{level}.block.{i}", channels, w)
            channels = w
        if level < len(widths) - 1:
            shapes.update(conv_shapes(f"encoder.down.{level}.downsample.conv", w, w, 3))
    middle("encoder.mid", channels)
    shapes.update({**norm_shapes("encoder.norm_out", channels), **conv_shapes("encoder.conv_out", channels, 2 * c["latent"], 3)})
    shapes.update({**conv_shapes("quant_conv", 2 * c["latent"], 2 * c["latent"], 1), **conv_shapes("post_quant_conv", c["latent"], c["latent"], 1)})
    shapes.update(conv_shapes("decoder.conv_in", c["latent"], channels, 3))
    middle("decoder.mid", channels)
    for level in reversed(range(len(widths))):
        for i in range(c["blocks"] + 1):
            res(f"decoder.up.{level}.block.{i}", channels, widths[level])
            channels = widths[level]
        if level:
            shapes.update(conv_shapes(f"decoder.up.{level}.upsample.conv", channels, channels, 3))
    shapes.update({**norm_shapes("decoder.norm_out", channels), **conv_shapes("decoder.conv_out", channels, c["channels"], 3)})
    return shapes


def autoencoder(c, state, images):
    """Images in [−1, 1] → moments of the latent, and the decoder's output for the latent's mean."""
    s = Layers(state, c["groups"])

    def res(name, x):
        h = s.conv(f"{name}.conv1", F.silu(s.group_norm(f"{name}.norm1", x, 1e-6)), padding=1)
        h = s.conv(f"{name}.conv2", F.silu(s.group_norm(f"{name}.norm2", h, 1e-6)), padding=1)
        return (s.conv(f"{name}.nin_shortcut", x) if f"{name}.nin_shortcut" in s else x) + h

    def middle(name, x):
        x = res(f"{name}.block_1", x)
        h = s.group_norm(f"{name}.attn_1.norm", x, 1e-6)
        q, k, v = (s.conv(f"{name}.attn_1.{part}", h).flatten(2) for part in ("q", "k", "v"))
        weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(q.shape[1]), 2)
        x = x + s.conv(f"{name}.attn_1.proj_out", torch.einsum("bij,bcj->bci", weights, v).reshape(x.shape))
        return res(f"{name}.block_2", x)

    levels = len(c["multipliers"])
    x = s.conv("encoder.conv_in", images, padding=1)
    for level in range(levels):
        for i in range(c["blocks"]):
            x = res(f"encoder.down.{level}.block.{i}", x)
        if level < levels - 1:
            x = s.conv(f"encoder.down.{level}.downsample.conv", F.pad(x, (0, 1, 0, 1)), stride=2)
    x = middle("encoder.mid", x)
    moments = s.conv("quant_conv", s.conv("encoder.conv_out", F.silu(s.group_norm("encoder.norm_out", x, 1e-6)), padding=1))
    x = middle("decoder.mid", s.conv("decoder.conv_in", s.conv("post_quant_conv", moments.chunk(2, 1)[0]), padding=1))
    for level in reversed(range(levels)):
        for i in range(c["blocks"] + 1):
            x = res(f"decoder.up.{level}.block.{i}", x)
        if level:
            x = s.conv(f"decoder.up.{level}.upsample.conv", F.interpolate(x, scale_factor=2, mode="nearest"), padding=1)
    return moments, s.conv("decoder.conv_out", F.silu(s.group_norm("decoder.norm_out", x, 1e-6)), padding=1)


# -- ResNet (He et al. 2016), basic blocks under torchvision's names ------------------------------------------------------------------------


class BasicBlock(torch.nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(outputs)
        self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False), torch.nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(torch.nn.Module):
    def __init__(self, channels, width, blocks, classes):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        inputs, self.stages = width, len(blocks)
        for stage, count in enumerate(blocks):
            outputs = width << stage
            layer = [BasicBlock(inputs if i == 0 else outputs, outputs, 2 if stage and i == 0 else 1) for i in range(count)]
            setattr(self, f"layer{stage + 1}", torch.nn.Sequential(*layer))
            inputs = outputs
        self.fc = torch.nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


# -- StyleGAN2 (Karras et al. 2020): every example's own weight in a grouped convolution, filters over zero-stuffed images -------------------


def style_shapes(c):
    """Generator and discriminator for images of side 8: blocks b4 and b8."""
    wide, narrow, style, channels = c["widest"], c["width"], c["style"], c["channels"]
    shapes = {}
    for i in range(c["mapping_layers"]):
        shapes.update(linear_shapes(f"generator.mapping.fc{i}", c["latent"] if i == 0 else style, style))
    shapes["generator.mapping.w_avg"] = (style,)
    shapes["generator.synthesis.b4.const"] = (wide, 4, 4)
    for name, inputs, outputs, side in (("b4.conv1", wide, wide, 4), ("b8.conv0", wide, narrow, 8), ("b8.conv1", narrow, narrow, 8)):
        name = f"generator.synthesis.{name}"
        shapes.update({**linear_shapes(f"{name}.affine", style, inputs), **conv_shapes(name, inputs, outputs, 3)})
        shapes.update({f"{name}.noise_strength": (), f"{name}.noise_const": (side, side)})
    for name, inputs in (("b4", wide), ("b8", narrow)):
        name = f"generator.synthesis.{name}.torgb"
        shapes.update({**linear_shapes(f"{name}.affine", style, inputs), **conv_shapes(name, inputs, channels, 1)})
    name = "discriminator.b8"
    shapes.update({**conv_shapes(f"{name}.fromrgb", channels, narrow, 1), **conv_shapes(f"{name}.conv0", narrow, narrow, 3)})
    shapes.update({**conv_shapes(f"{name}.conv1", narrow, wide, 3), f"{name}.skip.weight": (wide, narrow, 1, 1)})
    name = "discriminator.b4"
    shapes.update({**conv_shapes(f"{name}.conv", wide + 1, wide, 3), **linear_shapes(f"{name}.fc", wide * 16, wide), **linear_shapes(f"{name}.out", wide, 1)})
    return shapes


def filtered(x, up=1, down=1, padding=(0, 0), gain=1.0):
    """Zeros between the places, zeros around, the filter [1, 3, 3, 1] in both directions, every down-th place."""
    batch, channels, height, width = x.shape
    stuffed = torch.zeros(batch, channels, height, up, width, up)
    stuffed[:, :, :, 0, :, 0] = x
    stuffed = F.pad(stuffed.reshape(batch, channels, height * up, width * up), (padding[0], padding[1], padding[0], padding[1]))
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / 64 * gain
    y = F.conv2d(stuffed, kernel.expand(channels, 1, 4, 4), groups=channels)
    return y[:, :, ::down, ::down]


def leaky(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def modulated(x, weight, style, up=False, demodulate=True):
    batch, outputs = x.shape[0], weight.shape[0]
    w = weight[None] * style[:, None, :, None, None]
    if demodulate:
        w = w / (w.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    x = x.reshape(1, -1, *x.shape[2:])
    if up:
        y = F.conv_transpose2d(x, w.transpose(1, 2).reshape(-1, *w.shape[1:2], *w.shape[3:]), stride=2, groups=batch)
    else:
        y = F.conv2d(x, w.reshape(-1, *w.shape[2:]), padding=weight.shape[2] // 2, groups=batch)
    y = y.reshape(batch, outputs, *y.shape[2:])
    return filtered(y, padding=(1, 1), gain=4.0) if up else y


def style_generator(c, state, z):
    """z → w, and images with constant noise."""
    def linear(name, x, rate=1.0):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.linear(x, weight * (rate / math.sqrt(weight.shape[1])), bias * rate)

    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for i in range(c["mapping_layers"]):
        w = leaky(linear(f"generator.mapping.fc{i}", w, c["mapping_rate"]))

    def layer(name, x, up=False):
        name = f"generator.synthesis.{name}"
        y = modulated(x, state[f"{name}.weight"], linear(f"{name}.affine", w), up)
        return leaky(y + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"] + state[f"{name}.bias"][:, None, None])

    def to_rgb(name, x):
        name = f"generator.synthesis.{name}.torgb"
        style = linear(f"{name}.affine", w) / math.sqrt(x.shape[1])
        return modulated(x, state[f"{name}.weight"], style, demodulate=False) + state[f"{name}.bias"][:, None, None]

    x = state["generator.synthesis.b4.const"].expand(z.shape[0], -1, -1, -1)
    x = layer("b4.conv1", x)
    image = to_rgb("b4", x)
    x = layer("b8.conv1", layer("b8.conv0", x, up=True))
    return w, filtered(image, up=2, padding=(2, 1), gain=4.0) + to_rgb("b8", x)


def style_discriminator(c, state, images):
    def conv(name, x, **options):
        weight = state[f"discriminator.{name}.weight"]
        return F.conv2d(x, weight / math.sqrt(weight[0].numel()), state.get(f"discriminator.{name}.bias"), **options)

    def linear(name, x):
        weight = state[f"discriminator.{name}.weight"]
        return F.linear(x, weight / math.sqrt(weight.shape[1]), state[f"discriminator.{name}.bias"])

    x = leaky(conv("b8.fromrgb", images))
    y = leaky(conv("b8.conv0", x, padding=1))
    y = leaky(conv("b8.conv1", filtered(y, padding=(2, 2)), stride=2))
    x = (y + conv("b8.skip", filtered(x, down=2, padding=(1, 1)))) / math.sqrt(2)
    group = min(c["deviation_group"], len(x))
    deviation = x.reshape(group, -1, *x.shape[1:]).var(0, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3))
    x = torch.cat([x, deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
    x = leaky(conv("b4.conv", x, padding=1))
    return linear("b4.out", leaky(linear("b4.fc", x.flatten(1))))[:, 0]
