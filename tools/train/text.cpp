// Training on text files.
#include "tools/train/text.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "engine/core/generator.h"
#include "engine/io/file.h"
#include "engine/io/sha256.h"
#include "models/train/progress.h"
#include "models/transformer/generate.h"
#include "ops/shape.h"
#include "tools/cli/heeded_options.h"

namespace plumb::tools {
namespace {

std::string text_name(const TextRun& run) {
  return run.data.size() == 1 ? run.data[0] : fmt::format("{} and {} more", run.data[0], run.data.size() - 1);
}

Tokenizer make_tokenizer(const TextRun& run, const std::string& text) try {
  if (std::optional<Tokenizer> given = run.given_tokenizer()) return *given;
  if (run.tokenizer == "byte") return Tokenizer::bytes();
  if (run.tokenizer == "char") return Tokenizer::characters(text);
  return Tokenizer::byte_pairs(text, {.vocab_size = run.bpe_vocab});
} catch (const ValueError& error) { throw ValueError(text_name(run) + ": " + error.what()); }  // tokenizers know nothing of files

int train_text(const train::RunDirectory& directory, const TextRun& run, const Tokenizer& tokenizer, const data::TokenSplit& text) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  std::unique_ptr<LanguageModel> model = run.make(directory);
  settings.prepare(model->module());
  fmt::print(stderr, "{}: {} parameters{}, vocabulary {}, {} tokens to train on, {} to validate\n", run.kind(),
             model->module().num_parameters(), model->note(), tokenizer.vocab_size(), text.train.size(), text.validation.size());
  model->share_out();
  data::RandomWindows windows(text.train, {.context = run.context(), .batch = settings.batch, .seed = settings.seed});
  data::ConsecutiveWindows validation(text.validation, run.context(), 4 * settings.batch);
  auto batch_of = [&](const train::Part& part) {
    data::Batch batch = windows(part.step);
    int64_t rows = settings.batch / part.count;
    auto own = [&](const Tensor& x) { return narrow(x, 0, part.index * rows, rows); };
    return std::vector<Tensor>{own(batch.tokens), own(batch.target)};
  };
  auto loss_of = [&](const std::vector<Tensor>& x) { return model->loss(x[0], x[1]); };
  train::Training training{
      .validate =
          [&] {
            train::Measures measures = model->measures();
            measures.insert(measures.begin(), {"val_loss", mean_loss(*model, validation)});
            return measures;
          },
      .sample =
          [&] {
            std::vector<int32_t> tokens{text.validation[0]};
            Generator generator(settings.seed);
            transformer::generate(model->decoder(), tokens, 400, {.temperature = 0.8}, generator, [&](int32_t t) { tokens.push_back(t); });
            return tokenizer.decode(tokens);
          },
  };
  if (model->waits()) {
    training.loss = [&](const train::Part& part) {
      std::vector<Tensor> batch = batch_of(part);
      for (Tensor& x : batch) x = to(x, settings.place());
      return loss_of(batch);
    };
  } else {
    training.batch = batch_of;
    training.loss_of = loss_of;
  }
  return settings.train_model(directory, model->module(), training, static_cast<double>(settings.batch * run.context()), "tokens");
}

}  // namespace

void define_text(CommandLine& line, TextRun& run) {
  line.option("--data", run.data, "text files, joined in this order; the last tenth is for validation");
  line.option("--tokenizer", run.tokenizer, "char, byte or bpe");
  line.option("--vocab", run.bpe_vocab, "vocabulary of bpe");
}

int start_text(const CommandLine& line, TextRun& run, const std::string& out) {
  if (run.data.empty()) throw ConfigError("--data is missing: give the text files to learn from");
  run.check();
  refuse_unheeded(line, {{{"--vocab"}, run.tokenizer == "bpe", "only --tokenizer bpe learns a vocabulary of a given size"}});
  std::string text = read_texts(run.data);
  for (std::string& path : run.data) path = std::filesystem::absolute(path).lexically_normal().string();
  run.data_sha256 = sha256(text);
  Tokenizer tokenizer = make_tokenizer(run, text);
  run.set_vocab(tokenizer.vocab_size());
  data::TokenStream tokens = encode_text(tokenizer, text, text_name(run));
  data::TokenSplit split = data::split(tokens);
  data::check_context(split.train, run.context());
  if (split.validation.size() < 2)
    throw ConfigError(text_name(run) + " is too short: its last tenth, kept for validation, has fewer than 2 tokens");
  auto directory = train::RunDirectory::create(out, run.to_json());
  tokenizer.save(directory.file("tokenizer.json"));
  run.complete(directory);
  return train_text(directory, run, tokenizer, split);
}

int resume_text(const TextRun& run, const train::RunDirectory& directory) {
  run.check();
  std::string text = read_texts(run.data);
  if (sha256(text) != run.data_sha256)
    throw ConfigError(text_name(run) +
                      " has changed since the run began; a resumed run would not be the same. Restore the text, or start a new run");
  std::string tokenizer_path = directory.file("tokenizer.json");
  Tokenizer tokenizer = path_exists(tokenizer_path) ? Tokenizer::load(tokenizer_path) : make_tokenizer(run, text);
  if (!path_exists(tokenizer_path)) tokenizer.save(tokenizer_path);  // killed between the files of a new run
  run.complete(directory);
  return train_text(directory, run, tokenizer, data::split(encode_text(tokenizer, text, text_name(run))));
}

int evaluate_text(const TextRun& run, const train::RunDirectory& directory, const std::vector<std::string>& data) {
  if (data.empty()) throw ConfigError("--data is required: give the text files to measure on");
  Tokenizer tokenizer = Tokenizer::load(directory.file("tokenizer.json"));
  data::TokenStream text = encode_text(tokenizer, read_texts(data), data[0]);
  data::ConsecutiveWindows windows(text, run.context(), 4 * run.training.batch);
  train::Progress bar("eval", windows.size(), 0, 0);
  double loss = mean_loss(*run.load(directory), windows, [&](int64_t batch) { bar.update(batch, "batches"); });
  bar.finish();
  fmt::print("{{\"loss\": {}, \"perplexity\": {}, \"tokens\": {}}}\n", loss, std::exp(loss), windows.targets());
  return 0;
}

}  // namespace plumb::tools
