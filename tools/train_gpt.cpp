// `plumb train gpt`: a GPT trained on text files.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>

#include "engine/autograd/autocast.h"
#include "engine/core/generator.h"
#include "engine/io/file.h"
#include "engine/io/sha256.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/transformer/generate.h"
#include "ops/loss.h"
#include "ops/shape.h"
#include "tools/commands.h"
#include "tools/language_model.h"

namespace plumb::tools {
namespace {

struct Options {
  GptRun run;
  std::string out, resume;
  bool untied = false;
};

Tokenizer make_tokenizer(const GptRun& run, const std::string& text) {
  if (run.tokenizer == "byte") return Tokenizer::bytes();
  if (run.tokenizer == "char") return Tokenizer::characters(text);
  return Tokenizer::byte_pairs(text, {.vocab_size = run.bpe_vocab});
}

std::string text_name(const GptRun& run) { return run.data.size() == 1 ? run.data[0] : fmt::format("{} and {} more", run.data[0], run.data.size() - 1); }

// Weight decay on matrices only: not on biases and norms.
std::vector<optim::Group<optim::AdamWOptions>> parameter_groups(const nn::Module& model, const GptRun& run) {
  optim::AdamWOptions options{.lr = run.lr, .beta1 = run.beta1, .beta2 = run.beta2, .weight_decay = run.weight_decay};
  optim::Group<optim::AdamWOptions> decayed{{}, options}, plain{{}, options};
  plain.options.weight_decay = 0;
  for (const Tensor& p : model.parameters()) (p.rank() >= 2 ? decayed : plain).parameters.push_back(p);
  return {decayed, plain};
}

int train_run(const train::RunDirectory& directory, const GptRun& run, const Tokenizer& tokenizer, const data::TokenSplit& text) {
  manual_seed(run.seed);
  transformer::Gpt model(run.model);
  if (run.dtype == "f64") model.to(f64);
  fmt::print(stderr, "gpt: {} parameters, vocabulary {}, {} tokens to train on, {} to validate\n", model.num_parameters(), run.model.vocab, text.train.size(), text.validation.size());
  optim::AdamW adamw(parameter_groups(model, run));
  data::RandomWindows windows(text.train, {.context = run.model.context, .batch = run.batch, .seed = run.seed});
  data::ConsecutiveWindows validation(text.validation, run.model.context, 4 * run.batch);
  DType compute = run.dtype == "bf16" ? bf16 : f32;
  train::Training training{
      .model = &model,
      .optimizer = &adamw,
      .schedule = optim::cosine_with_warmup(std::min(run.warmup, run.steps - 1), run.steps, run.min_lr / run.lr),
      .loss =
          [&](int64_t step) {
            Autocast cast(compute);
            data::Batch batch = windows(step);
            return cross_entropy(flatten(model(batch.tokens), 0, 1), flatten(batch.target, 0, 1));
          },
      .validate = [&] { return mean_loss(model, validation); },
      .sample =
          [&] {
            std::vector<int32_t> tokens{text.validation[0]};
            Generator generator(run.seed);
            transformer::generate(model, tokens, 400, {.temperature = 0.8}, generator, [&](int32_t t) { tokens.push_back(t); });
            return tokenizer.decode(tokens);
          },
  };
  return train::train(directory, training,
                      {.steps = run.steps, .eval_every = run.eval_every, .checkpoint_every = run.checkpoint_every, .clip_norm = run.clip,
                       .items_per_step = static_cast<double>(run.batch * run.model.context)});
}

void require_cpu(const GptRun& run) {
  if (device_from_name(run.device).type != DeviceType::cpu) throw DeviceError("--device " + run.device + " is not available in this build");
}

int start(Options& o) {
  GptRun& run = o.run;
  run.model.tied = !o.untied;
  run.check();
  require_cpu(run);
  if (path_exists(o.out)) throw ConfigError(o.out + " exists already; choose another --out, or go on with it: --resume " + o.out);
  std::string text = read_texts(run.data);
  for (std::string& path : run.data) path = std::filesystem::absolute(path).lexically_normal().string();
  run.data_sha256 = sha256(text);
  Tokenizer tokenizer = make_tokenizer(run, text);
  run.model.vocab = tokenizer.vocab_size();
  data::TokenStream tokens = encode_text(tokenizer, text, text_name(run));
  data::TokenSplit split = data::split(tokens);
  data::check_context(split.train, run.model.context);
  if (split.validation.size() < 2) throw ConfigError(text_name(run) + " is too short: its last tenth, kept for validation, has fewer than 2 tokens");
  auto directory = train::RunDirectory::create(o.out, run.to_json());
  tokenizer.save(directory.file("tokenizer.json"));
  return train_run(directory, run, tokenizer, split);
}

int resume(const std::string& path) {
  auto directory = train::RunDirectory::open(path);
  GptRun run = load_settings(directory);
  if (directory.finished()) {
    fmt::print("{} is finished: {} steps. Its report: {}\n", path, run.steps, directory.file("report.html"));
    return 0;
  }
  require_cpu(run);
  std::string text = read_texts(run.data);
  if (sha256(text) != run.data_sha256) throw ConfigError(text_name(run) + " has changed since the run began; a resumed run would not be the same. Restore the text, or start a new run");
  std::string tokenizer_path = directory.file("tokenizer.json");
  Tokenizer tokenizer = path_exists(tokenizer_path) ? Tokenizer::load(tokenizer_path) : make_tokenizer(run, text);
  if (!path_exists(tokenizer_path)) tokenizer.save(tokenizer_path);  // killed between the two files of a new run
  return train_run(directory, run, tokenizer, data::split(encode_text(tokenizer, text, text_name(run))));
}

Action define(CLI::App& app) {
  auto o = std::make_shared<Options>();
  GptRun& r = o->run;
  auto* resumed = app.add_option("--resume", o->resume, "go on with this run directory; everything else comes from it");
  auto* data = app.add_option("--data", r.data, "text files, joined in this order; the last tenth is for validation");
  auto* out = app.add_option("--out", o->out, "run directory to make");
  app.add_option("--tokenizer", r.tokenizer, "char, byte or bpe")->capture_default_str();
  app.add_option("--vocab", r.bpe_vocab, "vocabulary of bpe")->capture_default_str();
  app.add_option("--layers", r.model.layers, "blocks")->capture_default_str();
  app.add_option("--heads", r.model.heads, "attention heads a block")->capture_default_str();
  app.add_option("--width", r.model.width, "of the residual stream")->capture_default_str();
  app.add_option("--context", r.model.context, "tokens a sequence")->capture_default_str();
  app.add_option("--dropout", r.model.dropout, "probability")->capture_default_str();
  app.add_flag("--bias", r.model.bias, "biases in linear layers and norms");
  app.add_flag("--untied", o->untied, "an output projection of its own");
  app.add_option("--batch", r.batch, "sequences a step")->capture_default_str();
  app.add_option("--steps", r.steps, "training steps")->capture_default_str();
  app.add_option("--lr", r.lr, "highest learning rate")->capture_default_str();
  app.add_option("--min-lr", r.min_lr, "learning rate at the last step")->capture_default_str();
  app.add_option("--warmup", r.warmup, "steps in which the learning rate rises")->capture_default_str();
  app.add_option("--weight-decay", r.weight_decay, "of matrices")->capture_default_str();
  app.add_option("--beta1", r.beta1, "AdamW's")->capture_default_str();
  app.add_option("--beta2", r.beta2, "AdamW's")->capture_default_str();
  app.add_option("--clip", r.clip, "largest gradient norm; 0: any")->capture_default_str();
  app.add_option("--eval-every", r.eval_every, "steps between validations; the last step always; 0: only then")->capture_default_str();
  app.add_option("--checkpoint-every", r.checkpoint_every, "steps between checkpoints; 0: none before the end")->capture_default_str();
  app.add_option("--seed", r.seed, "of weights, windows and dropout")->capture_default_str();
  app.add_option("--device", r.device, "cpu or cuda")->capture_default_str();
  app.add_option("--dtype", r.dtype, "f32, bf16 (autocast) or f64")->capture_default_str();
  for (CLI::Option* option : app.get_options())
    if (option != resumed && option->get_name() != "--help") resumed->excludes(option);
  return [o, data, out, resumed] {
    if (resumed->count() > 0) return resume(o->resume);
    if (data->count() == 0) throw ConfigError("--data is missing: give the text files to learn from");
    if (out->count() == 0) throw ConfigError("--out is missing: give the run directory to make");
    return start(*o);
  };
}

constexpr Command gpt_command{"gpt", "a GPT, on text files", define};
constexpr std::array<const Command*, 1> kinds{&gpt_command};

}  // namespace

extern const Command train_command;
const Command train_command{"train", "train a model", [](CLI::App& app) { return choose(app, kinds); }};

}  // namespace plumb::tools
