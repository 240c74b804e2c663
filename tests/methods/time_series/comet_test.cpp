// COMET: the losses of its four levels by hand and at their limits, masks, batches by recording, splits by patient, averages, experiments.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/core/error.h"
#include "methods/runner.h"
#include "methods/time_series/comet/comet.h"
#include "methods/time_series/comet/sampling.h"
#include "methods/time_series/comet/study.h"
#include "models/nn/linear.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

namespace plumb::methods::comet {
Experiment experiment();
}
namespace plumb::methods::comet_levels {
Experiment experiment();
}
namespace plumb::methods::comet_motions {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods::comet;
using plumb::test::difference;
using plumb::test::sample;

namespace {

Tensor first_view() { return tensor({{{1., 0.}, {0., 1.}}, {{.5, .5}, {1., -1.}}, {{-1., .2}, {.3, .4}}}, f64); }
Tensor second_view() { return tensor({{{.9, .1}, {.2, .8}}, {{.4, .7}, {.8, -.6}}, {{-.7, .1}, {.1, .5}}}, f64); }
Tensor scaled(const Tensor& loss, double factor) { return loss * factor; }

// z[b, t, c] = (8b + 2t + c) / 10 − 0.7 and z'[b, t] = z[b, 3 − t] / 2 + 0.1.
std::pair<Tensor, Tensor> four_steps() {
  Tensor z = zeros({2, 4, 2}, f64), z2 = zeros({2, 4, 2}, f64);
  for (int b = 0; b < 2; ++b)
    for (int t = 0; t < 4; ++t)
      for (int c = 0; c < 2; ++c) {
        z.data<double>()[8 * b + 2 * t + c] = (8 * b + 2 * t + c) / 10.0 - 0.7;
        z2.data<double>()[8 * b + 2 * (3 - t) + c] = 0.5 * z.data<double>()[8 * b + 2 * t + c] + 0.1;
      }
  return {z, z2};
}

std::map<std::string, double> metrics_of(const methods::CellResult& cell) {
  return {cell.measured.metrics.begin(), cell.measured.metrics.end()};
}

temporal::DilatedEncoder small_encoder(double dropout = 0.1) {
  return temporal::DilatedEncoder({.channels = 2, .depth = 1, .hidden = 4, .output = 5, .dropout = dropout});
}

}  // namespace

TEST_CASE("comet: sample and observation level on three windows by hand") {
  Tensor z = first_view(), z2 = second_view();
  CHECK(instance_contrast(z, z2).item() == doctest::Approx(1.03244).epsilon(5e-6));
  CHECK(temporal_contrast(z, z2).item() == doctest::Approx(0.668056).epsilon(2e-6));
  CHECK(scaled(hierarchical(instance_contrast, z, z2), 0.25).item() == doctest::Approx(0.258110).epsilon(5e-6));
  CHECK(scaled(hierarchical(temporal_contrast, z, z2), 0.25).item() == doctest::Approx(0.167014).epsilon(5e-6));
  // The views may be exchanged.
  CHECK(instance_contrast(z2, z).item() == doctest::Approx(instance_contrast(z, z2).item()).epsilon(1e-12));
  CHECK(temporal_contrast(z2, z).item() == doctest::Approx(temporal_contrast(z, z2).item()).epsilon(1e-12));
}

TEST_CASE("comet: the group level on three windows by hand") {
  Tensor z = first_view(), z2 = second_view();
  CHECK(group_contrast(z, z2, tensor({0, 0, 1})).item() == doctest::Approx(10.8550).epsilon(1e-5));
  CHECK(group_contrast(z, z2, tensor({0, 0, 0})).item() == doctest::Approx(11.3173).epsilon(1e-5));
  // With two windows of one group, the loss of a temperature so high that all are alike is log 2; the cosine shows in its first derivative.
  double cosines[3][3] = {{0.984233, -0.101789, -0.00468440}, {-0.100729, 0.960818, -0.552790}, {0.0351536, -0.206938, 0.976800}};
  double rows = 0, columns = 0;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) {
      double row = 0, column = 0;
      for (int k = 0; k < 3; ++k) row += std::exp(cosines[i][k] / 0.5), column += std::exp(cosines[k][j] / 0.5);
      if (i < j) rows += (std::log(row) - cosines[i][j] / 0.5) / 3;
      if (i > j) columns += (std::log(column) - cosines[i][j] / 0.5) / 3;
    }
  CHECK(group_contrast(z, z2, tensor({7, 7, 7}), 0.5).item() == doctest::Approx((rows + columns) / 2).epsilon(1e-5));
}

TEST_CASE("comet: two scales of four steps by hand") {
  auto [z, z2] = four_steps();
  CHECK(hierarchical(instance_contrast, z, z2).item() == doctest::Approx(0.925545).epsilon(2e-6));
  CHECK(hierarchical(temporal_contrast, z, z2).item() == doctest::Approx(1.57897).epsilon(5e-6));
  int scales = 0;
  std::vector<int64_t> lengths;
  hierarchical([&](const Tensor& a, const Tensor&) { return ++scales, lengths.push_back(a.size(1)), mean(a); }, z, z2);
  CHECK(lengths == std::vector<int64_t>{4, 2});
  lengths.clear();
  Tensor seven = sample({2, 7, 3}, 1);  // 7, 3: odd steps at the end go
  hierarchical([&](const Tensor& a, const Tensor&) { return lengths.push_back(a.size(1)), mean(a); }, seven, seven);
  CHECK(lengths == std::vector<int64_t>{7, 3});
  CHECK_THROWS_WITH_AS(hierarchical(instance_contrast, zeros({2, 1, 3}), zeros({2, 1, 3})),
                       "hierarchical: needs at least 2 steps, the views are [2, 1, 3]", ShapeError);
}

TEST_CASE("comet: zeros cost the logarithm of the number of others, and a single window or step nothing") {
  CHECK(instance_contrast(zeros({3, 4, 2}, f64), zeros({3, 4, 2}, f64)).item() == doctest::Approx(1.60944).epsilon(1e-5));
  CHECK(temporal_contrast(zeros({3, 2, 5}, f64), zeros({3, 2, 5}, f64)).item() == doctest::Approx(1.09861).epsilon(1e-5));
  Tensor one = sample({1, 4, 3}, 2), other = sample({1, 4, 3}, 3);
  CHECK(std::abs(instance_contrast(one, other).item()) < 1e-12);
  Tensor step = sample({4, 1, 3}, 2), next = sample({4, 1, 3}, 3);
  CHECK(std::abs(temporal_contrast(step, next).item()) < 1e-12);
}

TEST_CASE("comet: without two windows of a group the loss is exactly 0, and so is its gradient; with all in one every pair counts") {
  Tensor z = first_view().requires_grad_(), z2 = second_view();
  Tensor none = group_contrast(z, z2, tensor({4, 9, 1}));
  CHECK(none.item() == 0);
  none.backward();
  for (double v : to_vector(z.grad())) CHECK(v == 0);
  // Two pairs of groups are the mean of what each pair alone gives; with one group of three, three pairs.
  double a = group_contrast(z, z2, tensor({0, 0, 1})).item(), b = group_contrast(z, z2, tensor({0, 1, 0})).item(),
         c = group_contrast(z, z2, tensor({1, 0, 0})).item();
  CHECK(group_contrast(z, z2, tensor({5, 5, 5})).item() == doctest::Approx((a + b + c) / 3).epsilon(1e-12));
}

TEST_CASE("comet: the group level does not see the scale of a channel") {
  Tensor z = sample({4, 6, 3}, 4), z2 = sample({4, 6, 3}, 5), ids = tensor({0, 1, 0, 1}), scale = tensor({0.01, 1., 50.}, f64);
  CHECK(group_contrast(z * scale, z2, ids).item() == doctest::Approx(group_contrast(z, z2, ids).item()).epsilon(1e-10));
  CHECK(std::isfinite(group_contrast(zeros({4, 6, 3}, f64), z2, ids).item()));
  // A small temperature does not overflow.
  CHECK(std::isfinite(group_contrast(to(z, f32), to(z2, f32), ids, 1e-3).item()));
}

TEST_CASE("comet: gradients of all levels agree with differences") {
  Tensor z = sample({3, 4, 2}, 6), z2 = sample({3, 4, 2}, 7), ids = tensor({0, 0, 1});
  auto check = [&](auto&& loss) {
    auto f = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {loss(x[0], x[1])}; };
    auto result = gradcheck(f, {z, z2});
    CHECK_MESSAGE(result.passed, result.message);
  };
  check(instance_contrast);
  check(temporal_contrast);
  check([&](const Tensor& a, const Tensor& b) { return group_contrast(a, b, ids); });
  check([&](const Tensor& a, const Tensor& b) { return hierarchical(temporal_contrast, a, b); });
}

TEST_CASE("comet: masks of time") {
  Generator g(8);
  CHECK(sum(time_mask(TimeMask::all_true, 3, 7, g)).item() == 21);
  Tensor m = time_mask(TimeMask::continuous, 200, 40, g);  // five runs of four steps, which may overlap
  std::vector<double> kept = to_vector(sum(m, {1}));
  CHECK(*std::min_element(kept.begin(), kept.end()) == 20);
  CHECK(*std::max_element(kept.begin(), kept.end()) <= 36);
  CHECK(*std::max_element(kept.begin(), kept.end()) > 20);
  std::vector<double> at = to_vector(sum(m, {0}));
  CHECK(at.front() < 200);  // the first and the last step can be hidden
  CHECK(at.back() < 200);
  CHECK(sum(time_mask(TimeMask::continuous, 5, 1, g)).item() == 0);   // one run of one step
  CHECK(sum(time_mask(TimeMask::continuous, 5, 3, g)).item() == 10);  // ⌊3 / 2⌋ = 1 run of one step
  double share = mean(time_mask(TimeMask::binomial, 100, 100, g)).item();
  CHECK(std::abs(share - 0.5) < 0.02);  // four deviations
  CHECK_THROWS_AS(time_mask(TimeMask::binomial, 0, 3, g), ValueError);
}

TEST_CASE("dilated encoder: a vector for every step, blocks that see further and further, and steps that are hidden") {
  manual_seed(9);
  temporal::DilatedEncoder encoder({.channels = 3, .depth = 2, .hidden = 4, .output = 6, .dropout = 0});
  Tensor x = sample({2, 40, 3}, 10, f32);
  Tensor y = encoder(x);
  CHECK(y.shape() == Shape{2, 40, 6});
  CHECK(temporal::series_vector(y).shape() == Shape{2, 6});
  CHECK(difference(temporal::series_vector(y), max(y, 1).values) == 0);
  // Two convolutions of dilation 1, 2 and 4 each reach 2 (1 + 2 + 4) = 14 steps to either side, not 15.
  Tensor other = clone(x);
  other.data<float>()[3 * 20] += 1;  // step 20 of the first series
  Tensor moved = amax(abs(encoder(other) - y), {2});
  std::vector<double> change = to_vector(select(moved, 0, 0));
  CHECK(change[6] > 0);
  CHECK(change[34] > 0);
  CHECK(change[5] == 0);
  CHECK(change[35] == 0);
  CHECK(max(select(moved, 0, 1)).item() == 0);
  // A hidden step's own value does not matter; nothing hidden is no mask.
  Tensor keep = ones({2, 40});
  CHECK(difference(encoder(x, keep), y) == 0);
  keep.data<float>()[20] = 0;
  CHECK(difference(encoder(x, keep), encoder(other, keep)) == 0);
  CHECK(difference(encoder(x, keep), y) > 0);
  CHECK_THROWS_WITH_AS(encoder(zeros({2, 40, 2})), "dilated_encoder: takes series [B, T, 3] of at least one step, got [2, 40, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(encoder(x, zeros({2, 39})), "dilated_encoder: a mask [2, 39] does not fit series [2, 40, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(temporal::DilatedEncoder({.kernel = 4}), "dilated_encoder: kernel must be odd, it is 4", ConfigError);
  CHECK_THROWS_AS(temporal::DilatedEncoder({.channels = 0}), ConfigError);
}

TEST_CASE("dilated encoder: the published sizes have eleven blocks, the last one projected") {
  temporal::DilatedEncoder encoder({.channels = 1});
  std::set<std::string> names;
  for (const auto& p : encoder.named_parameters()) names.insert(p.name);
  CHECK(names.contains("blocks.10.projector.weight"));
  CHECK_FALSE(names.contains("blocks.9.projector.weight"));
  CHECK_FALSE(names.contains("blocks.11.conv1.weight"));
  // 64 + 64; ten blocks of two convolutions; one to 320 channels and one of 320, a 1×1 convolution.
  CHECK(encoder.num_parameters() == 128 + 10 * 2 * (64 * 64 * 3 + 64) + (64 * 320 * 3 + 320) + (320 * 320 * 3 + 320) + (64 * 320 + 320));
}

TEST_CASE("comet: the levels add up with their weights, and the released code's weights of the upper two are 1") {
  manual_seed(11);
  temporal::DilatedEncoder encoder = small_encoder(0);  // without dropout the upper views are the same whenever they are drawn
  CometBatch batch{sample({6, 10, 2}, 12, f32), tensor({0, 0, 0, 1, 1, 1}), tensor({0, 0, 1, 2, 2, 3})};
  Tensor z = encoder(batch.series);
  double patient = group_contrast(z, z, batch.patients).item(), trial = group_contrast(z, z, batch.trials).item();
  auto loss = [&](const CometOptions& o) {
    Generator g(13);
    return comet_loss(encoder, batch, o, g).item();
  };
  CHECK(loss({.weights = {0.3, 0, 0, 0}}) == doctest::Approx(0.3 * patient).epsilon(1e-5));
  CHECK(loss({.weights = {0.3, 0.2, 0, 0}}) == doctest::Approx(0.3 * patient + 0.2 * trial).epsilon(1e-5));
  CHECK(loss({.weights = {0.3, 0.2, 0, 0, true}}) == doctest::Approx(patient + trial).epsilon(1e-5));
  CHECK(loss({.weights = {0.3, 0, 0, 0, true}}) == doctest::Approx(patient).epsilon(1e-5));
  Generator g(13);
  Tensor a = encoder(batch.series, time_mask(TimeMask::continuous, 6, 10, g)),
         b = encoder(batch.series, time_mask(TimeMask::continuous, 6, 10, g));
  double of_samples = hierarchical(instance_contrast, a, b).item(), shared = hierarchical(temporal_contrast, a, b).item();
  CHECK(loss({.weights = {0, 0, 0.5, 0}}) == doctest::Approx(0.5 * of_samples).epsilon(1e-5));
  CHECK(loss({.weights = {0, 0, 0.5, 0.1}, .own_views = false}) == doctest::Approx(0.5 * of_samples + 0.1 * shared).epsilon(1e-5));
  CHECK(std::abs(loss({.weights = {0, 0, 0.5, 0.1}}) - (0.5 * of_samples + 0.1 * shared)) > 1e-5);  // views of its own
  CHECK_THROWS_WITH_AS(loss({.weights = {0, 0, 0, 0}}), "comet: weights must not be negative, nor all 0; they are 0, 0, 0 and 0",
                       ValueError);
  CHECK_THROWS_AS(loss({.weights = {-1, 1, 1, 1}}), ValueError);
}

TEST_CASE("comet: the mean of weights over training") {
  nn::Linear w(1, 1, {.bias = false});
  auto set = [&](double v) { copy_data(full({1, 1}, v), w.weight); };
  set(1);
  WeightAverager<nn::Linear> average(w);
  CHECK(average.model().weight.item() == 1);
  set(2);
  average.update(w);
  CHECK(average.model().weight.item() == doctest::Approx(1.5));
  set(4);
  average.update(w);
  CHECK(average.model().weight.item() == doctest::Approx(2.33333).epsilon(1e-5));
  CHECK(w.weight.item() == 4);
}

TEST_CASE("comet: batches by recording hold every window once, and several of one") {
  std::vector<int64_t> trial;
  for (int64_t t = 0; t < 23; ++t)
    for (int64_t w = 0; w < 2 + t % 3; ++w) trial.push_back(100 + t);
  auto n = static_cast<int64_t>(trial.size());
  for (int64_t batch : {3, 8, 32, 1000}) {
    GroupedBatches batches(from_vector(trial), batch);
    Generator g(14);
    std::vector<int64_t> first;
    for (int epoch = 0; epoch < 2; ++epoch) {
      std::vector<int64_t> order;
      for (const Tensor& b : batches.epoch(g)) {
        std::map<int64_t, int> of;
        for (int64_t at : to_vector<int64_t>(b)) order.push_back(at), ++of[trial[static_cast<size_t>(at)]];
        CHECK(std::any_of(of.begin(), of.end(), [](auto& pair) { return pair.second >= 2; }));
        CHECK(b.numel() <= std::max(batch + 2, int64_t{3}));
      }
      std::set<int64_t> different(order.begin(), order.end());
      CHECK(order.size() == static_cast<size_t>(n));
      CHECK(different.size() == order.size());
      if (epoch == 0)
        first = order;
      else
        CHECK(order != first);
    }
  }
  CHECK_THROWS_WITH_AS(GroupedBatches(tensor({1, 1}), 2), "grouped_batches: a batch must have at least 3 windows, it has 2", ValueError);
  CHECK_THROWS_AS(GroupedBatches(tensor({1.0}), 4), DTypeError);
  CHECK_THROWS_AS(GroupedBatches(zeros({0}, i64), 4), ValueError);
}

TEST_CASE("comet: a split keeps a patient's windows together and the classes even") {
  std::vector<int64_t> patient, label;
  for (int64_t p = 0; p < 20; ++p)
    for (int64_t w = 0; w < 3; ++w) patient.push_back(p), label.push_back(p % 2);
  Tensor who = from_vector(patient), what = from_vector(label);
  Generator g(15);
  auto parts = patient_split(who, what, {8, 2, 6}, g);
  std::set<int64_t> seen;
  for (size_t k = 0; k < 3; ++k) {
    std::set<int64_t> here;
    int64_t ill = 0;
    for (int64_t at : parts[k]) here.insert(patient[static_cast<size_t>(at)]), ill += label[static_cast<size_t>(at)];
    CHECK(parts[k].size() == std::vector<size_t>{24, 6, 18}[k]);
    CHECK(2 * ill == static_cast<int64_t>(parts[k].size()));
    for (int64_t p : here) CHECK(seen.insert(p).second);
  }
  CHECK(seen.size() == 16);
  CHECK(patient_split(who, what, {8}, g)[0] != parts[0]);
  CHECK_THROWS_WITH_AS(patient_split(who, what, {21}, g), "patient_split: 21 patients are wanted, there are 20", ValueError);
  CHECK_THROWS_WITH_AS(patient_split(tensor({3, 3}), tensor({0, 1}), {1}, g), "patient_split: patient 3 has the labels 0 and 1",
                       ValueError);
}

TEST_CASE("comet: few labels are some of every class") {
  Windows w{zeros({10, 4, 1}), tensor({0, 0, 0, 0, 0, 0, 0, 0, 1, 1}), arange(10), arange(10)};
  Generator g(16);
  std::vector<int64_t> few = few_windows(w, 0.5, g);
  CHECK(few.size() == 4 + 2);  // half of eight, and two of two, which is the least
  CHECK(std::count_if(few.begin(), few.end(), [](int64_t at) { return at >= 8; }) == 2);
  CHECK(few_windows(w, 1, g).size() == 10);
  CHECK_THROWS_AS(few_windows(w, 0, g), ValueError);
}

TEST_CASE("comet: scores by hand, and an encoder that knows the classes is found out by its frozen vectors") {
  Tensor p = tensor({{.9, .1}, {.4, .6}, {.3, .7}, {.2, .8}}), y = tensor({0, 0, 1, 1});
  Scores s = scores_of(p, y);
  CHECK(s.f1 == doctest::Approx(100 * (2.0 / 3 + 0.8) / 2));
  CHECK(s.auroc == doctest::Approx(100));
  CHECK(s.auprc == doctest::Approx(100));
  CHECK(std::isnan(scores_of(p, tensor({1, 1, 1, 1})).auroc));
  manual_seed(17);
  temporal::DilatedEncoder encoder = small_encoder();
  Tensor series = 0.1 * sample({40, 12, 2}, 18, f32);
  std::vector<int64_t> label;
  for (int64_t i = 0; i < 40; ++i) label.push_back(i % 2);
  series = series + reshape(to(from_vector(label), f32), {40, 1, 1});
  Windows w{series, from_vector(label), arange(40), arange(40)};
  CHECK(frozen(encoder, w, w, 2).f1 == doctest::Approx(100));
  Generator g(19);
  CHECK(finetuned(encoder, w, {}, w, 2, {.epochs = 30, .batch = 8, .lr = 3e-3}, g).f1 > 90);
  PretrainOptions o{.epochs = 2, .batch = 8};
  int64_t epochs = 0;
  o.each_epoch = [&](int64_t epoch, const temporal::DilatedEncoder&) { epochs = epoch; };
  temporal::DilatedEncoder after = pretrained(encoder, w, o, g);
  CHECK(epochs == 2);
  CHECK(difference(after.parameters()[0], encoder.parameters()[0]) > 0);
  CHECK(after.parameters()[0].requires_grad());
}

TEST_CASE("comet: what does not fit is named") {
  CHECK_THROWS_WITH_AS(instance_contrast(zeros({2, 3, 4}), zeros({2, 3, 5})),
                       "instance_contrast: the views must both be [B, T, C], they are [2, 3, 4] and [2, 3, 5]", ShapeError);
  CHECK_THROWS_AS(temporal_contrast(zeros({2, 3}), zeros({2, 3})), ShapeError);
  CHECK_THROWS_WITH_AS(group_contrast(zeros({2, 3, 4}), zeros({2, 3, 4}), tensor({1})), "group_contrast: ids [1] for 2 windows",
                       ShapeError);
  CHECK_THROWS_WITH_AS(group_contrast(zeros({2, 3, 4}), zeros({2, 3, 4}), tensor({1.0, 2.0})), "group_contrast: ids must be i64, not f32",
                       DTypeError);
  CHECK_THROWS_WITH_AS(group_contrast(zeros({2, 3, 4}), zeros({2, 3, 4}), tensor({1, 2}), 0),
                       "group_contrast: tau must be positive, it is 0", ValueError);
}

TEST_CASE("comet: the experiments measure every variant at the smoke budget") {
  methods::Results results =
      methods::run_experiment({"time_series", "comet", &experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 8);
  std::set<double> different;
  for (const auto& cell : results.cells) {
    CAPTURE(cell.variant);
    auto m = metrics_of(cell);
    CHECK(m.size() == 9);
    for (const auto& [name, value] : m) CHECK_MESSAGE((value >= 0 && value <= 100), name << " " << value);
    different.insert(m["AUROC, frozen, all labels (%)"]);
  }
  CHECK(different.size() >= 3);  // pre-training does something, and not the same
  results = methods::run_experiment({"time_series", "comet_levels", &methods::comet_levels::experiment, {}},
                                    {.budget = methods::Budget::smoke, .seeds = 1, .variants = {"without trial", "as released"}});
  CHECK(results.cells.size() == 2);
}

TEST_CASE("comet: the experiment on motions runs on made-up recordings") {
  methods::Results results = methods::run_experiment({"time_series", "comet_motions", &methods::comet_motions::experiment, {}},
                                                     {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 4);
  for (const auto& cell : results.cells) {
    auto m = metrics_of(cell);
    CHECK(m["classes"] == 2);
    CHECK(std::isfinite(m["macro-F1, one recording a class (%)"]));
  }
}
