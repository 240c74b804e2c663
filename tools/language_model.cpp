// Language models on text.
#include "tools/language_model.h"

#include "engine/autograd/grad_mode.h"
#include "engine/io/file.h"
#include "models/nn/placement.h"
#include "ops/loss.h"
#include "ops/shape.h"

namespace plumb::tools {

Tensor next_token_loss(const Tensor& logits, const Tensor& target) { return cross_entropy(flatten(logits, 0, 1), flatten(target, 0, 1)); }

Tensor LanguageModel::loss(const Tensor& tokens, const Tensor& target) { return next_token_loss(logits(tokens), target); }

void TextRun::check() const {
  require(tokenizer == "char" || tokenizer == "byte" || tokenizer == "bpe",
          "--tokenizer " + tokenizer + " is unknown; choose char, byte or bpe");
  training.check();
}

std::unique_ptr<LanguageModel> TextRun::load(const train::RunDirectory& run) const {
  std::unique_ptr<LanguageModel> model = make(run);
  training.prepare(model->module());
  model->module().load_state(run.load_model());
  model->module().eval();
  return model;
}

std::string read_texts(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += read_text(file);
  return text;
}

data::TokenStream encode_text(const Tokenizer& tokenizer, const std::string& text, const std::string& name) {
  std::vector<int32_t> tokens;
  try {
    tokens = tokenizer.encode(text);
  } catch (const ValueError& error) { throw ValueError(name + ": " + error.what()); }  // tokenizers know nothing of files
  return data::TokenStream(std::move(tokens), name);
}

double mean_loss(LanguageModel& model, const data::ConsecutiveWindows& windows, const std::function<void(int64_t)>& done) {
  NoGrad off;
  double total = 0;
  int64_t batches = 0;
  Device device = nn::device_of(model.module());
  for (const auto& windows_of_batch : windows) {
    data::Batch batch = windows_of_batch.to(device);
    Tensor logits = model.logits(batch.tokens);
    total += cross_entropy(flatten(logits, 0, 1), flatten(batch.target, 0, 1), {.reduction = Reduction::sum}).item();
    if (done) done(++batches);
  }
  return total / static_cast<double>(windows.targets());
}

}  // namespace plumb::tools
