// Tokenizers from files, and texts through them.
#include "engine/core/error.h"
#include "engine/io/bpe.h"
#include "engine/io/tokenizer.h"
#include "engine/io/wordpiece.h"
#include "tests/fuzz/target.h"

using namespace plumb;

namespace plumb_fuzz {
namespace {

const std::string kText = "the cat sat on the mat; the rat sat on the cat. Ünïcödé 12345 日本 I'll\n";

const Tokenizer& byte_pairs() {
  static const Tokenizer t = Tokenizer::byte_pairs(kText, {.vocab_size = 290, .special_tokens = {"<|end|>"}});
  return t;
}
const Tokenizer& word_pieces() {
  static const Tokenizer t = Tokenizer::word_pieces(learn_words(kText, 200));
  return t;
}

void read_json(std::string_view bytes) {
  Tokenizer t = Tokenizer::from_json(bytes);
  try {
    t.decode(t.encode(kText));
  } catch (const ValueError&) {}  // a character that is unknown
  Tokenizer::from_json(t.to_json());  // what was read can be written and read
}

void read_words(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) {
    Tokenizer t = Tokenizer::load_word_pieces(path);
    t.decode(t.encode(kText));
  });
}

// What bytes and byte pairs encode, they decode to the same.
void encode(std::string_view bytes) {
  if (byte_pairs().decode(byte_pairs().encode(bytes)) != bytes) throw std::logic_error("byte pairs: the text came back changed");
  word_pieces().decode(word_pieces().encode(bytes));
  encode_marked(word_pieces(), bytes, 16);
}

void learn(std::string_view bytes) {
  Tokenizer pairs = Tokenizer::byte_pairs(bytes, {.vocab_size = 300});
  if (pairs.decode(pairs.encode(bytes)) != bytes) throw std::logic_error("byte pairs: the text came back changed");
  learn_words(bytes, 100);
  Tokenizer::characters(bytes).encode(bytes);
}

}  // namespace

std::vector<Target> tokenizer_targets() {
  return {
      {"tokenizer_json", read_json,
       [] {
         return std::vector{Tokenizer::bytes().to_json(), Tokenizer::characters(kText).to_json(), byte_pairs().to_json(),
                            word_pieces().to_json()};
       },
       "tokenizer", 8192},
      {"vocab_txt", read_words,
       [] { return std::vector<std::string>{"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##s\r\ncat\nt\nc\n##a\n##t\n"}; }},
      {"encode", encode,
       [] {
         return std::vector{kText, std::string("<|end|> [CLS] a\xff\xfe\0b", 19)};
       }},
      {"learn", learn, [] { return std::vector{kText}; }, nullptr, 256},
  };
}

}  // namespace plumb_fuzz
