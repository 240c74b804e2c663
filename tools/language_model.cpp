// Loading what a GPT run is made of.
#include "tools/language_model.h"

#include "engine/autograd/grad_mode.h"
#include "engine/io/file.h"
#include "ops/loss.h"
#include "ops/shape.h"
#include "tools/train/run_config.h"

namespace plumb::tools {

static constexpr auto fields = [](auto& r, auto&& f) {
  f("model", r.model), f("data", r.data), f("data_sha256", r.data_sha256), f("tokenizer", r.tokenizer), f("bpe_vocab", r.bpe_vocab);
};

std::string GptRun::to_json() const { return run_json("gpt", *this, fields).text(); }

GptRun GptRun::from_json(const std::string& text) {
  GptRun run;
  read_run("gpt", text, run, fields);
  return run;
}

void GptRun::check() const {
  model.check();
  require(tokenizer == "char" || tokenizer == "byte" || tokenizer == "bpe", "--tokenizer " + tokenizer + " is unknown; choose char, byte or bpe");
  training.check();
}

std::string read_texts(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += read_text(file);
  return text;
}

data::TokenStream encode_text(const Tokenizer& tokenizer, const std::string& text, const std::string& name) { return data::TokenStream(tokenizer.encode(text), name); }

GptRun load_settings(const train::RunDirectory& run) { return GptRun::from_json(run.config()); }

transformer::Gpt load_gpt(const train::RunDirectory& run, const GptRun& settings) {
  transformer::Gpt model(settings.model);
  settings.training.prepare(model);
  model.load_state(run.load_model());
  model.eval();
  return model;
}

double mean_loss(const transformer::Gpt& model, const data::ConsecutiveWindows& windows) {
  NoGrad off;
  double total = 0;
  for (const auto& batch : windows) {
    Tensor logits = model(batch.tokens);
    total += cross_entropy(flatten(logits, 0, 1), flatten(batch.target, 0, 1), {.reduction = Reduction::sum}).item();
  }
  return total / static_cast<double>(windows.targets());
}

}  // namespace plumb::tools
