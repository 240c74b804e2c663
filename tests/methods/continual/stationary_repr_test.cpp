// Stationary representations: the simplex, the compatibility loss and its worked numbers, the method in the trainer, the experiment.
#include "methods/continual/stationary_repr/stationary_repr.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/data/digits/digits.h"
#include "methods/common/masked_contrastive.h"
#include "methods/runner.h"
#include "models/mlp/mlp.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::stationary_repr;
namespace plumb::methods::stationary_repr {
Experiment experiment();
}
using doctest::Approx;

namespace {

Tensor new_features() { return tensor({{1.0, 0.0}, {0.6, 0.8}, {0.0, 1.0}}, f64); }
Tensor old_features() { return tensor({{0.8, 0.6}, {0.0, 1.0}, {-0.6, 0.8}}, f64); }
Tensor three_labels() { return tensor({0, 1, 1}); }

struct SmallNet : nn::Module {
  nn::Linear up, head;
  SmallNet(int64_t inputs, int64_t width, int64_t outputs) : up(this, "up", inputs, width), head(this, "head", width, outputs) {}
  Tensor features(const Tensor& x) const { return up(flatten(x, 1)); }
  Tensor operator()(const Tensor& x) const { return head(features(x)); }
};

ContinualStream digit_tasks() { return class_stream(data::digits(), {.tasks = 2, .per_class = 12, .test_per_class = 5, .seed = 3}); }

}  // namespace

// -- the simplex ------------------------------------------------------------------------------------------

TEST_CASE("stationary_repr: simplexes of three and four classes, worked out") {
  check_close(simplex_weights(3, f64), {.965926, -.258819, -.258819, .965926, -.707107, -.707107}, 2e-6);
  Tensor four = simplex_weights(4, f64), gram = matmul(four, mT(four));
  check_close(select(four, 0, 0), {.962250, -.192450, -.192450}, 2e-6);
  check_close(select(four, 0, 3), {-.577350, -.577350, -.577350}, 2e-6);
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t j = 0; j < 4; ++j) CHECK(select(select(gram, 0, i), 0, j).item() == Approx(i == j ? 1 : -1.0 / 3).epsilon(1e-12));
}

TEST_CASE("stationary_repr: rows have length 1, sum to 0, and stand at equal angles") {
  for (int64_t k : {2, 10, 1024}) {
    CAPTURE(k);
    Tensor w = to(simplex_weights(k), f64), n = scalar_tensor(static_cast<double>(k), f64);
    CHECK(w.shape() == Shape{k, k - 1});
    // Some rows against all: the first ones and the last, which is made otherwise.
    Tensor rows = k > 16 ? cat({slice(w, 0, 0, 8), slice(w, 0, k - 8)}) : w, unit = eye(k, -1, f64);
    Tensor places = k > 16 ? cat({slice(unit, 0, 0, 8), slice(unit, 0, k - 8)}) : unit;
    CHECK(max(abs(matmul(rows, mT(w)) - (places * n - 1) / (n - 1))).item() < 1e-6);
    CHECK(max(abs(sum(w, {0}))).item() < 1e-5);
  }
}

TEST_CASE("stationary_repr: the classifier is the simplex, untrained, with local classes from the end") {
  FixedClassifier classifier(5);
  CHECK(classifier.parameters().empty());
  CHECK(to_vector<int64_t>(classifier.local_rows(tensor({0, 3}))) == std::vector<int64_t>{4, 1});
  Tensor z = tensor({{1.0, -2.0, 0.5, 0.3}}).requires_grad_();
  auto logits = to_vector(classifier(z)), local = to_vector(classifier.local_logits(z)),
       wanted = to_vector(matmul(z, mT(simplex_weights(5))));
  for (size_t c = 0; c < 5; ++c) {
    CHECK(logits[c] == Approx(wanted[c]).epsilon(1e-6));
    CHECK(local[c] == logits[4 - c]);
  }
  sum(classifier(z)).backward();
  CHECK(z.grad().defined());
  CHECK_FALSE(classifier.weight().requires_grad());
  classifier.check_room(3, 2);
}

// -- the loss ---------------------------------------------------------------------------------------------

TEST_CASE("stationary_repr: the higher-order term, worked out") {
  Tensor s = matmul(old_features(), mT(new_features())) * 10;
  check_close(s + 1, {9, 10.6, 7, 1, 9, 11, -5, 3.8, 9}, 1e-12);  // + 1: none is 0
  Tensor left_out = higher_order_compatibility(new_features(), old_features(), three_labels());
  CHECK(left_out.item() == Approx(-6.791014).epsilon(1e-6));
  CHECK(higher_order_compatibility(new_features(), old_features(), three_labels(), {.same = SameClass::as_zero}).item() ==
        Approx(-4.193326).epsilon(1e-6));
  Tensor different = unsqueeze(three_labels(), 1) != unsqueeze(three_labels(), 0), p = diagonal(s);
  check_close(decoupled_contrastive(p, s, different), {1.626957, -8, -14}, 1e-6);
  check_close(decoupled_contrastive(p, s, different, log(tensor({1.0, 2.0, 2.0}, f64))), {1.627023, -6.901388, -7.305614}, 1e-6);
  // For comparison: the positive within the denominator.
  check_close(masked_contrastive(s, {.positive = eye(3, -1, DType::boolean), .negative = different}), {1.806380, 3.35406e-4, 8.31528e-7},
              1e-5);
}

TEST_CASE("stationary_repr: a row without another class keeps its own similarity alone") {
  Tensor s = matmul(old_features(), mT(new_features())) * 10;
  double wanted = -(8.0 + 8.0 + 8.0) / 3;
  CHECK(higher_order_compatibility(new_features(), old_features(), tensor({4, 4, 4})).item() == Approx(wanted).epsilon(1e-9));
  auto rows = to_vector(decoupled_contrastive(diagonal(s), s, tensor({{0, 1, 1}, {0, 0, 0}, {1, 0, 0}}) != 0));
  CHECK(rows[1] == Approx(-8).epsilon(1e-12));
  Tensor z = new_features().requires_grad_();
  higher_order_compatibility(z, old_features(), tensor({4, 4, 4})).backward();
  for (double g : to_vector(z.grad())) CHECK(std::isfinite(g));
}

TEST_CASE("stationary_repr: lengths of the features do not matter, nor does the order of the batch") {
  for (SameClass same : {SameClass::left_out, SameClass::as_zero}) {
    HocOptions o{.mu = 3, .same = same};
    double loss = higher_order_compatibility(new_features(), old_features(), three_labels(), o).item();
    Tensor lengths = tensor({{2.0}, {0.3}, {7.0}}, f64), order = tensor({2, 0, 1});
    CHECK(higher_order_compatibility(new_features() * lengths, old_features() / lengths, three_labels(), o).item() ==
          Approx(loss).epsilon(1e-12));
    auto mixed = [&](const Tensor& x) { return index_select(x, 0, order); };
    CHECK(higher_order_compatibility(mixed(new_features()), mixed(old_features()), mixed(three_labels()), o).item() ==
          Approx(loss).epsilon(1e-12));
  }
}

TEST_CASE("stationary_repr: the total at both ends of lambda, its gradient, and none for the previous features") {
  FixedClassifier classifier(3);
  classifier.to(f64);
  Tensor rows = classifier.local_rows(three_labels()), z = new_features() * 1.5, old = old_features();
  double ce = cross_entropy(classifier(z), rows).item(), hoc = higher_order_compatibility(z, old, three_labels()).item();
  CHECK(compatible_loss(classifier, z, {}, rows, 1).item() == ce);
  CHECK(compatible_loss(classifier, z, old, rows, 0).item() == hoc);
  CHECK(compatible_loss(classifier, z, old, rows, 0.1).item() == Approx(.1 * ce + .9 * hoc).epsilon(1e-12));
  for (SameClass same : {SameClass::left_out, SameClass::as_zero}) {
    auto loss = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {compatible_loss(classifier, x[0], old, rows, .3, {.mu = 2, .same = same})};
    };
    CHECK(gradcheck(loss, {z}).passed);
  }
  Tensor leaf = clone(z).requires_grad_(), previous = clone(old).requires_grad_();
  compatible_loss(classifier, leaf, previous, rows, .1).backward();
  CHECK(leaf.grad().defined());
  CHECK_FALSE(previous.grad().defined());
  CHECK_FALSE(classifier.weight().grad().defined());
}

// -- in the trainer ---------------------------------------------------------------------------------------

TEST_CASE("stationary_repr: the simplex learns tasks with a projection of its own, and keeps examples of both") {
  manual_seed(1);
  ContinualStream stream = digit_tasks();
  SmallNet net(64, 20, 10);
  auto made = std::make_unique<CompatibleTraining<SmallNet>>(CompatibleOptions{.slots = 16, .tie = Tie::none, .per_class = 4});
  auto* method = made.get();
  ContinualTrainer<SmallNet> trainer(net, {.epochs = 30, .batch = 16, .sgd = {.lr = 0.05, .momentum = 0.9}}, std::move(made));
  auto head = to_vector(net.head.weight);
  ContinualResult result = run_continual(trainer, stream);
  CHECK(method->embed(trainer.model(), stream.at(0).test.x).size(1) == 15);
  CHECK(method->memory().size() == 40);
  CHECK(result.within_accuracy() > 60);
  CHECK(to_vector(trainer.model().head.weight) == head);  // the model's own head is not used
}

TEST_CASE("stationary_repr: a replacement takes the network's place, with its head or without, and the tie is to it") {
  manual_seed(2);
  ContinualStream stream = digit_tasks();
  SmallNet start(64, 15, 10), other(64, 15, 10);
  auto replacement = [&](size_t task) { return task == 1 ? &other : nullptr; };
  for (bool keep : {true, false}) {
    // λ = 0 from a tie that is at its least for a network that does not move: a step without rate shows what training begins with.
    CompatibleOptions o{.slots = 16, .lambda = 0, .keep_head = keep};
    ContinualTrainer<SmallNet> trainer(start, {.epochs = 1, .batch = 64, .sgd = {.lr = 1e-12}},
                                       std::make_unique<CompatibleTraining<SmallNet>>(o, replacement));
    trainer.learn(stream, 0);
    check_close(trainer.model().up.weight, to_vector(start.up.weight), 1e-6);
    trainer.learn(stream, 1);
    check_close(trainer.model().up.weight, to_vector(other.up.weight), 1e-6);
    CHECK(to_vector(trainer.model().head.weight) == to_vector((keep ? start : other).head.weight));
  }
}

TEST_CASE("stationary_repr: the tie holds the features to those of before the task") {
  ContinualStream stream = digit_tasks();
  auto moved = [&](Tie tie) {
    manual_seed(3);
    SmallNet start(64, 15, 10);
    CompatibleOptions o{.slots = 16, .tie = tie, .lambda = 0.05, .distance_weight = 20};
    ContinualTrainer<SmallNet> trainer(start, {.epochs = 20, .batch = 16, .sgd = {.lr = 0.02, .momentum = 0.9}},
                                       std::make_unique<CompatibleTraining<SmallNet>>(o));
    trainer.learn(stream, 0);
    Tensor x = stream.at(0).test.x, before = trainer.model().features(x).detach();
    trainer.learn(stream, 1);
    return 1 - mean(cosine_similarity(before, trainer.model().features(x).detach())).item();
  };
  double free = moved(Tie::none);
  CHECK(moved(Tie::contrast) < free);
  CHECK(moved(Tie::distance) < free);
}

TEST_CASE("stationary_repr: weight decay may leave biases alone") {
  for (bool vectors : {true, false}) {
    nn::Linear layer(2, 3);
    Tensor weight = clone(layer.weight.detach()), bias = clone(layer.bias.detach());
    ContinualTrainOptions o{.sgd = {.lr = 0.5, .weight_decay = 0.1}, .decay_vectors = vectors};
    auto sgd = methods::detail::continual_optimizer(layer.parameters(), o);
    (sum(layer.weight) * 0 + sum(layer.bias) * 0).backward();
    sgd->step();
    check_close(layer.weight, to_vector(weight * 0.95), 1e-6);
    check_close(layer.bias, to_vector(bias * (vectors ? 0.95 : 1)), 1e-6);
  }
}

// -- mistakes -----------------------------------------------------------------------------------------------

TEST_CASE("stationary_repr: mistakes are named") {
  CHECK_THROWS_WITH_AS(simplex_weights(1), "stationary_repr: a simplex of 1 classes; it takes 2 or more", ValueError);
  FixedClassifier classifier(4);
  CHECK_THROWS_WITH_AS(classifier.local_rows(tensor({0, 4})), "stationary_repr: class 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(classifier(zeros({2, 4})), "stationary_repr: features [2, 4] for a simplex of 4 classes; their width is to be 3",
                       ShapeError);
  CHECK_THROWS_WITH_AS(classifier.check_room(3, 2), "stationary_repr: 3 pre-trained and 2 local classes do not fit a simplex of 4",
                       ValueError);
  Tensor z = new_features(), old = old_features(), y = three_labels();
  CHECK_THROWS_WITH_AS(higher_order_compatibility(z * tensor({{1.0}, {0.0}, {1.0}}, f64), old, y), "unit_rows: row 1 is 0 or not finite",
                       ValueError);
  CHECK_THROWS_WITH_AS(higher_order_compatibility(z, slice(old, 0, 1), y),
                       "stationary_repr: features [3, 2], previous [2, 2] and labels [3] do not fit", ShapeError);
  CHECK_THROWS_WITH_AS(higher_order_compatibility(z, old, y, {.mu = 0}), "stationary_repr: mu must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(compatible_loss(FixedClassifier(3), z, old, y, 1.5), "stationary_repr: lambda must lie in [0, 1], it is 1.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(CompatibleTraining<SmallNet>({.slots = 16, .lambda = -1}), "stationary_repr: lambda must lie in [0, 1], it is -1",
                       ValueError);
  SmallNet net(64, 7, 10);
  ContinualTrainer<SmallNet> trainer(net, {}, std::make_unique<CompatibleTraining<SmallNet>>(CompatibleOptions{.slots = 8}));
  CHECK_THROWS_WITH_AS(trainer.learn(digit_tasks(), 0), "stationary_repr: 0 pre-trained and 10 local classes do not fit a simplex of 8",
                       ValueError);
  Tensor s = zeros({2, 3});
  CHECK_THROWS_WITH_AS(decoupled_contrastive(zeros({3}), s, s != 0), "decoupled_contrastive: positives [3] for similarities [2, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(decoupled_contrastive(zeros({2}), s, s), "masked_contrastive: negatives must be bool", DTypeError);
}

TEST_CASE("stationary_repr: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"continual", "stationary_repr", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 8);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double sixths = 6 * measured(results, cell.variant, "AC");
    CHECK(sixths == Approx(std::round(sixths)).epsilon(1e-9));  // six pairs of four models
    CHECK(measured(results, cell.variant, "AA (%)") > 0);
    CHECK(measured(results, cell.variant, "last model alone (%)") > 20);  // twice chance: features of digits, hardly trained
  }
  // Networks that share nothing do not find each other's digits as models of one line do.
  CHECK(measured(results, "independent", "AA (%)") < measured(results, "d-Simplex-HOC", "AA (%)"));
}
