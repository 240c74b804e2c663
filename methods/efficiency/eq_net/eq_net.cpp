// EQ-Net's losses and its training step.
#include "methods/efficiency/eq_net/eq_net.h"

#include <string>

#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::eq_net {
namespace {

Tensor standardised(const char* what, const Tensor& w) {
  Tensor flat = flatten(w);
  if (flat.numel() < 2)
    throw ValueError(std::string(what) + ": a tensor of " + std::to_string(flat.numel()) + " elements has no deviation");
  Tensor deviation = std_dev(flat);
  if (!(deviation.item() > 0)) throw ValueError(std::string(what) + ": the standard deviation is 0");
  return (flat - mean(flat)) / deviation;
}

}  // namespace

Tensor kurtosis(const Tensor& w) { return mean(square(square(standardised("kurtosis", w)))); }

Tensor skewness(const Tensor& w) {
  Tensor z = standardised("skewness", w);
  return mean(square(z) * z);
}

Tensor wdr_loss(const std::vector<Tensor>& weights, const WdrOptions& o) {
  if (weights.empty()) throw ValueError("wdr_loss: there are no weights");
  Tensor tails, skews;
  for (const Tensor& w : weights) {
    Tensor k = square(kurtosis(w) - o.kurtosis_target), s = square(skewness(w) - o.skewness_target);
    tails = tails.defined() ? tails + k : k;
    skews = skews.defined() ? skews + s : s;
  }
  auto count = static_cast<double>(weights.size());
  return tails * (o.kurtosis_rate / count) + skews * (o.skewness_rate / count);
}

Tensor wdr_loss(const quantize::SuperNet& net, const WdrOptions& o) {
  std::vector<Tensor> weights;
  for (size_t i = 1; i < net.layers(); ++i) weights.push_back(net.layer(i).weight);
  return wdr_loss(weights, o);
}

Tensor guided_loss(const Tensor& student, const Tensor& teacher, const Tensor& labels, double alpha) {
  if (!(alpha >= 0 && alpha <= 1)) throw ValueError("guided_loss: alpha must lie in [0, 1], it is " + decimal(alpha));
  Tensor soft = softmax(teacher.detach(), -1);
  return kl_div(student, soft, {.logits = true}) * alpha + cross_entropy(student, labels) * (1 - alpha);
}

StepLosses accumulate_gradients(const quantize::SuperNet& net, const Forward& forward, const Tensor& images, const Tensor& labels,
                                const StepOptions& o, Generator& g) {
  if (o.subnets < 1 || o.subnets > 3) throw ValueError("eq_net: a step has 1 to 3 sub-nets, not " + std::to_string(o.subnets));
  StepLosses losses;
  if (o.regularise && (o.wdr.kurtosis_rate != 0 || o.wdr.skewness_rate != 0)) {
    Tensor wdr = wdr_loss(net, o.wdr);
    losses.wdr = wdr.item();
    wdr.backward();
  }
  net.set(net.biggest(g));
  Tensor logits = forward(images), biggest = logits.detach();
  Tensor loss = cross_entropy(logits, labels);
  losses.biggest = loss.item();
  loss.backward();
  if (o.subnets < 2) return losses;

  auto taught = [&](const quantize::NetForm& form, const Tensor& teacher, double& value) {
    net.set(form);
    Tensor z = forward(images);
    Tensor l = o.guidance == Guidance::none ? cross_entropy(z, labels) : guided_loss(z, teacher, labels, o.alpha);
    value = l.item();
    l.backward();
    return z.detach();
  };
  Tensor random = taught(net.random(g, o.bits), biggest, losses.random);
  if (o.subnets < 3) return losses;
  taught(net.smallest(g), o.guidance == Guidance::progressive ? random : biggest, losses.smallest);
  return losses;
}

}  // namespace plumb::methods::eq_net
