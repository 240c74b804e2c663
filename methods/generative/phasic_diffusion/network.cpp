// Gate, fusion and the U-Net around them.
#include "methods/generative/phasic_diffusion/network.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/precondition.h"
#include "ops/activation.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::phasic_diffusion {

using namespace diffusion;

// As a sigmoid of t − T_s whose exponential is never of a positive number.
double PhasicGate::operator()(double t) const {
  if (always_open) return 1;
  double x = t - switch_time, e = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

Tensor PhasicGate::operator()(const Tensor& t) const {
  std::vector<float> values;
  for (double time : to_vector(t)) values.push_back(static_cast<float>((*this)(time)));
  return plumb::to(from_vector(values), t.device());
}

ContentFusion::ContentFusion(nn::Module* parent, std::string name, int64_t channels)
    : Module(parent, std::move(name)),
      conv1(this, "conv1", 2 * channels, channels, 3, {.padding = 1}),
      conv2(this, "conv2", channels, channels, 3, {.padding = 1}),
      conv3(this, "conv3", channels, channels, 3, {.padding = 1}) {}

Tensor ContentFusion::operator()(const Tensor& h, const Tensor& content) const {
  return conv3(relu(conv2(relu(conv1(cat({h, content}, 1))))));
}

namespace {

int64_t bottleneck_channels(const unet::UnetConfig& c) { return c.channels(c.levels() - 1); }

}  // namespace

PhasicUnet::PhasicUnet(const unet::Unet& net, const PhasicGate& gate, const VpSchedule& schedule)
    : gate_(gate), schedule_(schedule), base(net), fusion(this, "fusion", bottleneck_channels(net.config())) {
  if (!(gate.switch_time >= 0 && gate.switch_time <= static_cast<double>(schedule.steps())))
    throw ValueError("phasic_unet: the switch time " + decimal(gate.switch_time) + " is outside [0, " +
                     std::to_string(schedule.steps()) + "]");
  register_module("base", base);
}

Tensor PhasicUnet::content_features(const Tensor& content, const Tensor& t, Generator& generator) const {
  NoGrad off;
  Tensor alpha_bar = plumb::to(plumb::to(schedule_.alpha_bar(t), content.dtype()), content.device());
  Tensor noisy = add_noise(content, randn_like(content, &generator), alpha_bar);
  Tensor h = base.encode(noisy, plumb::to(t, content.dtype())), m = per_example(plumb::to(gate_(t), h.dtype()), h);
  return m * h + (1 - m) * randn_like(h, &generator);
}

Tensor PhasicUnet::operator()(const Tensor& x, const Tensor& t, const Tensor& content, Generator& generator) const {
  Tensor times = plumb::to(t, x.dtype());
  if (!content.defined()) return base(x, times);
  if (content.shape() != x.shape())
    throw ShapeError("phasic_unet: the content " + to_string(content.shape()) + " must have the shape of x, " + to_string(x.shape()));
  Tensor injected = content_features(content, t, generator);
  return base.forward(x, times, {}, [&](size_t place, const Tensor& h) { return place == base.middle_place() ? fusion(h, injected) : h; });
}

}  // namespace plumb::methods::phasic_diffusion
