// `plumb eval`: how well a trained GPT predicts a text.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>

#include "tools/commands.h"
#include "tools/language_model.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string run;
  std::vector<std::string> data;
};

int evaluate(const Options& o) {
  auto directory = train::RunDirectory::open(o.run);
  GptRun settings = load_settings(directory);
  Tokenizer tokenizer = Tokenizer::load(directory.file("tokenizer.json"));
  data::TokenStream text = encode_text(tokenizer, read_texts(o.data), o.data[0]);
  data::ConsecutiveWindows windows(text, settings.model.context, 4 * settings.batch);
  double loss = mean_loss(load_gpt(directory, settings), windows);
  fmt::print("{{\"loss\": {}, \"perplexity\": {}, \"tokens\": {}}}\n", loss, std::exp(loss), windows.targets());
  return 0;
}

Action define(CLI::App& app) {
  auto o = std::make_shared<Options>();
  app.add_option("run", o->run, "run directory")->required();
  app.add_option("--data", o->data, "text files, joined; every token but the first is predicted once")->required();
  return [o] { return evaluate(*o); };
}

}  // namespace

extern const Command eval_command;
const Command eval_command{"eval", "measure a trained model on a text", define};

}  // namespace plumb::tools
