// A model that writes text, with its tokenizer: what `plumb sample` needs of it.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "engine/io/tokenizer.h"
#include "models/transformer/decoder.h"

namespace plumb::tools {

struct TextWriter {
  std::shared_ptr<const transformer::CausalDecoder> model;
  Tokenizer tokenizer;
};

/// The GPT-2 or Llama in a directory of Hugging Face's library, with its tokenizer.json; nothing if `directory` is not one.
std::optional<TextWriter> pretrained_writer(const std::string& directory);

}  // namespace plumb::tools
