// CIRIM: the forward model and data consistency by hand, masks, recurrent blocks, losses, baselines, and the experiment at the smoke
// budget.
#include "methods/vision/cirim/cirim.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "methods/runner.h"
#include "methods/vision/cirim/baselines.h"
#include "methods/vision/cirim/phantom.h"
#include "models/metrics/image_quality.h"
#include "ops/complex.h"
#include "ops/conv.h"
#include "ops/elementary.h"
#include "ops/fft.h"
#include "ops/join.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

namespace plumb::methods::cirim {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods::cirim;
using plumb::test::difference;
using plumb::test::sample;

namespace {

Tensor f64_tensor(const Tensor& x) { return to(x, f64); }

// The worked example: truth [[2,1],[0,1]], mask [[1,1],[0,1]], x = [[1, 2−i], [0.5i, −1]].
Tensor worked_truth() { return tensor({{{{2.0, 0.0}, {1.0, 0.0}}, {{0.0, 0.0}, {1.0, 0.0}}}}, f64); }
Tensor worked_mask() { return tensor({{1.0, 1.0}, {0.0, 1.0}}, f64); }
Tensor worked_x() { return tensor({{{{1.0, 0.0}, {2.0, -1.0}}, {{0.0, 0.5}, {-1.0, 0.0}}}}, f64); }
Tensor one_coil() { return stack({ones({1, 2, 2}, f64), zeros({1, 2, 2}, f64)}, -1); }
Tensor two_coils() {
  return tensor({{{{0.6, 0.0}, {0.8, 0.0}}, {{1.0, 0.0}, {0.0, 0.0}}}, {{{0.0, 0.8}, {0.0, 0.6}}, {{0.0, 0.0}, {0.0, 1.0}}}}, f64);
}

struct Scene {
  Tensor image, maps, mask;
  MriOperator mri() const { return {maps, mask}; }
};
Scene random_scene(uint64_t seed, int64_t height = 6, int64_t width = 5, int64_t coils = 3, int64_t batch = 2) {
  Generator g(seed);
  std::vector<Tensor> maps, masks;
  for (int64_t i = 0; i < batch; ++i) {
    maps.push_back(f64_tensor(coil_maps(coils, height, width, g)));
    masks.push_back(ifftshift(f64_tensor(sampling_mask(height, width, {.acceleration = 2}, g))));
  }
  Tensor all = stack(maps);
  all = all / sqrt(sum(square(all), {1, 4}, true));  // f32 maps are normalised to f32
  return {sample({batch, height, width, 2}, seed), all, stack(masks)};
}

double dot_of(const Tensor& a, const Tensor& b) { return sum(a * b).item(); }

Scene to_f32(const Scene& s) { return {to(s.image, f32), to(s.maps, f32), to(s.mask, f32)}; }

}  // namespace

TEST_CASE("cirim: the gradient of the likelihood by hand, one coil") {
  MriOperator mri(one_coil(), worked_mask());
  Tensor y = mri.forward(worked_truth());
  CHECK(difference(reshape(y, {2, 2, 2}), tensor({{{4.0, 0.0}, {0.0, 0.0}}, {{0.0, 0.0}, {2.0, 0.0}}}, f64)) < 1e-14);
  CHECK(difference(reshape(mri.spectrum(worked_x()), {2, 2, 2}), tensor({{{2.0, -0.5}, {0.0, 1.5}}, {{4.0, -1.5}, {-2.0, 0.5}}}, f64)) <
        1e-14);
  CHECK(difference(mri.likelihood_gradient(worked_x(), y),
                   tensor({{{{-1.5, 0.375}, {0.5, -0.625}}, {{0.5, 0.125}, {-1.5, -0.375}}}}, f64)) < 1e-14);
  CHECK(difference(mri.likelihood_gradient(worked_x(), y, 2), mri.likelihood_gradient(worked_x(), y) / 4) < 1e-15);
}

TEST_CASE("cirim: the gradient of the likelihood by hand, two coils") {
  MriOperator mri(two_coils(), worked_mask());
  CHECK(mri.warning().empty());
  Tensor y = mri.forward(worked_truth());
  CHECK(difference(mri.likelihood_gradient(worked_x(), y),
                   tensor({{{{-1.39, 0.315}, {0.69, -0.65}}, {{0.05, 0.175}, {-1.55, -0.15}}}}, f64)) < 1e-12);
  CHECK(difference(mri.adjoint(y), tensor({{{{1.46, 0.0}, {0.42, 0.0}}, {{0.5, 0.0}, {1.3, 0.0}}}}, f64)) < 1e-12);
}

TEST_CASE("cirim: the gradient is 0 at the truth, x − x* with all frequencies, and that of half the squared error") {
  Scene s = random_scene(1);
  MriOperator mri = s.mri();
  Tensor y = mri.forward(s.image), x = sample(s.image.shape(), 7);
  CHECK(difference(mri.likelihood_gradient(s.image, y), zeros_like(s.image)) < 1e-13);
  MriOperator full(s.maps, ones({6, 5}, f64));
  CHECK(difference(full.likelihood_gradient(x, full.forward(s.image)), x - s.image) < 1e-12);
  // ½ ‖A x − y‖² in the unitary convention is that of the unscaled one over HW.
  Tensor g = mri.likelihood_gradient(x, y);
  auto half_error = [&](const Tensor& at) { return sum(square(mri.forward(at) - y)).item() / (2 * 30); };
  for (int64_t i : {0, 1, 13, 58, 119}) {
    Tensor up = clone(x), down = clone(x);
    up.data<double>()[i] += 1e-5;
    down.data<double>()[i] -= 1e-5;
    CHECK(g.data<double>()[i] == doctest::Approx((half_error(up) - half_error(down)) / 2e-5).epsilon(1e-7));
  }
}

TEST_CASE("cirim: the adjoint: <A x, y> = HW <x, A* y> with the unscaled transform") {
  Scene s = random_scene(2);
  MriOperator mri = s.mri();
  Tensor k = sample({2, 3, 6, 5, 2}, 8);
  CHECK(dot_of(mri.forward(s.image), k) == doctest::Approx(30 * dot_of(s.image, mri.adjoint(k))).epsilon(1e-10));
}

TEST_CASE("cirim: explicit data consistency of an estimate is x − w g(x), and with w = 1 gives what was measured") {
  Scene s = random_scene(3);
  MriOperator mri = s.mri();
  Tensor y = mri.forward(s.image), x = sample(s.image.shape(), 9);
  for (double w : {1.0, 0.3}) {
    Tensor corrected = mri.combine(soft_dc(mri.spectrum(x), y, mri.mask(), scalar_tensor(w, f64)));
    CHECK(difference(corrected, x - mri.likelihood_gradient(x, y) * w) < 1e-10);
  }
  MriOperator single(one_coil(), worked_mask());
  Tensor measured = single.forward(worked_truth()),
         consistent = single.combine(soft_dc(single.spectrum(worked_x()), measured, single.mask(), ones({}, f64)));
  CHECK(difference(single.forward(consistent), measured) < 1e-10);
}

TEST_CASE("cirim: hard and soft data consistency where it was sampled; the released form by hand") {
  Scene s = random_scene(4);
  MriOperator mri = s.mri();
  Tensor y = mri.forward(s.image), k = sample(y.shape(), 10), one = ones({}, f64);
  CHECK(difference(hard_dc(k, y, mri.mask()) * mri.mask(), y) == 0);
  CHECK(difference(hard_dc(k, y, mri.mask()) * (1.0 - mri.mask()), k * (1.0 - mri.mask())) == 0);
  CHECK(difference(soft_dc(k, y, mri.mask(), one), hard_dc(k, y, mri.mask())) < 1e-14);
  // A network that gives 0: soft consistency with w = 1 leaves y where it was sampled, as the hard one does.
  Tensor zero = zeros_like(k);
  CHECK(difference(soft_dc(zero, y, mri.mask(), one), hard_dc(zero, y, mri.mask())) < 1e-14);
  // The released block gives y − F(S x) in the first cascade, where k_in = y: of the zero-filled image what is left, with the sign turned.
  CHECK(difference(released_dc(y, mri.spectrum(s.image), y, mri.mask(), one), y - mri.spectrum(s.image)) < 1e-14);
  CHECK(difference(released_dc(k, zero, y, mri.mask(), scalar_tensor(0.5, f64)), y - mri.mask() * (k - y) * 0.5) < 1e-14);
}

TEST_CASE("cirim: weights of steps, and their losses put together") {
  const std::vector<double> eight{0.1, 0.138950, 0.193070, 0.268270, 0.372759, 0.517947, 0.719686, 1}, four{0.1, 0.215443, 0.464159, 1};
  std::vector<double> v8 = step_weights(8), v4 = step_weights(4);
  double mean_weight = 0;
  for (size_t t = 0; t < 8; ++t) {
    CHECK(v8[t] == doctest::Approx(eight[t]).epsilon(2e-6));
    mean_weight += v8[t] / 8;
  }
  CHECK(mean_weight == doctest::Approx(0.413835).epsilon(2e-6));
  for (size_t t = 0; t < 4; ++t) CHECK(v4[t] == doctest::Approx(four[t]).epsilon(2e-6));
  CHECK(step_weights(1) == std::vector<double>{1});
  std::vector<Tensor> losses;
  for (double l : {.4, .3, .25, .2}) losses.push_back(scalar_tensor(l, f64));
  CHECK(combine_step_losses({losses}).item() == doctest::Approx(0.105168).epsilon(1e-5));
  double all = v4[0] + v4[1] + v4[2] + v4[3];
  CHECK(combine_step_losses({losses}, StepWeighting::released).item() == doctest::Approx(all / 4 * 1.15).epsilon(1e-12));
  CHECK(combine_step_losses({losses, losses}).item() == doctest::Approx(0.105168).epsilon(1e-5));
  CHECK_THROWS_WITH_AS(step_weights(0), "step_weights: there must be at least one step, T is 0", ValueError);
  CHECK_THROWS_AS(combine_step_losses({}), ValueError);
}

TEST_CASE("cirim: the loss compares magnitudes by their own maxima, and its gradient flows through the maximum") {
  Tensor a = sample({2, 4, 4, 2}, 11), b = sample({2, 4, 4, 2}, 12);
  double by_hand = 0;
  auto m = [](const Tensor& x) { return to_vector(complex_abs(x)); };
  std::vector<double> ma = m(a), mb = m(b);
  for (size_t n = 0; n < 2; ++n) {
    double top_a = *std::max_element(ma.begin() + 16 * n, ma.begin() + 16 * (n + 1)),
           top_b = *std::max_element(mb.begin() + 16 * n, mb.begin() + 16 * (n + 1));
    for (size_t i = 16 * n; i < 16 * (n + 1); ++i) by_hand += std::abs(ma[i] / top_a - mb[i] / top_b) / 32;
  }
  CHECK(magnitude_loss(a, b).item() == doctest::Approx(by_hand).epsilon(1e-12));
  CHECK(magnitude_loss(a * 3, b).item() == doctest::Approx(by_hand).epsilon(1e-12));
  Tensor leaf = clone(a).requires_grad_();
  magnitude_loss(leaf, b).backward();
  CHECK(std::abs(dot_of(leaf.grad(), a)) < 1e-12);  // the loss does not depend on the scale: true only with the maximum's own gradient
  CHECK(std::isfinite(magnitude_loss(zeros({1, 4, 4, 2}), zeros({1, 4, 4, 2})).item()));
}

TEST_CASE(
    "cirim: a zero last convolution leaves every estimate at the zero-filled image; with one step the recurrent weights do not matter") {
  Scene s = to_f32(random_scene(5, 8, 8));
  MriOperator mri = s.mri();
  Tensor y = mri.forward(s.image);
  manual_seed(1);
  Cirim model(2, {.steps = 3, .channels = 4});
  for (RimBlock& block : model.blocks) copy_data(zeros({}), block.last.weight);
  for (const auto& cascade : model.forward(y, mri)) {
    CHECK(cascade.size() == 3);
    for (const Tensor& x : cascade) CHECK(difference(x, mri.adjoint(y)) == 0);
  }
  Cirim once(1, {.steps = 1, .channels = 4}), twice(1, {.steps = 2, .channels = 4});
  for (Cirim* m : {&once, &twice}) {
    Tensor before = (*m)(y, mri);
    for (auto& p : m->named_parameters())
      if (p.name.ends_with("recurrent")) copy_data(full(p.tensor.shape(), 0.7), p.tensor);
    bool same = difference((*m)(y, mri), before) == 0;
    CHECK(same == (m == &once));
  }
}

TEST_CASE("cirim: a cascade's weights have no gradient of the next one's loss") {
  Scene s = to_f32(random_scene(6, 8, 8));
  MriOperator mri = s.mri();
  Tensor y = mri.forward(s.image);
  for (DataConsistency kind : {DataConsistency::implicit, DataConsistency::explicit_estimate, DataConsistency::explicit_released}) {
    manual_seed(2);
    Cirim model(2, {.steps = 2, .channels = 4, .consistency = kind});
    magnitude_loss(model.forward(y, mri)[1].back(), s.image).backward();
    for (const Tensor& p : model.blocks[0].parameters()) CHECK_FALSE(p.grad().defined());
    size_t with = 0;
    for (const Tensor& p : model.blocks[1].parameters()) with += p.grad().defined();
    CHECK(with == model.blocks[1].parameters().size());
    CHECK(model.blocks[0].dc_weight.defined() == (kind != DataConsistency::implicit));
  }
}

TEST_CASE("cirim: explicit data consistency in the cascade is x − w g(x) of every estimate") {
  Scene s = to_f32(random_scene(7, 8, 8));
  MriOperator mri = s.mri();
  Tensor y = mri.forward(s.image);
  manual_seed(3);
  Cirim plain(1, {.steps = 2, .channels = 4});
  manual_seed(3);
  Cirim corrected(1, {.steps = 2, .channels = 4, .consistency = DataConsistency::explicit_estimate});
  auto a = plain.forward(y, mri)[0], b = corrected.forward(y, mri)[0];
  for (size_t t = 0; t < 2; ++t) CHECK(difference(b[t], a[t] - mri.likelihood_gradient(a[t], y)) < 1e-5);
}

TEST_CASE("cirim: blocks with every unit, their start") {
  Scene s = to_f32(random_scene(8, 8, 7));
  MriOperator mri = s.mri();
  Tensor y = mri.forward(s.image);
  for (RecurrentKind unit : {RecurrentKind::ind_rnn, RecurrentKind::gru, RecurrentKind::mgu}) {
    Cirim model(2, {.steps = 2, .channels = 4, .unit = unit});
    cascade_loss(model.forward(y, mri), s.image).backward();
    for (const auto& p : model.named_parameters()) {
      INFO(p.name);
      REQUIRE(p.tensor.grad().defined());
      CHECK(all(isfinite(p.tensor.grad())).item<bool>());
    }
  }
  manual_seed(4);
  Cirim wide(1, {.steps = 1});
  double squares = 0, count = 0;
  for (const auto& p : wide.named_parameters())
    if (p.name.find("ind_rnn.input.weight") != std::string::npos) {
      squares += sum(square(p.tensor)).item();
      count += static_cast<double>(p.tensor.numel());
    }
  CHECK(count == 2 * 64 * 64);
  CHECK(std::sqrt(squares / count) == doctest::Approx(1.0 / 128).epsilon(0.04));  // 8192 draws: a deviation of 0.8 %
}

TEST_CASE("cirim: replicated borders keep a constant constant under an averaging kernel") {
  Tensor x = full({1, 1, 5, 4}, 2.5, f64), kernel = full({1, 1, 3, 3}, 1.0 / 9, f64);
  CHECK(difference(conv2d(x, kernel, {}, {.padding = 2, .dilation = 2, .padding_mode = PadMode::replicate}), x) < 1e-14);
}

TEST_CASE("sampling masks: how many places, where, without and with the centre") {
  for (MaskKind kind : {MaskKind::equispaced_columns, MaskKind::gaussian_columns, MaskKind::gaussian_points, MaskKind::poisson_points}) {
    Generator g(static_cast<uint64_t>(kind) + 1), again(static_cast<uint64_t>(kind) + 1);
    MaskOptions o{.kind = kind, .acceleration = 4, .center = 0};
    Tensor bare = sampling_mask(32, 24, o, g);
    bool columns = kind == MaskKind::equispaced_columns || kind == MaskKind::gaussian_columns;
    CHECK(sum(bare).item() == (columns ? 6 * 32 : 192));
    CHECK(difference(bare, sampling_mask(32, 24, o, again)) == 0);
    if (columns) CHECK(difference(bare, expand(narrow(bare, 0, 0, 1), {32, 24})) == 0);
    o.center = 0.1;
    Tensor m = sampling_mask(32, 24, o, g);
    CHECK(m.data<float>()[16 * 24 + 12] == 1);
    if (columns)
      for (int64_t j : {10, 11, 12, 13, 14}) CHECK(m.data<float>()[j] == 1);  // |j − 12| < 2.4
    else
      for (int64_t i : {13, 16, 19}) CHECK(m.data<float>()[i * 24 + 12] == 1);  // |i − 16| < 3.2
    for (double v : to_vector(m)) CHECK((v == 0 || v == 1));
  }
  // The middle is denser than the corners.
  Generator g(9);
  Tensor total = zeros({32, 32});
  for (int i = 0; i < 40; ++i) total = total + sampling_mask(32, 32, {}, g);
  CHECK(mean(narrow(narrow(total, 0, 12, 8), 1, 12, 8)).item() > 2 * mean(narrow(narrow(total, 0, 0, 8), 1, 0, 8)).item());
  // Poisson points keep their distance.
  Tensor spaced = sampling_mask(32, 32, {.kind = MaskKind::poisson_points, .acceleration = 10, .center = 0}, g);
  const float* p = spaced.data<float>();
  int touching = 0;
  for (int64_t i = 0; i < 32; ++i)
    for (int64_t j = 0; j + 1 < 32; ++j) touching += p[i * 32 + j] == 1 && p[i * 32 + j + 1] == 1;
  CHECK(touching == 0);
  CHECK_THROWS_WITH_AS(sampling_mask(8, 8, {.acceleration = 0.5}, g), "sampling_mask: the acceleration must be at least 1, it is 0.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(sampling_mask(8, 8, {.acceleration = 100}, g), "sampling_mask: acceleration 100 leaves nothing of 8 × 8",
                       ValueError);
}

TEST_CASE("coil maps are normalised and smooth") {
  Generator g(3);
  Tensor maps = coil_maps(4, 16, 12, g);
  CHECK(maps.shape() == Shape{4, 16, 12, 2});
  CHECK(difference(sum(square(maps), {0, 3}), ones({16, 12})) < 1e-6);
  CHECK(max(abs(narrow(maps, 1, 1, 15) - narrow(maps, 1, 0, 15))).item() < 0.3);
  CHECK_THROWS_AS(coil_maps(0, 4, 4, g), ValueError);
}

TEST_CASE("phantoms: Shepp and Logan's values, random ones, phase") {
  Tensor image = draw_ellipses(shepp_logan(), 64);
  const float* p = image.data<float>();
  CHECK(p[0] == 0);
  CHECK(p[32 * 64 + 32] == doctest::Approx(0.2).epsilon(1e-6));  // brain
  CHECK(p[17 * 64 + 32] == doctest::Approx(0.3).epsilon(1e-6));  // the ellipse above the middle
  CHECK(max(image).item() == doctest::Approx(1));                // skull
  Generator g(5);
  Tensor a = draw_ellipses(random_phantom(g), 16), b = draw_ellipses(random_phantom(g), 16);
  CHECK(difference(a, b) > 0.1);
  CHECK(min(a).item() >= 0);
  Tensor complex = with_smooth_phase(stack({a, b}), g);
  CHECK(difference(complex_abs(complex), stack({a / max(a), b / max(b)})) < 1e-6);
}

TEST_CASE("total variation: the denoiser's optimality, and that it helps") {
  Tensor x = sample({1, 6, 5, 2}, 13);
  CHECK(difference(tv_denoise(x, 0), x) == 0);
  CHECK(difference(tv_denoise(x, 100, 2000), expand(mean(x, {1, 2}, true), x.shape())) < 1e-3);  // all flat
  // A step of height 1 between two halves of width 2 comes nearer by λ · edge / area on both sides: 0.1 / 2.
  Tensor step = stack({tensor({{{0.0, 0.0, 1.0, 1.0}}}, f64), zeros({1, 1, 4}, f64)}, -1);
  Tensor expected = stack({tensor({{{0.05, 0.05, 0.95, 0.95}}}, f64), zeros({1, 1, 4}, f64)}, -1);
  CHECK(difference(tv_denoise(step, 0.1, 500), expected) < 1e-6);
  CHECK_THROWS_WITH_AS(tv_denoise(x, -1), "tv_denoise: lambda must not be negative, it is -1", ValueError);
  Generator g(6);
  Tensor image = with_smooth_phase(unsqueeze(draw_ellipses(shepp_logan(), 32), 0), g), maps = coil_maps(4, 32, 32, g);
  MriOperator mri(maps, ifftshift(sampling_mask(32, 32, {}, g)));
  Tensor y = mri.forward(image);
  auto error_of = [&](const Tensor& r) { return sum(square(r - image)).item(); };
  CHECK(error_of(tv_reconstruct(y, mri, 1e-3)) < 0.3 * error_of(mri.adjoint(y)));
}

TEST_CASE("networks: shapes, gradients everywhere, data consistency") {
  Scene s = to_f32(random_scene(9, 10, 9));
  MriOperator mri = s.mri();
  Tensor y = mri.forward(s.image);
  manual_seed(5);
  VariationalNetwork with(2, 4, 2, true), without(2, 4, 1, false);
  CascadeNet cascade(2, 4);
  auto check = [&](nn::Module& model, const Tensor& x) {
    CHECK(x.shape() == s.image.shape());
    magnitude_loss(x, s.image).backward();
    for (const auto& p : model.named_parameters()) {
      INFO(p.name);
      CHECK(p.tensor.grad().defined());
    }
  };
  check(with, with(y, mri));
  check(without, without(y, mri));
  check(cascade, cascade(y, mri));
  // One coil: what CascadeNet gives has the measured frequencies.
  Tensor maps = stack({ones({1, 10, 9}), zeros({1, 10, 9})}, -1);
  MriOperator single(maps, s.mask);
  Tensor measured = single.forward(s.image);
  CHECK(difference(single.forward(cascade(measured, single)), measured) < 1e-4);
  CHECK_THROWS_AS(NormUnet(4, 5), ValueError);
  CHECK_THROWS_AS(CascadeNet(0, 4), ValueError);
  CHECK_THROWS_AS(VariationalNetwork(0, 4, 2, true), ValueError);
}

TEST_CASE("cirim: the learning rate rises for a tenth of the steps and falls with the root") {
  auto rate = inverse_sqrt_annealing(100);
  CHECK(rate(0) == doctest::Approx(1.0 / 11));
  CHECK(rate(10) == 1);
  CHECK(rate(43) == doctest::Approx(0.5));
}

TEST_CASE("cirim: what does not fit is refused") {
  Tensor maps = two_coils();
  CHECK_THROWS_WITH_AS(MriOperator(maps, ones({3, 2})), "mri: the mask [3, 2] does not fit the coil maps [2, 2, 2, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(MriOperator(maps, zeros({2, 2})), "mri: the mask samples nothing", ValueError);
  CHECK_THROWS_AS(MriOperator(zeros({2, 2, 2}), ones({2, 2})), ShapeError);
  MriOperator mri(maps, worked_mask());
  CHECK_THROWS_WITH_AS(mri.adjoint(zeros({1, 3, 2, 2, 2}, f64)), "mri: k-space [1, 3, 2, 2, 2] does not fit the coil maps [1, 2, 2, 2, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(mri.forward(zeros({1, 4, 2, 2}, f64)), "mri: images [1, 4, 2, 2] do not fit the coil maps [1, 2, 2, 2, 2]",
                       ShapeError);
  CHECK(MriOperator(maps * 2, worked_mask()).warning() ==
        "mri: coil maps are not normalised: the sum of their squares lies between 4 and 4, not at 1");
  CHECK_THROWS_WITH_AS(RimBlock({.steps = 0}), "rim: there must be at least one step, T is 0", ValueError);
  CHECK_THROWS_AS(Cirim(0, {}), ValueError);
}

TEST_CASE("cirim: the experiment runs, and its variants measure what they should") {
  methods::Results results = methods::run_experiment({"vision", "cirim", &experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == experiment().variants.size());
  auto psnr = [&](const std::string& variant) {
    for (const auto& cell : results.cells)
      if (cell.variant == variant) return cell.measured.metrics[0].second;
    return std::nan("");
  };
  CHECK(psnr("TV") > psnr("zero-filled"));
  std::set<double> different;
  for (const auto& cell : results.cells) different.insert(cell.measured.metrics[0].second);
  CHECK(different.size() == results.cells.size());
}
