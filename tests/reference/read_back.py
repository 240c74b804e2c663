"""Hugging Face's library reads back what Plumb writes: its own small models exported by `plumb export` compute the same bits as before, and
a GPT and a vision transformer that Plumb trained have there the losses that `plumb eval` says.
usage: read_back.py PLUMB SOURCE        Ends with "skipped: …" where PyTorch or transformers are not installed."""
import importlib.util
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: this Python has no {missing.name}")
    sys.exit(0)

PLUMB, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
transformers.logging.set_verbosity_error()
torch.manual_seed(0)
CLASSES = {
    "gpt2": transformers.GPT2LMHeadModel,
    "llama": transformers.LlamaForCausalLM,
    "mistral": transformers.MistralForCausalLM,
    "qwen2": transformers.Qwen2ForCausalLM,
    "bert": transformers.BertModel,
    "sentence_encoder": transformers.BertModel,
    "vit": transformers.ViTForImageClassification,
}


def plumb(*arguments):
    done = subprocess.run([PLUMB, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(kind, directory):
    """The model, in f32; no tensor may be missing, left over or of another shape."""
    model, said = kind.from_pretrained(directory, output_loading_info=True)
    wrong = {key: value for key, value in said.items() if value and "pooler" not in str(value)}
    assert not wrong, f"{directory}: {wrong}"
    return model.float().eval()


def outputs(model):
    config = model.config
    if hasattr(config, "image_size"):
        images = torch.randn(2, config.num_channels, config.image_size, config.image_size, generator=torch.Generator().manual_seed(1))
        return model(images).logits
    tokens = torch.randint(0, config.vocab_size, (2, 8), generator=torch.Generator().manual_seed(1))
    out = model(tokens)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


def check_exported(scratch):
    for name, kind in CLASSES.items():
        plumb("export", SOURCE / "tests/reference" / name, "--out", scratch / name)
        before, after = load(kind, SOURCE / "tests/reference" / name), load(kind, scratch / name)
        assert torch.equal(outputs(before), outputs(after)), name


def check_trained(scratch):
    text = scratch / "text"
    text.write_text("the tide is in, the tide is out; the lamp is lit and the lamp is dark. " * 60)
    run, out = scratch / "run", scratch / "trained"
    plumb("train", "gpt", "--data", text, "--out", run, "--tokenizer", "bpe", "--vocab", 270, "--layers", 2, "--heads", 2, "--width", 32,
          "--context", 16, "--steps", 40)
    plumb("export", run, "--out", out)
    model = load(transformers.GPT2LMHeadModel, out)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(out / "tokenizer.json"))
    tokens = torch.tensor(tokenizer(text.read_text())["input_ids"])
    # As `plumb eval` does: windows of 16 one after the other, each token but the first a target once.
    total, count = 0.0, len(tokens) - 1
    for begin in range(0, count, 16):
        end = min(begin + 16, count)
        logits = model(tokens[None, begin:end]).logits[0]
        total += torch.nn.functional.cross_entropy(logits, tokens[begin + 1:end + 1], reduction="sum").item()
    ours = json.loads(plumb("eval", run, "--data", text))["loss"]
    assert abs(total / count - ours) < 1e-5, f"{total / count} there, {ours} here"


def write_idx(folder, part, images, labels):
    """Images [n, side, side] and labels [n] of bytes as MNIST's files hold them."""
    n, side = images.shape[:2]
    (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, n, side, side) + bytes(images.flatten().tolist()))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, n) + bytes(labels.tolist()))


def check_trained_vit(scratch):
    """A vision transformer that Plumb trained has the loss and the accuracy there that `plumb eval` says, its images prepared as the exported file says."""
    data, run, out = scratch / "images", scratch / "vit-run", scratch / "vit-trained"
    data.mkdir()
    labels = torch.arange(240) % 2
    images = torch.randint(0, 100, (240, 8, 8)) + 100 * ((torch.arange(8) < 4)[None, None, :] == (labels == 0)[:, None, None])
    write_idx(data, "train", images[:200], labels[:200])
    write_idx(data, "t10k", images[200:], labels[200:])
    plumb("train", "vit", "--data", data, "--patch", 4, "--layers", 2, "--heads", 2, "--width", 16, "--inner", 32, "--batch", 20, "--steps", 30, "--warmup", 2,
          "--out", run)
    plumb("export", run, "--out", out)
    model = load(transformers.ViTForImageClassification, out)
    said = json.loads((out / "preprocessor_config.json").read_text())
    pixels = (images[200:, None] * said["rescale_factor"] - said["image_mean"][0]) / said["image_std"][0]
    if importlib.util.find_spec("PIL"):  # which the library's own reader of that file needs
        prepared = transformers.AutoImageProcessor.from_pretrained(out)(
            images=[image[:, :, None].numpy().astype("uint8") for image in images[200:]], input_data_format="channels_last", return_tensors="pt")
        assert torch.allclose(prepared["pixel_values"], pixels, atol=1e-5)
    logits = model(pixels).logits
    ours = json.loads(plumb("eval", run))
    loss = torch.nn.functional.cross_entropy(logits, labels[200:]).item()
    assert abs(loss - ours["loss"]) < 1e-5, f"{loss} there, {ours['loss']} here"
    assert (logits.argmax(1) == labels[200:]).sum().item() == round(ours["accuracy"] * 40)


with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
    check_exported(pathlib.Path(folder))
    check_trained(pathlib.Path(folder))
    check_trained_vit(pathlib.Path(folder))
print(f"transformers {transformers.__version__} reads back {', '.join(CLASSES)}, a GPT and a ViT that Plumb trained")
