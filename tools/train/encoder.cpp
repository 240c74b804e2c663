// `plumb train encoder`: a BERT-style encoder trained from scratch to tell positive from negative film reviews.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/film_reviews.h"
#include "engine/data/step_batches.h"
#include "engine/io/file.h"
#include "engine/io/sha256.h"
#include "engine/io/wordpiece.h"
#include "models/nn/placement.h"
#include "models/transformer/encoder_classifier.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tools/train/encoder_run.h"
#include "tools/train/kinds.h"
#include "tools/train/run_config.h"
#include "tools/train/settings.h"

namespace plumb::tools {
namespace {

using data::read_film_reviews;
using data::Review;

constexpr auto fields = [](auto& r, auto&& f) {
  f("data", r.data), f("data_sha256", r.data_sha256), f("fold", r.fold), f("validation", r.validation), f("vocab", r.vocab),
      f("min_count", r.min_count), f("word_dropout", r.word_dropout);
  f("head_dropout", r.head_dropout), f("model", r.model);
};

}  // namespace

std::string EncoderRun::to_json() const { return run_json("encoder", *this, fields).text(); }

EncoderRun EncoderRun::from_json(const std::string& text) {
  EncoderRun run;
  read_run("encoder", text, run, fields);
  return run;
}

void EncoderRun::check() const {
  require(fold >= 0 && fold <= 9, fmt::format("--fold must lie between 0 and 9, it is {}", fold));
  require(validation >= 0 && validation < 1, fmt::format("--validation must lie in [0, 1), it is {}", validation));
  require(min_count >= 1, fmt::format("--min-count must be at least 1, it is {}", min_count));
  require(word_dropout >= 0 && word_dropout < 1, fmt::format("--word-dropout must lie in [0, 1), it is {}", word_dropout));
  require(head_dropout >= 0 && head_dropout < 1, fmt::format("--head-dropout must lie in [0, 1), it is {}", head_dropout));
  model.check();
  training.check();
  require(validation > 0 || training.early_stop == 0, "--early-stop needs a validation part: --validation must not be 0");
  require(!training.recompute, "--recompute: a sentence encoder has no blocks to compute again");
}

namespace {

struct Example {
  std::vector<int32_t> tokens;
  int64_t label;
};
struct Parts {
  std::vector<Example> train, validation, test;
};

// Every tenth training review (or another share) of each class, spread over the folds, is held back for validation.
Parts split(const EncoderRun& run, const std::vector<Review>& reviews, const Tokenizer& tokenizer) {
  Parts parts;
  int64_t every = run.validation > 0 ? std::max<int64_t>(2, std::llround(1 / run.validation)) : 0;
  for (const Review& review : reviews) {
    Example example{tokenizer.encode(review.text), review.positive};
    bool held_back = every > 0 && review.number % every == 0;
    (review.fold() == run.fold ? parts.test : held_back ? parts.validation : parts.train).push_back(std::move(example));
  }
  return parts;
}

Tokenizer make_tokenizer(const EncoderRun& run, const std::vector<Review>& reviews) {
  std::string text;
  for (const Review& review : reviews)
    if (review.fold() != run.fold) text += review.text;
  return Tokenizer::word_pieces(learn_words(text, run.vocab, run.min_count));
}

// One window of each review, at random, some of its words unknown; another in every epoch.
data::Dataset windows(const EncoderRun& run, const std::vector<Example>& examples, int32_t unknown) {
  int64_t context = run.model.context;
  data::Dataset places = data::from_function(static_cast<int64_t>(examples.size()), [&examples](int64_t i) {
    data::Sample sample;
    sample.label = scalar_tensor(examples[static_cast<size_t>(i)].label, i64);
    sample.index = i;
    return sample;
  });
  return places.map([&examples, &run, context, unknown](data::Sample sample, Generator& generator) {
    const std::vector<int32_t>& tokens = examples[static_cast<size_t>(sample.index)].tokens;
    int64_t spare = std::max<int64_t>(0, static_cast<int64_t>(tokens.size()) - context),
            first = static_cast<int64_t>(generator.next_double() * static_cast<double>(spare + 1));
    sample.tokens = zeros({context}, i64);
    for (int64_t t = 0; t < std::min<int64_t>(context, static_cast<int64_t>(tokens.size())); ++t)
      sample.tokens.data<int64_t>()[t] = generator.next_double() < run.word_dropout ? unknown : tokens[static_cast<size_t>(first + t)];
    return sample;
  });
}

Tensor logits_of(const transformer::EncoderClassifier& model, const Tensor& tokens) {
  Tensor own = nn::input_for(model, tokens);
  return model(own, own != 0);
}

Tensor loss_of(const transformer::EncoderClassifier& model, const data::Batch& batch) {
  Tensor logits = logits_of(model, batch.tokens);
  return cross_entropy(logits, to(batch.label, logits.device()));
}

struct Scores {
  double loss = 0, accuracy = 0;
};
// Every review whole: the mean of the probabilities of its consecutive windows.
Scores measure(const transformer::EncoderClassifier& model, const std::vector<Example>& examples) {
  NoGrad off;
  int64_t context = model.encoder.config().context;
  Scores scores;
  for (const Example& example : examples) {
    int64_t length = static_cast<int64_t>(example.tokens.size()), rows = std::max<int64_t>(1, (length + context - 1) / context);
    Tensor tokens = zeros({rows, context}, i64);
    std::copy(example.tokens.begin(), example.tokens.end(), tokens.data<int64_t>());
    std::vector<double> p = to_vector(mean(softmax(logits_of(model, tokens), 1), {0}));
    scores.loss -= std::log(std::max(p[static_cast<size_t>(example.label)], 1e-12));
    scores.accuracy += (p[1] > p[0]) == (example.label == 1);
  }
  double n = static_cast<double>(std::max<size_t>(1, examples.size()));
  return {scores.loss / n, scores.accuracy / n};
}

int train_run(const train::RunDirectory& directory, const EncoderRun& run, const Tokenizer& tokenizer, const std::vector<Review>& reviews) {
  const TrainingSettings& settings = run.training;
  manual_seed(settings.seed);
  transformer::EncoderClassifier model(run.model, 2, run.head_dropout);
  settings.prepare(model);
  Parts parts = split(run, reviews, tokenizer);
  fmt::print(stderr, "encoder: {} parameters, vocabulary {}, {} reviews to train on, {} to validate, {} to test (fold {})\n",
             model.num_parameters(), run.model.vocab, parts.train.size(), parts.validation.size(), parts.test.size(), run.fold);
  data::StepBatches batches(windows(run, parts.train, *tokenizer.token_id("[UNK]")),
                            {.batch = settings.batch, .seed = settings.seed, .device = settings.place()});
  train::Training training{
      .loss =
          [&](const train::Part& part) {
            return loss_of(model, batches(part.step, part.index, part.count));
          },
  };
  if (!parts.validation.empty())
    training.validate = [&] {
      Scores scores = measure(model, parts.validation);
      return train::Measures{{"val_loss", scores.loss}, {"val_accuracy", scores.accuracy}};
    };
  training.test = [&] {
    Scores scores = measure(model, parts.test);
    return train::Measures{{"test_loss", scores.loss}, {"test_accuracy", scores.accuracy}};
  };
  return settings.train_model(directory, model, training, static_cast<double>(settings.batch), "reviews");
}

int start(EncoderRun& run, const std::string& out) {
  require(!run.data.empty(), "--data is missing: give the path of review_polarity.tar.gz");
  run.check();
  std::vector<Review> reviews = read_film_reviews(run.data);
  run.data = std::filesystem::absolute(run.data).lexically_normal().string();
  run.data_sha256 = sha256_of_file(run.data);
  Tokenizer tokenizer = make_tokenizer(run, reviews);
  run.model.vocab = tokenizer.vocab_size();
  Parts parts = split(run, reviews, tokenizer);
  require(!parts.train.empty() && !parts.test.empty(),
          fmt::format("{}: fold {} leaves no reviews to train on, or none to test", run.data, run.fold));
  auto directory = train::RunDirectory::create(out, run.to_json());
  tokenizer.save(directory.file("tokenizer.json"));
  return train_run(directory, run, tokenizer, reviews);
}

std::vector<Review> own_reviews(const EncoderRun& run) {
  if (sha256_of_file(run.data) != run.data_sha256)
    throw ConfigError(run.data + " has changed since the run began; a resumed run would not be the same. Restore it, or start a new run");
  return read_film_reviews(run.data);
}

int resume(const train::RunDirectory& directory) {
  EncoderRun run = EncoderRun::from_json(directory.config());
  run.check();
  std::vector<Review> reviews = own_reviews(run);
  Tokenizer tokenizer = make_tokenizer(run, reviews);
  std::string path = directory.file("tokenizer.json");
  if (!path_exists(path)) tokenizer.save(path);  // killed between the files of a new run
  return train_run(directory, run, tokenizer, reviews);
}

Action define(CommandLine& line) {
  auto o = std::make_shared<EncoderRun>();
  line.option("--data", o->data, "review_polarity.tar.gz");
  line.option("--fold", o->fold, "fold of ten, by file number: tested on; the others are trained on");
  line.option("--validation", o->validation, "share of the training reviews to choose settings by; 0: none, all are trained on");
  line.option("--vocab", o->vocab, "words, the most frequent");
  line.option("--min-count", o->min_count, "rarer words are spelt by letters");
  line.option("--layers", o->model.layers, "blocks");
  line.option("--heads", o->model.heads, "attention heads a block");
  line.option("--width", o->model.width, "model width");
  line.option("--inner", o->model.inner, "width inside the feed-forward networks");
  line.option("--context", o->model.context, "words of a review that are seen together");
  line.option("--dropout", o->model.dropout, "dropout of embeddings and of what blocks add");
  line.option("--attention-dropout", o->model.attention_dropout, "dropout of attention weights");
  line.option("--head-dropout", o->head_dropout, "before the classifier");
  line.option("--word-dropout", o->word_dropout, "share of words made unknown in training");
  o->training.define(line, "reviews");
  return start_or_resume(line, "encoder", [o](const std::string& out) { return start(*o, out); }, resume);
}

int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& data) {
  EncoderRun run = EncoderRun::from_json(directory.config());
  if (data.size() > 1) throw ConfigError("--data: give one archive of reviews; its fold of the run is measured");
  std::vector<Review> reviews = data.empty() ? own_reviews(run) : read_film_reviews(data[0]);
  Parts parts = split(run, reviews, Tokenizer::load(directory.file("tokenizer.json")));
  transformer::EncoderClassifier model(run.model, 2, run.head_dropout);
  run.training.prepare(model);
  model.load_state(directory.load_model());
  model.eval();
  Scores scores = measure(model, parts.test);
  fmt::print("{{\"accuracy\": {}, \"loss\": {}, \"reviews\": {}}}\n", scores.accuracy, scores.loss, parts.test.size());
  return 0;
}

}  // namespace

extern const TrainingKind encoder_kind;
const TrainingKind encoder_kind{{"encoder", "a BERT-style encoder, on film reviews", define}, evaluate};

}  // namespace plumb::tools
