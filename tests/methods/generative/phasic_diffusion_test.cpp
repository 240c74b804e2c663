// Phasic content fusing diffusion: worked numbers of the card, what the network may and may not depend on, and the experiment.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/generative/phasic_diffusion/phasic_diffusion.h"
#include "methods/generative/phasic_diffusion/problem.h"
#include "methods/generative/phasic_diffusion/translate.h"
#include "methods/runner.h"
#include "models/diffusion/ddpm.h"
#include "models/diffusion/low_pass.h"
#include "models/nn/init.h"
#include "models/optim/adam.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::phasic_diffusion {
Experiment experiment();
}

using namespace plumb::methods::phasic_diffusion;

namespace {

PhasicUnet small_model(int64_t times = 20, double switch_time = 6) {
  unet::Unet base(
      {.in_channels = 1, .out_channels = 1, .width = 4, .multipliers = {1, 2}, .blocks = 1, .attention_levels = {}, .groups = 2});
  PhasicUnet model(base, {.switch_time = switch_time}, VpSchedule::cosine(times));
  for (Tensor p : model.parameters()) nn::init::normal(p, 0, 0.3);
  return model;
}

// What feature networks are, for tests: sums of rows, and the image itself as a map.
ImageEncoder simple_encoder() {
  return {[](const Tensor& x) { return flatten(sum(x, {3}), 1); }, [](const Tensor& x) { return std::vector<Tensor>{x}; }};
}

bool near(const Tensor& got, const std::vector<double>& wanted, double relative = 1e-5) {
  std::vector<double> values = to_vector(got);
  if (values.size() != wanted.size()) return false;
  for (size_t i = 0; i < wanted.size(); ++i)
    if (std::abs(values[i] - wanted[i]) > relative * std::max(1e-3, std::abs(wanted[i]))) return false;
  return true;
}

}  // namespace

TEST_CASE("phasic: the gate, worked, without overflow at either end") {
  PhasicGate gate{.switch_time = 300};
  for (auto [t, m] : {std::pair{290.0, 4.53979e-05}, {298.0, 0.119203}, {300.0, 0.5}, {303.0, 0.952574}, {310.0, 0.999955}})
    CHECK(gate(t) == doctest::Approx(m).epsilon(1e-5));
  CHECK(gate(0) >= 0);
  CHECK(gate(0) < 1e-100);
  CHECK(gate(1e6) == 1);
  CHECK(to_vector(gate(tensor({300, 999})))[1] == 1);
  CHECK(PhasicGate{.always_open = true}(0) == 1);
}

TEST_CASE("phasic: weights of the phases, worked") {
  double offset = std::pow(20, 0.9);
  CHECK(offset == doctest::Approx(14.8227).epsilon(1e-5));
  for (auto [t, alpha, rest] : {std::tuple{0.0, 1.0, 13.8227},
                                {150.0, 1.56731, 13.2554},
                                {300.0, 2.45646, 12.3662},
                                {500.0, 4.47214, 10.3506},
                                {799.0, 10.9527, 3.86994}}) {
    CHECK(phase_weight(t, 1000) == doctest::Approx(alpha).epsilon(1e-5));
    CHECK(offset - phase_weight(t, 1000) == doctest::Approx(rest).epsilon(1e-5));
  }
  CHECK(phase_weight(899, 1000) < offset);
  CHECK(phase_weight(901, 1000) > offset);
}

TEST_CASE("phasic: the directional loss, worked; its gradient goes to the translation alone") {
  Tensor source = tensor({{1.0, 0.0, 2.0}, {3.0, 2.0, 0.0}}, f64), target = tensor({{0.0, 1.0, 1.0}, {0.0, 3.0, 3.0}}, f64);
  Tensor w = domain_direction(target, source);
  CHECK(near(w, {-2, 1, 1}));
  Tensor a = tensor({{0.5, -1.0, 1.0}}, f64).requires_grad_(), y = tensor({{-0.4, 0.3, 1.5}}, f64).requires_grad_();
  Tensor direction = clone(w).requires_grad_(), loss = ddc_loss(y, a, direction);
  CHECK(loss.item() == doctest::Approx(0.516667).epsilon(1e-5));
  sum(loss).backward();
  CHECK(near(y.grad(), {2 * 1.1 / 3, 2 * 0.3 / 3, -2 * 0.5 / 3}));
  CHECK_FALSE(a.grad().defined());
  CHECK_FALSE(direction.grad().defined());
  CHECK(ddc_loss(a.detach() + w, a, w).item() < 1e-30);
  CHECK_THROWS_WITH_AS(ddc_loss(y, a, tensor({1.0})), "ddc_loss: features [1, 3] and [1, 3] and a direction [1] do not fit together",
                       ShapeError);
  CHECK_THROWS_WITH_AS(domain_direction(zeros({0, 3}), source),
                       "domain_direction: needs features [n, D] of both domains, got [0, 3] and [2, 3]", ValueError);
}

TEST_CASE("phasic: Gram matrices, worked, and the style loss over all shots") {
  Tensor map = tensor({{{{1.0, 2.0}, {3.0, 4.0}}, {{0.0, 1.0}, {1.0, 0.0}}}}, f64);
  CHECK(near(gram_matrix(map), {3.75, 0.625, 0.625, 0.25}));
  Tensor none = zeros({1, 2, 2, 2}, f64);
  double squares = 3.75 * 3.75 + 2 * 0.625 * 0.625 + 0.25 * 0.25;
  // against the map itself and against zeros: the mean of 0 and of the squares
  Tensor shots = from_vector(std::vector<double>{1, 2, 3, 4, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {2, 2, 2, 2});
  CHECK(gram_style_loss({map}, {shots}).item() == doctest::Approx(squares / 2).epsilon(1e-12));
  CHECK(gram_style_loss({map, none}, {shots, none}).item() == doctest::Approx(squares / 2).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(gram_style_loss({map}, {}), "gram_style_loss: 1 layers of the translations and 0 of the shots", ValueError);
}

TEST_CASE("phasic: similarities of samples are kept: zero for equal batches, worked otherwise") {
  Tensor x = tensor({{1.0, 0.0}, {0.0, 1.0}, {1.0, 1.0}}, f64), y = tensor({{1.0, 0.0}, {1.0, 0.0}, {1.0, 1.0}}, f64);
  CHECK(std::abs(pairwise_similarity_loss(x, x).item()) < 1e-12);
  CHECK(std::abs(pairwise_similarity_loss(x * 3.0, x).item()) < 1e-9);  // cosines alone count
  double r = std::sqrt(0.5), kl = 0;
  auto softmax2 = [](double a, double b) { return std::exp(a) / (std::exp(a) + std::exp(b)); };
  auto add = [&](double p, double q) { kl += (p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q))) / 3; };
  add(softmax2(0, r), softmax2(1, r));
  add(softmax2(0, r), softmax2(1, r));
  add(softmax2(r, r), softmax2(r, r));
  CHECK(pairwise_similarity_loss(y, x).item() == doctest::Approx(kl).epsilon(1e-9));
  CHECK_THROWS_WITH_AS(pairwise_similarity_loss(zeros({2, 4}), zeros({2, 4})),
                       "pairwise_similarity_loss: needs at least 3 samples, got [2, 4]", ValueError);
}

TEST_CASE("phasic: guidance by low frequencies, worked; a box filter is idempotent") {
  Tensor x = reshape(arange(16, f64), {4, 4}), reference = mT(x) * 0.5;
  Tensor y = with_low_frequencies(x, reference, 2);
  CHECK(near(y, {-1.25, -0.25, 2.75, 3.75, 2.75, 3.75, 6.75, 7.75, -0.25, 0.75, 3.75, 4.75, 3.75, 4.75, 7.75, 8.75}));
  CHECK(test::difference(low_pass(y, 2), low_pass(reference, 2)) < 1e-12);
  CHECK(test::difference(low_pass(low_pass(x, 2), 2), low_pass(x, 2)) < 1e-12);
  Tensor flat = full({3, 8, 8}, 0.7, f64);
  CHECK(test::difference(low_pass(flat, 4, LowPass::cubic), flat) < 1e-12);
  CHECK(test::difference(low_pass(low_pass(x, 2, LowPass::cubic), 2, LowPass::cubic), low_pass(x, 2, LowPass::cubic)) > 1e-3);
  CHECK_THROWS_WITH_AS(low_pass(x, 3), "low_pass: the factor 3 does not divide images of 4×4", ValueError);
}

TEST_CASE("phasic: without content the network is the base model; far below the switch the content does not matter") {
  manual_seed(1);
  PhasicUnet model = small_model(1000, 300);
  Tensor x = randn({2, 1, 4, 4}), t = tensor({100, 700}), content = randn({2, 1, 4, 4}), other = randn({2, 1, 4, 4});
  CHECK(test::same_bits(model(x, t), model.base(x, to(t, f32))));
  auto with = [&](const Tensor& c, const Tensor& at) {
    Generator fixed(5);
    return model(x, at, c, fixed);
  };
  Tensor low = tensor({100, 200});
  CHECK(test::same_bits(with(content, low), with(other, low)));
  CHECK(test::difference(with(content, low), model(x, low)) > 1e-3);  // noise takes the content's place: Fuse is still there
  Tensor high = tensor({400, 700});
  CHECK(test::difference(with(content, high), with(other, high)) > 1e-4);
  CHECK(test::same_bits(with(content, high), with(content, high)));
  CHECK_THROWS_WITH_AS(model(x, t, randn({2, 1, 8, 8})), "phasic_unet: the content [2, 1, 8, 8] must have the shape of x, [2, 1, 4, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(PhasicUnet(model.base, {.switch_time = 1001}, VpSchedule::cosine(1000)),
                       "phasic_unet: the switch time 1001 is outside [0, 1000]", ValueError);
}

TEST_CASE("phasic: stage 2 trains the fusion alone, and no gradient enters through the content") {
  manual_seed(2);
  PhasicUnet model = small_model();
  model.base.requires_grad_(false);
  PhasicUnet before = model;
  optim::Adam adam(model.fusion.parameters(), {.lr = 1e-2});
  for (int k = 0; k < 3; ++k) {
    adam.zero_grad();
    fusion_loss(model, test::sample({4, 1, 4, 4}, 3, f32, -1, 1)).backward();
    adam.step();
  }
  bool moved = false;
  auto now = model.named_parameters(), then = before.named_parameters();
  for (size_t i = 0; i < now.size(); ++i) {
    bool same = test::same_bits(now[i].tensor, then[i].tensor);
    if (now[i].name.starts_with("base."))
      CHECK_MESSAGE(same, now[i].name);
    else
      moved = moved || !same;
  }
  CHECK(moved);
  Tensor content = randn({1, 1, 4, 4}).requires_grad_();
  sum(square(model(randn({1, 1, 4, 4}), tensor({15}), content))).backward();
  CHECK_FALSE(content.grad().defined());
}

TEST_CASE("phasic: odd iterations only leave gradients, which the next even iteration takes along") {
  manual_seed(3);
  PhasicUnet model = small_model();
  Tensor shots = test::sample({3, 1, 4, 4}, 4, f32, 0, 1), source = test::sample({4, 1, 4, 4}, 5, f32, 0, 1);
  ImageEncoder encoder = simple_encoder();
  Tensor direction = domain_direction(encoder.features(shots), encoder.features(source));
  PhasicAdaptation adaptation(model, encoder, shots, direction, {.detail_end = 6, .content_end = 16});
  optim::Adam adam(model.parameters(), {.lr = 1e-2});
  Tensor weight = model.base.parameters()[0];
  Tensor start = clone(weight.detach());
  double odd = adaptation.step(1, source, adam);
  CHECK(std::isfinite(odd));
  CHECK(test::same_bits(weight, start));
  CHECK(weight.grad().defined());
  CHECK_FALSE(model.fusion.conv1.weight.grad().defined());  // detail has no content
  adaptation.step(2, source, adam);
  CHECK_FALSE(test::same_bits(weight, start));
  CHECK((!weight.grad().defined() || max(abs(weight.grad())).item() == 0));
}

TEST_CASE("phasic: one denoising step carries the gradient of the content losses, and none where the estimate is clamped") {
  manual_seed(4);
  PhasicUnet model = small_model();
  ImageEncoder encoder = simple_encoder();
  Tensor source = test::sample({2, 1, 4, 4}, 6, f32, 0, 1), direction = zeros({4});
  PhasicAdaptation adaptation(model, encoder, source, direction, {.detail_end = 6, .content_end = 16});
  sum(adaptation.content_losses(source, tensor({7, 8}))).backward();
  CHECK(max(abs(model.base.parameters()[0].grad())).item() > 0);
  for (Tensor p : model.parameters()) p.zero_grad();
  // a large constant prediction saturates every pixel
  PhasicUnet saturated = model;
  for (auto& [name, p] : saturated.named_parameters())
    if (name == "base.out.2.bias") nn::init::constant(p, 1e4);
  PhasicAdaptation dead(saturated, encoder, source, direction, {.detail_end = 6, .content_end = 16});
  sum(dead.content_losses(source, tensor({7, 8}))).backward();
  for (const Tensor& p : saturated.parameters())
    if (p.grad().defined()) CHECK(max(abs(p.grad())).item() == 0);
}

TEST_CASE("phasic: a translation starts from the noised source, ends without content, and is deterministic for a seed") {
  manual_seed(5);
  PhasicUnet model = small_model(200, 60);
  Tensor source = test::sample({2, 1, 4, 4}, 7, f32, -1, 1);
  TranslateOptions o{.start = 120, .steps = 6, .guidance_end = 60, .factor = 2, .filter = LowPass::box};
  auto run = [&](const TranslateOptions& options) {
    Generator g(9);
    return translate(model, source, options, g);
  };
  Tensor y = run(o);
  CHECK(y.shape() == source.shape());
  CHECK(max(abs(y)).item() <= 1);
  CHECK(test::same_bits(y, run(o)));
  TranslateOptions without = o;
  without.guidance = false;
  CHECK_FALSE(test::same_bits(y, run(without)));
  TranslateOptions enhanced = o;
  enhanced.enhance = 2;
  CHECK_FALSE(test::same_bits(y, run(enhanced)));
  CHECK(generate(model, {3, 1, 4, 4}, 5).shape() == Shape{3, 1, 4, 4});
  TranslateOptions wrong = o;
  wrong.factor = 3;
  CHECK_THROWS_WITH_AS(run(wrong), "low_pass: the factor 3 does not divide images of 4×4", ValueError);
  wrong = o;
  wrong.start = 200;
  CHECK_THROWS_WITH_AS(run(wrong), "translate: the start 200 is outside [1, 199]", ValueError);
  wrong = o;
  wrong.steps = 0;
  CHECK_THROWS_WITH_AS(run(wrong), "translate: 0 steps do not lie between 1 and the start 120", ValueError);
}

TEST_CASE("phasic: options that make no adaptation are errors of one line") {
  manual_seed(6);
  PhasicUnet model = small_model(1000, 300);
  ImageEncoder encoder = simple_encoder();
  Tensor shots = zeros({1, 1, 4, 4}), direction = zeros({4});
  CHECK_THROWS_WITH_AS(PhasicAdaptation(model, encoder, zeros({0, 1, 4, 4}), direction, {}), "phasic: there is no target image to adapt to",
                       ValueError);
  CHECK_THROWS_WITH_AS(PhasicAdaptation(model, encoder, shots, direction, {.detail_end = 800, .content_end = 300}),
                       "phasic: times must run 0 < detail_end < content_end <= 1000, they are 800 and 300", ValueError);
  CHECK_THROWS_AS(PhasicAdaptation(model, encoder, shots, direction, {.content_end = 1001}), ValueError);
  CHECK_THROWS_AS(PhasicAdaptation(model, encoder, shots, direction, {.ddc = -1}), ValueError);
}

TEST_CASE("phasic: checkered digits have about the low frequencies of plain ones, and another texture") {
  manual_seed(7);
  Tensor digits = test::sample({5, 1, 2, 2}, 8, f32, 0, 1);
  digits = reshape(expand(reshape(digits, {5, 1, 2, 1, 2, 1}), {5, 1, 2, 4, 2, 4}), {5, 1, 8, 8});  // constant in blocks
  Tensor plain = drawn(digits, Style::plain), checkered = drawn(digits, Style::checkered);
  CHECK(test::difference(low_pass(checkered, 2), low_pass(plain, 2)) < 1e-6);
  CHECK(test::difference(checkered, plain) > 0.1);
  for (Style style : {Style::plain, Style::checkered, Style::dilated, Style::outlined, Style::rows, Style::columns}) {
    Tensor y = drawn(digits, style);
    CHECK(y.shape() == digits.shape());
    CHECK(min(y).item() >= 0);
    CHECK(max(y).item() <= 1);
  }
}

TEST_CASE("phasic: the experiment runs; the true images have their style and the judges see it") {
  using namespace methods;
  Results results = run_experiment({"generative", "phasic_diffusion", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == experiment().variants.size());
  for (const auto& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(!std::isinf(value), cell.variant << ": " << name);
  CHECK(measured(results, "true images", "error (RMSE)") == 0);
  for (const char* variant : {"fine-tuning", "phasic"}) CHECK(measured(results, variant, "error (RMSE)") > 0.02);
}
