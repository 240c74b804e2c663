// `plumb train gpt`: a GPT trained on text files.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <memory>

#include "engine/autograd/autocast.h"
#include "engine/core/generator.h"
#include "engine/io/file.h"
#include "engine/io/sha256.h"
#include "models/transformer/generate.h"
#include "ops/loss.h"
#include "ops/shape.h"
#include "tools/language_model.h"
#include "tools/train/kinds.h"
#include "tools/train/settings.h"

namespace plumb::tools {
namespace {

struct Options {
  GptRun run;
  bool untied = false;
};

Tokenizer make_tokenizer(const GptRun& run, const std::string& text) {
  if (run.tokenizer == "byte") return Tokenizer::bytes();
  if (run.tokenizer == "char") return Tokenizer::characters(text);
  return Tokenizer::byte_pairs(text, {.vocab_size = run.bpe_vocab});
}

std::string text_name(const GptRun& run) { return run.data.size() == 1 ? run.data[0] : fmt::format("{} and {} more", run.data[0], run.data.size() - 1); }

int train_run(const train::RunDirectory& directory, const GptRun& run, const Tokenizer& tokenizer, const data::TokenSplit& text) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  transformer::Gpt model(run.model);
  model.recompute = settings.recompute;
  settings.prepare(model);
  fmt::print(stderr, "gpt: {} parameters, vocabulary {}, {} tokens to train on, {} to validate\n", model.num_parameters(), run.model.vocab, text.train.size(), text.validation.size());
  auto optimizer = settings.make_optimizer(model);
  data::RandomWindows windows(text.train, {.context = run.model.context, .batch = settings.batch, .seed = settings.seed});
  data::ConsecutiveWindows validation(text.validation, run.model.context, 4 * settings.batch);
  train::Training training{
      .model = &model,
      .optimizer = optimizer.get(),
      .schedule = settings.schedule(),
      .loss =
          [&](const train::Part& part) {
            Autocast cast(settings.autocast_type());
            data::Batch batch = windows(part.step);
            int64_t rows = settings.batch / part.count;
            auto own = [&](const Tensor& x) { return narrow(x, 0, part.index * rows, rows); };
            return cross_entropy(flatten(model(own(batch.tokens)), 0, 1), flatten(own(batch.target), 0, 1));
          },
      .validate = [&] { return train::Measures{{"val_loss", mean_loss(model, validation)}}; },
      .sample =
          [&] {
            std::vector<int32_t> tokens{text.validation[0]};
            Generator generator(settings.seed);
            transformer::generate(model, tokens, 400, {.temperature = 0.8}, generator, [&](int32_t t) { tokens.push_back(t); });
            return tokenizer.decode(tokens);
          },
  };
  return train::train(directory, training, settings.train_options(static_cast<double>(settings.batch * run.model.context), "tokens"));
}

int start(Options& o, const std::string& out) {
  GptRun& run = o.run;
  if (run.data.empty()) throw ConfigError("--data is missing: give the text files to learn from");
  run.model.tied = !o.untied;
  run.check();
  std::string text = read_texts(run.data);
  for (std::string& path : run.data) path = std::filesystem::absolute(path).lexically_normal().string();
  run.data_sha256 = sha256(text);
  Tokenizer tokenizer = make_tokenizer(run, text);
  run.model.vocab = tokenizer.vocab_size();
  data::TokenStream tokens = encode_text(tokenizer, text, text_name(run));
  data::TokenSplit split = data::split(tokens);
  data::check_context(split.train, run.model.context);
  if (split.validation.size() < 2) throw ConfigError(text_name(run) + " is too short: its last tenth, kept for validation, has fewer than 2 tokens");
  auto directory = train::RunDirectory::create(out, run.to_json());
  tokenizer.save(directory.file("tokenizer.json"));
  return train_run(directory, run, tokenizer, split);
}

int resume(const train::RunDirectory& directory) {
  GptRun run = load_settings(directory);
  run.check();
  std::string text = read_texts(run.data);
  if (sha256(text) != run.data_sha256) throw ConfigError(text_name(run) + " has changed since the run began; a resumed run would not be the same. Restore the text, or start a new run");
  std::string tokenizer_path = directory.file("tokenizer.json");
  Tokenizer tokenizer = path_exists(tokenizer_path) ? Tokenizer::load(tokenizer_path) : make_tokenizer(run, text);
  if (!path_exists(tokenizer_path)) tokenizer.save(tokenizer_path);  // killed between the two files of a new run
  return train_run(directory, run, tokenizer, data::split(encode_text(tokenizer, text, text_name(run))));
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  GptRun& r = o->run;
  line.option("--data", r.data, "text files, joined in this order; the last tenth is for validation");
  line.option("--tokenizer", r.tokenizer, "char, byte or bpe");
  line.option("--vocab", r.bpe_vocab, "vocabulary of bpe");
  line.option("--layers", r.model.layers, "blocks");
  line.option("--heads", r.model.heads, "attention heads a block");
  line.option("--width", r.model.width, "of the residual stream");
  line.option("--context", r.model.context, "tokens a sequence");
  line.option("--dropout", r.model.dropout, "probability");
  line.flag("--bias", r.model.bias, "biases in linear layers and norms");
  line.flag("--untied", o->untied, "an output projection of its own");
  r.training.define(line, "sequences");
  return start_or_resume(line, "gpt", [o](const std::string& out) { return start(*o, out); }, resume);
}

int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  if (data.empty()) throw ConfigError("--data is required: give the text files to measure on");
  GptRun settings = load_settings(directory);
  Tokenizer tokenizer = Tokenizer::load(directory.file("tokenizer.json"));
  data::TokenStream text = encode_text(tokenizer, read_texts(data), data[0]);
  data::ConsecutiveWindows windows(text, settings.model.context, 4 * settings.training.batch);
  double loss = mean_loss(load_gpt(directory, settings), windows);
  fmt::print("{{\"loss\": {}, \"perplexity\": {}, \"tokens\": {}}}\n", loss, std::exp(loss), windows.targets());
  return 0;
}

}  // namespace

extern const TrainingKind gpt_kind;
const TrainingKind gpt_kind{{"gpt", "a GPT, on text files", define}, evaluate};

}  // namespace plumb::tools
