// UDA: worked examples A and B, schedules, where gradients go, filtering, and the experiment.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "methods/common/small_cnn.h"
#include "methods/runner.h"
#include "methods/semi_supervised/uda/uda.h"
#include "models/augment/text.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::uda;

namespace plumb::methods::uda {
Experiment experiment();
}

namespace {

Tensor clean_logits() { return tensor({{2.0, .5, -1.0}, {.3, .2, .1}, {0.0, 4.0, 1.0}}, f64); }
Tensor augmented_logits() { return tensor({{1.0, 1.0, 0.0}, {.5, -.5, 0.0}, {1.0, 2.0, 0.0}}, f64); }
Tensor labelled_logits() { return tensor({{2.0, 0.0, 0.0}, {.5, 1.0, 0.0}, {0.0, 0.0, 3.0}}, f64); }

void check_values(const Tensor& got, std::initializer_list<double> wanted, double tolerance) {
  auto values = to_vector(got);
  REQUIRE(values.size() == wanted.size());
  size_t k = 0;
  for (double w : wanted) {
    CAPTURE(k);
    CHECK(std::abs(values[k++] - w) <= tolerance);
  }
}

SemiBatch batch_of(int64_t labelled, int64_t unlabelled, Generator& g) {
  SemiBatch b;
  b.labelled = rand({labelled, 1, 8, 8}, {.generator = &g});
  b.labels = randint(0, 10, {labelled}, {.dtype = i64, .generator = &g});
  b.weak = rand({unlabelled, 1, 8, 8}, {.generator = &g});
  b.strong = {rand({unlabelled, 1, 8, 8}, {.generator = &g})};
  return b;
}

}  // namespace

TEST_CASE("uda: worked example A, targets, masks and losses") {
  Tensor z = clean_logits(), a = augmented_logits();
  check_values(amax(softmax(z, 1), {1}), {.785597, .367165, .936240}, 5e-7);
  check_values(select(softmax(z, 1, 0.4), 0, 2), {4.537e-5, .999402, 5.5275e-4}, 5e-7);
  Consistency at_08 = uda_consistency(z, a, {.tau = .4, .beta = .8});
  check_values(at_08.mask, {0, 0, 1}, 0);
  CHECK(at_08.mask_ratio == doctest::Approx(1.0 / 3).epsilon(1e-15));
  CHECK(at_08.loss.item() == doctest::Approx(.134520).epsilon(5e-6));
  Consistency at_07 = uda_consistency(z, a, {.tau = .4, .beta = .7});
  check_values(at_07.mask, {1, 0, 1}, 0);
  CHECK(at_07.loss.item() == doctest::Approx(.384046).epsilon(2e-6));
  CHECK(uda_consistency(z, a, {.tau = 1, .beta = -1}).loss.item() == doctest::Approx(.196900).epsilon(3e-6));
  const double rows[3] = {.748580, .0558035, .403559};
  for (int64_t j = 0; j < 3; ++j)  // a row alone: the sum is divided by one
    CHECK(uda_consistency(narrow(z, 0, j, 1), narrow(a, 0, j, 1), {.tau = .4, .beta = -1}).loss.item() ==
          doctest::Approx(rows[j]).epsilon(3e-6));
}

TEST_CASE("uda: the gradient into augmented logits is the closed form, and nothing flows into clean ones") {
  Tensor z = clean_logits().requires_grad_(), a = augmented_logits().requires_grad_();
  uda_consistency(z, a, {.tau = .4, .beta = .8}).loss.backward();
  CHECK_FALSE(z.grad().defined());
  check_values(a.grad(), {0, 0, 0, 0, 0, 0, .0815610, -.111387, .0298259}, 5e-7);
  Tensor wanted = (softmax(a.detach(), 1) - softmax(clean_logits(), 1, .4)) / 3.0;
  check_values(select(a.grad() - wanted, 0, 2), {0, 0, 0}, 1e-15);
  auto loss = [](const std::vector<Tensor>& x) {
    return std::vector<Tensor>{uda_consistency(clean_logits(), x[0], {.tau = .4, .beta = .7}).loss};
  };
  CHECK(gradcheck(loss, {augmented_logits()}));
}

TEST_CASE("uda: the same logits on both sides, unsharpened, cost nothing and push nowhere") {
  Generator g(1);
  Tensor z = randn({6, 5}, {.dtype = f64, .generator = &g}), a = clone(z).requires_grad_();
  Tensor loss = uda_consistency(z, a, {.tau = 1, .beta = -1}).loss;
  CHECK(std::abs(loss.item()) < 1e-15);
  loss.backward();
  for (double v : to_vector(a.grad())) CHECK(std::abs(v) < 1e-16);
}

TEST_CASE("uda: the mask is taken from the distribution that is not sharpened, and confidence must be above it") {
  Tensor z = tensor({{1.0, 0.0}, {0.0, 0.0}}, f64);  // .731, .5; sharpened .924, .5
  CHECK(uda_consistency(z, z, {.tau = .4, .beta = .8}).mask_ratio == 0);
  CHECK(uda_consistency(z, z, {.tau = .4, .beta = .7}).mask_ratio == .5);
  CHECK(uda_consistency(z, z, {.tau = .4, .beta = .5}).mask_ratio == .5);  // .5 is not above .5
  CHECK(uda_consistency(z, z, {.tau = .4, .beta = 0}).mask_ratio == 1);
}

TEST_CASE("uda: annealing thresholds at quarters of training, monotone, and in their order in between") {
  const std::map<Annealing, std::vector<double>> wanted{{Annealing::linear, {.1, .325, .55, .775, 1}},
                                                        {Annealing::log, {.1, .742146, .926124, .978834, .993936}},
                                                        {Annealing::exp, {.106064, .121166, .173876, .357854, 1}}};
  for (auto& [kind, values] : wanted)
    for (int64_t k = 0; k < 5; ++k) CHECK(std::abs(tsa_threshold(kind, 25 * k, 100, 10) - values[static_cast<size_t>(k)]) < 6e-7);
  constexpr int64_t kSteps = 100'000;
  for (int64_t t = 698; t <= 99'302; t += 97) {
    double log = tsa_threshold(Annealing::log, t, kSteps, 10), linear = tsa_threshold(Annealing::linear, t, kSteps, 10),
           exp = tsa_threshold(Annealing::exp, t, kSteps, 10);
    CHECK((log >= linear && linear >= exp));
  }
  for (auto& [kind, values] : wanted)
    for (int64_t t = 1; t <= 1000; ++t) CHECK(tsa_threshold(kind, t, 1000, 10) > tsa_threshold(kind, t - 1, 1000, 10));
  auto at = [](Annealing kind, int64_t t) { return tsa_threshold(kind, t, kSteps, 10); };
  CHECK(at(Annealing::exp, 690) > at(Annealing::linear, 690));  // below .00698 the order is another, by the constant exp(-5)
  CHECK(at(Annealing::exp, 705) < at(Annealing::linear, 705));
  CHECK(at(Annealing::exp, 100) > at(Annealing::log, 100));           // and at the very beginning exp is the largest
  CHECK(at(Annealing::log, 99'310) < at(Annealing::linear, 99'310));  // above .99302 log falls behind
  CHECK(at(Annealing::log, 99'295) > at(Annealing::linear, 99'295));
  CHECK(at(Annealing::log, 99'900) < at(Annealing::exp, 99'900));
  CHECK(tsa_threshold(Annealing::none, 0, 10, 10) == 1);
}

TEST_CASE("uda: worked example B, annealed cross-entropy") {
  Tensor z = labelled_logits(), labels = tensor({0, 0, 2});
  double eta = tsa_threshold(Annealing::linear, 50, 100, 3);
  CHECK(eta == doctest::Approx(.666667).epsilon(1e-6));
  auto p = to_vector(softmax(z, 1));
  CHECK(p[0] == doctest::Approx(.786986).epsilon(1e-6));
  CHECK(p[3] == doctest::Approx(.307196).epsilon(2e-6));
  CHECK(p[8] == doctest::Approx(.909443).epsilon(1e-6));
  TsaLoss annealed = tsa_loss(z, labels, eta);
  CHECK(annealed.loss.item() == doctest::Approx(1.18027).epsilon(4e-6));
  CHECK(annealed.kept_ratio == doctest::Approx(1.0 / 3).epsilon(1e-15));
  CHECK(cross_entropy(z, labels).item() == doctest::Approx(.504912).epsilon(2e-6));
  TsaLoss none = tsa_loss(z.requires_grad_(), labels, .1);
  CHECK(none.loss.item() == 0);  // not 0 / 0
  CHECK(none.kept_ratio == 0);
  none.loss.backward();
  for (double v : to_vector(z.grad())) CHECK(v == 0);
  CHECK(tsa_loss(z, labels, 1).loss.item() == doctest::Approx(.504912).epsilon(2e-6));
}

TEST_CASE("uda: an example is left out only if it is predicted better than the threshold") {
  Tensor z = zeros({4, 4}, f64), labels = tensor({0, 1, 2, 3});  // each .25
  CHECK(tsa_loss(z, labels, .25).kept_ratio == 1);
  CHECK(tsa_loss(z, labels, .2499).kept_ratio == 0);
}

TEST_CASE("uda: without weights the loss is plain cross-entropy, exactly; the parts add up") {
  Tensor labels = tensor({0, 0, 2});
  SemiParts logits{labelled_logits(), clean_logits(), {augmented_logits()}};
  UdaTerms plain = uda_loss(logits, labels, 0, {.lambda = 0, .consistency = {.tau = 1, .beta = -1}});
  CHECK(plain.total.item() == cross_entropy(labelled_logits(), labels).item());
  UdaTerms all = uda_loss(logits, labels, 50, {.lambda = 2, .entropy = .5, .annealing = Annealing::linear, .steps = 100});
  CHECK(all.supervised.item() == doctest::Approx(1.18027).epsilon(4e-6));
  CHECK(all.kept_ratio == doctest::Approx(1.0 / 3));
  double entropy = 0;
  for (double p : to_vector(softmax(clean_logits(), 1))) entropy -= p * std::log(p) / 3;
  CHECK(all.entropy.item() == doctest::Approx(entropy).epsilon(1e-12));
  CHECK(all.total.item() == doctest::Approx(1.18027 + 2 * .134520 + .5 * entropy).epsilon(1e-5));
  SemiParts twice{labelled_logits(), clean_logits(), {augmented_logits(), clean_logits()}};
  CHECK(uda_loss(twice, labels, 0, {}).consistency.item() ==
        doctest::Approx((.134520 + uda_consistency(clean_logits(), clean_logits()).loss.item()) / 2).epsilon(1e-5));
}

TEST_CASE("uda: entropy minimisation has a gradient into the clean logits, which consistency has not") {
  Tensor z = clean_logits().requires_grad_();
  SemiParts logits{labelled_logits(), z, {augmented_logits()}};
  uda_loss(logits, tensor({0, 0, 2}), 0, {.entropy = 1}).total.backward();
  CHECK(z.grad().defined());
  CHECK(gradcheck([](const std::vector<Tensor>& x) { return std::vector<Tensor>{mean_entropy(x[0])}; }, {clean_logits()}));
}

TEST_CASE("uda: a step sees all examples in one pass, so that they share batch norm's statistics") {
  Generator g(2);
  SemiBatch batch = batch_of(4, 6, g);
  manual_seed(3);
  SmallCnn model;
  SmallCnn copy = model;
  Uda method({.consistency = {.tau = .4, .beta = .05}});
  SemiStep step = method(model, batch, 0);
  SemiParts logits = split_views(copy(all_views(batch)), batch);
  CHECK(step.loss.item() == doctest::Approx(cross_entropy(logits.labelled, batch.labels).item() +
                                            uda_consistency(logits.weak, logits.strong[0], {.tau = .4, .beta = .05}).loss.item())
                                .epsilon(1e-6));
  CHECK(step.weight.shape() == Shape{6});
  CHECK(step.certain == method.terms().mask_ratio);
  CHECK(to_vector<int64_t>(step.label) == to_vector<int64_t>(argmax(logits.weak, 1)));
  CHECK(to_vector(model.bn1.running_mean) == to_vector(copy.bn1.running_mean));
}

TEST_CASE("uda: the learning rate falls to .195 of its start, with a warm-up if wanted") {
  optim::Schedule plain = uda_schedule(1000);
  CHECK(.03 * plain(0) == doctest::Approx(.03).epsilon(1e-12));
  CHECK(.03 * plain(500) == doctest::Approx(.0231903).epsilon(3e-6));
  CHECK(.03 * plain(1000) == doctest::Approx(.00585271).epsilon(2e-6));
  CHECK(plain(1000) == doctest::Approx(.19509).epsilon(3e-5));
  CHECK(plain(1500) == plain(1000));  // clipped
  optim::Schedule warm = uda_schedule(1000, 200);
  CHECK(warm(0) == 0);
  CHECK(warm(50) == doctest::Approx(.25).epsilon(1e-12));
  CHECK(warm(200) == doctest::Approx(1).epsilon(1e-12));
  CHECK(warm(600) == doctest::Approx(plain(500)).epsilon(1e-12));
  CHECK(warm(1000) == doctest::Approx(plain(1000)).epsilon(1e-12));
}

TEST_CASE("uda: worked example C, which words are replaced and by which") {
  enum : int64_t { a, b, c, d };
  std::vector<augment::Sentence> documents{{a, b, a, c}, {a, d}, {b, c, c}};
  augment::TfIdfReplacer replacer(documents, 4);
  auto near = [](const std::vector<double>& got, const std::vector<double>& wanted) {
    REQUIRE(got.size() == wanted.size());
    for (size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - wanted[k]) < 3e-6);
  };
  near(replacer.idf(), {.405465, .405465, .405465, 1.09861});
  near(replacer.replace_probabilities(documents[0], .3), {0, .6, 0, .6});
  near(replacer.replace_probabilities(documents[1], .3), {.6, 0});
  near(replacer.sampling_law(), {.226787, .493153, .280060, 0});
}

TEST_CASE("uda: out-of-domain filtering keeps as many of each class, the surest ones") {
  Tensor p = tensor({{.9, .1}, {.2, .8}, {.6, .4}, {.3, .7}, {.7, .3}, {.1, .9}, {.7, .3}});
  CHECK(to_vector<int64_t>(in_domain(p, 2)) == std::vector<int64_t>{0, 1, 4, 5});  // 4 and 6 are equal: the earlier
  CHECK(to_vector<int64_t>(in_domain(p, 10)).size() == 7);
  CHECK_THROWS_WITH_AS(in_domain(p, 0), "in_domain: 0 examples a class", ValueError);
}

TEST_CASE("uda: RandAugment's list has fifteen changes with the official magnitudes") {
  using augment::Change;
  augment::RandAugmentPolicy policy = augment::uda_policy();
  CHECK(policy.changes.size() == 15);
  CHECK(policy.n == 2);
  CHECK(policy.rate == .5);
  CHECK(policy.cutout == 16);
  auto whole = [](double x) { return std::floor(x + 1e-9); };  // int(x) of a product that may fall short by rounding
  for (const augment::ChangeRange& r : policy.changes) {
    if (r.levels == 0) continue;  // invert, auto_contrast, equalize
    CHECK(r.levels == 9);
    CAPTURE(static_cast<int>(r.change));
    bool geometry = r.change >= Change::rotate && r.change != Change::sharpness && r.change != Change::solarize;
    CHECK(r.mirrored == geometry);
    for (int m = 1; m <= 9; ++m) {
      CAPTURE(m);
      double amount = r.first + (r.last - r.first) * (m - 1) / 8;
      switch (r.change) {
        case Change::cutout:
          CHECK(whole(amount) == whole(2.0 * m));
          break;
        case Change::posterize:
          CHECK(std::ceil(amount - 1e-9) == 4 - whole(.4 * m));
          break;
        case Change::solarize:
          CHECK(std::ceil(amount - 1e-9) == 256 - whole(25.6 * m));
          break;
        case Change::shear_x:
        case Change::shear_y:
          CHECK(amount == doctest::Approx(.03 * m).epsilon(1e-12));
          break;
        case Change::translate_x:
        case Change::translate_y:
          CHECK(amount == doctest::Approx(m).epsilon(1e-12));
          break;
        case Change::rotate:
          CHECK(amount == doctest::Approx(3 * m).epsilon(1e-12));
          break;
        default:
          CHECK(amount == doctest::Approx(.18 * m + .1).epsilon(1e-12));  // color, contrast, brightness, sharpness
      }
    }
  }
}

TEST_CASE("uda: the weak augmentation comes after the strong one") {
  auto twice = [](const Tensor& x, Generator&) { return x * 2.0; };
  auto one_more = [](const Tensor& x, Generator&) { return x + 1.0; };
  Generator g(4);
  CHECK(strong_then_weak(twice, one_more)(full({1}, 3.0), g).item() == 7);
}

TEST_CASE("uda: mistakes are named") {
  Tensor z = clean_logits(), a = augmented_logits();
  CHECK_THROWS_WITH_AS(uda_consistency(z, a, {.tau = 0}), "uda: the temperature must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(uda_consistency(z, a, {.beta = 1}), "uda: the confidence threshold must be below 1, it is 1", ValueError);
  CHECK_THROWS_WITH_AS(uda_consistency(z, narrow(a, 0, 0, 2), {}), "uda: clean logits [3, 3] and augmented logits [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(annealing_named("cubic"), "uda: unknown annealing \"cubic\": none, linear, log or exp", ValueError);
  CHECK(annealing_named("exp") == Annealing::exp);
  CHECK_THROWS_WITH_AS(tsa_threshold(Annealing::linear, 11, 10, 3), "tsa_threshold: step 11 is outside [0, 10]", ValueError);
  CHECK_THROWS_WITH_AS(tsa_threshold(Annealing::linear, 0, 0, 3), "tsa_threshold: training of 0 steps", ValueError);
  CHECK_THROWS_AS(tsa_loss(labelled_logits(), tensor({0, 0, 3}), .5), IndexError);
  CHECK_THROWS_AS(tsa_loss(labelled_logits(), tensor({0, -1, 2}), .5), IndexError);
  CHECK_THROWS_WITH_AS(Uda({.lambda = -1}), "uda: weights must not be negative: lambda -1, entropy 0", ValueError);
  CHECK_THROWS_WITH_AS(Uda({.annealing = Annealing::log}), "uda: annealing needs the number of steps, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(uda_schedule(10, 10), "uda_schedule: a warm-up of 10 steps in 10", ValueError);
  CHECK_THROWS_WITH_AS(uda_loss({labelled_logits(), z, {}}, tensor({0, 0, 2}), 0, {}),
                       "uda: there is no augmented copy of the unlabelled examples", ShapeError);
}

TEST_CASE("uda: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "uda", &uda::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 9);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    std::map<std::string, double> m(cell.measured.metrics.begin(), cell.measured.metrics.end());
    CHECK(m["test accuracy (%)"] > 20);  // chance is 10
    bool uses = !cell.variant.starts_with("supervised");
    if (cell.variant != "FixMatch") CHECK((m["unlabelled used (%)"] > 0) == uses);  // none is above 0.95 so early
    CHECK(m["unlabelled used (%)"] <= 100);
  }
}
