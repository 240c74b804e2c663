#!/usr/bin/env python3
"""Writes tokenizer_vectors.json beside this file: byte-level BPE tokenizers trained by the reference library on a small text, and the
encodings it gives to texts of every kind.   pip install tokenizers==0.23.3"""
import json
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

assert tokenizers.__version__ == "0.23.3"

TRAINING_TEXT = "\n".join([
    "The tide comes in, the tide goes out; the keeper's lamp doesn't care, and we've counted it 1,234 times since 1897.",
    "She'll say they're late, I'm sure he'd know: 'twas the night of the 31st, the wind at 42 knots and the rain at 7 degrees.",
    "    def tide(level, hours):\n        return level * (1 + hours % 12) / 3.14159   # metres\n\n\tif tide(2, 5) >= 10: raise ValueError('too high')",
    "Les marées d'été reviennent à l'heure, là où naïve façade et garçon se croisent; où êtes-vous, Noël?",
    "Über den Flüssen fließt der Straße Lärm; größer, schöner, süßer.",
    "Вода приходит и вода уходит; маяк не спит, маяк считает волны.",
    "潮が満ちて潮が引く。灯台は眠らない。潮の満ち引き、潮の満ち引き。",
    "The tide, the tide, the tide; lighthouse, lighthouses, lighthouse-keeper; waters, waves, wavelengths 100 200 300 400 500.",
])

TEXTS = [
    "", " ", "  ", "\n", "\t", "\r\n", "a", " a", "a ", "  a  ", "the tide", "The tide comes in,\nthe tide goes out.",
    "lighthouse keeper's",
    "I'm you're we've she'll he'd it's don't", "I'M YOU'RE", "'s 't 're 've 'm 'll 'd 'x ' '' '''", "rock'n'roll o'clock 'tis", "s't'r",
    "1", "12", "1234567890", "3.14159", "1,000,000.00", "x1y2z3", "12ab34", "٣٤٥ १२३ Ⅷ ½ ² ₃ ①", "100%", "$5.00", "C++ && || != <=> ->",
    "...", "!!!???",
    "a  b", "a   b", "a\n\nb", "a \n b", "a\t\tb", "  \n  \n  x", "x  \n", "trailing   ", "   leading", "a\u00a0b", "a\u2003\u2003b",
    "a\u3000b", "a\u2028b", "\u0085x",
    "a\u200bb", "\ufeffmark", "été naïve façade", "e\u0301te\u0301", "größer Straße", "Вода приходит", "潮が満ちて", "潮 が", "עברית العربية",
    "नमस्ते दुनिया", "ไทย",
    "한국어 문장", "😀", "😀😀 👩‍👩‍👧‍👦 🏳️‍🌈", "a😀b 1😀2", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "\u1c89\ua7cb\U000105c0\U000323af", "\U0003134f\U00031350", "ªºµ", "ʰˀ",
    "\u0345\u0300", "_snake_case_ __init__",
    "camelCase HTTPServer", "http://example.org/a?b=c&d=%20#e", "<tag attr=\"v\">", "\x00\x01\x7f", "\ud7ff\ue000\ufffd", "\U0010ffff",
    "the " * 20,
    "thetide" * 10, "a" * 100, "\n" * 30, " " * 33 + "x", "ab" * 50 + " " + "12" * 40,
    "<|endoftext|>", "one<|endoftext|>two", "one <|endoftext|> two", "<|endoftext|><|endoftext|>", "<|endoftext|", "<|END|>",
    "x <mask> y", "x\n\t <mask>  y", "<mask>",
    "say <extra>that <extra2> again", "<extra<extra>>",
]


def random_texts(count):
    draw = random.Random(3)
    pools = [" ", "  ", "\n", "\t", "'", "'s", "'ll", ".", ",", "-", "the", "tide", "Wave", "x", "é", "ß", "Ж", "潮", "満ち", "😀", "7",
        "42", "½", "\u00a0", "\u3000", "\u0301", "<|endoftext|>", "<mask>", "<extra>"]
    return ["".join(draw.choice(pools) for _ in range(draw.randint(3, 24))) for _ in range(count)]


def byte_level(prefix_space):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def trained(vocab_size, min_frequency, special, prefix_space=False):
    tokenizer = byte_level(prefix_space)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([TRAINING_TEXT], trainer)
    return tokenizer


def with_encodings(tokenizer, texts):
    return {"tokenizer": json.loads(tokenizer.to_str()),
            "encodings": [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]}


plain = trained(420, 2, [])
special = trained(330, 2, ["<|endoftext|>"])
special.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<|END|>", rstrip=True)])
special.add_tokens(["<extra>", "<extra2>", AddedToken("  ", normalized=False)])
prefixed = trained(300, 2, ["<mask>"], prefix_space=True)
texts = TEXTS + random_texts(60)
result = {
    "training_text": TRAINING_TEXT,
    "plain": with_encodings(plain, texts),
    "special": with_encodings(special, texts),
    "prefix_space": with_encodings(prefixed, texts[:40]),
}
path = pathlib.Path(__file__).with_name("tokenizer_vectors.json")
path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
print(path.name, path.stat().st_size, "bytes,", len(texts), "texts")
