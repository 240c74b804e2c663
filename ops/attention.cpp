// Attention. With weights p = softmax(s), s = scale · q kᵀ + mask, and y = p v:
//   dv = pᵀ dy,   dp = dy vᵀ,   ds = p ⊙ (dp − Σ_j dp ⊙ p),   Σ_j dp_ij p_ij = ⟨dy_i, y_i⟩,   dq = scale · ds k,   dk = scale · dsᵀ q
// The kernels recompute p tile by tile from the row's log-sum-exp. Under create_graph the plain formula is differentiated instead.
#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/autograd/autocast.h"
#include "engine/autograd/record.h"
#include "engine/core/capture.h"
#include "ops/create.h"
#include "ops/dropout_mask.h"
#include "ops/elementary.h"
#include "ops/formula.h"
#include "ops/join.h"
#include "ops/kernels/attention.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb {
namespace {

struct Sizes {
  int64_t batch, heads, groups, queries, keys, width, value_width;
};

Sizes checked_sizes(const Tensor& q, const Tensor& k, const Tensor& v) {
  auto fail = [&] {
    throw ShapeError("scaled_dot_product_attention: q " + to_string(q.shape()) + ", k " + to_string(k.shape()) + ", v " +
                     to_string(v.shape()) + " do not fit [B, H, T, D], [B, G, S, D], [B, G, S, E] with H a multiple of G");
  };
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4) fail();
  Sizes s{q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), v.size(3)};
  bool fits = k.size(0) == s.batch && v.size(0) == s.batch && v.size(1) == s.groups && v.size(2) == s.keys && k.size(3) == s.width;
  if (!fits || s.groups == 0 || s.heads % s.groups != 0) fail();
  if (!is_floating(q.dtype()) || q.dtype() != k.dtype() || q.dtype() != v.dtype())
    throw DTypeError("scaled_dot_product_attention: q, k and v must be floating and of one type");
  detail::check_same_device("scaled_dot_product_attention", q, k);
  detail::check_same_device("scaled_dot_product_attention", q, v);
  return s;
}

AttentionPlan make_plan(const AttentionOptions& o, const Sizes& s) {
  if (o.dropout < 0 || o.dropout >= 1)
    throw ValueError("scaled_dot_product_attention: dropout must lie in [0, 1), it is " + decimal(o.dropout));
  if (o.window < 0 || (o.window > 0 && !o.causal))
    throw ValueError("scaled_dot_product_attention: a window must be positive and needs causal attention");
  AttentionPlan plan{o.scale != 0 ? o.scale : 1 / std::sqrt(static_cast<double>(s.width)), o.causal, o.window, o.dropout};
  if (o.dropout > 0) {
    Generator& generator = default_generator();
    plan.seed = generator.seed();
    plan.counter = generator.take(static_cast<uint64_t>((s.batch * s.heads * s.queries * s.keys + 3) / 4));
  }
  return plan;
}

// The mask as something to add, broadcast to all scores without a copy; −inf where a bool mask forbids.
Tensor additive_mask(const Tensor& mask, const Sizes& s, const Tensor& q) {
  if (!mask.defined()) return mask;
  detail::check_same_device("scaled_dot_product_attention: mask", q, mask);
  NoGrad off;
  constexpr double kForbidden = -std::numeric_limits<double>::infinity();
  DType as = q.dtype() == f64 ? f64 : f32;
  Tensor added = mask.dtype() == boolean ? where(mask, scalar_tensor(0, as, mask.device()), kForbidden) : to(mask, as);
  return broadcast_view("scaled_dot_product_attention: mask", added, {s.batch, s.heads, s.queries, s.keys});
}

Tensor dense_last(const Tensor& x) { return x.size(-1) <= 1 || x.strides().back() == 1 ? x : contiguous_data(x); }

// [T, S], true where query i may see key j.
Tensor visible(const AttentionPlan& plan, int64_t queries, int64_t keys, Device device) {
  Tensor i = unsqueeze(arange(queries, i64, device), 1) + (keys - queries), j = unsqueeze(arange(keys, i64, device), 0);
  Tensor seen = j <= i;
  return plan.window > 0 ? logical_and(seen, j > i - plan.window) : seen;
}

// [B, H, T, S]: 1/(1 − p) where a weight is kept, 0 where it is dropped; the same lanes as the kernel's.
Tensor dropout_scale(const AttentionPlan& plan, const Shape& shape, DType type) {
  Tensor scale = empty(shape, type);
  uint32_t threshold = dropout_threshold(plan.dropout);
  visit_floating("attention", type, [&]<typename T>() {
    T* p = scale.data<T>();
    for (int64_t n = 0; n < scale.numel(); ++n) {
      bool kept = philox(plan.seed, plan.counter + static_cast<uint64_t>(n / 4))[static_cast<size_t>(n % 4)] >= threshold;
      p[n] = static_cast<T>(static_cast<compute_t<T>>(kept ? 1 / (1 - plan.dropout) : 0));
    }
  });
  return scale;
}

Tensor repeated_heads(const Tensor& x, int64_t heads) {  // [B, G, S, D] → [B, H, S, D]
  int64_t groups = x.size(1);
  if (groups == heads) return x;
  return reshape(expand(unsqueeze(x, 2), {x.size(0), groups, heads / groups, x.size(2), x.size(3)}),
                 {x.size(0), heads, x.size(2), x.size(3)});
}

// The definition in plain operations: stores T×S, twice differentiable.
Tensor attention_formula(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
  Tensor scores = matmul(q, mT(repeated_heads(k, q.size(1)))) * plan.scale;
  if (mask.defined()) scores = scores + to(mask, scores.dtype());
  if (plan.causal) scores = where(visible(plan, q.size(2), k.size(2), q.device()), scores, -std::numeric_limits<double>::infinity());
  Tensor weights = softmax(scores, -1);
  if (plan.dropout > 0 && is_recording())
    throw AutogradError("scaled_dot_product_attention: derivatives of derivatives with dropout cannot be part of a step that is captured");
  if (plan.dropout > 0) weights = weights * to(dropout_scale(plan, weights.shape(), weights.dtype()), weights.device());
  return matmul(weights, repeated_heads(v, q.size(1)));
}

// The heads of a packed projection as [B, heads, T, D], from `first` on.
Tensor heads_of(const Tensor& packed, int64_t first, int64_t heads, int64_t width) {
  int64_t row = packed.size(2);
  return view_of(packed, {packed.size(0), heads, packed.size(1), width}, {packed.size(1) * row, width, row, 1}, first * width);
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value, const AttentionOptions& options) {
  bool cast = Autocast::type() != f32 && query.dtype() == f32;
  Tensor q = cast ? to(query, Autocast::type()) : query, k = cast ? to(key, Autocast::type()) : key,
         v = cast ? to(value, Autocast::type()) : value;
  Sizes s = checked_sizes(q, k, v);
  AttentionPlan plan = make_plan(options, s);
  Tensor mask = additive_mask(options.mask, s, q);
  Tensor rows = empty({s.batch, s.queries, s.heads, s.value_width}, q.dtype(), q.device(), "scaled_dot_product_attention");
  Tensor out =
      alias(view_of(rows, {s.batch, s.heads, s.queries, s.value_width}, {rows.strides()[0], rows.strides()[2], rows.strides()[1], 1}, 0));
  Tensor lse = empty({s.batch, s.heads, s.queries}, q.dtype() == f64 ? f64 : f32, q.device(), "scaled_dot_product_attention");
  AttentionPlanInWork in_work(plan);
  kernel::attention(q.device(), plan, dense_last(q), dense_last(k), dense_last(v), mask, out, lse);
  return record("scaled_dot_product_attention", out, {q, k, v}, saving(q, k, v, out, lse, mask),
                [plan](const Grads& dy, const Saved& s, Needs needs) -> Grads {
                  Tensor q = s[0], k = s[1], v = s[2], mask = s[5];
                  if (grad_enabled())
                    return differentiate([&](const std::vector<Tensor>& x) { return attention_formula(plan, x[0], x[1], x[2], mask); },
                                         {q, k, v}, dy, needs);
                  Tensor dq = empty_like(q, "attention_backward"), dk = empty_like(k, "attention_backward"),
                         dv = empty_like(v, "attention_backward");
                  AttentionPlanInWork in_work(plan);
                  kernel::attention_backward(q.device(), plan, dense_last(q), dense_last(k), dense_last(v), mask, s[3], s[4],
                                             dense_last(dy[0]), dq, dk, dv);
                  return {dq, dk, dv};
                });
}

Tensor packed_attention(const Tensor& projection, int64_t num_heads, int64_t num_groups, const AttentionOptions& options) {
  Tensor qkv = contiguous(Autocast::type() != f32 && projection.dtype() == f32 ? to(projection, Autocast::type()) : projection);
  int64_t pieces = num_heads + 2 * num_groups;
  if (qkv.rank() != 3 || num_heads < 1 || num_groups < 1 || num_heads % num_groups != 0 || qkv.size(2) % pieces != 0)
    throw ShapeError("packed_attention: " + to_string(qkv.shape()) + " is not [B, T, (H + 2G) D] with H = " + std::to_string(num_heads) +
                     " heads and G = " + std::to_string(num_groups) + " groups");
  int64_t width = qkv.size(2) / pieces;
  auto split = [=](const Tensor& t) {
    return std::array{heads_of(t, 0, num_heads, width), heads_of(t, num_heads, num_groups, width),
                      heads_of(t, num_heads + num_groups, num_groups, width)};
  };
  auto [q, k, v] = split(qkv);
  Sizes s = checked_sizes(q, k, v);
  AttentionPlan plan = make_plan(options, s);
  Tensor mask = additive_mask(options.mask, s, qkv);
  Tensor out = empty({s.batch, s.queries, num_heads * width}, qkv.dtype(), qkv.device(), "packed_attention");
  Tensor out_heads = heads_of(out, 0, num_heads, width);
  Tensor lse = empty({s.batch, s.heads, s.queries}, qkv.dtype() == f64 ? f64 : f32, qkv.device(), "packed_attention");
  AttentionPlanInWork in_work(plan);
  kernel::attention(qkv.device(), plan, q, k, v, mask, out_heads, lse);
  return record("packed_attention", out, {qkv}, saving(qkv, out, lse, mask), [=](const Grads& dy, const Saved& s, Needs needs) -> Grads {
    Tensor qkv = s[0], mask = s[3];
    if (grad_enabled()) {
      auto formula = [&](const std::vector<Tensor>& x) {
        Tensor heads = transpose(unflatten(x[0], 2, {num_heads + 2 * num_groups, width}), 1, 2);  // [B, H + 2G, T, D]
        Tensor y = attention_formula(plan, slice(heads, 1, 0, num_heads), slice(heads, 1, num_heads, num_heads + num_groups),
                                     slice(heads, 1, num_heads + num_groups), mask);
        return flatten(transpose(y, 1, 2), 2);
      };
      return differentiate(formula, {qkv}, dy, needs);
    }
    Tensor d = empty_like(qkv, "attention_backward"), dout = contiguous_data(dy[0]);
    auto [q, k, v] = split(qkv);
    auto [dq, dk, dv] = split(d);
    AttentionPlanInWork in_work(plan);
    kernel::attention_backward(qkv.device(), plan, q, k, v, mask, heads_of(s[1], 0, num_heads, width), s[2],
                               heads_of(dout, 0, num_heads, width), dq, dk, dv);
    return d;
  });
}

std::vector<double> rotary_frequencies(int64_t width, const RotaryOptions& o) {
  const RotaryScaling& s = o.scaling;
  if (!(s.factor > 0)) throw ValueError("rotary_embedding: the scaling factor must be positive, it is " + decimal(s.factor));
  if (!(s.high > s.low))
    throw ValueError("rotary_embedding: scaling needs high above low, they are " + decimal(s.high) + " and " +
                     decimal(s.low));
  std::vector<double> frequencies;
  for (int64_t i = 0; i < width / 2; ++i) {
    double omega = std::pow(o.base, -2.0 * static_cast<double>(i) / static_cast<double>(width));
    double turns = static_cast<double>(s.original_context) * omega / (2 * std::numbers::pi);
    double kept = std::clamp((turns - s.low) / (s.high - s.low), 0.0, 1.0);
    frequencies.push_back(s.factor == 1 ? omega : (1 - kept) * omega / s.factor + kept * omega);
  }
  return frequencies;
}

// A rotation: its derivative is the rotation back.
static Tensor rotated(const Tensor& x, const Tensor& positions, RotaryOptions options, double sign) {
  Tensor rows = contiguous_data(x), y = empty_like(x, "rotary_embedding");
  int64_t length = x.size(-2), width = x.size(-1), count = x.numel() / std::max<int64_t>(1, length * width);
  Tensor flat = view_of(y, {count, length, width}, {length * width, width, 1}, 0);
  kernel::rotary(x.device(), view_of(rows, flat.shape(), flat.strides(), 0), contiguous_data(positions), rotary_frequencies(width, options),
                 options.interleaved, sign, flat);
  return record("rotary_embedding", y, {x}, saving(positions),
                [options, sign](const Grads& dy, const Saved& s, Needs) -> Grads { return rotated(dy[0], s[0], options, -sign); });
}

Tensor rotary_embedding(const Tensor& x, const Tensor& positions, RotaryOptions options) {
  if (x.rank() < 2 || x.size(-1) % 2 != 0) throw ShapeError("rotary_embedding: takes [.., T, D] with D even, got " + to_string(x.shape()));
  if (positions.dtype() != i64 || positions.shape() != Shape{x.size(-2)})
    throw ShapeError("rotary_embedding: positions must be i64 [" + std::to_string(x.size(-2)) + "], they are " +
                     std::string(name(positions.dtype())) + " " + to_string(positions.shape()));
  return rotated(x, positions, options, 1);
}

Tensor sinusoidal_embedding(const Tensor& positions, int64_t dim, double base) {
  if (dim < 2 || dim % 2 != 0) throw ValueError("sinusoidal_embedding: the width must be even and positive, it is " + std::to_string(dim));
  Tensor p = detail::floating(positions);
  int64_t half = dim / 2;
  Tensor omega = pow(base, arange(half, p.dtype(), p.device()) * (-1.0 / static_cast<double>(half)));
  Tensor angle = unsqueeze(p, -1) * omega;
  return cat({sin(angle), cos(angle)}, -1);
}

}  // namespace plumb
