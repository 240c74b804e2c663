// Functions as layers, for Sequential. Those without options can also be given to it as they are: Sequential(Linear(3, 4), relu).
#pragma once
#include <string>

#include "models/nn/module.h"
#include "ops/activation.h"
#include "ops/elementary.h"

namespace plumb::nn {

/// The activations that a configuration can name.
enum class ActivationKind : uint8_t { gelu, gelu_tanh, relu, silu };
/// "gelu", "gelu_tanh", "relu" or "silu". Throws ConfigError for another name.
ActivationKind activation_named(const std::string& name);
const char* name(ActivationKind kind);
Tensor activate(ActivationKind kind, const Tensor& x);

/// f as a module without parameters.
template <Tensor (*f)(const Tensor&)>
class Activation : public Module {
 public:
  Activation() = default;
  Activation(Module* parent, std::string name) : Module(parent, std::move(name)) {}
  Tensor operator()(const Tensor& x) const { return f(x); }
};
using ReLU = Activation<relu>;
using ReLU6 = Activation<relu6>;
using SiLU = Activation<silu>;
using Mish = Activation<mish>;
using Sigmoid = Activation<sigmoid>;
using Tanh = Activation<tanh>;
using LogSigmoid = Activation<logsigmoid>;
using Softsign = Activation<softsign>;
using Hardsigmoid = Activation<hardsigmoid>;
using Hardswish = Activation<hardswish>;

/// leaky_relu(x, slope)
class LeakyReLU : public Module {
 public:
  explicit LeakyReLU(double slope = 0.01) : slope_(slope) {}
  LeakyReLU(Module* parent, std::string name, double slope = 0.01) : LeakyReLU(slope) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const { return leaky_relu(x, slope_); }

 private:
  double slope_;
};

/// elu(x, alpha)
class ELU : public Module {
 public:
  explicit ELU(double alpha = 1) : alpha_(alpha) {}
  ELU(Module* parent, std::string name, double alpha = 1) : ELU(alpha) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const { return elu(x, alpha_); }

 private:
  double alpha_;
};

/// gelu(x, form)
class GELU : public Module {
 public:
  explicit GELU(GeluForm form = GeluForm::exact) : form_(form) {}
  GELU(Module* parent, std::string name, GeluForm form = GeluForm::exact) : GELU(form) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const { return gelu(x, form_); }

 private:
  GeluForm form_;
};

/// softplus(x, beta, threshold)
class Softplus : public Module {
 public:
  explicit Softplus(double beta = 1, double threshold = 20) : beta_(beta), threshold_(threshold) {}
  Softplus(Module* parent, std::string name, double beta = 1, double threshold = 20) : Softplus(beta, threshold) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const { return softplus(x, beta_, threshold_); }

 private:
  double beta_, threshold_;
};

/// hardtanh(x, low, high)
class Hardtanh : public Module {
 public:
  explicit Hardtanh(double low = -1, double high = 1) : low_(low), high_(high) {}
  Hardtanh(Module* parent, std::string name, double low = -1, double high = 1) : Hardtanh(low, high) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const { return hardtanh(x, low_, high_); }

 private:
  double low_, high_;
};

/// x ≥ 0 ? x : a·x with a learned a, one for all or one for each channel (dimension 1; He et al. 2015). Starts as 0.25.
/// Throws ShapeError if x has another number of channels.
class PReLU : public Module {
 public:
  explicit PReLU(int64_t channels = 1, double start = 0.25);
  PReLU(Module* parent, std::string name, int64_t channels = 1, double start = 0.25) : PReLU(channels, start) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight;
};

/// softmax and log_softmax over `dim`.
class Softmax : public Module {
 public:
  explicit Softmax(int dim = -1) : dim_(dim) {}
  Softmax(Module* parent, std::string name, int dim = -1) : Softmax(dim) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const;

 private:
  int dim_;
};
class LogSoftmax : public Module {
 public:
  explicit LogSoftmax(int dim = -1) : dim_(dim) {}
  LogSoftmax(Module* parent, std::string name, int dim = -1) : LogSoftmax(dim) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const;

 private:
  int dim_;
};

/// x itself: a place to put something else.
class Identity : public Module {
 public:
  Identity() = default;
  Identity(Module* parent, std::string name) : Module(parent, std::move(name)) {}
  Tensor operator()(const Tensor& x) const { return x; }
};

/// flatten(x, start, end): all but the batch.
class Flatten : public Module {
 public:
  explicit Flatten(int start = 1, int end = -1) : start_(start), end_(end) {}
  Flatten(Module* parent, std::string name, int start = 1, int end = -1) : Flatten(start, end) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const;

 private:
  int start_, end_;
};

}  // namespace plumb::nn
