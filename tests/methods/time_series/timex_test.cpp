// TimeX: losses and measures by hand, gates that hide what they should, straight-through samples, what is frozen, bad input, the
// experiment.
#include "methods/time_series/timex/timex.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "methods/runner.h"
#include "methods/time_series/timex/explainer.h"
#include "methods/time_series/timex/optimised_mask.h"
#include "methods/time_series/timex/series.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

namespace plumb::methods::timex {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods::timex;
using plumb::test::difference;
using plumb::test::sample;

namespace {

const Tensor& worked_z() {
  static const Tensor z = tensor({{1.0, 2.0, 0.0}, {0.0, 1.0, -1.0}, {2.0, -1.0, 1.0}}, f64);
  return z;
}
const Tensor& worked_e() {
  static const Tensor z = tensor({{0.5, 1.0, 0.2}, {0.1, 0.9, -1.2}, {1.0, 0.0, 1.0}}, f64);
  return z;
}

struct Small {
  ExplainedSeries series;
  SeriesClassifier classifier;
  TimeX model;
};

Small small_model(bool low_variance = false, TimexOptions o = {.prototypes = 6}) {
  manual_seed(11);
  Generator g(12);
  ExplainedSeries s = low_variance ? make_low_variance(24, g) : make_freq_shapes(24, g);
  SeriesClassifier classifier({.channels = s.x.size(2), .steps = 50}, 4);
  TimeX model(classifier, s.x, s.times, s.labels, o);
  return {s, classifier, model};
}

std::vector<double> all_values(const nn::Module& m) {
  std::vector<double> v;
  for (const Tensor& p : m.parameters())
    for (double x : to_vector(p)) v.push_back(x);
  return v;
}

}  // namespace

TEST_CASE("mbc_loss: three rows by hand; lengths and order do not matter; one row has no relations") {
  CHECK(mbc_loss(worked_z(), worked_e()).item() == doctest::Approx(0.0534325).epsilon(1e-7));
  Tensor scale = tensor({{0.5}, {3.0}, {7.0}}, f64);
  CHECK(mbc_loss(worked_z(), worked_z() * scale).item() < 1e-30);
  Tensor order = tensor({2, 0, 1});
  CHECK(mbc_loss(index_select(worked_z(), 0, order), index_select(worked_e(), 0, order)).item() ==
        doctest::Approx(mbc_loss(worked_z(), worked_e()).item()).epsilon(1e-14));
  CHECK(mbc_loss(narrow(worked_z(), 0, 0, 1), narrow(worked_e(), 0, 0, 1)).item() < 1e-30);
  CHECK_THROWS_WITH_AS(mbc_loss(worked_z(), zeros({2, 3}, f64)), "mbc_loss: rows [3, 3] and [2, 3] must be of one shape [B, D]",
                       ShapeError);
}

TEST_CASE("label_consistency_loss: three rows by hand, as the paper says and as it was released") {
  Tensor y = tensor({{1.0, 0.0}, {0.0, 1.0}, {2.0, -1.0}}, f64), e = tensor({{0.5, 0.1}, {-0.2, 0.8}, {1.0, -1.0}}, f64);
  CHECK(label_consistency_loss(y, e).item() == doctest::Approx(0.00280615).epsilon(1e-8));
  CHECK(label_consistency_loss(y, e, LabelForm::released).item() == doctest::Approx(0.00127064).epsilon(1e-8));
  CHECK(label_consistency_loss(y, y + 3).item() < 1e-20);
  Tensor one = narrow(e, 0, 0, 1).requires_grad_();
  Tensor nothing = label_consistency_loss(narrow(y, 0, 0, 1), one);
  CHECK(nothing.item() == 0);
  nothing.backward();  // there is a graph to go through
  CHECK_THROWS_AS(label_consistency_loss(y, worked_e()), ShapeError);
}

TEST_CASE("gsat_loss and connect_loss: by hand; nothing at the prior; no jump from a constant") {
  Tensor p = tensor({{0.1, 0.5, 0.9, 0.3}}, f64);
  CHECK(gsat_loss(p, 0.5).item() == doctest::Approx(0.204603).epsilon(1e-6));
  CHECK(std::abs(gsat_loss(full({2, 3}, 0.5, f64), 0.5).item()) < 1e-11);
  CHECK(std::abs(gsat_loss(full({2, 3}, 0.3, f64), 0.3).item()) < 1e-6);
  Tensor two = tensor({{0.1, 0.5, 0.9, 0.3}, {0.2, 0.2, 0.4, 0.4}}, f64);
  CHECK(connect_loss(two).item() == doctest::Approx(0.141421).epsilon(1e-6));
  CHECK(connect_loss(unsqueeze(two, -1)).item() == doctest::Approx(0.141421).epsilon(1e-6));
  // Along time, not along channels or the batch.
  Tensor channels = expand(reshape(tensor({0.1, 0.9}, f64), {1, 1, 2}), {3, 4, 2}), flat = clone(channels).requires_grad_();
  Tensor none = connect_loss(flat);
  CHECK(none.item() == 0);
  none.backward();
  CHECK(max(abs(flat.grad())).item() == 0);
  CHECK_THROWS_WITH_AS(gsat_loss(p, 1), "gsat_loss: the prior must lie in (0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(connect_loss(zeros({3, 1})), "connect_loss: takes [B, T] or [B, T, d] with T at least 2, got [3, 1]", ShapeError);
}

TEST_CASE("poly1_loss: one row by hand") {
  CHECK(poly1_loss(tensor({{2.0, 0.5, -1.0, 0.0}}, f64), tensor({0})).item() == doctest::Approx(0.632250).epsilon(1e-6));
}

TEST_CASE("gumbel_softmax_st: the soft sample by hand; hard forward, soft backward; cold samples are hard") {
  Tensor log_p = log(tensor({{0.7, 0.3}}, f64)).requires_grad_(), noise = tensor({{0.5, 1.2}}, f64);
  Tensor soft = relaxed_sample(log_p, noise, 1), hard = straight_through(soft);
  check_close(soft, {0.536758, 0.463242}, 1e-6);
  CHECK(to_vector(hard) == std::vector<double>{1, 0});
  Tensor by = tensor({{1.0, 3.0}}, f64);
  Tensor through_hard = grad({hard}, {log_p}, {.retain_graph = true}, {by})[0], through_soft = grad({soft}, {log_p}, {}, {by})[0];
  CHECK(difference(through_hard, through_soft) == 0);
  check_close(relaxed_sample(log_p.detach(), noise, 0.001), {1, 0}, 1e-9);

  manual_seed(1);
  Generator g(2);
  Tensor p = full({4000}, 0.3, f64).requires_grad_(), mask = sample_mask(p, 1, g);
  for (double v : to_vector(mask)) CHECK((v == 0 || v == 1));
  CHECK(std::abs(mean(mask).item() - 0.3) < 4.5 * std::sqrt(0.21 / 4000));
  sum(mask).backward();
  CHECK(min(p.grad()).item() > 0);
  Generator again(2);
  Tensor soft_mask = sample_mask(p.detach(), 1, again, false);
  CHECK(difference(to(soft_mask > 0.5, f64), mask.detach()) == 0);
}

TEST_CASE("saliency_metrics: five elements by hand; a constant score divides by nothing") {
  Tensor truth = tensor({0.0, 0.0, 1.0, 1.0, 0.0});
  SaliencyMetrics m = saliency_metrics(tensor({0.0, 0.2, 0.4, 1.0, 0.8}, f64), truth);
  CHECK(m.aup == doctest::Approx(0.59).epsilon(1e-8));
  CHECK(m.aur == doctest::Approx(0.8).epsilon(1e-8));
  CHECK(m.auprc == doctest::Approx(0.833333).epsilon(1e-6));
  SaliencyMetrics moved = saliency_metrics(tensor({-3.0, -2.0, -1.0, 2.0, 1.0}, f64), truth);  // 5 x − 3
  CHECK(moved.aup == doctest::Approx(m.aup).epsilon(1e-8));
  SaliencyMetrics flat = saliency_metrics(full({5}, 0.4, f64), truth);
  CHECK(flat.aup == 0);
  CHECK(flat.aur == 0);
  CHECK(flat.auprc == doctest::Approx(0.4));
  CHECK(saliency_metrics(truth, truth).auprc == 1);
  SaliencyMetrics mean = mean_saliency_metrics(stack({tensor({0.0, 0.2, 0.4, 1.0, 0.8}), full({5}, 0.4)}), stack({truth, truth}));
  CHECK(mean.aur == doctest::Approx(0.4).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(saliency_metrics(zeros({4}), truth), "saliency_metrics: scores [4] and truth [5] differ", ShapeError);
  CHECK_THROWS_AS(saliency_metrics(zeros({5}), zeros({5})), ValueError);
  CHECK_THROWS_AS(saliency_metrics(zeros({5}), ones({5})), ValueError);
}

TEST_CASE("integrated_gradients: complete, and exact where the function is a product") {
  Score f = [](const Tensor& x) { return squeeze(select(x, 1, 0) * square(select(x, 1, 1)), -1); };  // x₀ x₁²
  Tensor x = reshape(tensor({2.0, 3.0}, f64), {1, 2, 1}), zero = zeros_like(x);
  Tensor ig = integrated_gradients(f, x, zero, 400);
  check_close(ig, {6, 12}, 1e-4);  // ∫ α² and ∫ 2 α² of x₀ x₁²
  CHECK(sum(ig).item() == doctest::Approx(18).epsilon(1e-4));
  Tensor base = reshape(tensor({1.0, 1.0}, f64), {1, 2, 1});
  CHECK(sum(integrated_gradients(f, x, base, 400)).item() == doctest::Approx(17).epsilon(1e-4));
  check_close(gradient_times_input(f, x), {18, 36}, 1e-12);
  NoGrad off;
  check_close(integrated_gradients(f, x, zero, 1), {4.5, 9}, 1e-12);  // the slope at the middle, also where nothing is recorded
  CHECK_THROWS_WITH_AS(integrated_gradients(f, x, zero, 0), "integrated_gradients: needs at least 1 step, got 0", ValueError);
}

TEST_CASE("occlude_lowest: so many of the lowest") {
  Tensor x = reshape(tensor({1.0, 2.0, 3.0, 4.0}), {1, 4, 1}), score = reshape(tensor({0.3, 0.1, 0.9, 0.2}), {1, 4, 1});
  CHECK(to_vector(occlude_lowest(x, score, 0.5, zeros({4, 1}))) == std::vector<double>{1, 0, 3, 0});
  CHECK(to_vector(occlude_lowest(x, score, 1, full({4, 1}, 7.0))) == std::vector<double>{7, 7, 7, 7});
  CHECK(to_vector(occlude_lowest(x, score, 0, zeros({4, 1}))) == to_vector(x));
  CHECK_THROWS_AS(occlude_lowest(x, score, 1.5, zeros({4, 1})), ValueError);
}

TEST_CASE("time_code: sines first, at periods from 1 to T") {
  std::vector<double> code = to_vector(time_code(tensor({{3.0}}), 50));
  REQUIRE(code.size() == 16);
  for (size_t k = 0; k < 8; ++k) {
    double angle = 3 / std::pow(50.0, static_cast<double>(k) / 7);
    CHECK(code[k] == doctest::Approx(std::sin(angle)).epsilon(1e-5));
    CHECK(code[8 + k] == doctest::Approx(std::cos(angle)).epsilon(1e-5));
  }
}

TEST_CASE("SeriesEncoder: a gate of ones is none; of zeros it hides everything; what it leaves out is not read") {
  manual_seed(3);
  for (bool renormalise : {false, true}) {
    SeriesEncoder encoder({.channels = 2, .steps = 9, .renormalise = renormalise});
    encoder.eval();
    nn::Module& all = encoder;
    for (auto& p : all.named_parameters())
      if (p.name.ends_with("bias")) {
        NoGrad off;
        copy_data(randn(p.tensor.shape()) * 0.3, p.tensor);
      }
    Tensor x = sample({3, 9, 2}, 4, f32), other = sample({3, 9, 2}, 5, f32), times = regular_times(3, 9);
    CHECK(difference(encoder(x, times, ones({3, 9})), encoder(x, times)) < (renormalise ? 1e-5 : 1e-30));
    CHECK(difference(encoder(x, times, zeros({3, 9})), encoder(other, times * 2, zeros({3, 9}))) == 0);
    // The token of a step that is left out is the same whatever goes in.
    Tensor gate = tensor({{1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0}}), three = expand(gate, {3, 9});
    Tensor a = encoder.tokens(x, times, three), b = encoder.tokens(other, times, three);
    for (int64_t t : {2, 4}) CHECK(difference(select(a, 1, t), select(b, 1, t)) == 0);
    CHECK(difference(select(a, 1, 3), select(b, 1, 3)) > 1e-3);
    // Its value reaches the others through the softmax's denominator alone, which renormalising takes away.
    Tensor changed = slice_assign(x, full({3, 1, 2}, 5.0), 1, 2, 3);
    double leak = difference(encoder(changed, times, three), encoder(x, times, three));
    if (renormalise)
      CHECK(leak < 1e-5);
    else
      CHECK(leak > 1e-5);
  }
}

TEST_CASE("TimeX: a mask of ones gives the classifier's own embedding at the start; one of zeros the same for every series") {
  Small s = small_model();
  s.model.eval();
  Generator g(1);
  NoGrad off;
  Tensor one = s.model.surrogate(s.series.x, s.series.times, ones_like(s.series.x), g);
  CHECK(difference(one, s.model.classifier().encoder(s.series.x, s.series.times)) == 0);
  Tensor none = s.model.surrogate(s.series.x, s.series.times, zeros_like(s.series.x), g);
  for (int64_t i = 1; i < 24; ++i) CHECK(difference(select(none, 0, i), select(none, 0, 0)) == 0);
  // Several channels: what is masked is redrawn around the training mean, and steps without any channel are not seen.
  Small two = small_model(true);
  two.model.eval();
  Tensor half = cat({ones({24, 50, 1}), zeros({24, 50, 1})}, 2), changed = clone(two.series.x);
  for (int64_t i = 0; i < 24 * 50; ++i) changed.data<float>()[2 * i + 1] = 9;
  Generator g1(5), g2(5), g3(6);
  Tensor a = two.model.surrogate(two.series.x, two.series.times, half, g1), b = two.model.surrogate(changed, two.series.times, half, g2);
  CHECK(difference(a, b) == 0);
  CHECK(difference(a, two.model.surrogate(two.series.x, two.series.times, half, g3)) > 1e-4);
}

TEST_CASE("TimeX: the frozen classifier stays, everything else learns; prototypes learn from their own term alone") {
  Small s = small_model(false, {.prototypes = 6, .label_weight = 0, .mbc = false});
  std::vector<double> before = all_values(s.model.classifier());
  Generator g(2);
  Explained e = s.model(s.series.x, s.series.times, g);
  CHECK(e.p.shape() == Shape{24, 50, 1});
  CHECK_FALSE(e.z.requires_grad());
  TimexLoss l = s.model.loss(e);
  l.total.backward();
  for (const auto& p : s.model.named_parameters()) {
    CAPTURE(p.name);
    bool moved = p.tensor.grad().defined() && max(abs(p.tensor.grad())).item() > 0;
    if (p.name.starts_with("prototypes")) CHECK(moved);
    if (p.name.starts_with("surrogate") || p.name.starts_with("head")) CHECK_FALSE(moved);  // no term of the surrogate's is left
  }
  Small whole = small_model();
  before = all_values(whole.model.classifier());
  std::vector<double> start = all_values(whole.model);
  whole.model.zero_grad();
  Generator g2(3);
  Explained e2 = whole.model(whole.series.x, whole.series.times, g2);
  mbc_loss(e2.z, e2.z_e).backward();
  for (const auto& p : whole.model.named_parameters())
    if (p.name.starts_with("prototypes")) CHECK_FALSE(p.tensor.grad().defined());
  double consistency =
      train_timex(whole.model, whole.series.x, whole.series.times, whole.series.x, whole.series.times, {.epochs = 2, .batch = 8});
  CHECK(std::isfinite(consistency));
  CHECK(all_values(whole.model.classifier()) == before);
  CHECK(all_values(whole.model) != start);
  for (const auto& p : whole.model.named_parameters()) CHECK_FALSE(p.name.starts_with("frozen"));
}

TEST_CASE("TimeX: gradients reach generator, surrogate and head; the loss is what its parts add up to") {
  Small s = small_model(true);
  Generator g(4);
  TimexLoss l = s.model.loss(s.model(s.series.x, s.series.times, g));
  CHECK(l.total.item() == doctest::Approx(2 * (l.mask + 2 * l.connect) + l.mbc + l.prototype + l.label).epsilon(1e-5));
  l.total.backward();
  for (const auto& p : s.model.named_parameters()) {
    CAPTURE(p.name);
    REQUIRE(p.tensor.grad().defined());
    CHECK(all(isfinite(p.tensor.grad())).item<bool>());
  }
  Tensor p = s.model.saliency(s.series.x, s.series.times);
  CHECK(p.shape() == Shape{24, 50, 2});
  CHECK(min(p).item() > 0);
  CHECK(max(p).item() < 1);
}

TEST_CASE("PrototypeMatcher: rows of the table, near ones most often") {
  manual_seed(6);
  Generator g(7);
  PrototypeMatcher match(tensor({{1.0, 0.0}, {0.0, 1.0}, {-1.0, 0.0}}), 0.1);
  Tensor z = expand(tensor({{0.9, 0.1}}), {300, 2}), q = match(z, g);
  int64_t first = 0;
  for (int64_t i = 0; i < 300; ++i) first += q.data<float>()[2 * i] == 1 ? 1 : 0;
  CHECK(first > 120);  // softmax of the cosines (0.99, 0.11, −0.99) gives the first 0.65: the temperature does not change which is drawn
  CHECK(first < 260);
  CHECK(to_vector<int64_t>(match.nearest(tensor({{0.2, 0.9}, {-3.0, 0.1}}))) == std::vector<int64_t>{1, 2});
}

TEST_CASE("series: spikes at every period, windows of low variance, what the truth marks") {
  Generator g(8);
  ExplainedSeries s = make_freq_shapes(200, g);
  for (int64_t i = 0; i < 200; ++i) {
    const float *x = s.x.data<float>() + 50 * i, *truth = s.truth.data<float>() + 50 * i;
    int64_t label = s.labels.data<int64_t>()[i], marked = 0;
    for (int64_t t = 0; t < 50; ++t) {
      if (truth[t] == 0)
        CHECK(std::abs(x[t]) < 1.3f);  // 5 deviations
      else
        CHECK((label < 2 ? -x[t] : x[t]) > 0.4f);
      marked += truth[t] > 0 ? 1 : 0;
    }
    CHECK(marked >= 5);
    CHECK(marked <= 15);
  }
  CHECK(to_vector(narrow(s.times, 0, 0, 1)).back() == 50);
  ExplainedSeries quiet = make_low_variance(200, g);
  CHECK(sum(quiet.truth).item() == 2000);
  double inside = 0;
  for (int64_t i = 0; i < 200; ++i) {
    int64_t label = quiet.labels.data<int64_t>()[i];
    for (int64_t t = 0; t < 50; ++t) {
      int64_t at = (i * 50 + t) * 2 + label / 2;
      if (quiet.truth.data<float>()[at] > 0) inside += (label % 2 == 0 ? -1 : 1) * quiet.x.data<float>()[at];
    }
  }
  CHECK(inside / 2000 == doctest::Approx(0.75).epsilon(0.01));
  CHECK_THROWS_WITH_AS(make_freq_shapes(0, g), "timex: needs at least 1 series, got 0", ValueError);
}

TEST_CASE("optimised_mask: about as large as asked for") {
  manual_seed(9);
  Generator g(10);
  ExplainedSeries s = make_freq_shapes(8, g);
  SeriesClassifier classifier({.steps = 50}, 4);
  classifier.eval();
  Tensor m = optimised_mask(classifier, s.x, s.times, zeros({50, 1}), {.area = 0.2, .steps = 60});
  CHECK(m.shape() == s.x.shape());
  CHECK(min(m).item() > 0);
  CHECK(mean(m).item() > 0.05);
  CHECK(mean(m).item() < 0.35);  // it starts at 0.5
  CHECK_THROWS_WITH_AS(optimised_mask(classifier, s.x, s.times, zeros({50, 1}), {.area = 0}),
                       "optimised_mask: the area must lie in (0, 1) and steps be at least 1, they are 0 and 150", ValueError);
}

TEST_CASE("timex: what does not fit is refused") {
  Small s = small_model();
  CHECK_THROWS_WITH_AS(TimeX(s.classifier, s.series.x, s.series.times, s.series.labels, {.prototypes = 25}),
                       "timex: 25 prototypes are more than the 24 series", ValueError);
  CHECK_THROWS_WITH_AS(TimeX(s.classifier, s.series.x, s.series.times, s.series.labels, {.prototypes = 3, .prior = 0}),
                       "timex: the prior must lie in (0, 1), it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(s.classifier(zeros({2, 50, 2}), zeros({2, 50})),
                       "timex: series [2, 50, 2] and times [2, 50] must be [B, T, 1] and [B, T]", ShapeError);
  CHECK_THROWS_WITH_AS(SeriesEncoder({.code = 3}), "timex: the time code must be even and at least 4 wide, it is 3", ConfigError);
  CHECK_THROWS_WITH_AS(SeriesEncoder({.steps = 1}), "timex: a series needs at least 2 steps, got 1", ConfigError);
  CHECK_THROWS_WITH_AS(train_classifier(s.classifier, s.series.x, s.series.times, zeros({24}, i64), {}),
                       "timex: all 24 labels are of one class", ValueError);
  Tensor missing = clone(s.series.x);
  missing.data<float>()[120] = NAN;
  CHECK_THROWS_WITH_AS(train_classifier(s.classifier, missing, s.series.times, s.series.labels, {}),
                       "timex: series 2 has a value that is missing or not finite", ValueError);
  CHECK_THROWS_WITH_AS(TimeX(s.classifier, s.series.x, s.series.times, zeros({3}, i64), {}),
                       "timex: series [24, 50, 1], times [24, 50] and labels [3] must be [N, T, d], [N, T] and [N]", ShapeError);
  CHECK_THROWS_AS(train_timex(s.model, s.series.x, s.series.times, s.series.x, s.series.times, {.epochs = 0}), ValueError);
}

TEST_CASE("timex: the experiment runs, and its variants measure what they should") {
  methods::Results results =
      methods::run_experiment({"time_series", "timex", &experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == experiment().variants.size());
  CHECK(measured(results, "|x|", "AUPRC, FreqShapes") > 0.99);
  CHECK(measured(results, "random", "AUPRC, FreqShapes") < 0.5);
  CHECK(measured(results, "1 - |x|", "AUPRC, low variance") != measured(results, "|x|", "AUPRC, low variance"));
  for (const auto& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(std::isfinite(value), cell.variant << ": " << name);
}
