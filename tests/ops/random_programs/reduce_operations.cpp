// Reductions, and what runs along a dimension: softmax, running sums, sorting, normalisation.
#include <algorithm>

#include "ops/norm.h"
#include "ops/normalize.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/softmax.h"
#include "ops/sort.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

using Line = std::vector<Number>;

std::vector<int> dims_of(const Instruction& i) { return {i.n.begin() + 1, i.n.end()}; }
std::vector<int> checked_dims(const Instruction& i, const Plain& x) {
  std::vector<int> dims;
  for (int d : dims_of(i)) {
    dims.push_back(dimension(d, x));
    require(d < x.rank() && std::count(dims.begin(), dims.end(), dims.back()) == 1, "no dimension, or twice");
  }
  return dims;
}

// n: keepdim, then the dimensions (none: all).
Operation reduction(const std::string& name, Tensor (*engine)(const Tensor&, const std::vector<int>&, bool), Number (*rule)(const Line&),
                    bool keeps = true, const std::string& code = "") {
  return {name,
          1,
          [](Dice& dice, const Plains& x, Instruction& i) {
            require(x[0].floating() && count(x[0].shape) > 0, "takes floating numbers");
            i.n = {dice.below(2)};
            for (int64_t d = 0; d < x[0].rank(); ++d)
              if (dice.chance(0.5)) i.n.push_back(dice.chance(0.3) ? d - x[0].rank() : d);
          },
          [rule](const Plains& x, const Instruction& i) { return reduced(x[0], checked_dims(i, x[0]), i.n[0] != 0, rule); },
          [engine](const Tensors& x, const Instruction& i) { return engine(x[0], dims_of(i), i.n[0] != 0); },
          code.empty() ? name + "($0, {#1*}, #0)" : code,
          keeps};
}

Number mean_of(const Line& x) { return (1.0 / static_cast<double>(x.size())) * total(x); }
Number variance(const Line& x, double correction) {
  require(static_cast<double>(x.size()) > correction, "too few for a variance");
  Number m = mean_of(x);
  Line squares;
  for (const Number& v : x) squares.push_back((v - m) * (v - m));
  return (1 / (static_cast<double>(x.size()) - correction)) * total(squares);
}
Number log_sum_exp(const Line& x) {
  double most = -INFINITY;
  for (const Number& v : x) most = std::max(most, v.v);
  Line terms;
  for (const Number& v : x) terms.push_back(exp(v - most));
  return log(total(terms)) + most;
}
Number largest(const Line& x) {
  Number best = x[0];
  for (const Number& v : x) best = less(best, v) ? v : best;
  return best;
}
Line sorted(Line x) {
  for (size_t end = x.size(); end > 1; --end)  // neighbours are compared until all are in order
    for (size_t k = 0; k + 1 < end; ++k)
      if (less(x[k + 1], x[k])) std::swap(x[k], x[k + 1]);
  return x;
}

std::vector<Operation> reductions() {
  return {
      reduction("sum", sum, total, false),
      reduction("mean", mean, mean_of, false),
      reduction("prod", prod,
                [](const Line& x) {
                  Number p = constant(1);
                  for (const Number& v : x) p = p * v;
                  return p;
                }),
      reduction(
          "var", [](const Tensor& x, const std::vector<int>& dims, bool keepdim) { return var(x, dims, 0, keepdim); },
          [](const Line& x) { return variance(x, 0); }, true, "var($0, {#1*}, 0, #0)"),
      reduction(
          "std_dev", [](const Tensor& x, const std::vector<int>& dims, bool keepdim) { return std_dev(x, dims, 1, keepdim); },
          [](const Line& x) { return sqrt(variance(x, 1)); }, true, "std_dev($0, {#1*}, 1, #0)"),
      reduction(
          "norm", [](const Tensor& x, const std::vector<int>& dims, bool keepdim) { return norm(x, 2, dims, keepdim); },
          [](const Line& x) {
            Line squares;
            for (const Number& v : x) squares.push_back(v * v);
            return sqrt(total(squares));
          },
          true, "norm($0, 2, {#1*}, #0)"),
      reduction("logsumexp", logsumexp, log_sum_exp),
      reduction("amax", amax, largest),
      reduction("amin", amin,
                [](const Line& x) {
                  Line turned;
                  for (const Number& v : x) turned.push_back(-v);
                  return -largest(turned);
                }),
  };
}

// n: the dimension, then what `more` draws for its size.
Operation line_operation(const std::string& name, Tensor (*engine)(const Tensor&, const Instruction&),
                         Line (*rule)(const Line&, const Instruction&), const std::string& code, bool keeps = true,
                         Index (*more)(Dice&, int64_t size) = nullptr) {
  return {name,
          1,
          [more](Dice& dice, const Plains& x, Instruction& i) {
            require(x[0].floating() && x[0].rank() > 0 && count(x[0].shape) > 0, "takes floating numbers");
            int64_t d = dice.below(x[0].rank());
            i.n = {dice.chance(0.3) ? d - x[0].rank() : d};
            if (!more) return;
            for (int64_t v : more(dice, x[0].size(static_cast<int>(d)))) i.n.push_back(v);
          },
          [rule](const Plains& x, const Instruction& i) {
            return along(x[0], dimension(i.n[0], x[0]), [&](const Line& line) { return rule(line, i); });
          },
          [engine](const Tensors& x, const Instruction& i) { return engine(x[0], i); },
          code,
          keeps};
}
int dim(const Instruction& i) { return static_cast<int>(i.n[0]); }

std::vector<Operation> lines() {
  return {
      line_operation(
          "softmax", [](const Tensor& x, const Instruction& i) { return softmax(x, dim(i)); },
          [](const Line& x, const Instruction&) {
            Number all = log_sum_exp(x);
            Line y;
            for (const Number& v : x) y.push_back(exp(v - all));
            return y;
          },
          "softmax($0, #0)"),
      line_operation(
          "log_softmax", [](const Tensor& x, const Instruction& i) { return log_softmax(x, dim(i)); },
          [](const Line& x, const Instruction&) {
            Number all = log_sum_exp(x);
            Line y;
            for (const Number& v : x) y.push_back(v - all);
            return y;
          },
          "log_softmax($0, #0)"),
      line_operation(
          "cumsum", [](const Tensor& x, const Instruction& i) { return cumsum(x, dim(i)); },
          [](const Line& x, const Instruction&) {
            Line y;
            for (size_t k = 1; k <= x.size(); ++k) y.push_back(total(Line(x.begin(), x.begin() + static_cast<int64_t>(k))));
            return y;
          },
          "cumsum($0, #0)", false),
      line_operation(
          "cumprod", [](const Tensor& x, const Instruction& i) { return cumprod(x, dim(i)); },
          [](const Line& x, const Instruction&) {
            Line y{x[0]};
            for (size_t k = 1; k < x.size(); ++k) y.push_back(y.back() * x[k]);
            return y;
          },
          "cumprod($0, #0)"),
      line_operation(
          "sort", [](const Tensor& x, const Instruction& i) { return sort(x, dim(i), i.n[1] != 0).values; },
          [](const Line& x, const Instruction& i) {
            Line y = sorted(x);
            if (i.n[1] != 0) std::reverse(y.begin(), y.end());
            return y;
          },
          "sort($0, #0, #1).values", false, [](Dice& dice, int64_t) { return Index{dice.below(2)}; }),
      line_operation(
          "topk", [](const Tensor& x, const Instruction& i) { return topk(x, i.n[1], dim(i)).values; },
          [](const Line& x, const Instruction& i) {
            Line y = sorted(x);
            require(i.n[1] <= static_cast<int64_t>(x.size()), "more than there are");
            std::reverse(y.begin(), y.end());
            y.resize(static_cast<size_t>(i.n[1]));
            return y;
          },
          "topk($0, #1, #0).values", false, [](Dice& dice, int64_t size) { return Index{dice.between(1, size)}; }),
      line_operation(
          "kthvalue", [](const Tensor& x, const Instruction& i) { return kthvalue(x, i.n[1], dim(i), true).values; },
          [](const Line& x, const Instruction& i) {
            require(i.n[1] <= static_cast<int64_t>(x.size()), "more than there are");
            return Line{sorted(x)[static_cast<size_t>(i.n[1] - 1)]};
          },
          "kthvalue($0, #1, #0, true).values", false, [](Dice& dice, int64_t size) { return Index{dice.between(1, size)}; }),
      line_operation(
          "max", [](const Tensor& x, const Instruction& i) { return max(x, dim(i), true).values; },
          [](const Line& x, const Instruction&) { return Line{largest(x)}; }, "max($0, #0, true).values", false),
      line_operation(
          "normalize", [](const Tensor& x, const Instruction& i) { return normalize(x, 2, dim(i)); },
          [](const Line& x, const Instruction&) {
            Line squares, y;
            for (const Number& v : x) squares.push_back(v * v);
            Number length = sqrt(total(squares));
            for (const Number& v : x) y.push_back(v / length);
            return y;
          },
          "normalize($0, 2, #0)"),
  };
}

Operation last_dim_norm(const std::string& name, Tensor (*engine)(const Tensor&, const Shape&), Line (*rule)(const Line&),
                        const std::string& code) {
  return {name,
          1,
          [](Dice&, const Plains& x, Instruction&) {
            require(x[0].floating() && x[0].rank() > 0 && count(x[0].shape) > 0, "takes floating numbers");
          },
          [rule](const Plains& x, const Instruction&) { return along(x[0], x[0].rank() - 1, rule); },
          [engine](const Tensors& x, const Instruction&) { return engine(x[0], {x[0].size(-1)}); },
          code,
          true};
}

std::vector<Operation> norms() {
  return {
      last_dim_norm("layer_norm", [](const Tensor& x, const Shape& s) { return layer_norm(x, s, {}, {}, 0.25); }, [](const Line& x) {
        Number m = mean_of(x), scale = sqrt(variance(x, 0) + 0.25);
        Line y;
        for (const Number& v : x) y.push_back((v - m) / scale);
        return y;
      }, "layer_norm($0, {$0.size(-1)}, {}, {}, 0.25)"),
      last_dim_norm("rms_norm", [](const Tensor& x, const Shape& s) { return rms_norm(x, s, {}, 0.25); }, [](const Line& x) {
        Line squares, y;
        for (const Number& v : x) squares.push_back(v * v);
        Number scale = sqrt(mean_of(squares) + 0.25);
        for (const Number& v : x) y.push_back(v / scale);
        return y;
      }, "rms_norm($0, {$0.size(-1)}, {}, 0.25)"),
  };
}

}  // namespace

std::vector<Operation> reduce_operations() {
  std::vector<Operation> all = reductions();
  for (auto more : {lines, norms})
    for (Operation& operation : more()) all.push_back(std::move(operation));
  return all;
}

}  // namespace plumb::programs
