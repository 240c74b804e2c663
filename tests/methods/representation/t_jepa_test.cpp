// T-JEPA: masks, what the context may see, where gradients go, the worked examples, and the experiment in small.
#include "methods/representation/t_jepa/t_jepa.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "methods/representation/t_jepa/collapse.h"
#include "methods/runner.h"
#include "ops/attention.h"
#include "ops/create.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/norm.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::t_jepa;
namespace plumb::methods::t_jepa {
Experiment experiment();
}
using Numbers = std::vector<double>;
using doctest::Approx;

namespace {

void check_close(const Tensor& x, const Numbers& expected, double tolerance = 2e-6) {
  Numbers v = to_vector(x);
  REQUIRE(v.size() == expected.size());
  for (size_t i = 0; i < v.size(); ++i) CHECK(std::abs(v[i] - expected[i]) < tolerance * std::max(1.0, std::abs(expected[i])));
}

const EncoderOptions kMixed{
    .numeric = 3, .cardinalities = {4, 2}, .width = 8, .layers = 2, .heads = 2, .inner = 12, .type_embedding = true};

struct Rows {
  Tensor numbers, categories;
};
Rows rows(int64_t n, DType type = f32) {
  Tensor first = randint(0, 4, {n, 1}), second = randint(0, 2, {n, 1});
  return {to(rand({n, 3}), type), cat({first, second}, 1)};
}

double largest_difference(const Tensor& a, const Tensor& b) { return max(abs(to(a, f64) - to(b, f64))).item(); }

}  // namespace

// -- masks ------------------------------------------------------------------------------------------------

TEST_CASE("t_jepa: masks have their sizes, context and targets do not meet, and sets of targets differ") {
  for (int64_t features : {7, 16}) {
    FeatureMaskSampler sampler(features, {.context_min = 0.2, .context_max = 0.7, .target_min = 0.15, .target_max = 0.6, .targets = 4});
    Generator g(3);
    std::set<std::pair<size_t, size_t>> sizes;
    int equal_sets = 0;
    std::vector<int> seen(static_cast<size_t>(features), 0);
    for (int draw = 0; draw < 100; ++draw) {
      FeatureMasks m = sampler.sample(6, g);
      size_t n_context = static_cast<size_t>(m.context.size(1)), n_target = static_cast<size_t>(m.targets[0].size(1));
      sizes.insert({n_context, n_target});
      REQUIRE(n_context + n_target <= static_cast<size_t>(features));
      REQUIRE(m.targets.size() == 4);
      for (int64_t row = 0; row < 6; ++row) {
        auto set_of = [row](const Tensor& t) {
          std::vector<int64_t> v = to_vector<int64_t>(select(t, 0, row));
          return std::set<int64_t>(v.begin(), v.end());
        };
        std::set<int64_t> context = set_of(m.context);
        CHECK(context.size() == n_context);
        CHECK((*context.begin() >= 0 && *context.rbegin() < features));
        for (int64_t f : context) ++seen[static_cast<size_t>(f)];
        for (const Tensor& target : m.targets) {
          std::set<int64_t> hidden = set_of(target);
          CHECK(hidden.size() == n_target);
          CHECK((*hidden.begin() >= 0 && *hidden.rbegin() < features));
          for (int64_t f : hidden) CHECK(context.count(f) == 0);
        }
        equal_sets += set_of(m.targets[0]) == set_of(m.targets[1]) && set_of(m.targets[1]) == set_of(m.targets[2]) &&
                      set_of(m.targets[2]) == set_of(m.targets[3]);
      }
    }
    CHECK(sizes.size() > 3);        // sizes change from batch to batch
    CHECK(equal_sets < 300);        // of 600; aliased sets would be equal always
    double mean_seen = 0;
    for (int n : seen) mean_seen += n / static_cast<double>(features);
    for (int n : seen) CHECK(n == Approx(mean_seen).epsilon(0.35));  // every feature, the first and the last too
  }
}

TEST_CASE("t_jepa: sizes round halves to even, and shares that make no masks are errors") {
  FeatureMaskSampler even(10, {.context_min = 0.2, .context_max = 0.25, .target_min = 0.35, .target_max = 0.45});
  Generator g(0);
  CHECK(even.sizes(g) == std::pair<int64_t, int64_t>{2, 4});  // 2 to 2.5, and 3.5 to 4.5
  auto make = [](int64_t features, MaskOptions o) { FeatureMaskSampler(features, o); };
  CHECK_THROWS_WITH_AS(make(10, {.context_min = 0.5, .context_max = 0.5}),
                       "feature_masks: the context shares are 0.5 to 0.5; they must rise and lie in [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(make(10, {.target_min = 0.5, .target_max = 0.4}),
                       "feature_masks: the target shares are 0.5 to 0.4; they must rise and lie in [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(make(3, {.context_min = 0.1}),
                       "feature_masks: of 3 features at least 0 would be context and 0 targets; it takes one of each", ValueError);
  CHECK_THROWS_WITH_AS(make(10, {.context_min = 0.6, .context_max = 0.7, .target_min = 0.5, .target_max = 0.6}),
                       "feature_masks: 6 features of context and 5 targets are more than the 10 there are", ValueError);
  CHECK_THROWS_WITH_AS(make(10, {.targets = 0}), "feature_masks: 0 sets of targets", ValueError);
}

// -- networks ---------------------------------------------------------------------------------------------

TEST_CASE("t_jepa: tokens, position codes, normalised targets and loss of the worked example") {
  FeatureTokenizer tokenizer(2, {}, 4, 1);
  tokenizer.load_state({{"reg", tensor({{0.1, -0.2, 0.3, 0.4}})},
                        {"features.weight", tensor({{1.0, 2.0, -1.0, 0.5}, {-0.5, 0.25, 0.75, -1.0}})},
                        {"features.bias", tensor({{0.01, 0.02, 0.03, 0.04}, {0.05, 0.06, 0.07, 0.08}})}});
  Tensor tokens = tokenizer(tensor({{0.5, 0.2}}));
  CHECK(tokens.shape() == Shape{1, 3, 4});
  check_close(tokens, {0.1, -0.2, 0.3, 0.4, 0.51, 1.02, -0.47, 0.29, -0.05, 0.11, 0.22, -0.12});
  Tensor code = interleaved_positions(3, 4, 100);
  check_close(slice(code, 0, 1), {0.841471, 0.540302, 0.0998334, 0.995004, 0.909297, -0.416147, 0.198669, 0.980067});
  check_close(select(sinusoidal_embedding(arange(3, i64), 4, 10000), 0, 2), {0.909297, 0.0199987, -0.416147, 0.999800});
  Tensor targets = slice(layer_norm(select(tokens, 0, 0) + code, {4}), 0, 1);
  check_close(targets, {0.510925, 0.781169, -1.71701, 0.424912, 0.842239, -1.60361, -0.0824814, 0.843853}, 5e-6);
  Tensor predicted = tensor({{0.2, -0.1, 0.4, 0.0}, {1.0, 0.5, -0.5, -1.0}});
  CHECK(jepa_loss(slice(predicted, 0, 0, 1), slice(targets, 0, 0, 1)).item() == Approx(1.38385).epsilon(1e-5));
  CHECK(jepa_loss(slice(predicted, 0, 1, 2), slice(targets, 0, 1, 2)).item() == Approx(2.00605).epsilon(1e-5));
  CHECK(jepa_loss(predicted, targets).item() == Approx(1.69495).epsilon(1e-5));
  CHECK(jepa_loss(targets, targets).item() == 0);
}

TEST_CASE("t_jepa: a hidden feature's value does not reach the context's latents; it does reach the targets") {
  manual_seed(1);
  TabularEncoder encoder(kMixed);
  Rows a = rows(4), b = a;
  Tensor context = tensor({{0, 4}, {4, 0}, {2, 0}, {0, 2}});  // number 1 and category 3 are hidden in every row
  b.numbers = slice_assign(a.numbers, rand({4, 1}), 1, 1, 2);
  b.categories = slice_assign(a.categories, 3 - slice(a.categories, 1, 0, 1), 1, 0, 1);
  CHECK(to_vector(encoder(a.numbers, a.categories, context)) == to_vector(encoder(b.numbers, b.categories, context)));
  CHECK(largest_difference(encoder(a.numbers, a.categories), encoder(b.numbers, b.categories)) > 1e-4);
  CHECK(encoder(a.numbers, a.categories, context).shape() == Shape{4, 3, 8});
  // Context tokens in another order are the same latents in that order: the place is told by the code, not by the order.
  Tensor z = encoder(a.numbers, a.categories, context), turned = encoder(a.numbers, a.categories, flip(context, {1}));
  CHECK(largest_difference(select(z, 1, 0), select(turned, 1, 0)) < 1e-5);
  CHECK(largest_difference(select(z, 1, 1), select(turned, 1, 2)) < 1e-5);
}

TEST_CASE("t_jepa: the last feature can be context and target, and REG is always context, never a target") {
  manual_seed(1);
  TabularEncoder encoder(kMixed);
  Rows x = rows(2);
  Tensor all = encoder(x.numbers, x.categories), last = tensor({{4}, {4}}), first = tensor({{0}, {0}});
  Tensor targets = gather_targets(all, {last, first}, 1);
  CHECK(targets.shape() == Shape{4, 1, 8});
  CHECK(to_vector(slice(targets, 0, 0, 2)) == to_vector(slice(all, 1, 5, 6)));
  CHECK(to_vector(slice(targets, 0, 2, 4)) == to_vector(slice(all, 1, 1, 2)));  // feature 0 is token 1, not REG
  Rows changed = x;
  changed.categories = slice_assign(x.categories, 1 - slice(x.categories, 1, 1, 2), 1, 1, 2);
  CHECK(largest_difference(encoder(x.numbers, x.categories, last), encoder(changed.numbers, changed.categories, last)) > 1e-4);
}

TEST_CASE("t_jepa: without position codes, permuted columns with permuted rows of the tokenizer give permuted latents") {
  manual_seed(2);
  EncoderOptions o{.numeric = 5, .width = 8, .heads = 2, .inner = 12, .positions = false};
  TabularEncoder encoder(o), permuted = encoder;
  Tensor order = tensor({3, 0, 4, 1, 2}), x = rand({6, 5});
  NoGrad off;
  for (const nn::NamedTensor& p : permuted.tokenizer.features.named_parameters()) {
    Tensor target = p.tensor;
    copy_data(index_select(p.tensor, 0, order), target);
  }
  Tensor y = encoder(x), z = permuted(index_select(x, 1, order));
  CHECK(largest_difference(select(y, 1, 0), select(z, 1, 0)) < 1e-5);
  CHECK(largest_difference(index_select(slice(y, 1, 1), 1, order), slice(z, 1, 1)) < 1e-5);
  CHECK(largest_difference(slice(y, 1, 1), slice(z, 1, 1)) > 1e-3);
}

TEST_CASE("t_jepa: derivatives of tokenizer, mask token and predictor are those of central differences") {
  manual_seed(4);
  EncoderOptions e{.numeric = 2, .cardinalities = {3}, .width = 4, .layers = 1, .heads = 2, .inner = 4, .init = Init::xavier};
  TJepaTrainer trainer(e, {.width = 4, .layers = 1, .heads = 2, .inner = 4},
                       {.masks = {.context_min = 0.3, .context_max = 0.5, .target_min = 0.3, .target_max = 0.5}});
  for (nn::Module* m : {static_cast<nn::Module*>(&trainer.encoder()), static_cast<nn::Module*>(&trainer.predictor()),
                        static_cast<nn::Module*>(&trainer.target())})
    m->to(f64);
  Tensor numbers = rand({3, 2}, {.dtype = f64}), categories = tensor({{0}, {2}, {1}});
  FeatureMasks masks{tensor({{0}, {2}, {1}}), {tensor({{1}, {0}, {2}}), tensor({{2}, {1}, {0}})}};
  for (nn::Module* module : {static_cast<nn::Module*>(&trainer.encoder().tokenizer), static_cast<nn::Module*>(&trainer.predictor())}) {
    std::vector<Tensor> parameters = module->parameters();
    std::vector<nn::NamedTensor> named = module->named_parameters();
    trainer.encoder().zero_grad();
    trainer.predictor().zero_grad();
    trainer.loss(numbers, categories, masks).backward();
    for (size_t k = 0; k < parameters.size(); ++k) {
      CAPTURE(named[k].name);
      REQUIRE(parameters[k].grad().defined());
      Numbers analytic = to_vector(parameters[k].grad());
      Tensor p = parameters[k].detach();
      for (int64_t i = 0; i < p.numel(); i += std::max<int64_t>(1, p.numel() / 5)) {
        NoGrad off;
        double* value = p.data<double>() + i;
        double kept = *value, eps = 1e-5;
        *value = kept + eps;
        double above = trainer.loss(numbers, categories, masks).item();
        *value = kept - eps;
        double below = trainer.loss(numbers, categories, masks).item();
        *value = kept;
        CHECK(std::abs(analytic[static_cast<size_t>(i)] - (above - below) / (2 * eps)) <
              1e-7 + 1e-5 * std::abs(analytic[static_cast<size_t>(i)]));
      }
    }
  }
}

TEST_CASE("t_jepa: weights start as in the official code, or larger") {
  manual_seed(0);
  EncoderOptions o{.numeric = 2, .cardinalities = {50}, .width = 32, .layers = 1, .heads = 4, .inner = 64};
  auto deviation = [](const TabularEncoder& e, const std::string& ending) {
    for (const nn::NamedTensor& p : e.named_parameters())
      if (p.name.ends_with(ending)) return std::sqrt(var(p.tensor, {}, 0).item());
    throw std::runtime_error(ending);
  };
  TabularEncoder official(o);
  o.init = Init::xavier;
  TabularEncoder large(o);
  CHECK(deviation(official, "trunk.linear.weight") == Approx(0.02).epsilon(0.1));
  CHECK(deviation(official, "tables.0.weight") == Approx(0.02).epsilon(0.1));
  CHECK(deviation(official, "attention.out.weight") == Approx(0.02).epsilon(0.1));
  CHECK(deviation(official, "attention.query.weight") == Approx(std::sqrt(6.0 / 128 / 3)).epsilon(0.1));  // U(±√(6/(4h)))
  CHECK(deviation(official, "trunk.linear.bias") == 0);
  CHECK(deviation(official, "features.weight") == Approx(1 / std::sqrt(32.0 * 3)).epsilon(0.2));
  CHECK(deviation(large, "trunk.linear.weight") == Approx(std::sqrt(6.0 / 64 / 3)).epsilon(0.1));
  CHECK(deviation(large, "tables.0.weight") == Approx(1 / std::sqrt(32.0 * 3)).epsilon(0.1));
}

// -- training ---------------------------------------------------------------------------------------------

TEST_CASE("t_jepa: no gradient reaches the target encoder; m = 1 keeps it, m = 0 makes it the encoder") {
  for (double start : {1.0, 0.0, 0.5}) {
    manual_seed(3);
    TJepaTrainer trainer(kMixed, {.width = 4, .inner = 8}, {.masks = {.context_max = 0.6}, .steps = 4, .warmup = 1, .ema_start = start});
    Tensor before = clone(trainer.target().tokenizer.reg.detach());
    CHECK(to_vector(before) == to_vector(trainer.encoder().tokenizer.reg));
    Generator g(1);
    Rows x = rows(8);
    CHECK(std::isfinite(trainer.step(x.numbers, x.categories, g)));
    for (const Tensor& p : trainer.target().parameters()) {
      CHECK_FALSE(p.requires_grad());
      CHECK_FALSE(p.grad().defined());
    }
    CHECK(trainer.encoder().tokenizer.reg.grad().defined());
    CHECK(to_vector(before) != to_vector(trainer.encoder().tokenizer.reg));
    Tensor expected = before * start + trainer.encoder().tokenizer.reg.detach() * (1 - start);
    CHECK(largest_difference(trainer.target().tokenizer.reg, expected) < 1e-7);
    if (start == 1) CHECK(to_vector(trainer.target().tokenizer.reg) == to_vector(before));
    if (start == 0) CHECK(to_vector(trainer.target().tokenizer.reg) == to_vector(trainer.encoder().tokenizer.reg));
  }
}

TEST_CASE("t_jepa: a few steps lower the loss, the same seeds give the same bits, and gradients are clamped") {
  auto run = [](double clamp) {
    manual_seed(5);
    TJepaTrainer trainer(kMixed, {.width = 8, .inner = 16}, {.steps = 40, .warmup = 4, .lr = 3e-3, .clamp = clamp});
    Generator g(2);
    Rows x = rows(64);
    Numbers losses;
    for (int i = 0; i < 40; ++i) losses.push_back(trainer.step(x.numbers, x.categories, g));
    double largest = 0;
    for (const Tensor& p : trainer.encoder().parameters())
      if (p.grad().defined()) largest = std::max(largest, max(abs(p.grad())).item());
    CHECK(largest <= clamp);
    CHECK(trainer.steps() == 40);
    return losses;
  };
  Numbers losses = run(1);
  CHECK(losses == run(1));
  CHECK(losses.back() < 0.7 * losses.front());
  CHECK(run(1e-4) != losses);
}

TEST_CASE("t_jepa: momentum and learning rate of the worked examples") {
  for (auto [i, m] : {std::pair<int64_t, double>{0, 0.996}, {1, 0.99602}, {100, 0.998}, {199, 0.99998}, {200, 1.0}})
    CHECK(ema_momentum(i, 0.996, 200) == Approx(m).epsilon(1e-9));
  CHECK(ema_momentum(0, 0.996, 200) * 0.5 + (1 - ema_momentum(0, 0.996, 200)) * 1.0 == Approx(0.502));
  for (auto [s, lr] : {std::pair<int64_t, double>{1, 5e-5}, {10, 5e-4}, {20, 1e-3}, {65, 8.53553e-4}, {110, 5e-4}, {155, 1.46447e-4}})
    CHECK(warmup_cosine_rate(s, 20, 200, 0, 1e-3, 0) == Approx(lr).epsilon(1e-5));
  CHECK(std::abs(warmup_cosine_rate(200, 20, 200, 0, 1e-3, 0)) < 1e-18);
  CHECK(warmup_cosine_rate(1, 0, 10, 0, 1e-3, 0) == Approx(1e-3 * (1 + std::cos(0.1 * 3.14159265358979)) / 2));
  CHECK_THROWS_AS(ema_momentum(0, 1.5, 10), ValueError);
  CHECK_THROWS_WITH_AS(warmup_cosine_rate(1, 10, 10, 0, 1, 0), "warmup_cosine_rate: step 1 with 10 of warm-up in 10", ValueError);
}

TEST_CASE("t_jepa: features are those of evaluation mode, whatever the batch, and mode and graph are left alone") {
  manual_seed(6);
  EncoderOptions o = kMixed;
  o.dropout = 0.5;
  TabularEncoder encoder(o);
  Rows x = rows(7);
  Tensor features = extract_features(encoder, x.numbers, x.categories, 3);
  CHECK(features.shape() == Shape{7, 6, 8});
  CHECK(encoder.training());
  CHECK_FALSE(features.requires_grad());
  CHECK(largest_difference(features, extract_features(encoder, x.numbers, x.categories)) < 1e-6);
  CHECK(largest_difference(features, encoder(x.numbers, x.categories)) > 0.1);  // with dropout
  EncoderOptions bare = o;
  bare.n_reg = 0;
  TabularEncoder without(bare);
  CHECK(extract_features(without, x.numbers, x.categories).shape() == Shape{7, 5, 8});
}

TEST_CASE("t_jepa: one linear map for each token") {
  LinearPerFeature reduce(3, 4, 2);
  Tensor x = randn({5, 3, 4}), y = reduce(x);
  CHECK(y.shape() == Shape{5, 6});
  Numbers w = to_vector(reduce.weight), b = to_vector(reduce.bias), v = to_vector(x);
  double expected = b[1 * 2 + 1];  // row 2, token 1, output 1
  for (size_t k = 0; k < 4; ++k) expected += v[(2 * 3 + 1) * 4 + k] * w[(1 * 4 + k) * 2 + 1];
  CHECK(to_vector(y)[2 * 6 + 1 * 2 + 1] == Approx(expected).epsilon(1e-5));
  CHECK_THROWS_WITH_AS(reduce(zeros({5, 4, 4})), "linear_per_feature: takes [B, 3, 4], got [5, 4, 4]", ShapeError);
}

// -- monitors ---------------------------------------------------------------------------------------------

TEST_CASE("t_jepa: collapse monitors") {
  Generator g(0);
  CollapseMetrics m = collapse_metrics(tensor({{{1.0, 2.0}, {3.0, 4.0}}, {{2.0, 0.0}, {3.0, 1.0}}}), g);
  CHECK(m.intra == Approx(0.875));
  CHECK(m.inter == Approx(0.875));
  CHECK(m.distance == Approx(std::sqrt(1.0 + 4 + 0 + 9)));  // there is one pair of rows
  CHECK(m.divergence > 0);
  Tensor same = expand(randn({1, 4, 8}), {10, 4, 8});
  CollapseMetrics collapsed = collapse_metrics(same, g);
  CHECK(collapsed.intra < 1e-25);  // means round
  CHECK(collapsed.distance == 0);
  CHECK(std::abs(collapsed.divergence) < 1e-12);
  CHECK(collapse_metrics(randn({10, 4, 8}), g).intra == Approx(1).epsilon(0.3));
  CHECK_THROWS_WITH_AS(collapse_metrics(zeros({4, 4}), g), "collapse_metrics: takes [N, T, h], got [4, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(collapse_metrics(zeros({1, 4, 4}), g), "collapse_metrics: 20 pairs of 1 rows", ValueError);
}

TEST_CASE("t_jepa: bad input is an error that names it") {
  auto make = [](EncoderOptions o) { TabularEncoder e(o); };
  CHECK_THROWS_WITH_AS(make({.numeric = 2, .width = 9, .heads = 3}), "t_jepa: width 9 is odd, the position code needs pairs", ConfigError);
  CHECK_THROWS_WITH_AS(make({.numeric = 2, .width = 10, .heads = 4}), "t_jepa: width 10 is not a multiple of heads 4", ConfigError);
  CHECK_THROWS_WITH_AS(make({.width = 8}), "t_jepa: the table has no columns", ConfigError);
  CHECK_THROWS_WITH_AS(make({.numeric = 1, .n_reg = -1}), "t_jepa: n_reg must not be negative, it is -1", ConfigError);
  CHECK_THROWS_WITH_AS(FeatureTokenizer(0, {}, 8), "feature_tokenizer: the table has no columns", ValueError);
  manual_seed(0);
  TabularEncoder encoder(kMixed);
  Rows x = rows(2);
  CHECK_THROWS_WITH_AS(encoder(x.numbers, x.categories, zeros({3, 1}, i64)), "t_jepa: a context of [3, 1] for 2 rows", ShapeError);
  CHECK_THROWS_AS(encoder(x.numbers, x.categories, full({2, 1}, 5, i64)), IndexError);
  LatentPredictor predictor(kMixed, {.width = 4});
  CHECK_THROWS_WITH_AS(predictor(zeros({2, 3, 8}), zeros({2, 1}, i64), {zeros({2, 1}, i64)}),
                       "t_jepa: latents [2, 3, 8] do not fit a context of [2, 1] and 1 REG tokens", ShapeError);
  CHECK_THROWS_AS(jepa_loss(zeros({2, 3}), zeros({2, 4})), ShapeError);
}

TEST_CASE("t_jepa: the experiment in small measures every variant") {
  Results results = run_experiment({"representation", "t_jepa", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == experiment().variants.size());
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const auto& [name, value] : cell.measured.metrics)
      if (name == "digits, linear (%)") CHECK(value > 40);  // 10 by chance
  }
}
