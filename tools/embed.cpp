// `plumb embed`: texts as vectors, by a sentence encoder such as all-MiniLM-L6-v2.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "engine/io/npy.h"
#include "models/transformer/sentence_encoder.h"
#include "tools/commands.h"
#include "tools/output_file.h"
#include "tools/progress_bar.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string model, file, out;
  std::vector<std::string> texts;
  int64_t batch = 32;
};

void append_lines(const std::string& path, std::vector<std::string>& texts) {
  std::string all = read_text(path);
  for (size_t begin = 0; begin < all.size();) {
    size_t end = std::min(all.find('\n', begin), all.size());
    texts.push_back(all.substr(begin, end - begin));
    if (texts.back().ends_with('\r')) texts.back().pop_back();
    begin = end + 1;
  }
}

int embed(const Options& o) {
  std::vector<std::string> texts = o.texts;
  if (!o.file.empty()) append_lines(o.file, texts);
  if (texts.empty()) throw ConfigError("give a text or --file");
  if (!o.out.empty()) check_can_write(o.out);
  auto encoder = transformer::SentenceEncoder::load(o.model);
  Tensor embeddings = encoder.embed(texts, o.batch, progress_bar("embed", "texts"));
  if (!o.out.empty()) {
    save_npy(o.out, embeddings);
    return 0;
  }
  std::vector<float> numbers = to_vector<float>(embeddings);
  size_t width = static_cast<size_t>(encoder.width());
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string text = nlohmann::json(texts[i]).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::printf("{\"text\": %s, \"embedding\": [", text.c_str());
    for (size_t j = 0; j < width; ++j) std::printf("%s%.9g", j ? ", " : "", static_cast<double>(numbers[i * width + j]));
    std::printf("]}\n");
  }
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.option("texts", o->texts, "each gives a vector; printed as lines of JSON");
  line.required("--model", o->model, "directory with config.json, model.safetensors and a tokenizer");
  line.option("--file", o->file, "more texts, one a line");
  line.option("--out", o->out, "write the vectors to this .npy file instead");
  line.option("--batch", o->batch, "texts computed at once");
  return [o] { return embed(*o); };
}

}  // namespace

extern const Command embed_command;
const Command embed_command{"embed", "texts as vectors, by a pretrained sentence encoder", define};

}  // namespace plumb::tools
