// Reading texts and cutting them into examples.
#include "engine/data/text.h"

#include <fmt/format.h>

#include "engine/data/files.h"
#include "engine/io/file.h"

namespace plumb::data {

Text read_text_files(const std::vector<std::string>& paths) {
  if (paths.empty()) throw ValueError("text: no files were given");
  Text all;
  for (const std::string& path : paths) all.text += read_text(path);
  all.name = paths[0];
  if (paths.size() > 1) all.name += fmt::format(" and {} more file{}", paths.size() - 1, paths.size() > 2 ? "s" : "");
  all.hashes = hash_files(paths);
  return all;
}

Text tiny_shakespeare(const std::string& directory) {
  return read_text_files({find_data_file("tinyshakespeare", directory, "text", "tinyshakespeare.txt")});
}

TokenStream tokenize(const Text& text, const Tokenizer& tokenizer) { return TokenStream(tokenizer.encode(text.text), text.name); }

Dataset token_windows(const TokenStream& text, int64_t context, int64_t stride) {
  if (context < 1) throw ValueError(fmt::format("windows: context {} is less than 1", context));
  if (stride < 0) throw ValueError(fmt::format("windows: stride {} is less than 0", stride));
  check_context(text, context);
  if (stride == 0) stride = context;
  return from_function((text.size() - 1 - context) / stride + 1, [=](int64_t i) {
    Sample s;
    s.tokens = empty({context}, i64, cpu, "windows");
    s.target = empty({context}, i64, cpu, "windows");
    text.read(i * stride, context, s.tokens.data<int64_t>());
    text.read(i * stride + 1, context, s.target.data<int64_t>());
    return s;
  });
}

}  // namespace plumb::data
