// Dynamic channel pruning on digits: masks predicted from a layer's input, against static pruning, random masks, gates, saliency, and the
// targets themselves.
#include "methods/experiment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/efficiency/ftwt/masked_cnn.h"
#include "models/metrics/confusion.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ftwt {
namespace {

using sparsity::Masking;
using sparsity::PooledInput;

struct Setup {
  const char *name, *about;
  Masking masking;
  double r = 0.8;
  PooledInput pooled = PooledInput::standardised;
  bool joint = false;
};

constexpr std::array kSetups{
    Setup{"dense", "no mask, trained on as long as the others", Masking::none},
    Setup{"static L1", "the filters of largest weights, as many as cost what r = 0.8 is estimated to cost", Masking::fixed},
    Setup{"random masks", "as many channels as the target has, drawn for each sample and step", Masking::shuffled},
    Setup{"oracle", "the targets themselves: nothing is saved, since they need the output", Masking::target},
    Setup{"saliency (FBS)", "the k channels of largest learned saliency, which multiply the output, and an L1 penalty", Masking::saliency},
    Setup{"gates", "straight-through gates drawn to the same share of channels by a penalty", Masking::gate},
    Setup{"FTWT, softmax", "the published pooling", Masking::predicted, 0.8, PooledInput::softmax},
    Setup{"FTWT, raw", "pooled inputs as they are", Masking::predicted, 0.8, PooledInput::raw},
    Setup{"FTWT, joint", "the mask loss reaches the backbone", Masking::predicted, 0.8, PooledInput::standardised, true},
    Setup{"FTWT, r 0.7", "standardised pooling", Masking::predicted, 0.7},
    Setup{"FTWT, r 0.9", "standardised pooling", Masking::predicted, 0.9},
    Setup{"FTWT", "standardised pooling, r = 0.8", Masking::predicted},
};

struct Work {
  int64_t width = 16, images = 1797, batch = 64, dense_epochs = 12, epochs = 40, timed = 100;
  double dense_lr = 0.05, lr = 0.1;
};

Work work_of(const Cell& cell) {
  Work w;
  if (cell.budget() == Budget::smoke) w = {.width = 4, .images = 400, .dense_epochs = 15, .epochs = 3, .timed = 4};
  if (cell.budget() == Budget::full) w.width = 32, w.epochs = 200;
  return w;
}

struct Digits {
  Tensor train_x, train_y, test_x, test_y;
};

Digits make_digits(int64_t images) {
  double part = static_cast<double>(images) / 1797;
  auto parts =
      data::digits().all().split({part * 1297 / 1797, part * 500 / 1797}, {.seed = default_generator().next_u64(), .stratified = true});
  auto train = parts[0].batch(parts[0].size()).next(), test = parts[1].batch(parts[1].size()).next();
  return {train.image, train.label, test.image, test.label};
}

// f(images, labels) for the full batches of every epoch, in random order.
template <typename F>
void each_batch(const Digits& d, int64_t batch, int64_t epochs, Generator& g, F&& f) {
  int64_t n = d.train_x.size(0);
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    std::vector<int64_t> order = data::random_order(n, g);
    for (int64_t from = 0; from + batch <= n; from += batch) {
      Tensor at = from_vector(std::vector<int64_t>(order.begin() + from, order.begin() + from + batch));
      f(index_select(d.train_x, 0, at), index_select(d.train_y, 0, at));
    }
  }
}

int64_t steps_of(const Digits& d, const Work& w, int64_t epochs) { return epochs * (d.train_x.size(0) / w.batch); }

MaskedCnn make_dense(const Digits& d, const Work& w) {
  MaskedCnn network({.width = w.width});
  Generator g(default_generator().next_u64());
  optim::SGD sgd(split_parameters(network).backbone, {.lr = w.dense_lr, .momentum = 0.9, .weight_decay = 5e-4});
  optim::Schedule schedule = optim::cosine(steps_of(d, w, w.dense_epochs));
  int64_t step = 0;
  each_batch(d, w.batch, w.dense_epochs, g, [&](const Tensor& x, const Tensor& y) {
    sgd.zero_grad();
    cross_entropy(network(x, {.masking = Masking::none}).logits, y).backward();
    sgd.set_lr_scale(schedule(step++));
    sgd.step();
  });
  network.eval();
  return network;
}

// -- what a variant trains with ---------------------------------------------------------------------------

struct Run {
  const Setup& setup;
  const Work& work;
  const Digits& digits;
  MaskedCnn network;
  double density = 1;  // of the variants that are told how many channels to keep
  Generator generator;

  sparsity::MaskedConv::Call call() { return {.masking = setup.masking, .r = setup.r, .density = density, .generator = &generator}; }
};

// The L1 penalty of saliencies, or what draws gates to their share.
Tensor penalty(const Run& run, const std::vector<sparsity::MaskTrace>& traces) {
  Tensor total;
  for (const auto& t : traces) {
    if (!t.saliency.defined()) continue;
    Tensor open = run.setup.masking == Masking::gate ? t.mask + (t.saliency - t.saliency.detach()) : t.saliency;
    Tensor own = run.setup.masking == Masking::gate ? square(mean(open) - run.density) * 10.0 : mean(open) * 1e-4;
    total = total.defined() ? total + own : own;
  }
  return total;
}

void train_plain(Run& run, Cell& cell) {
  SplitParameters parameters = split_parameters(run.network);
  TrainerOptions rates;
  int64_t steps = steps_of(run.digits, run.work, run.work.epochs), step = 0;
  optim::SGD backbone(parameters.backbone, {.lr = run.work.lr, .momentum = rates.momentum, .weight_decay = rates.weight_decay});
  optim::SGD predictors(parameters.predictors, {.lr = rates.predictor_lr, .momentum = rates.momentum});
  optim::Schedule schedule = backbone_schedule(steps);
  each_batch(run.digits, run.work.batch, run.work.epochs, run.generator, [&](const Tensor& x, const Tensor& y) {
    backbone.zero_grad(), predictors.zero_grad();
    Output out = run.network(x, run.call());
    Tensor loss = cross_entropy(out.logits, y);
    if (Tensor extra = penalty(run, out.traces); extra.defined()) loss = loss + extra;
    loss.backward();
    for (optim::SGD* sgd : {&backbone, &predictors}) sgd->set_lr_scale(schedule(step)), sgd->step();
    if (++step % 20 == 0) cell.progress(0.9 * static_cast<double>(step) / static_cast<double>(steps));
  });
}

void train_ftwt(Run& run, Cell& cell) {
  int64_t steps = steps_of(run.digits, run.work, run.work.epochs);
  Trainer trainer(split_parameters(run.network), {.r = run.setup.r, .steps = steps, .lr = run.work.lr});
  Network network = [&](const Tensor& x, const sparsity::MaskedConv::Call& call) { return run.network(x, call); };
  each_batch(run.digits, run.work.batch, run.work.epochs, run.generator, [&](const Tensor& x, const Tensor& y) {
    Trainer::Losses losses = trainer.step(network, x, y);
    if (trainer.steps_done() % 20 != 0) return;
    cell.progress(0.9 * static_cast<double>(trainer.steps_done()) / static_cast<double>(steps));
    if (losses.mask > 0) cell.point("Mask loss", "step", static_cast<double>(trainer.steps_done()), losses.mask);
  });
}

// Processor seconds that `of` takes, the least of three times.
template <typename F>
double fastest(F&& of) {
  double best = INFINITY;
  for (int i = 0; i < 3; ++i) {
    std::clock_t begin = std::clock();
    of();
    best = std::min(best, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return best;
}

// Time of the variant image by image, skipping what is masked, as a share of the same network without masks. What needs the output first
// skips nothing.
double relative_time(const Run& run) {
  if (run.setup.masking == Masking::target || run.setup.masking == Masking::shuffled) return 1;
  SkippingCnn skipping(run.network);
  auto all = [&](Masking masking) {
    return fastest([&] {
      for (int64_t i = 0; i < run.work.timed; ++i) skipping(slice(run.digits.test_x, 0, i, i + 1), masking, run.density);
    });
  };
  double dense = all(Masking::none);
  return all(run.setup.masking) / dense;
}

void report(Run& run, Cell& cell, double estimated) {
  NoGrad off;
  run.network.eval();
  sparsity::MaskedConv::Call call = run.call();
  call.targets = true;
  Output out = run.network(run.digits.test_x, call);
  bool asks = run.setup.masking == Masking::predicted || run.setup.masking == Masking::saliency || run.setup.masking == Masking::gate;
  sparsity::DynamicFlops flops = run.network.flops(/*predictors=*/asks);
  std::vector<Tensor> masks = masks_of(out.traces);
  bool saves = run.setup.masking != Masking::none;
  cell.metric("test accuracy (%)", 100 * metrics::accuracy(argmax(out.logits, 1), run.digits.test_y));
  cell.metric("multiplications saved (%)", saves ? 100 * flops.reduction(masks) : 0);
  cell.metric("estimated before training (%)", saves ? 100 * estimated : 0);
  for (size_t l : {size_t{1}, size_t{2}}) {
    Tensor target = out.traces[l].target;
    Tensor mask = masks[l].defined() ? clone(expand(masks[l], target.shape())) : ones_like(target);
    std::string at = l == 1 ? ", layer 2 (%)" : ", layer 3 (%)";
    cell.metric("masks right" + at, 100 * sparsity::mask_agreement(mask, target));
    cell.metric("channels that vary" + at, 100 * sparsity::varying_share(mask));
  }
  cell.metric("time of an image, of dense (%)", 100 * relative_time(run));
}

void run(Cell& cell) {
  Work w = work_of(cell);
  const Setup& setup = *std::ranges::find_if(kSetups, [&](const Setup& s) { return cell.is(s.name); });
  auto digits = cell.shared("digits", [&] { return make_digits(w.images); });
  auto dense = cell.shared("dense network", [&] { return make_dense(*digits, w); });
  Run run{setup, w, *digits, MaskedCnn({.width = w.width, .joint = setup.joint, .pooled = setup.pooled}), 1, Generator(cell.seed())};
  run.network.load_state(dense->state(), /*strict=*/false);  // pooled inputs that are not standardised have no running statistics
  run.network.eval();
  Network forward = [&](const Tensor& x, const sparsity::MaskedConv::Call& call) { return run.network(x, call); };
  double estimated = estimate_reduction(forward, digits->train_x, setup.r, run.network.flops());
  run.density = share_for_reduction(run.network, estimated);
  for (sparsity::MaskedConv* layer : {&run.network.conv2, &run.network.conv3}) {
    layer->set_fixed(l1_filter_mask(layer->conv.weight, run.density));
    Tensor bias = layer->predictor->linear.bias;
    NoGrad off;
    if (setup.masking == Masking::saliency) fill_(bias, 1);  // as published: saliencies start from one
  }
  run.network.train();
  if (setup.masking == Masking::predicted)
    train_ftwt(run, cell);
  else
    train_plain(run, cell);
  report(run, cell, estimated);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "FTWT";
  e.paper =
      "Elkerdawy, Elhoushi, Zhang, Ray: Fire Together Wire Together: A Dynamic Pruning Approach with Self-Supervised Mask Prediction, CVPR "
      "2022";
  e.claim = "masks predicted from a layer's input save what was estimated before training, at nearly the dense network's accuracy";
  e.metrics = {{"test accuracy (%)", Better::higher},
               {"multiplications saved (%)", Better::higher},
               {"estimated before training (%)", Better::neither},
               {"masks right, layer 2 (%)", Better::higher},
               {"channels that vary, layer 2 (%)", Better::neither},
               {"masks right, layer 3 (%)", Better::higher},
               {"channels that vary, layer 3 (%)", Better::neither},
               {"time of an image, of dense (%)", Better::lower}};
  for (const Setup& s : kSetups) e.variants.push_back({s.name, s.about});
  e.baseline = "static L1";
  e.method = "FTWT";
  e.run = &run;
  return e;
}

}  // namespace plumb::methods::ftwt
