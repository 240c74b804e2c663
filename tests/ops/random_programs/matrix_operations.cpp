// Products, and recurrences of two tensors.
#include <algorithm>

#include "ops/matmul.h"
#include "ops/scan.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

void take_floating(const Plains& x) {
  for (const Plain& p : x) require(p.floating() && p.dtype == x[0].dtype && count(p.shape) > 0, "takes floating numbers of one type");
}

// [.., m, k] · [.., k, n]; vectors count as a row on the left and a column on the right.
Plain product(const Plain& left, const Plain& right) {
  Plain a = left, b = right;
  require(a.rank() > 0 && b.rank() > 0, "a number");
  if (left.rank() == 1) a.shape.insert(a.shape.begin(), 1);
  if (right.rank() == 1) b.shape.push_back(1);
  int64_t inner = a.shape.back();
  require(inner == b.shape[b.shape.size() - 2], "inner sizes differ");
  Index batch = broadcast({a.shape.begin(), a.shape.end() - 2}, {b.shape.begin(), b.shape.end() - 2}), shape = batch;
  shape.push_back(a.shape[a.shape.size() - 2]);
  shape.push_back(b.shape.back());
  auto entry = [](const Plain& x, const Index& i, int64_t row, int64_t column) {
    Index own;
    size_t lead = x.shape.size() - 2;
    for (size_t d = 0; d < lead; ++d) own.push_back(x.shape[d] == 1 ? 0 : i[i.size() - 2 - lead + d]);
    own.push_back(row);
    own.push_back(column);
    return at(x, own);
  };
  Plain y = fresh(joined(a.dtype, b.dtype), shape, [&](const Index& i) {
    std::vector<Number> terms;
    for (int64_t k = 0; k < inner; ++k) terms.push_back(entry(a, i, i[i.size() - 2], k) * entry(b, i, k, i.back()));
    return total(terms);
  });
  if (left.rank() == 1) y.shape.erase(y.shape.end() - 2);
  if (right.rank() == 1) y.shape.pop_back();
  return y;
}
Plain turned(const Plain& x) {
  require(x.rank() == 2, "takes a matrix");
  return viewed(x, {x.shape[1], x.shape[0]}, [](const Index& k) { return Index{k[1], k[0]}; });
}

}  // namespace

std::vector<Operation> matrix_operations() {
  auto floating = [](Dice&, const Plains& x, Instruction&) { take_floating(x); };
  return {
      {"matmul", 2, floating, [](const Plains& x, const Instruction&) { return product(x[0], x[1]); },
       [](const Tensors& x, const Instruction&) { return matmul(x[0], x[1]); }, "matmul($0, $1)"},
      {"linear", 3, floating,
       [](const Plains& x, const Instruction&) {
         Plain y = product(x[0], turned(x[1]));
         require(x[2].shape == Index{x[1].shape[0]}, "a bias of another shape");
         return fresh(y.dtype, y.shape, [&](const Index& i) { return at(y, i) + at_broadcast(x[2], i); });
       },
       [](const Tensors& x, const Instruction&) { return linear(x[0], x[1], x[2]); }, "linear($0, $1, $2)"},
      {"linear without bias", 2, floating, [](const Plains& x, const Instruction&) { return product(x[0], turned(x[1])); },
       [](const Tensors& x, const Instruction&) { return linear(x[0], x[1]); }, "linear($0, $1)"},
      {"outer", 2, floating,
       [](const Plains& x, const Instruction&) {
         require(x[0].rank() == 1 && x[1].rank() == 1, "takes vectors");
         return fresh(x[0].dtype, {x[0].shape[0], x[1].shape[0]}, [&](const Index& i) { return at(x[0], {i[0]}) * at(x[1], {i[1]}); });
       },
       [](const Tensors& x, const Instruction&) { return outer(x[0], x[1]); }, "outer($0, $1)"},
      {"linear_scan", 2,
       [](Dice& dice, const Plains& x, Instruction& i) {
         take_floating(x);
         int64_t rank = std::max(x[0].rank(), x[1].rank());
         require(rank > 0, "no dimension");
         i.n = {dice.below(rank), dice.below(2)};
       },
       [](const Plains& x, const Instruction& i) {
         Index shape = broadcast(x[0].shape, x[1].shape);
         auto d = static_cast<size_t>(i.n[0]);
         require(d < shape.size(), "no dimension");
         int64_t n = shape[d];
         return fresh(x[0].dtype, shape, [&](Index k) {  // each from the beginning: slow and plain
           int64_t places = i.n[1] ? n - k[d] : k[d] + 1;
           Number h;
           for (int64_t t = 0; t < places; ++t) {
             k[d] = i.n[1] ? n - 1 - t : t;
             h = t == 0 ? at_broadcast(x[1], k) : at_broadcast(x[0], k) * h + at_broadcast(x[1], k);
           }
           return h;
         });
       },
       [](const Tensors& x, const Instruction& i) { return linear_scan(x[0], x[1], static_cast<int>(i.n[0]), i.n[1] != 0); },
       "linear_scan($0, $1, #0, #1)"},
  };
}

}  // namespace plumb::programs
