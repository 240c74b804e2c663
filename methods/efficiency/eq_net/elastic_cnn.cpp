// Training loops of the experiments of EQ-Net.
#include "methods/efficiency/eq_net/elastic_cnn.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "models/metrics/confusion.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/recalibrate.h"
#include "models/optim/adam.h"
#include "models/optim/clip.h"
#include "models/optim/schedule.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::eq_net {
namespace {

constexpr int64_t kRecalibration = 512;  // images, in two batches

Tensor drawn_convolution(int64_t in, int64_t out) { return nn::Conv2d(in, out, 3, {.bias = false}).weight; }

struct LinearStart {
  Tensor weight, bias;
};
LinearStart drawn_linear(int64_t in, int64_t out) {
  nn::Linear layer(in, out);
  return {layer.weight, layer.bias};
}

std::vector<Tensor> recalibration_images(const Digits& d) {
  int64_t half = std::min(kRecalibration, d.train_x.size(0)) / 2;
  return {slice(d.train_x, 0, 0, half), slice(d.train_x, 0, half, 2 * half)};
}

nn::BatchNormOptions norm_options() { return {.cumulative = true}; }

// f(images, labels, step) for the full batches of every epoch, in random order.
void epochs_of(const Digits& d, const Work& w, int64_t epochs, Generator& g,
               const std::function<void(const Tensor&, const Tensor&, int64_t)>& f) {
  int64_t step = 0, n = d.train_x.size(0);
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    std::vector<int64_t> order = data::random_order(n, g);
    for (int64_t from = 0; from + w.batch <= n; from += w.batch) {
      Tensor at = from_vector(std::vector<int64_t>(order.begin() + from, order.begin() + from + w.batch));
      f(index_select(d.train_x, 0, at), index_select(d.train_y, 0, at), step++);
    }
  }
}

int64_t steps_of(const Digits& d, const Work& w, int64_t epochs) { return epochs * (d.train_x.size(0) / w.batch); }

// Adam over a cosine; `gradients` adds a step's.
void train(ElasticCnn& network, const Digits& d, const Work& w, int64_t epochs, Generator& g,
           const std::function<void(const Tensor&, const Tensor&)>& gradients, const std::function<void(double)>& note) {
  std::vector<Tensor> parameters = network.parameters();
  optim::Adam adam(parameters, {.lr = w.lr});
  int64_t steps = steps_of(d, w, epochs);
  optim::Schedule schedule = optim::cosine(steps);
  network.train();
  epochs_of(d, w, epochs, g, [&](const Tensor& x, const Tensor& y, int64_t step) {
    adam.zero_grad();
    gradients(x, y);
    optim::clip_grad_value(parameters, 1.0);
    adam.set_lr_scale(schedule(step));
    adam.step();
    if (note) note(static_cast<double>(step + 1) / static_cast<double>(steps));
  });
}

}  // namespace

ElasticCnn::ElasticCnn(int64_t width)
    : conv1(this, "conv1", drawn_convolution(1, width), {}, {.padding = 1}),
      bn1(this, "bn1", width, norm_options()),
      conv2(this, "conv2", drawn_convolution(width, 2 * width), {}, {.stride = 2, .padding = 1}),
      bn2(this, "bn2", 2 * width, norm_options()),
      conv3(this, "conv3", drawn_convolution(2 * width, 2 * width), {}, {.padding = 1}),
      bn3(this, "bn3", 2 * width, norm_options()),
      head([&] {
        LinearStart start = drawn_linear(2 * width, 10);
        return quantize::ElasticLayer(nullptr, "", start.weight, start.bias);
      }()) {
  register_module("head", head);
}

Tensor ElasticCnn::operator()(const Tensor& images) {
  Tensor x = relu(bn1(conv1(images)));
  x = relu(bn2(conv2(x)));
  x = relu(bn3(conv3(x)));
  return head(global_avg_pool(x));
}

Digits split_digits(int64_t images) {
  double part = static_cast<double>(images) / 1797;
  auto parts = data::digits().all().split({part * 1000 / 1797, part * 297 / 1797, part * 500 / 1797},
                                          {.seed = default_generator().next_u64(), .stratified = true});
  std::vector<Tensor> x, y;
  for (const data::Dataset& part : parts) {
    auto all = part.batch(part.size()).next();
    x.push_back(all.image), y.push_back(all.label);
  }
  return {x[0], y[0], x[1], y[1], x[2], y[2]};
}

ElasticCnn make_float(const Digits& d, const Work& w, Generator& g) {
  ElasticCnn network(w.width);
  quantize::SuperNet net(network);
  net.set_mode(quantize::ElasticLayer::Mode::full_precision);
  train(network, d, w, w.float_epochs, g, [&](const Tensor& x, const Tensor& y) { cross_entropy(network(x), y).backward(); }, {});
  network.zero_grad();
  auto forward = [&](const Tensor& x) { return network(x); };
  nn::recalibrate_batch_norm(network, forward, recalibration_images(d));
  network.eval();
  net.set_mode(quantize::ElasticLayer::Mode::calibrating);
  {
    NoGrad off;
    network(slice(d.train_x, 0, 0, w.calibration));
  }
  net.set_mode(quantize::ElasticLayer::Mode::quantized);
  return network;
}

void train_supernet(ElasticCnn& network, const Digits& d, const Work& w, const StepOptions& options, Generator& g,
                    const std::function<void(double)>& note) {
  quantize::SuperNet net(network);
  auto forward = [&](const Tensor& x) { return network(x); };
  train(
      network, d, w, w.epochs, g, [&](const Tensor& x, const Tensor& y) { accumulate_gradients(net, forward, x, y, options, g); }, note);
}

void train_form(ElasticCnn& network, const Digits& d, const Work& w, const quantize::NetForm& form, int64_t epochs, Generator& g,
                const std::function<void(double)>& note) {
  quantize::SuperNet(network).set(form);
  train(
      network, d, w, epochs, g, [&](const Tensor& x, const Tensor& y) { cross_entropy(network(x), y).backward(); }, note);
}

double measure_form(ElasticCnn& network, const Digits& d, const quantize::NetForm& form, const Tensor& x, const Tensor& y) {
  NoGrad off;
  quantize::SuperNet(network).set(form);
  nn::recalibrate_batch_norm(
      network, [&](const Tensor& images) { return network(images); }, recalibration_images(d));
  network.eval();
  return 100 * metrics::accuracy(argmax(network(x), 1), y);
}

}  // namespace plumb::methods::eq_net
