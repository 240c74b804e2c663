// UDA on film reviews of which 25 a side have a label: consistency when words that say little are replaced.
#include <fmt/format.h>

#include <cmath>

#include "engine/data/files.h"
#include "methods/experiment.h"
#include "methods/semi_supervised/uda/uda.h"
#include "methods/semi_supervised/uda_reviews/reviews.h"
#include "models/augment/text_view.h"
#include "models/temporal/word_average.h"

namespace plumb::methods::uda_reviews {
namespace {

using augment::Sentence;
using temporal::WordAverage;

constexpr double kRate = 0.5;  // ρ, of TF-IDF and of uniform replacement

struct Problem {
  SemiData few, all;  // with few labels, and with a label for every training review
  std::shared_ptr<const augment::TfIdfReplacer> tf_idf;
  int64_t vocabulary, reviews;
  WordAverage initial;
  uint64_t seed;
};

ReviewWords reviews_for(const Cell& cell, Generator& g) {
  if (cell.budget() != Budget::smoke && !data::find_optional_data_file("", "text", "review_polarity.tar.gz").empty())
    return in_words(data::film_reviews(), 3000);
  return made_up_reviews(cell.pick<int64_t>(400, 1200, 1200), g);
}

// The network reads word vectors of all training reviews, labels unseen: what a pre-trained language model is to the paper. They are left
// as they are: trained on fifty reviews, they forget more than they learn.
Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  ReviewWords reviews = reviews_for(cell, g);
  int64_t length = reviews.published ? 400 : 80;
  int64_t per_class = reviews.published ? 25 : 5;
  SemiData few = split_reviews(reviews, per_class, length, g), all = split_reviews(reviews, 0, length, g);
  std::vector<Sentence> documents = augment::sentences_of(few.unlabelled, kPadding);
  int64_t width = cell.pick<int64_t>(8, 64, 64);
  WordAverage initial({.vocab = reviews.vocabulary, .padding = kPadding, .embedding = width});
  {
    NoGrad off;
    Tensor rows = initial.embedding.weight.detach();
    copy_data(temporal::latent_word_vectors(documents, reviews.vocabulary, {.width = width}, g), rows);
  }
  initial.embedding.requires_grad_(false);
  auto tf_idf = std::make_shared<const augment::TfIdfReplacer>(documents, reviews.vocabulary);
  return {std::move(few),     std::move(all), std::move(tf_idf), reviews.vocabulary, static_cast<int64_t>(reviews.words.size()),
          std::move(initial), g.next_u64()};
}

Tensor as_it_is(const Tensor& tokens, Generator&) { return tokens; }

augment::View noise_of(const Cell& cell, const Problem& problem) {
  if (cell.is("UDA, dropout")) return as_it_is;
  if (cell.is("UDA, uniform"))
    return augment::word_view(
        [words = problem.vocabulary - 2](const Sentence& s, Generator& g) {
          Sentence shifted = s;
          for (int64_t& w : shifted) w -= 2;  // padding and the unknown word are not drawn
          Sentence out = augment::replace_words(shifted, kRate, words, g);
          for (int64_t& w : out) w += 2;
          return out;
        },
        kPadding);
  return augment::word_view([tf_idf = problem.tf_idf](const Sentence& s, Generator& g) { return (*tf_idf)(s, kRate, g); }, kPadding);
}

SemiBatchOptions batches_of(const Cell& cell, const Problem& problem) {
  SemiBatchOptions o{.batch = 16, .ratio = 3, .weak = as_it_is, .strong = noise_of(cell, problem), .seed = problem.seed};
  o.strong_labelled = cell.is("supervised, TF-IDF");
  if (cell.variant().starts_with("supervised")) o.ratio = 0;
  return o;
}

uda::UdaOptions options_of(const Cell& cell, int64_t steps) {
  uda::UdaOptions o{.lambda = 1, .consistency = {.tau = 0.85, .beta = -1}, .steps = steps};
  if (cell.is("UDA, TF-IDF, linear TSA")) o.annealing = uda::Annealing::linear;
  if (cell.is("UDA, TF-IDF, exp TSA")) o.annealing = uda::Annealing::exp;
  return o;
}

SemiTrainOptions training_of(const Cell& cell) {
  SemiTrainOptions o{.steps = cell.pick<int64_t>(30, 400, 2000),
                     .adam = optim::AdamOptions{.lr = cell.pick(2e-2, 3e-3, 3e-3)},
                     .ema = cell.pick(0.8, 0.99, 0.99),
                     .evaluate_every = cell.pick<int64_t>(10, 20, 100)};
  o.schedule = optim::product(optim::warmup(o.steps / 10), optim::linear(o.steps));
  return o;
}

void run(Cell& cell) {
  auto problem = cell.shared("reviews", [&] { return make_problem(cell); });
  SemiTrainOptions training = training_of(cell);
  const SemiData& data = cell.is("supervised, all labels") ? problem->all : problem->few;
  WordAverage model = problem->initial;
  double accuracy = 0;
  auto listen = [&](const SemiProgress& p) {
    accuracy = p.accuracy;
    cell.point("test accuracy (%)", "steps", static_cast<double>(p.step), p.accuracy);
    if (std::isfinite(p.label_accuracy))
      cell.point("labels of used reviews right (%)", "steps", static_cast<double>(p.step), p.label_accuracy);
    cell.progress(static_cast<double>(p.step) / static_cast<double>(training.steps));
  };
  SemiBatcher batches(data, batches_of(cell, *problem));
  auto train = [&](auto&& loss) { train_semi_supervised(model, data, batches, training, loss, listen); };
  if (cell.variant().starts_with("supervised"))
    train(Supervised());
  else if (cell.is("FixMatch, TF-IDF"))
    train(FixMatch({}, data));
  else
    train(uda::Uda(options_of(cell, training.steps)));
  cell.metric("test accuracy (%)", accuracy);
  cell.metric("reviews", static_cast<double>(problem->reviews));
}

}  // namespace

Experiment experiment() {
  return {.title = "UDA, film reviews",
          .paper = "Xie, Dai, Hovy, Luong, Le: Unsupervised Data Augmentation for Consistency Training, NeurIPS 2020",
          .claim =
              "with few labels, consistency under TF-IDF word replacement is worth more than under dropout or uniform replacement, and "
              "more than the same replacement in labelled reviews",
          .metrics = {{"test accuracy (%)"}, {"reviews", Better::neither}},
          .variants = {{"supervised", "the labelled reviews alone"},
                       {"supervised, TF-IDF", "the labelled reviews alone, their words replaced"},
                       {"supervised, all labels", "what 28 times as many labels are worth"},
                       {"FixMatch, TF-IDF", "hard labels above 0.95, the same replacement as UDA"},
                       {"UDA, dropout", "the same words; the network's dropout is the noise"},
                       {"UDA, uniform", "half of the words replaced by any others"},
                       {"UDA, TF-IDF", "half of the words replaced, those that say little first"},
                       {"UDA, TF-IDF, linear TSA", "and labelled reviews released as training goes on"},
                       {"UDA, TF-IDF, exp TSA", "and released late"}},
          .baseline = "UDA, uniform",
          .method = "UDA, TF-IDF",
          .run = run};
}

}  // namespace plumb::methods::uda_reviews
