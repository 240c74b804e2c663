// Pretrained decoders that write text.
#include "models/transformer/pretrained.h"
#include "tools/text_writer.h"

namespace plumb::tools {

std::optional<TextWriter> pretrained_writer(const std::string& directory) {
  if (!transformer::is_pretrained(directory)) return {};
  return TextWriter{transformer::load_pretrained_decoder(directory), Tokenizer::load(directory + "/tokenizer.json")};
}

}  // namespace plumb::tools
