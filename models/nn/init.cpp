// Initialisers. Numbers are drawn and computed in f64, then rounded to the parameter's type, so that a model starts the same in every type.
#include "models/nn/init.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/linalg.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::nn::init {
namespace {

RandomOptions in_f64(Generator& generator) { return {.dtype = f64, .generator = &generator}; }

struct Fans {
  double in, out;
};
Fans fans(const char* name, const Tensor& t) {
  if (t.rank() < 2) throw ShapeError(std::string(name) + ": needs a weight [out, in, ..], the shape is " + to_string(t.shape()));
  double kernel = static_cast<double>(numel(t.shape().slice(2, t.rank())));
  return {static_cast<double>(t.size(1)) * kernel, static_cast<double>(t.size(0)) * kernel};
}

}  // namespace

void constant(Tensor t, double value) { copy_data(scalar_tensor(value, f64), t); }
void zeros(Tensor t) { constant(t, 0); }
void ones(Tensor t) { constant(t, 1); }

void eye(Tensor t) {
  if (t.rank() != 2) throw ShapeError("eye: needs a matrix, the shape is " + to_string(t.shape()));
  copy_data(plumb::eye(t.size(0), t.size(1)), t);
}

void uniform(Tensor t, double low, double high, Generator& generator) {
  copy_data(plumb::uniform(t.shape(), low, high, in_f64(generator)), t);
}
void normal(Tensor t, double mean, double std, Generator& generator) {
  copy_data(plumb::normal(t.shape(), mean, std, in_f64(generator)), t);
}
void truncated_normal(Tensor t, double mean, double std, double low, double high, Generator& generator) {
  copy_data(plumb::truncated_normal(t.shape(), mean, std, low, high, in_f64(generator)), t);
}

void xavier_uniform(Tensor t, double gain, Generator& generator) {
  Fans f = fans("xavier_uniform", t);
  double bound = gain * std::sqrt(6 / (f.in + f.out));
  uniform(t, -bound, bound, generator);
}
void xavier_normal(Tensor t, double gain, Generator& generator) {
  Fans f = fans("xavier_normal", t);
  normal(t, 0, gain * std::sqrt(2 / (f.in + f.out)), generator);
}
void kaiming_uniform(Tensor t, double gain, Fan fan, Generator& generator) {
  Fans f = fans("kaiming_uniform", t);
  double bound = gain * std::sqrt(3 / (fan == Fan::in ? f.in : f.out));
  uniform(t, -bound, bound, generator);
}
void kaiming_normal(Tensor t, double gain, Fan fan, Generator& generator) {
  Fans f = fans("kaiming_normal", t);
  normal(t, 0, gain / std::sqrt(fan == Fan::in ? f.in : f.out), generator);
}

// Q of a normal matrix's QR factorisation, its signs chosen so that R's diagonal is positive: only then is Q uniform over the
// orthogonal matrices (Mezzadri 2007).
void orthogonal(Tensor t, double gain, Generator& generator) {
  fans("orthogonal", t);
  NoGrad off;
  int64_t rows = t.size(0), columns = t.numel() / std::max<int64_t>(1, rows);
  auto [q, r] = qr(plumb::randn({std::max(rows, columns), std::min(rows, columns)}, in_f64(generator)));
  Tensor signs = where(diagonal(r) < 0, scalar_tensor(-1, f64), scalar_tensor(1, f64));
  Tensor w = gain * q * signs;
  copy_data(reshape(rows < columns ? transpose(w, 0, 1) : w, t.shape()), t);
}

}  // namespace plumb::nn::init
