// `plumb train translate`: an encoder–decoder transformer trained on generated pairs, number words and digits; and `plumb translate`.
#include <fmt/format.h>

#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/nn/placement.h"
#include "ops/loss.h"
#include "ops/shape.h"
#include "tools/train/kinds.h"
#include "tools/train/run_config.h"
#include "tools/train/settings.h"
#include "tools/train/translate_run.h"

namespace plumb::tools {
namespace {

using data::NumberPairs;

constexpr auto fields = [](auto& r, auto&& f) {
  f("digits", r.digits), f("to_words", r.to_words), f("model", r.model);
};

}  // namespace

std::string TranslateRun::to_json() const { return run_json("translate", *this, fields).text(); }

TranslateRun TranslateRun::from_json(const std::string& text) {
  TranslateRun run;
  read_run("translate", text, run, fields);
  return run;
}

namespace {

data::PairBatch placed(const nn::Module& model, const data::PairBatch& batch) {
  return {nn::input_for(model, batch.source), nn::input_for(model, batch.input), nn::input_for(model, batch.output)};
}

constexpr int64_t kMeasured = 500;  // numbers that an evaluation translates

/// Mean cross-entropy a token and the share of numbers whose whole translation, the likeliest of `beams`, is right.
struct Scores {
  double loss = 0, exact = 0;
};
Scores measure(const transformer::Translator& model, const NumberPairs& pairs, NumberPairs::Part part, int64_t beams) {
  NoGrad off;
  Generator generator(2024);  // the same numbers at every evaluation of every run
  std::vector<int64_t> numbers = pairs.draw(part, kMeasured, generator);
  data::PairBatch batch = placed(model, pairs.batch(numbers));
  Scores scores;
  scores.loss = cross_entropy(flatten(model(batch.source, batch.input), 0, 1), flatten(batch.output), {.ignore_index = 0}).item();
  for (int64_t number : numbers) {
    auto found = model.translate(pairs.source(number), {.beams = beams, .max_tokens = pairs.longest()});
    std::vector<int32_t> expected = pairs.target(number);
    expected.push_back(2);
    scores.exact += found.front().tokens == expected;
  }
  scores.exact /= static_cast<double>(numbers.size());
  return scores;
}

std::string examples(const transformer::Translator& model, const NumberPairs& pairs) {
  Generator generator(7);
  std::string text;
  for (int64_t number : pairs.draw(NumberPairs::Part::validation, 8, generator)) {
    auto found = model.translate(pairs.source(number), {.beams = 4, .max_tokens = pairs.longest()});
    text += fmt::format("{} → {}\n", number, pairs.print(found.front().tokens));
  }
  return text;
}

int train_run(const train::RunDirectory& directory, const TranslateRun& run) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  NumberPairs pairs = run.pairs();
  transformer::Translator model(run.model);
  settings.prepare(model);
  fmt::print(stderr, "translate: {} parameters, numbers of up to {} digits, {}\n", model.num_parameters(), run.digits,
             run.to_words ? "digits to words" : "words to digits");
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            // A step's numbers depend on the seed and its number alone, so a resumed run goes on where it was.
            Generator generator(settings.seed * 1'000'003 + static_cast<uint64_t>(part.step) + 1);
            std::vector<int64_t> numbers = pairs.draw(NumberPairs::Part::train, settings.batch, generator);
            int64_t rows = settings.batch / part.count;
            auto first = numbers.begin() + part.index * rows;
            data::PairBatch batch = placed(model, pairs.batch({first, first + rows}));
            return cross_entropy(flatten(model(batch.source, batch.input), 0, 1), flatten(batch.output), {.ignore_index = 0});
          },
      .validate =
          [&] {
            Scores scores = measure(model, pairs, NumberPairs::Part::validation, 1);
            return train::Measures{{"val_loss", scores.loss}, {"val_exact", scores.exact}};
          },
      .test =
          [&] {
            Scores scores = measure(model, pairs, NumberPairs::Part::test, 4);
            return train::Measures{{"test_loss", scores.loss}, {"test_exact", scores.exact}};
          },
      .sample = [&] { return examples(model, pairs); },
  };
  return settings.train_model(directory, model, training, static_cast<double>(settings.batch), "pairs");
}

void configure(TranslateRun& run) {
  require(run.digits >= 1 && run.digits <= 12, fmt::format("--digits must lie between 1 and 12, it is {}", run.digits));
  run.training.check();
  NumberPairs pairs = run.pairs();
  run.model.source_vocab = static_cast<int64_t>(pairs.source_tokens().size());
  run.model.target_vocab = static_cast<int64_t>(pairs.target_tokens().size());
  run.model.context = pairs.longest();
  run.model.check();
}

Action define(CommandLine& line) {
  auto o = std::make_shared<TranslateRun>();
  line.option("--digits", o->digits, "digits of the largest numbers");
  line.flag("--to-words", o->to_words, "digits to words instead of words to digits");
  line.option("--layers", o->model.encoder_layers, "blocks of the encoder");
  line.option("--decoder-layers", o->model.decoder_layers, "blocks of the decoder");
  line.option("--heads", o->model.heads, "attention heads a block");
  line.option("--width", o->model.width, "model width");
  line.option("--inner", o->model.inner, "width inside the feed-forward networks");
  line.option("--dropout", o->model.dropout, "probability");
  o->training.define(line, "pairs");
  auto start = [o](const std::string& out) {
    configure(*o);
    auto directory = train::RunDirectory::create(out, o->to_json());
    return train_run(directory, *o);
  };
  auto resume = [](const train::RunDirectory& directory) {
    TranslateRun run = TranslateRun::from_json(directory.config());
    configure(run);
    return train_run(directory, run);
  };
  return start_or_resume(line, "translate", start, resume);
}

transformer::Translator load_translator(const train::RunDirectory& directory, const TranslateRun& run) {
  transformer::Translator model(run.model);
  run.training.prepare(model);
  model.load_state(directory.load_model());
  model.eval();
  return model;
}

int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  if (!data.empty()) throw ConfigError("--data is not for runs of train translate, whose pairs are generated");
  TranslateRun run = TranslateRun::from_json(directory.config());
  Scores scores = measure(load_translator(directory, run), run.pairs(), NumberPairs::Part::test, 4);
  fmt::print("{{\"exact\": {}, \"loss\": {}, \"pairs\": {}}}\n", scores.exact, scores.loss, kMeasured);
  return 0;
}

struct Request {
  std::string run;
  std::vector<std::string> texts;
  transformer::BeamOptions beam;
};

int translate(const Request& request) {
  auto directory = train::RunDirectory::open(request.run);
  TranslateRun run = TranslateRun::from_json(directory.config());
  NumberPairs pairs = run.pairs();
  std::vector<std::vector<int32_t>> sources;
  for (const std::string& text : request.texts) {
    sources.push_back(pairs.parse(text));
    require(!sources.back().empty() && static_cast<int64_t>(sources.back().size()) <= run.model.context,
            fmt::format("\"{}\" has {} tokens; the run takes 1 to {}", text, sources.back().size(), run.model.context));
  }
  transformer::Translator model = load_translator(directory, run);
  transformer::BeamOptions beam = request.beam;
  beam.max_tokens = pairs.longest();
  for (const auto& source : sources) fmt::print("{}\n", pairs.print(model.translate(source, beam).front().tokens));
  return 0;
}

Action define_translate(CommandLine& line) {
  auto request = std::make_shared<Request>();
  line.required("run", request->run, "run directory of train translate");
  line.required("texts", request->texts, "each gives a line: number words or digits, as the run was trained");
  line.option("--beams", request->beam.beams, "sequences kept at each length");
  return [request] { return translate(*request); };
}

}  // namespace

extern const TrainingKind translate_kind;
const TrainingKind translate_kind{{"translate", "an encoder-decoder, on generated number words and digits", define}, evaluate};
extern const Command translate_command;
const Command translate_command{"translate", "translate with a trained encoder-decoder", define_translate};

}  // namespace plumb::tools
