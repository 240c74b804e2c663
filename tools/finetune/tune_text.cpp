// Language models fine-tuned on text files.
#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/io/sha256.h"
#include "models/nn/placement.h"
#include "models/transformer/generate.h"
#include "ops/loss.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tools/finetune/finetune_run.h"

namespace plumb::tools {
namespace {

std::string same_text(const std::vector<std::string>& files, const std::string& sha) {
  std::string text = read_texts(files);
  if (sha256(text) != sha)
    throw ConfigError(files[0] +
                      " has changed since the run began; a resumed run would not be the same. Restore the text, or start a new run");
  return text;
}

int64_t context_of(const FinetuneRun& run, const LanguageModel& model) {
  int64_t most = model.decoder().context();
  require(run.context <= most, fmt::format("--context {} is longer than the base's, {}", run.context, most));
  return run.context > 0 ? run.context : most;
}

// The text in the base's tokens, cut for training and validation.
data::TokenSplit text_of(const FinetuneRun& run, const Tokenizer& tokenizer, int64_t context) {
  data::TokenSplit text = data::split(encode_text(tokenizer, same_text(run.data, run.data_sha256), run.data[0]));
  data::check_context(text.train, context);
  require(text.validation.size() >= 2, run.data[0] + " is too short: its last tenth, kept for validation, has fewer than 2 tokens");
  return text;
}

data::ConsecutiveWindows kept_windows(const FinetuneRun& run, const Tokenizer& tokenizer, int64_t context) {
  return {encode_text(tokenizer, same_text(run.keep, run.keep_sha256), run.keep[0]), context, 1};
}

// One loss for each of the first windows of the text: of tokens that the model itself draws, since the observed ones of a text that it
// knows by heart say nothing.
void kept_losses(LanguageModel& model, const data::ConsecutiveWindows& windows, int64_t samples, uint64_t seed,
                 const std::function<void(const Tensor&)>& f) {
  Generator luck(seed);
  Device device = nn::device_of(model.module());
  for (int64_t i = 0; i < std::min(samples, windows.size()); ++i) {
    Tensor logits = flatten(model.logits(windows[i].to(device).tokens), 0, 1), drawn;
    {
      NoGrad off;
      drawn = categorical(logits.detach(), &luck);
    }
    f(cross_entropy(logits, drawn, {.reduction = Reduction::sum}));
  }
}

}  // namespace

void describe_text(FinetuneRun& run) {
  run.data_sha256 = sha256(read_texts(run.data));
  if (!run.keep.empty()) run.keep_sha256 = sha256(read_texts(run.keep));
  for (std::vector<std::string>* names : {&run.data, &run.keep}) *names = lasting_names(*names);
}

void check_text(const FinetuneRun& run, const Base& base, const LanguageModel& model) {
  Tokenizer tokenizer = base.tokenizer();
  int64_t context = context_of(run, model);
  text_of(run, tokenizer, context);
  if (!run.keep.empty()) kept_windows(run, tokenizer, context);
}

int tune_text(const train::RunDirectory& directory, const FinetuneRun& run, const Base& base) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  std::unique_ptr<LanguageModel> model = base.language_model(), inherited;
  check_base(run, model->module());
  if (run.adapter.is("ba-lora")) {
    inherited = base.language_model();
    settings.prepare(inherited->module());
  }
  settings.prepare(model->module());
  Tokenizer tokenizer = base.tokenizer();
  int64_t context = context_of(run, *model);
  data::TokenSplit text = text_of(run, tokenizer, context);
  KeptLosses kept = [&](const std::function<void(const Tensor&)>& f) {
    kept_losses(*model, kept_windows(run, tokenizer, context), run.adapter.keep_samples, settings.seed, f);
  };
  Tuning tuning(model->module(), run.adapter, kept);
  fmt::print(stderr, "finetune: {} of {} parameters of {}, {} tokens to train on, {} to validate\n", tuning.part().num_parameters(),
             model->module().num_parameters() - tuning.part().num_parameters(), run.base, text.train.size(), text.validation.size());
  data::RandomWindows windows(text.train, {.context = context, .batch = settings.batch, .seed = settings.seed});
  data::ConsecutiveWindows validation(text.validation, context, 4 * settings.batch);
  auto loss_of = [&](const Tensor& tokens, const Tensor& target) {
    if (!inherited) return tuning.guarded(model->loss(tokens, target));
    Tensor logits = model->logits(tokens), before;
    {
      NoGrad off;
      before = inherited->logits(tokens);
    }
    return methods::ba_lora::language_loss(logits, before, target, {}, run.adapter.penalties);
  };
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            data::Batch batch = windows(part.step);
            int64_t rows = settings.batch / part.count;
            auto own = [&](const Tensor& x) { return to(narrow(x, 0, part.index * rows, rows), settings.place()); };
            return loss_of(own(batch.tokens), own(batch.target));
          },
      .validate =
          [&] {
            return train::Measures{{"val_loss", mean_loss(*model, validation)}};
          },
      .sample =
          [&] {
            std::vector<int32_t> tokens{text.validation[0]};
            Generator generator(settings.seed);
            transformer::generate(model->decoder(), tokens, 400, {.temperature = 0.8}, generator, [&](int32_t t) { tokens.push_back(t); });
            return tokenizer.decode(tokens);
          },
  };
  return train_adapters(directory, run, tuning, training, static_cast<double>(settings.batch * context), "tokens");
}

}  // namespace plumb::tools
