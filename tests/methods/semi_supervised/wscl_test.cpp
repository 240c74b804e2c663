// WSCL: worked examples B and C (A is otsu_pool's, tests/models/mil), the filters, the ramp, where gradients go, the spliced images, and
// the experiment.
#include "methods/semi_supervised/wscl/wscl.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/runner.h"
#include "methods/semi_supervised/wscl/forgery.h"
#include "models/optim/schedule.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::wscl;

namespace plumb::methods::wscl {
Experiment experiment();
}

namespace {

// Example B's maps of one image.
std::vector<Tensor> example_maps() {
  return {tensor({{{.2, .7}, {.1, .9}}}, f64), tensor({{{.3, .6}, {.2, .3}}}, f64), tensor({{{.1, .8}, {.2, .6}}}, f64)};
}
const std::vector<double> kWeights = {1, 2, 2};

// Features of four patches, as a 2×2 map [1, 2, 2, 2].
Tensor example_features() {
  return reshape(contiguous(transpose(tensor({{1.0, 0.0}, {.8, .6}, {0.0, 2.0}, {-1.0, .5}}, f64), 0, 1)), {1, 2, 2, 2});
}

// Streams that are not networks.
std::vector<StreamOutput> random_streams(Generator& g, int64_t images, int64_t side, bool with_gradient) {
  std::vector<StreamOutput> streams;
  for (int s = 0; s < 3; ++s) {
    RandomOptions draw{.dtype = f64, .generator = &g};
    streams.push_back({rand({images, side, side}, draw), rand({images}, draw), randn({images, side * side, side * side}, draw), side});
    if (!with_gradient) continue;
    streams.back().map.requires_grad_();
    streams.back().score.requires_grad_();
    streams.back().inconsistency.requires_grad_();
  }
  return streams;
}

}  // namespace

TEST_CASE("wscl: worked example B, the target that the streams make together") {
  Tensor tampered = tensor({1});
  check_close(msc_target(example_maps(), kWeights, tampered, false), {.20, .70, .18, .54}, 1e-12);
  Tensor t = msc_target(example_maps(), kWeights, tampered);
  CHECK(to_vector(t) == std::vector<double>{0, 1, 0, 1});
  double sum_of_streams = 0;
  const double wanted[3] = {.0375, .195, .0625};
  for (size_t s = 0; s < 3; ++s) {
    CHECK(mse_loss(example_maps()[s], t).item() == doctest::Approx(wanted[s]).epsilon(1e-9));
    sum_of_streams += wanted[s];
  }
  CHECK(sum_of_streams == doctest::Approx(.295));
  Tensor faint = tensor({{{.3, .2}, {.45, .1}}}, f64);
  CHECK(to_vector(msc_target({faint}, {1}, tampered)) == std::vector<double>{0, 0, 1, 0});
  CHECK(to_vector(msc_target({tensor({{{.3, .2}, {.3, .1}}}, f64)}, {1}, tampered)) == std::vector<double>{1, 0, 1, 0});  // both largest
}

TEST_CASE("wscl: authentic images have no target, hard or soft, however sure the streams are") {
  std::vector<Tensor> maps;
  for (const Tensor& m : example_maps()) maps.push_back(cat({m, m}, 0));
  Tensor t = msc_target(maps, kWeights, tensor({0, 1}));
  CHECK(to_vector(t) == std::vector<double>{0, 0, 0, 0, 0, 1, 0, 1});
  CHECK(sum(select(msc_target(maps, kWeights, tensor({0, 1}), false), 0, 0)).item() == 0);
  CHECK(sum(select(xor_volume(t), 0, 0)).item() == 0);
}

TEST_CASE("wscl: worked example C, the volume of patches") {
  Tensor f = example_features(), v = consistency_volume(f, f);
  check_close(slice(v, 1, 0, 1), {.330238, .362233, .5, .669762});
  CHECK(to_vector(v)[2 * 4 + 2] == doctest::Approx(.0558072).epsilon(3e-6));
  Tensor volume = xor_volume(tensor({{{0.0, 0.0}, {1.0, 1.0}}}, f64));
  CHECK(binary_cross_entropy(v, volume).item() == doctest::Approx(.535476).epsilon(3e-6));
  CHECK(binary_cross_entropy_with_logits(inconsistency_logits(f, f), volume).item() == doctest::Approx(.535476).epsilon(3e-6));
  for (double x : to_vector(v)) {
    CHECK(x > 0);
    CHECK(x < 1);
  }
}

TEST_CASE("wscl: the exclusive or of a mask is symmetric with a zero diagonal, and 0 for a constant one") {
  Generator g(1);
  Tensor mask = to(rand({2, 3, 3}, {.dtype = f64, .generator = &g}) > .5, f64), volume = xor_volume(mask);
  CHECK(to_vector(volume) == to_vector(contiguous(transpose(volume, 1, 2))));
  auto m = to_vector(mask), v = to_vector(volume);
  for (size_t b = 0; b < 2; ++b)
    for (size_t i = 0; i < 9; ++i)
      for (size_t j = 0; j < 9; ++j) CHECK(v[b * 81 + i * 9 + j] == (m[b * 9 + i] != m[b * 9 + j]));
  for (double constant : {0.0, 1.0}) CHECK(sum(xor_volume(full({1, 3, 3}, constant, f64))).item() == 0);
}

TEST_CASE("wscl: the ramp, and the classification loss") {
  optim::Schedule r = optim::sigmoid_rampup(4);
  const double wanted[5] = {.00673795, .0600547, .286505, .731616, 1};
  for (int64_t e = 0; e <= 4; ++e) CHECK(r(e) == doctest::Approx(wanted[e]).epsilon(3e-6));
  CHECK(binary_cross_entropy(tensor({.7, .2}, f64), tensor({1.0, 0.0}, f64)).item() == doctest::Approx(.289909).epsilon(3e-6));
}

TEST_CASE("wscl: SRM kernels sum to 0 and give the worked residuals") {
  for (int k = 0; k < 3; ++k) CHECK(sum(srm_kernel(k)).item() == doctest::Approx(0).epsilon(1e-6));
  Tensor patch = tensor({{1.0, 2.0, 0.0, 1.0, 3.0},
                         {0.0, 1.0, 4.0, 2.0, 1.0},
                         {2.0, 3.0, 9.0, 1.0, 0.0},
                         {1.0, 0.0, 2.0, 3.0, 1.0},
                         {4.0, 1.0, 0.0, 2.0, 2.0}});
  Tensor one_channel = stack({patch, zeros({5, 5}), zeros({5, 5})});
  SrmFilter wide(100);
  Tensor centre = slice(slice(wide(unsqueeze(one_channel, 0)), 2, 2, 3), 3, 2, 3);
  check_close(centre, {-5.5, -5, -7}, 1e-5);
  Tensor everywhere = slice(slice(wide(unsqueeze(stack({patch, patch, patch}), 0)), 2, 2, 3), 3, 2, 3);
  check_close(everywhere, {-16.5, -15, -21}, 1e-5);  // channels are summed
  SrmFilter clipped;
  CHECK(min(clipped(unsqueeze(one_channel, 0))).item() == -5);
  CHECK(clipped.parameters().empty());
  CHECK(clipped.state().empty());
}

TEST_CASE("wscl: Bayar kernels are projected before use: -1 in the centre, 1 around it") {
  BayarConv bayar(1, 1, 3);
  {
    NoGrad no_grad;
    Tensor weights = bayar.off_centre;
    copy_(weights, reshape(tensor({.2, .4, .6, .8, 1.0, .2, .4, .4}), {1, 1, 8}));
  }
  check_close(bayar.kernels(), {.05, .1, .15, .2, -1, .25, .05, .1, .1}, 1e-6);
  Tensor inside = slice(slice(bayar(ones({1, 1, 3, 3})), 2, 1, 2), 3, 1, 2);
  CHECK(inside.item() == doctest::Approx(0).epsilon(1e-6));
  Tensor counting = reshape(tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0}), {1, 1, 3, 3});
  CHECK(slice(slice(bayar(counting), 2, 1, 2), 3, 1, 2).item() == doctest::Approx(.05).epsilon(1e-5));
  // Two uses before a backward pass: the second projection changes nothing.
  Tensor twice = sum(bayar(counting)) + sum(bayar(counting));
  twice.backward();
  CHECK(bayar.off_centre.grad().defined());
  {
    NoGrad no_grad;
    Tensor weights = bayar.off_centre;
    copy_(weights, reshape(tensor({1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0}), {1, 1, 8}));
  }
  bayar.project();  // a sum of 0 cannot be made 1
  check_close(bayar.off_centre, {1, -1, 1, -1, 1, -1, 1, -1});
  CHECK_THROWS_WITH_AS(BayarConv(3, 3, 4), "bayar_conv: 3 to 3 channels by kernels of 4; takes odd kernels from 3 on", ValueError);
}

TEST_CASE("wscl: without its weights the loss is the plain one of multiple instances; nothing flows through the target") {
  Generator g(2);
  auto streams = random_streams(g, 4, 3, true);
  Tensor labels = tensor({0, 1, 1, 0}), y = to(labels, f64);
  WsclParts plain = wscl_loss(streams, labels, 3, 4, {.msc = 0, .ipc = 0});
  double mil = 0;
  for (const StreamOutput& s : streams) mil += binary_cross_entropy(s.score, y).item();
  CHECK(plain.total.item() == doctest::Approx(mil).epsilon(1e-12));
  WsclParts all = wscl_loss(streams, labels, 3, 4);
  Tensor target = msc_target({streams[0].map, streams[1].map, streams[2].map}, {1, 2, 2}, labels);
  CHECK(to_vector(all.target) == to_vector(target));
  CHECK_FALSE(target.requires_grad());
  double msc = 0, ipc = 0;
  for (const StreamOutput& s : streams) {
    msc += mse_loss(s.map, target).item();
    ipc += binary_cross_entropy_with_logits(s.inconsistency, xor_volume(target)).item();
  }
  CHECK(all.ramp == doctest::Approx(.731616).epsilon(3e-6));
  CHECK(all.msc.item() == doctest::Approx(msc).epsilon(1e-12));
  CHECK(all.ipc.item() == doctest::Approx(ipc).epsilon(1e-12));
  CHECK(all.total.item() == doctest::Approx(mil + all.ramp * .1 * (msc + ipc)).epsilon(1e-12));
  all.total.backward();
  for (const StreamOutput& s : streams)  // what remains of the map's gradient is that of (m − t)², with t held
    check_close(s.map.grad(), to_vector(all.ramp * .1 * 2.0 * (s.map.detach() - target) / 36.0), 1e-9);
}

TEST_CASE("wscl: the control trains each stream on its own map; the volume's target is resized where sides differ") {
  Generator g(3);
  auto streams = random_streams(g, 2, 4, false);
  Tensor labels = tensor({1, 0});
  WsclParts own = wscl_loss(streams, labels, 1, 1, {.ipc = 0, .targets = Targets::own});
  double msc = 0;
  for (const StreamOutput& s : streams) msc += mse_loss(s.map, msc_target({s.map}, {1}, labels)).item();
  CHECK(own.msc.item() == doctest::Approx(msc).epsilon(1e-12));
  CHECK(own.msc.item() != doctest::Approx(wscl_loss(streams, labels, 1, 1, {.ipc = 0}).msc.item()).epsilon(1e-6));
  // A map whose upper half is tampered, a volume of 2×2 patches.
  Tensor half = cat({ones({1, 2, 4}, f64), zeros({1, 2, 4}, f64)}, 1);
  StreamOutput stream{half, tensor({.5}, f64), randn({1, 4, 4}, {.dtype = f64, .generator = &g}), 2};
  WsclParts parts = wscl_loss({stream}, tensor({1}), 1, 1, {.weights = {1}});
  Tensor volume = xor_volume(tensor({{{1.0, 1.0}, {0.0, 0.0}}}, f64));
  CHECK(parts.ipc.item() == doctest::Approx(binary_cross_entropy_with_logits(stream.inconsistency, volume).item()).epsilon(1e-12));
}

TEST_CASE("wscl: the ensemble, its mask in the image's size, and the combined F1") {
  std::vector<StreamOutput> streams;
  auto maps = example_maps();
  const double scores[3] = {.9, .4, .1};
  for (size_t s = 0; s < 3; ++s) streams.push_back({maps[s], tensor({scores[s]}, f64), {}, 2});
  Ensemble e = ensemble(streams, kWeights);
  check_close(e.map, {.20, .70, .18, .54}, 1e-12);
  check_close(e.score, {(.9 + .8 + .2) / 5}, 1e-12);
  Tensor mask = manipulated(e.map, 4, 4);
  CHECK(mask.shape() == Shape{1, 4, 4});
  CHECK(to_vector<int64_t>(mask) == std::vector<int64_t>{0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1});
  CHECK(combined_f1(.8, .4) == doctest::Approx(.64 / 1.2));
  CHECK(combined_f1(0, .4) == 0);
  CHECK(combined_f1(.8, 0) == 0);
}

TEST_CASE("wscl: streams of every source give maps, scores and volumes; copies are independent") {
  manual_seed(4);
  Generator g(4);
  Tensor images = randn({2, 3, 16, 16}, {.generator = &g});
  for (Source source : {Source::rgb, Source::srm, Source::bayar, Source::early})
    for (Pooling pooling : {Pooling::otsu, Pooling::max}) {
      Stream stream({.source = source, .pooling = pooling, .channels = {4, 6}, .volume = 5});
      StreamOutput out = stream(images);
      CHECK(out.map.shape() == Shape{2, 8, 8});
      CHECK(out.inconsistency.shape() == Shape{2, 64, 64});
      CHECK(out.side == 8);
      auto largest = to_vector(amax(out.map, {1, 2})), score = to_vector(out.score);
      for (size_t b = 0; b < 2; ++b) {
        if (pooling == Pooling::max)
          CHECK(score[b] == largest[b]);
        else
          CHECK(score[b] <= largest[b]);
      }
      for (size_t b = 0; b < 2; ++b) CHECK(score[b] > 0);
    }
  WsclModel model(three_streams({.channels = {4, 6}, .volume = 5}));
  model.eval();
  WsclModel copy = model;
  auto before = to_vector(model(images)[2].map);
  {
    NoGrad no_grad;
    for (Tensor p : copy.parameters()) mul_(p, 2.0);
  }
  CHECK(to_vector(model(images)[2].map) == before);
  CHECK_THROWS_WITH_AS(Stream({.channels = {}}), "wscl: a stream without convolutions", ConfigError);
  CHECK_THROWS_WITH_AS(model(zeros({1, 1, 8, 8})), "wscl: takes images [B, 3, H, H], got [1, 1, 8, 8]", ShapeError);
}

TEST_CASE("wscl: noises have their statistics, blocks are quantised, and pasted parts have theirs") {
  Generator g(5);
  auto deviation = [&](Noise noise) { return std_dev(noise_field(noise, 64, .05, g)).item(); };
  CHECK(deviation(Noise::raw) == doctest::Approx(.05).epsilon(.05));
  CHECK(deviation(Noise::camera) == doctest::Approx(.05).epsilon(.1));  // as strong, but smooth:
  auto step = [&](Noise noise) {                                        // the deviation of differences between neighbours
    Tensor field = noise_field(noise, 64, .05, g);
    return std_dev(narrow(field, 1, 1, 63) - narrow(field, 1, 0, 63)).item();
  };
  CHECK(step(Noise::raw) == doctest::Approx(.05 * std::sqrt(2)).epsilon(.05));
  CHECK(step(Noise::camera) == doctest::Approx(.05 * std::sqrt(2.0 / 3)).epsilon(.1));  // neighbours correlate by 24 / 36
  CHECK(deviation(Noise::faint) == doctest::Approx(.02).epsilon(.1));
  auto enlarged = to_vector(noise_field(Noise::enlarged, 8, .05, g));
  CHECK(enlarged[0] == enlarged[9]);
  CHECK(enlarged[0] != enlarged[2]);
  Tensor flat = full({8, 16}, .37);
  check_close(quantise_blocks(flat, .08), std::vector<double>(128, .08 * std::round(.37 * 8 / .08) / 8),
              1e-5);  // the constant's coefficient is 8 x
  Tensor image = rand({16, 8}, {.generator = &g});
  check_close(quantise_blocks(image, 1e-6) - image + 1.0, std::vector<double>(128, 1), 1e-4);
  double moved = max(quantise_blocks(image, .08) - image).item();
  CHECK(moved > .005);
  CHECK(moved < .08 * 4);

  auto digits = data::digits().test().batch(50).next().image;
  Forgeries f = forged(80, digits, {}, g);
  CHECK(f.images.shape() == Shape{80, 3, 32, 32});
  auto labels = to_vector<int64_t>(f.labels);
  auto area = to_vector(mean(to(f.masks, f64), {1, 2}));
  int tampered = 0;
  for (size_t i = 0; i < 80; ++i) {
    tampered += static_cast<int>(labels[i]);
    if (labels[i] == 0)
      CHECK(area[i] == 0);
    else
      CHECK((area[i] > .07 && area[i] < .29));  // 10 … 25 % to the pixel
  }
  CHECK(tampered > 25);
  CHECK(tampered < 55);
  CHECK(to_vector(select(f.images, 1, 0)) == to_vector(select(f.images, 1, 2)));
  CHECK_THROWS_WITH_AS(forged(1, zeros({2, 3, 8, 8}), {}, g), "forged: takes grey pictures [m, 1, h, w], got [2, 3, 8, 8]", ShapeError);
  CHECK_THROWS_WITH_AS(forged(1, digits, {.min_area = .3}, g), "forged: areas from 0.3 to 0.25", ValueError);
  CHECK_THROWS_WITH_AS(forged(1, digits, {.min_sigma = 0}, g), "forged: levels of noise from 0 to 0.06", ValueError);
  CHECK_THROWS_WITH_AS(noise_field(Noise::raw, 8, -1, g), "noise_field: the level must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(forged(1, digits, {.donors = {}}, g), "forged: no noise to paste from", ValueError);
  CHECK_THROWS_AS(quantise_blocks(zeros({8, 9}), .1), ShapeError);
}

TEST_CASE("wscl: mistakes are named") {
  Generator g(6);
  auto streams = random_streams(g, 2, 3, false);
  Tensor labels = tensor({0, 1});
  CHECK_THROWS_WITH_AS(wscl_loss(streams, tensor({0, 2}), 0, 1), "wscl: label 2 is neither 0 (authentic) nor 1 (tampered)", ValueError);
  CHECK_THROWS_WITH_AS(wscl_loss(streams, tensor({0}), 0, 1), "wscl: labels [1] for 2 images", ShapeError);
  CHECK_THROWS_WITH_AS(wscl_loss(streams, labels, 0, 1, {.weights = {0, 0, 0}}), "wscl: all stream weights are 0", ValueError);
  CHECK_THROWS_WITH_AS(wscl_loss(streams, labels, 0, 1, {.weights = {1, 2}}), "wscl: 2 stream weights for 3 streams", ValueError);
  CHECK_THROWS_WITH_AS(wscl_loss(streams, labels, 0, 1, {.weights = {1, -2, 2}}), "wscl: a stream's weight must not be negative, it is -2",
                       ValueError);
  CHECK_THROWS_WITH_AS(wscl_loss(streams, labels, 0, 1, {.msc = -1}), "wscl: weights -1 and 0.1 of the consistencies must not be negative",
                       ValueError);
  CHECK_THROWS_WITH_AS(wscl_loss(streams, labels, 0, 0), "wscl: epoch 0 of 0", ValueError);
  streams[1].map = rand({2, 4, 3}, {.dtype = f64, .generator = &g});
  CHECK_THROWS_WITH_AS(wscl_loss(streams, labels, 0, 1), "wscl: the streams' maps [2, 3, 3] and [2, 4, 3] differ", ShapeError);
  CHECK_THROWS_WITH_AS(consistency_volume(zeros({1, 2, 3, 4}), zeros({1, 2, 3, 4})),
                       "consistency_volume: the map [1, 2, 3, 4] is not square", ShapeError);
  CHECK_THROWS_WITH_AS(xor_volume(zeros({1, 3, 4})), "xor_volume: the map [1, 3, 4] is not square", ShapeError);
}

TEST_CASE("wscl: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "wscl", &wscl::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 16);
  std::map<std::string, std::map<std::string, double>> m;
  for (const CellResult& cell : results.cells)
    for (auto& [name, value] : cell.measured.metrics) m[cell.variant][name] = value;
  for (auto& [variant, values] : m) {
    CAPTURE(variant);
    for (const char* metric : {"image AUC (%)", "pixel F1 (%)", "pixel recall (%)", "image AUC, other noise (%)"}) {
      CHECK(values[metric] >= 0);
      CHECK(values[metric] <= 100);
    }
    CHECK(values["combined F1 (%)"] ==
          doctest::Approx(100 * combined_f1(values["image F1 (%)"] / 100, values["pixel F1 (%)"] / 100)).epsilon(1e-9));
  }
  // What was trained with maps of one value each differs from what was trained with pooled ones.
  CHECK(m["rgb, max"]["image AUC (%)"] != m["late fusion, Otsu"]["image AUC (%)"]);
}
