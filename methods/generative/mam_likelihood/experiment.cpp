// MaM trained by maximum likelihood on small binary digits: do its one-call marginals follow the likelihoods of an any-order autoregressive
// model that needs D calls and several orders?
#include "methods/experiment.h"

#include <chrono>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/generative/mam/mam.h"
#include "models/metrics/correlation.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/train/image_grid.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::mam_likelihood {
namespace {

using namespace any_order;

constexpr int64_t kPixels = 64, kBatch = 128, kGibbsSteps = 4, kOrders = 5;
constexpr double kRate = 1e-3, kClip = 10;

// 1 where a pixel is below half, 2 where it is not.
struct BinaryDigits {
  Tensor train, test;  // i64 [n, 64]
};
BinaryDigits binary_digits() {
  auto rows = [](const data::Dataset& part) {
    std::vector<Tensor> images;
    for (int64_t i = 0; i < part.size(); ++i) images.push_back(flatten(part[i].image));
    return to(stack(images, 0) >= 0.5, i64) + 1;
  };
  data::DatasetParts digits = data::digits();
  return {rows(digits.train()), rows(digits.test())};
}

Tensor batch(const Tensor& rows) { return index_select(rows, 0, randint(0, rows.size(0), {kBatch})); }

// Constant, then falling to nothing over the last three tenths.
void set_rate(optim::Adam& adam, int64_t k, int64_t steps) {
  double done = static_cast<double>(k) / static_cast<double>(steps);
  adam.set_lr_scale(done < 0.7 ? 1 : (1 - done) / 0.3);
}

// The first stage: an any-order autoregressive model.
mam::MarginalModel train_conditionals(Cell& cell, const BinaryDigits& digits) {
  mam::MarginalModel model({.variables = kPixels, .symbols = 2, .width = cell.pick<int64_t>(32, 192, 512), .layers = 3});
  optim::Adam adam(model.conditional_part().parameters(), {.lr = kRate});
  int64_t steps = cell.pick<int64_t>(60, 4000, 40'000);
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 25 == 0) cell.progress(0);
    set_rate(adam, k, steps);
    Tensor t = randint(0, kPixels, {kBatch});
    Tensor loss = mean(losses(model.heads().conditionals, batch(digits.train), random_ranks(kBatch, kPixels), t));
    adam.zero_grad();
    loss.backward();
    optim::clip_grad_norm(model.conditional_part().parameters(), kClip * kPixels);  // the paper's code divides the loss by D
    adam.step();
  }
  return model;
}

// The second stage: the marginals, drawn to the conditionals of the first on data and on its own samples.
void train_marginals(Cell& cell, mam::MarginalModel& model, const BinaryDigits& digits, bool on_samples) {
  optim::Adam adam(model.marginal_part().parameters(), {.lr = kRate});
  Conditionals conditionals = model.heads().conditionals;
  Tensor samples = fill(conditionals, zeros({kBatch, kPixels}, i64), random_ranks(kBatch, kPixels)).x;
  int64_t steps = cell.pick<int64_t>(40, 6000, 60'000), every = steps / 10;
  double sum_of_losses = 0;
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 25 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(steps));
    set_rate(adam, k, steps);
    Tensor data = batch(digits.train);
    if (on_samples) samples = redraw(conditionals, samples, random_ranks(kBatch, kPixels), kGibbsSteps);
    Tensor loss = mam::likelihood_loss(model.heads(), data, on_samples ? samples : data);
    adam.zero_grad();
    loss.backward();
    optim::clip_grad_norm(model.marginal_part().parameters(), kClip * kPixels);
    adam.step();
    sum_of_losses += loss.item();
    if ((k + 1) % every == 0) {
      cell.point("D · self-consistency", "training step", static_cast<double>(k + 1), sum_of_losses / static_cast<double>(every));
      sum_of_losses = 0;
    }
  }
}

struct Answers {
  Tensor log_p;  // [n], natural logarithms
  double ms_for_16 = 0;
};

template <typename F>
Answers timed(F&& answer, const Tensor& rows) {
  Answers a{answer(rows)};
  Tensor some = narrow(rows, 0, 0, 16);
  auto start = std::chrono::steady_clock::now();
  answer(some);
  a.ms_for_16 = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return a;
}

Answers answers(Cell& cell, const mam::MarginalModel& trained, const BinaryDigits& digits, const Tensor& rows) {
  if (cell.is("independent pixels")) {
    Tensor up = (to(sum(digits.train == 2, {0}), f64) + 0.5) / (static_cast<double>(digits.train.size(0)) + 1);
    return timed([&](const Tensor& x) { return sum(where(x == 2, log(up), log(1 - up)), {1}); }, rows);
  }
  Conditionals conditionals = trained.heads().conditionals;
  if (cell.is("AO-ARM, 1 order") || cell.is("AO-ARM, 5 orders"))
    return timed([&](const Tensor& x) { return log_likelihood(conditionals, x, cell.is("AO-ARM, 1 order") ? 1 : kOrders); }, rows);
  mam::MarginalModel model = trained;
  train_marginals(cell, model, digits, cell.is("MaM"));
  return timed([&](const Tensor& x) { return mam::log_marginal(model.heads(), x); }, rows);
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", binary_digits);
  auto trained = cell.shared("conditionals", [&] { return train_conditionals(cell, *digits); });
  Tensor rows = narrow(digits->test, 0, 0, cell.pick<int64_t>(60, 300, 300));
  auto reference = cell.shared("reference", [&] { return to_vector(log_likelihood(trained->heads().conditionals, rows, kOrders)); });
  Answers a = answers(cell, *trained, *digits, rows);
  std::vector<double> log_p = to_vector(a.log_p);
  cell.metric("Spearman", spearman_correlation(log_p, *reference));
  cell.metric("Pearson", pearson_correlation(log_p, *reference));
  cell.metric("NLL (bits a pixel)", -mean(to(a.log_p, f64)).item() / (kPixels * std::log(2.0)));
  cell.metric("16 likelihoods (ms)", a.ms_for_16);
  if (!cell.is("AO-ARM, 1 order")) return;
  Tensor drawn = fill(trained->heads().conditionals, zeros({48, kPixels}, i64), random_ranks(48, kPixels)).x;
  cell.picture("samples in random orders", train::image_grid(reshape(to(drawn - 1, f32), {48, 1, 8, 8}), {.columns = 12}));
}

}  // namespace

Experiment experiment() {
  return {.title = "MaM, likelihoods",
          .paper = "Liu, Ramadge & Adams, Generative Marginalization Models, ICML 2024",
          .claim = "Marginals of one call rank unseen digits as the likelihoods of an any-order autoregressive model of 64 calls an order",
          .metrics = {{"Spearman", Better::higher},
                      {"Pearson", Better::higher},
                      {"NLL (bits a pixel)", Better::lower},
                      {"16 likelihoods (ms)", Better::lower}},
          .variants = {{"independent pixels", "the mean of every pixel"},
                       {"AO-ARM, 1 order", "the any-order model along one random order an image"},
                       {"AO-ARM, 5 orders", "the mean likelihood of five orders, others than the reference's five"},
                       {"MaM, data alone", "marginals trained on digits, without samples of the model"},
                       {"MaM", "marginals trained on digits and on samples of the model, half and half"}},
          .baseline = "independent pixels",
          .method = "MaM",
          .run = run};
}

}  // namespace plumb::methods::mam_likelihood
