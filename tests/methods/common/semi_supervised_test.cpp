// The shared pieces of semi-supervised methods: the split, the batches, the trainer, FixMatch's loss.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/data/digits/digits.h"
#include "methods/common/semi_supervised.h"
#include "methods/common/small_cnn.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

SemiData small_data(uint64_t seed, int64_t per_class = 2, bool with_labelled = false) {
  Generator g(seed);
  auto digits = data::digits();
  return semi_split(digits.train().take(200), digits.test().take(50), per_class, g, with_labelled);
}

}  // namespace

TEST_CASE("semi-supervised: the split has its labels of every class, and no example twice") {
  SemiData d = small_data(1);
  CHECK(d.classes == 10);
  std::map<int64_t, int> count;
  for (int64_t label : to_vector<int64_t>(d.labels)) ++count[label];
  for (int64_t c = 0; c < 10; ++c) CHECK(count[c] == 2);
  CHECK(d.labelled.shape() == Shape{20, 1, 8, 8});
  CHECK(d.unlabelled.shape() == Shape{180, 1, 8, 8});
  CHECK(d.test_labels.numel() == 50);
  CHECK(small_data(1, 2, true).truth.numel() == 200);
  CHECK(to_vector(small_data(1).labelled) == to_vector(d.labelled));
  CHECK(to_vector(small_data(2).labelled) != to_vector(d.labelled));
  Generator g(3);
  auto digits = data::digits().train().take(20);
  CHECK_THROWS_AS(semi_split(digits, digits, 5, g), ValueError);
  CHECK_THROWS_WITH_AS(semi_split(digits, digits, 0, g), "semi_split: 0 labels a class", ValueError);
}

TEST_CASE("semi-supervised: batches go through all examples before one comes again, and are the same for every variant") {
  SemiData d = small_data(4);
  SemiBatchOptions options{.batch = 10, .ratio = 3, .strong_views = 2, .weak = augment::shift_view(1, 0), .seed = 5};
  SemiBatcher a(d, options), b(d, options);
  std::set<int64_t> labelled, unlabelled;
  for (int step = 0; step < 6; ++step) {
    SemiBatch x = a.next(), y = b.next();
    CHECK(to_vector(x.strong[1]) == to_vector(y.strong[1]));
    CHECK(x.weak.shape() == Shape{30, 1, 8, 8});
    CHECK(x.strong.size() == 2);
    CHECK(to_vector(x.strong[0]) != to_vector(x.strong[1]));
    auto index = to_vector<int64_t>(x.unlabelled_index);
    for (size_t k = 0; k < index.size(); ++k) {
      CHECK(unlabelled.insert(index[k]).second);
      CHECK(to_vector(select(x.weak, 0, static_cast<int64_t>(k))) ==
            to_vector(select(d.unlabelled, 0, index[k])));  // the weak view was switched off
      CHECK(to_vector<int64_t>(x.truth)[k] == to_vector<int64_t>(d.truth)[static_cast<size_t>(index[k])]);
    }
    if (step < 2)
      for (int64_t i : to_vector<int64_t>(x.labelled_index)) CHECK(labelled.insert(i).second);
  }
  CHECK(unlabelled.size() == 180);
  options.weak = augment::shift_view();
  SemiBatcher with(d, options);
  options.ratio = 0;
  SemiBatcher without(d, options);
  for (int step = 0; step < 3; ++step) CHECK(to_vector(with.next().labelled) == to_vector(without.next().labelled));
  CHECK_THROWS_WITH_AS(SemiBatcher(d, {.batch = 0}), "semi_batcher: a batch of 0", ValueError);
}

TEST_CASE("semi-supervised: views are put together and taken apart in order") {
  SemiBatch b;
  b.labelled = full({2, 1}, 1.0);
  b.weak = full({3, 1}, 2.0);
  b.strong = {full({3, 1}, 3.0), full({3, 1}, 4.0)};
  SemiParts parts = split_views(all_views(b) * 10, b);
  CHECK(to_vector(parts.labelled) == std::vector<double>{10, 10});
  CHECK(to_vector(parts.weak) == std::vector<double>{20, 20, 20});
  CHECK(to_vector(parts.strong.at(1)) == std::vector<double>{40, 40, 40});
}

TEST_CASE("semi-supervised: FixMatch's loss by hand, hard and soft, with the whole batch as denominator") {
  SemiData d = small_data(6);
  SemiBatch b;
  b.labels = tensor({0, 1});
  b.unlabelled_index = tensor({0, 1, 2});
  // Three classes would do for logits; ten are what the data has.
  Generator g(7);
  Tensor weak = 4.0 * randn({3, 10}, {.generator = &g}), strong = randn({3, 10}, {.generator = &g}),
         labelled = randn({2, 10}, {.generator = &g});
  Tensor p = softmax(weak, 1);
  auto confidence = to_vector(amax(p, {1}));
  double threshold = 0.5 * (confidence[0] + confidence[1]);  // one of the first two passes
  for (bool hard : {true, false}) {
    FixMatch method({.threshold = threshold, .hard = hard, .weight = 2}, d);
    SemiStep step = method({labelled, weak, {strong}}, b);
    Tensor each = cross_entropy(strong, hard ? argmax(p, 1) : p, {.reduction = Reduction::none});
    double wanted = cross_entropy(labelled, b.labels).item();
    for (size_t j = 0; j < 3; ++j) wanted += confidence[j] >= threshold ? 2 * to_vector(each)[j] / 3 : 0;
    CHECK(step.loss.item() == doctest::Approx(wanted).epsilon(1e-5));
    CHECK(step.certain > 0);
    CHECK(step.certain < 1);
  }
}

TEST_CASE("semi-supervised: weight decay spares biases and norms") {
  SmallCnn model;
  auto groups = decay_groups(model, {.lr = 1, .weight_decay = 0.1});
  CHECK(groups[0].parameters.size() == 4);  // two convolutions, two linear layers
  CHECK(groups[1].parameters.size() == 6);  // two norms of two, two biases
  CHECK(groups[1].options.weight_decay == 0);
  CHECK(decay_groups(model, {.weight_decay = 0.1}, true).size() == 1);
}

TEST_CASE("semi-supervised: Adam takes SGD's place, and the schedule can be another") {
  SemiData d = small_data(11, 4);
  auto weights = [&](SemiTrainOptions options) {
    manual_seed(12);
    SmallCnn model;
    options.steps = 3, options.ema = 0;
    auto last = train_semi_supervised(model, d, SemiBatcher(d, {.batch = 20, .ratio = 0, .seed = 13}), options, Supervised(),
                                      [](const SemiProgress&) {});
    return to_vector(last.model.head.weight);
  };
  manual_seed(12);
  auto initial = to_vector(SmallCnn().head.weight);
  CHECK(weights({.schedule = optim::constant(0)}) == initial);
  auto adam = weights({.adam = optim::AdamOptions{.lr = 1e-3}});
  double most = 0;
  for (size_t k = 0; k < adam.size(); ++k) most = std::max(most, std::abs(adam[k] - initial[k]));
  CHECK(most > 1.5e-3);   // about the rate a step
  CHECK(most < 4e-3);
  CHECK(weights({}) != adam);
}

TEST_CASE("semi-supervised: supervised and FixMatch training learn, and give the same numbers twice") {
  SemiData d = small_data(8, 4);
  auto train = [&](auto method, int64_t ratio) {
    manual_seed(9);
    SmallCnn model;
    std::vector<SemiProgress> seen;
    auto average =
        train_semi_supervised(model, d, SemiBatcher(d, {.batch = 20, .ratio = ratio, .seed = 10}),
                              {.steps = 40, .ema = 0.9, .evaluate_every = 15}, method, [&](const SemiProgress& p) { seen.push_back(p); });
    CHECK(seen.size() == 3);
    CHECK(seen.back().step == 40);
    NoGrad no_grad;
    CHECK(accuracy_percent(average.model(d.test), d.test_labels) == seen.back().accuracy);
    return seen.back();
  };
  SemiProgress supervised = train(Supervised(), 0);
  CHECK(supervised.accuracy > 40);
  CHECK(supervised.used == 0);
  SemiProgress fixmatch = train(FixMatch({.threshold = 0.6}, d), 2);
  CHECK(fixmatch.accuracy > 40);
  CHECK(fixmatch.used > 0);
  CHECK(fixmatch.used == doctest::Approx(fixmatch.certain));
  CHECK(fixmatch.label_accuracy > 50);
  CHECK(train(FixMatch({.threshold = 0.6}, d), 2).accuracy == fixmatch.accuracy);
  CHECK(train(FixMatch({.threshold = 0.8, .flexible = true}, d), 2).used > 0);
  CHECK(train(FixMatch({.threshold = 0.6, .hard = false, .alignment = Alignment::queue}, d), 2).accuracy > 40);
}
