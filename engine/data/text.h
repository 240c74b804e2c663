// Text files as data.
#pragma once
#include "engine/data/dataset.h"
#include "engine/data/tokens.h"
#include "engine/io/tokenizer.h"

namespace plumb::data {

/// The text of one or more files, one after the other.
struct Text {
  std::string text;
  std::string name;  ///< what errors call it: the file, or "a.txt and 2 more files"
  std::vector<SourceHash> hashes;
};

/// Throws IoError for a file that is missing, unreadable or empty, ValueError for no files.
Text read_text_files(const std::vector<std::string>& paths);
/// text/tinyshakespeare.txt of the data directory (see files.h). Throws IoError naming the file and `plumb data fetch tinyshakespeare`.
Text tiny_shakespeare(const std::string& directory = "");

/// The tokens of a text. Throws what the tokenizer throws.
TokenStream tokenize(const Text& text, const Tokenizer& tokenizer);

/// Windows as examples, for what composes data sets: example i reads the tokens [i·stride, i·stride + context), its target is the same one
/// token further on. Only whole windows; stride 0 means context. Throws ConfigError if not even one fits (see check_context), ValueError
/// for context < 1 or stride < 0.
Dataset token_windows(const TokenStream& text, int64_t context, int64_t stride = 0);

}  // namespace plumb::data
