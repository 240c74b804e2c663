// What networks are made of: convolutions, pooling, attention, losses.
#include "ops/attention.h"
#include "ops/conv.h"
#include "ops/loss.h"
#include "ops/pool.h"
#include "ops/shape.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

using Line = std::vector<Number>;

void take_alike(const Plains& x, int rank) {
  for (const Plain& p : x) {
    require(p.floating() && p.dtype == x[0].dtype && count(p.shape) > 0, "takes floating numbers of one type");
    require(rank < 0 || p.rank() == rank, "takes another number of dimensions");
  }
}

// -- convolutions: n is the stride, the padding, the distance of neighbouring places ----------------------------

void draw_window(Dice& dice, const Plains& x, Instruction& i) {
  take_alike(x, 3);
  i.n = {dice.between(1, 2), dice.between(0, 2), dice.between(1, 2)};
}

int64_t windows(int64_t size, int64_t kernel, const Instruction& i) {
  int64_t room = size + 2 * i.n[1] - (i.n[2] * (kernel - 1) + 1);
  require(room >= 0, "no window fits");
  return room / i.n[0] + 1;
}

// y[b, o, t] = Σ x[b, c, s t − p + d k] w[o, c, k]
Plain conv1d_plain(const Plains& x, const Instruction& i) {
  const Plain &input = x[0], &weight = x[1];
  require(input.size(1) == weight.size(1), "channels differ");
  return fresh(input.dtype, {input.size(0), weight.size(0), windows(input.size(2), weight.size(2), i)}, [&](const Index& y) {
    Line terms;
    for (int64_t c = 0; c < input.size(1); ++c)
      for (int64_t k = 0; k < weight.size(2); ++k)
        if (int64_t place = i.n[0] * y[2] - i.n[1] + i.n[2] * k; place >= 0 && place < input.size(2))
          terms.push_back(at(input, {y[0], c, place}) * at(weight, {y[1], c, k}));
    return total(terms);
  });
}

// One image of as many channels as the first dimension has, and one filter. y[r, q] = Σ x[c, s r − p + d k, s q − p + d l] w[c, k, l]
Plain conv2d_plain(const Plains& x, const Instruction& i) {
  const Plain &input = x[0], &weight = x[1];
  require(input.size(0) == weight.size(0), "channels differ");
  return fresh(input.dtype, {1, windows(input.size(1), weight.size(1), i), windows(input.size(2), weight.size(2), i)}, [&](const Index& y) {
    Line terms;
    for_each(weight.shape, [&](const Index& w) {
      int64_t row = i.n[0] * y[1] - i.n[1] + i.n[2] * w[1], column = i.n[0] * y[2] - i.n[1] + i.n[2] * w[2];
      if (row >= 0 && row < input.size(1) && column >= 0 && column < input.size(2))
        terms.push_back(at(input, {w[0], row, column}) * at(weight, w));
    });
    return total(terms);
  });
}

// y[b, o, s j − p + d k] += x[b, c, j] w[c, o, k]
Plain conv_transpose1d_plain(const Plains& x, const Instruction& i) {
  const Plain &input = x[0], &weight = x[1];
  require(input.size(1) == weight.size(0), "channels differ");
  int64_t length = (input.size(2) - 1) * i.n[0] - 2 * i.n[1] + i.n[2] * (weight.size(2) - 1) + 1;
  require(length > 0, "nothing is left");
  return fresh(input.dtype, {input.size(0), weight.size(1), length}, [&](const Index& y) {
    Line terms;
    for (int64_t c = 0; c < input.size(1); ++c)
      for (int64_t j = 0; j < input.size(2); ++j)
        for (int64_t k = 0; k < weight.size(2); ++k)
          if (i.n[0] * j - i.n[1] + i.n[2] * k == y[2]) terms.push_back(at(input, {y[0], c, j}) * at(weight, {c, y[1], k}));
    return total(terms);
  });
}

std::vector<Operation> convolutions() {
  return {
      {"conv1d", 2, draw_window, conv1d_plain,
       [](const Tensors& x, const Instruction& i) {
         return conv1d(x[0], x[1], {}, {.stride = i.n[0], .padding = i.n[1], .dilation = i.n[2]});
       },
       "conv1d($0, $1, {}, {.stride = #0, .padding = #1, .dilation = #2})"},
      {"conv2d", 2, draw_window, conv2d_plain,
       [](const Tensors& x, const Instruction& i) {
         return conv2d(x[0], unsqueeze(x[1], 0), {}, {.stride = i.n[0], .padding = i.n[1], .dilation = i.n[2]});
       },
       "conv2d($0, unsqueeze($1, 0), {}, {.stride = #0, .padding = #1, .dilation = #2})"},
      {"conv_transpose1d", 2, draw_window, conv_transpose1d_plain,
       [](const Tensors& x, const Instruction& i) {
         return conv_transpose1d(x[0], x[1], {}, {.stride = i.n[0], .padding = i.n[1], .dilation = i.n[2]});
       },
       "conv_transpose1d($0, $1, {}, {.stride = #0, .padding = #1, .dilation = #2})"},
  };
}

// -- pooling of sequences: n is the window, the stride, the padding ----------------------------------------------

Operation pooling(const std::string& name, Tensor (*engine)(const Tensor&, const Instruction&), Number (*rule)(const Line&, int64_t window),
                  const std::string& code) {
  return {name, 1,
          [](Dice& dice, const Plains& x, Instruction& i) {
            take_alike(x, 3);
            int64_t window = dice.between(1, 3);
            i.n = {window, dice.between(1, 3), dice.between(0, window / 2)};
          },
          [rule](const Plains& x, const Instruction& i) {
            int64_t length = x[0].size(2), room = length + 2 * i.n[2] - i.n[0];
            require(room >= 0, "no window fits");
            return fresh(x[0].dtype, {x[0].size(0), x[0].size(1), room / i.n[1] + 1}, [&](const Index& y) {
              Line seen;
              for (int64_t k = 0; k < i.n[0]; ++k)
                if (int64_t place = i.n[1] * y[2] - i.n[2] + k; place >= 0 && place < length) seen.push_back(at(x[0], {y[0], y[1], place}));
              return rule(seen, i.n[0]);
            });
          },
          [engine](const Tensors& x, const Instruction& i) { return engine(x[0], i); }, code};
}

std::vector<Operation> poolings() {
  return {
      pooling(
          "max_pool1d", [](const Tensor& x, const Instruction& i) { return max_pool1d(x, i.n[0], {.stride = i.n[1], .padding = i.n[2]}); },
          [](const Line& x, int64_t) {
            require(!x.empty(), "a window of padding");
            Number most = x[0];
            for (size_t k = 1; k < x.size(); ++k)
              if (less(most, x[k])) most = x[k];
            return most;
          },
          "max_pool1d($0, #0, {.stride = #1, .padding = #2})"),
      pooling(
          "avg_pool1d", [](const Tensor& x, const Instruction& i) { return avg_pool1d(x, i.n[0], {.stride = i.n[1], .padding = i.n[2]}); },
          [](const Line& x, int64_t window) { return total(x) / constant(static_cast<double>(window)); },
          "avg_pool1d($0, #0, {.stride = #1, .padding = #2})"),
  };
}

// -- attention ------------------------------------------------------------------------------------------------------

// Of one head: q [t, d], k [s, d], v [s, e]; the last of t queries sees all s keys.
Plain attention_plain(const Plains& x, const Instruction& i) {
  const Plain &q = x[0], &k = x[1], &v = x[2];
  require(q.size(1) == k.size(1) && k.size(0) == v.size(0) && q.size(0) <= k.size(0), "sizes do not fit");
  double scale = 1 / std::sqrt(static_cast<double>(q.size(1)));
  return fresh(q.dtype, {q.size(0), v.size(1)}, [&](const Index& y) {
    Line scores, weights, terms;
    int64_t seen = i.n[0] ? y[0] + k.size(0) - q.size(0) + 1 : k.size(0);
    double most = -1e9;
    for (int64_t j = 0; j < seen; ++j) {
      Line products;
      for (int64_t d = 0; d < q.size(1); ++d) products.push_back(at(q, {y[0], d}) * at(k, {j, d}));
      scores.push_back(scale * total(products));
      most = std::max(most, scores.back().v);
    }
    for (const Number& s : scores) weights.push_back(exp(s - most));
    Number all = total(weights);
    for (int64_t j = 0; j < seen; ++j) terms.push_back(weights[static_cast<size_t>(j)] / all * at(v, {j, y[1]}));
    return total(terms);
  });
}

Operation attention() {
  return {"scaled_dot_product_attention", 3,
          [](Dice& dice, const Plains& x, Instruction& i) {
            take_alike(x, 2);
            require(x[0].dtype == f64 || x[0].dtype == f32, "the weights of 16-bit attention are rounded to its type");
            i.n = {dice.below(2)};
          },
          attention_plain,
          [](const Tensors& x, const Instruction& i) {
            auto head = [](const Tensor& t) { return reshape(t, {1, 1, t.size(0), t.size(1)}); };
            return reshape(scaled_dot_product_attention(head(x[0]), head(x[1]), head(x[2]), {.causal = i.n[0] != 0}),
                           {x[0].size(0), x[2].size(1)});
          },
          "attention of one head($0, $1, $2, causal = #0)"};
}

// -- losses: n is the reduction ---------------------------------------------------------------------------------------

// 16-bit types are taken as f32.
DType loss_type(DType t) { return t == f64 ? f64 : f32; }
Reduction reduction(const Instruction& i) { return static_cast<Reduction>(i.n[0]); }
void draw_loss(Dice& dice, const Plains& x, Instruction& i) {
  take_alike(x, -1);
  require(x[0].shape == x[1].shape, "shapes differ");
  i.n = {dice.below(3)};
}
Plain reduced_loss(DType type, const Index& shape, const Instruction& i, const std::function<Number(const Index&)>& each) {
  if (reduction(i) == Reduction::none) return fresh(type, shape, each);
  Line all;
  for_each(shape, [&](const Index& k) { all.push_back(each(k)); });
  return fresh(type, {}, [&](const Index&) {
    return reduction(i) == Reduction::sum ? total(all) : total(all) / constant(static_cast<double>(all.size()));
  });
}

Operation element_loss(const std::string& name, Tensor (*engine)(const Tensor&, const Tensor&, Reduction),
                       Number (*rule)(const Number& prediction, const Number& target), const std::string& code) {
  return {name, 2, draw_loss,
          [rule](const Plains& x, const Instruction& i) {
            return reduced_loss(loss_type(x[0].dtype), x[0].shape, i, [&](const Index& k) { return rule(at(x[0], k), at(x[1], k)); });
          },
          [engine](const Tensors& x, const Instruction& i) { return engine(x[0], x[1], reduction(i)); }, code};
}

// −Σ_c q_c log softmax(x)_c, with probabilities q that need not add up to 1.
Number cross_entropy_of_row(const Plain& x, const Plain& q, Index row) {
  Line shifted, terms;
  double most = -1e9;
  row.push_back(0);
  int64_t classes = x.size(x.rank() - 1);
  for (row.back() = 0; row.back() < classes; ++row.back()) most = std::max(most, at(x, row).v);
  for (row.back() = 0; row.back() < classes; ++row.back()) shifted.push_back(exp(at(x, row) - most));
  Number all = log(total(shifted)) + most;
  for (row.back() = 0; row.back() < classes; ++row.back()) terms.push_back(at(q, row) * (all - at(x, row)));
  return total(terms);
}

std::vector<Operation> losses() {
  using N = const Number&;
  return {
      element_loss(
          "mse_loss", mse_loss, [](N p, N t) { return (p - t) * (p - t); }, "mse_loss($0, $1, static_cast<Reduction>(#0))"),
      element_loss(
          "l1_loss", l1_loss, [](N p, N t) { return absolute(p - t); }, "l1_loss($0, $1, static_cast<Reduction>(#0))"),
      element_loss(
          "huber_loss", [](const Tensor& p, const Tensor& t, Reduction r) { return huber_loss(p, t, 0.5, r); },
          [](N p, N t) {
            Number d = p - t, size = d.v < 0 ? -d : d;
            return less(size, constant(0.5)) ? 0.5 * (d * d) : 0.5 * (size - 0.25);
          },
          "huber_loss($0, $1, 0.5, static_cast<Reduction>(#0))"),
      element_loss(
          "pseudo_huber_loss", [](const Tensor& p, const Tensor& t, Reduction r) { return pseudo_huber_loss(p, t, 1.5, r); },
          [](N p, N t) { return 2.25 * (sqrt((p - t) * (p - t) / constant(2.25) + 1.0) - 1.0); },
          "pseudo_huber_loss($0, $1, 1.5, static_cast<Reduction>(#0))"),
      element_loss(
          "cauchy_loss", [](const Tensor& p, const Tensor& t, Reduction r) { return cauchy_loss(p, t, 2, r); },
          [](N p, N t) { return 2.0 * log1p((p - t) * (p - t) / constant(4)); }, "cauchy_loss($0, $1, 2, static_cast<Reduction>(#0))"),
      element_loss(
          "poisson_nll_loss", [](const Tensor& p, const Tensor& t, Reduction r) { return poisson_nll_loss(p, t, {.reduction = r}); },
          [](N p, N t) { return exp(p) - t * p; }, "poisson_nll_loss($0, $1, {.reduction = static_cast<Reduction>(#0)})"),
      {"cross_entropy", 2,
       [](Dice& dice, const Plains& x, Instruction& i) {
         draw_loss(dice, x, i);
         require(x[0].rank() > 0, "a number");
       },
       [](const Plains& x, const Instruction& i) {
         Index rows(x[0].shape.begin(), x[0].shape.end() - 1);
         return reduced_loss(loss_type(x[0].dtype), rows, i, [&](const Index& row) { return cross_entropy_of_row(x[0], x[1], row); });
       },
       [](const Tensors& x, const Instruction& i) { return cross_entropy(x[0], x[1], {.reduction = reduction(i)}); },
       "cross_entropy($0, $1, {.reduction = static_cast<Reduction>(#0)})"},
  };
}

}  // namespace

std::vector<Operation> network_operations() {
  std::vector<Operation> all = convolutions();
  for (auto more : {poolings, losses})
    for (Operation& operation : more()) all.push_back(std::move(operation));
  all.push_back(attention());
  return all;
}

}  // namespace plumb::programs
