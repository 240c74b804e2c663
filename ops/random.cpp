// Random draws: parameters checked, counters taken from the generator, kernels called. Draws themselves are not recorded.
#include "ops/random.h"

#include <cmath>
#include <limits>

#include "engine/autograd/inplace.h"
#include "ops/create.h"
#include "ops/kernels/random.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb {
namespace {

// Takes the counters of a draw of n numbers of `words` words each.
RandomPlace take(Generator* given, int64_t n, int words) {
  Generator& g = given ? *given : default_generator();
  int64_t per_counter = 4 / words;
  return {g.seed(), g.take(static_cast<uint64_t>((n + per_counter - 1) / per_counter))};
}
int words_of(DType t) { return t == f64 ? 2 : 1; }

void require_floating(const char* op, DType t) {
  if (!is_floating(t)) throw DTypeError(std::string(op) + ": gives floating tensors, not " + std::string(name(t)));
}
void check_std(const char* op, double mean, double std) {
  if (!std::isfinite(mean) || !(std >= 0) || std::isinf(std))
    throw ValueError(std::string(op) + ": mean " + decimal(mean) + " and std " + decimal(std) + ": both must be finite, std not negative");
}
void check_bounds(double low, double high) {
  if (!std::isfinite(low) || !std::isfinite(high) || low > high)
    throw ValueError("uniform: [" + decimal(low) + ", " + decimal(high) + ") is not a finite interval");
}
void check_truncation(double mean, double std, double low, double high) {
  check_std("truncated_normal", mean, std);
  if (std == 0 || !(low < high))
    throw ValueError("truncated_normal: std " + decimal(std) + " within [" + decimal(low) + ", " + decimal(high) +
                     "]: std must be positive and low < high");
  constexpr double kFarthest = 37;  // standard deviations: beyond, doubles have no probability
  if ((low - mean) / std > kFarthest || (mean - high) / std > kFarthest)
    throw ValueError("truncated_normal: [" + decimal(low) + ", " + decimal(high) +
                     "] lies more than 37 standard deviations from the mean " + decimal(mean));
}
void check_exponential(double rate) {
  if (!(rate > 0) || std::isinf(rate)) throw ValueError("exponential: the rate must be positive and finite, it is " + decimal(rate));
}
void check_rate(double rate) {
  if (!(rate >= 0 && rate <= 1)) throw ValueError("bernoulli: the rate must be in [0, 1], it is " + decimal(rate));
}

Tensor drawn(const char* op, Draw kind, double a, double b, const Shape& shape, const RandomOptions& o) {
  require_floating(op, o.dtype);
  Tensor out = empty(shape, o.dtype, o.device, op);
  kernel::draw(o.device, kind, take(o.generator, out.numel(), words_of(o.dtype)), a, b, out);
  return out;
}

// x ← fresh, recorded or not.
void fill_with(const char* op, Tensor& x, const Tensor& fresh) {
  check_writable(op, x);
  if (grad_enabled() && x.requires_grad()) return assign(op, x, fresh);
  copy_data(fresh, x);
}
RandomOptions options_like(const Tensor& x, Generator* generator) { return {x.dtype(), x.device(), generator}; }

Tensor choose(const char* op, const Tensor& weights, int64_t samples, bool logits, bool replacement, Generator* generator) {
  require_floating(op, weights.dtype());
  if (weights.rank() == 0) throw ShapeError(std::string(op) + ": needs a dimension of classes, the shape is []");
  int64_t classes = weights.size(-1), rows = classes == 0 ? 0 : weights.numel() / classes;
  Shape shape = weights.shape();
  shape[shape.rank() - 1] = samples;
  if (classes == 0 && numel(shape) > 0) throw ValueError(std::string(op) + ": there are no classes in " + to_string(weights.shape()));
  Tensor out = empty(shape, i64, weights.device(), op);
  if (out.numel() == 0) return out;
  int64_t bad_row = -1;
  Tensor flat = view_of(out, {rows, samples}, {samples, 1}, 0), table = contiguous_data(weights);
  RandomPlace place = take(generator, rows * (replacement ? samples : classes), 2);
  kernel::categorical(weights.device(), place, view_of(table, {rows, classes}, {classes, 1}, 0), logits, replacement, flat, bad_row);
  if (bad_row >= 0)
    throw ValueError(std::string(op) + ": row " + std::to_string(bad_row) +
                     (logits ? " has a NaN or +inf, or only -inf"
                             : " has a negative or non-finite weight, or fewer positive weights than are to be drawn"));
  return out;
}

}  // namespace

Tensor rand(const Shape& shape, RandomOptions o) { return drawn("rand", Draw::uniform, 0, 1, shape, o); }
Tensor randn(const Shape& shape, RandomOptions o) { return drawn("randn", Draw::normal, 0, 1, shape, o); }
Tensor rand_like(const Tensor& like, Generator* g) { return rand(like.shape(), options_like(like, g)); }
Tensor randn_like(const Tensor& like, Generator* g) { return randn(like.shape(), options_like(like, g)); }

Tensor uniform(const Shape& shape, double low, double high, RandomOptions o) {
  check_bounds(low, high);
  if (high - low > (o.dtype == f64 ? std::numeric_limits<double>::max() : double{std::numeric_limits<float>::max()}))
    throw ValueError("uniform: [" + decimal(low) + ", " + decimal(high) + ") is wider than the largest number of " +
                     std::string(name(o.dtype == f64 ? f64 : f32)));
  return drawn("uniform", Draw::uniform, low, high, shape, o);
}
Tensor normal(const Shape& shape, double mean, double std, RandomOptions o) {
  check_std("normal", mean, std);
  return drawn("normal", Draw::normal, mean, std, shape, o);
}
Tensor exponential(const Shape& shape, double rate, RandomOptions o) {
  check_exponential(rate);
  return drawn("exponential", Draw::exponential, rate, 0, shape, o);
}
Tensor gumbel(const Shape& shape, RandomOptions o) { return drawn("gumbel", Draw::gumbel, 0, 0, shape, o); }

Tensor truncated_normal(const Shape& shape, double mean, double std, double low, double high, RandomOptions o) {
  require_floating("truncated_normal", o.dtype);
  check_truncation(mean, std, low, high);
  Tensor out = empty(shape, o.dtype, o.device, "truncated_normal");
  kernel::truncated_normal(o.device, take(o.generator, out.numel(), 2), mean, std, low, high, out);
  return out;
}

// y = mean + std ε,   d mean = dy,   d std = ε dy
Tensor normal(const Tensor& mean, const Tensor& std, Generator* generator) {
  Shape shape = broadcast_shapes("normal", mean.shape(), std.shape());
  DType t = promote(mean.dtype(), std.dtype());
  require_floating("normal", t);
  return mean + std * randn(shape, {t, mean.device(), generator});
}

Tensor bernoulli(const Shape& shape, double rate, RandomOptions o) {
  check_rate(rate);
  Tensor out = empty(shape, o.dtype, o.device, "bernoulli");
  kernel::bernoulli(o.device, take(o.generator, out.numel(), 1), rate, out);
  return out;
}

Tensor bernoulli(const Tensor& rate, Generator* generator) {
  require_floating("bernoulli", rate.dtype());
  Tensor out = empty_like(rate, "bernoulli");
  bool valid = true;
  kernel::bernoulli_rates(rate.device(), take(generator, out.numel(), 1), contiguous_data(rate), out, valid);
  if (!valid) throw ValueError("bernoulli: a rate is outside [0, 1]");
  return no_derivative("bernoulli", out, {rate});
}

Tensor randint(int64_t low, int64_t high, const Shape& shape, RandomOptions o) {
  if (!is_integer(o.dtype)) throw DTypeError("randint: gives integers, not " + std::string(name(o.dtype)));
  int64_t least = o.dtype == u8    ? 0
                  : o.dtype == i32 ? INT32_MIN
                                   : INT64_MIN,
          most = o.dtype == u8    ? 255
                 : o.dtype == i32 ? INT32_MAX
                                  : INT64_MAX;
  if (low >= high || low < least || high - 1 > most)
    throw ValueError("randint: [" + std::to_string(low) + ", " + std::to_string(high) + ") is empty or does not fit into " +
                     std::string(name(o.dtype)));
  Tensor out = empty(shape, o.dtype, o.device, "randint");
  kernel::integers(o.device, take(o.generator, out.numel(), 2), low, static_cast<uint64_t>(high) - static_cast<uint64_t>(low), out);
  return out;
}

Tensor randperm(int64_t n, RandomOptions o) {
  if (n < 0) throw ValueError("randperm: n must not be negative, it is " + std::to_string(n));
  Tensor out = empty({n}, i64, o.device, "randperm");
  kernel::permutation(o.device, take(o.generator, n, 2), out);
  return to(out, o.dtype);
}

Tensor categorical(const Tensor& logits, Generator* generator) {
  return squeeze(choose("categorical", logits, 1, true, true, generator), -1);
}

// Straight-through: the value is one-hot, d soft = dy.
Tensor gumbel_softmax(const Tensor& logits, double temperature, bool hard, int dim, Generator* generator) {
  require_floating("gumbel_softmax", logits.dtype());
  Tensor soft = softmax(logits + gumbel(logits.shape(), options_like(logits, generator)), dim, temperature);
  if (!hard) return soft;
  dim = checked_dim("gumbel_softmax", dim, logits.rank());
  Shape along = Dims::filled(logits.rank(), 1);
  along[dim] = logits.size(dim);
  Tensor y = to(reshape(arange(logits.size(dim), i64, logits.device()), along) == argmax(soft.detach(), dim, true), logits.dtype());
  return record("gumbel_softmax", y, {soft}, saving(), [](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0]; });
}

Tensor multinomial(const Tensor& weights, int64_t samples, bool replacement, Generator* generator) {
  if (samples < 1) throw ValueError("multinomial: the number of samples must be positive, it is " + std::to_string(samples));
  return choose("multinomial", weights, samples, false, replacement, generator);
}

void uniform_(Tensor& x, double low, double high, Generator* g) {
  fill_with("uniform_", x, uniform(x.shape(), low, high, options_like(x, g)));
}
void normal_(Tensor& x, double mean, double std, Generator* g) {
  fill_with("normal_", x, normal(x.shape(), mean, std, options_like(x, g)));
}
void truncated_normal_(Tensor& x, double mean, double std, double low, double high, Generator* g) {
  fill_with("truncated_normal_", x, truncated_normal(x.shape(), mean, std, low, high, options_like(x, g)));
}
void exponential_(Tensor& x, double rate, Generator* g) { fill_with("exponential_", x, exponential(x.shape(), rate, options_like(x, g))); }
void bernoulli_(Tensor& x, double rate, Generator* g) { fill_with("bernoulli_", x, bernoulli(x.shape(), rate, options_like(x, g))); }

}  // namespace plumb
