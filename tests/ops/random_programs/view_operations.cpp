// Views: where an element of the result lies in the argument.
#include "ops/join.h"
#include "ops/shape.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

std::vector<int> ints(const Index& n) { return {n.begin(), n.end()}; }
// A dimension of x, sometimes counted from the end.
int64_t some_dim(Dice& dice, const Plain& x, int extra = 0) {
  int64_t rank = x.rank() + extra;
  require(rank > 0, "no dimension");
  int64_t d = dice.below(rank);
  return dice.chance(0.3) ? d - rank : d;
}
size_t dim_of(const Instruction& i, size_t k, const Plain& x) { return static_cast<size_t>(dimension(i.n[k], x)); }
int as_int(int64_t v) { return static_cast<int>(v); }

// A shape of as many elements, by moving factors around.
Index shape_of_as_many(Dice& dice, const Plain& x) {
  int64_t left = count(x.shape);
  Index shape;
  while (left > 1 && shape.size() < 4) {
    Index divisors;
    for (int64_t f = 1; f <= left; ++f)
      if (left % f == 0) divisors.push_back(f);
    shape.push_back(divisors[static_cast<size_t>(dice.below(static_cast<int64_t>(divisors.size())))]);
    left /= shape.back();
  }
  shape.push_back(left);
  return shape;
}

std::vector<Operation> reordering() {
  return {
      {"reshape", 1, [](Dice& dice, const Plains& x, Instruction& i) { i.n = shape_of_as_many(dice, x[0]); },
       [](const Plains& x, const Instruction& i) { return reshaped(x[0], i.n); },
       [](const Tensors& x, const Instruction& i) { return reshape(x[0], Shape(i.n)); }, "reshape($0, {#*})", false},
      {"flatten", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         require(x[0].rank() > 0, "no dimension");
         int64_t first = dice.below(x[0].rank());
         i.n = {first, dice.between(first, x[0].rank() - 1)};
       },
       [](const Plains& x, const Instruction& i) {
         Index shape(x[0].shape.begin(), x[0].shape.begin() + i.n[0]);
         require(i.n[1] < x[0].rank(), "no such dimension");
         shape.push_back(count({x[0].shape.begin() + i.n[0], x[0].shape.begin() + i.n[1] + 1}));
         shape.insert(shape.end(), x[0].shape.begin() + i.n[1] + 1, x[0].shape.end());
         return reshaped(x[0], shape);
       },
       [](const Tensors& x, const Instruction& i) { return flatten(x[0], as_int(i.n[0]), as_int(i.n[1])); }, "flatten($0, #0, #1)", false},
      {"transpose", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         i.n = {some_dim(dice, x[0]), some_dim(dice, x[0])};
       },
       [](const Plains& x, const Instruction& i) {
         size_t p = dim_of(i, 0, x[0]), q = dim_of(i, 1, x[0]);
         Index shape = x[0].shape;
         std::swap(shape.at(p), shape.at(q));
         return viewed(x[0], shape, [=](Index k) {
           std::swap(k[p], k[q]);
           return k;
         });
       },
       [](const Tensors& x, const Instruction& i) { return transpose(x[0], as_int(i.n[0]), as_int(i.n[1])); }, "transpose($0, #0, #1)",
       false},
      {"permute", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         for (int64_t d = 0; d < x[0].rank(); ++d) i.n.insert(i.n.begin() + dice.between(0, d), d);
       },
       [](const Plains& x, const Instruction& i) {
         Index shape;
         require(static_cast<int>(i.n.size()) == x[0].rank(), "another rank");
         for (int64_t d : i.n) shape.push_back(x[0].size(as_int(d)));
         return viewed(x[0], shape, [n = i.n](const Index& k) {
           Index source(k.size());
           for (size_t d = 0; d < k.size(); ++d) source[static_cast<size_t>(n[d])] = k[d];
           return source;
         });
       },
       [](const Tensors& x, const Instruction& i) { return permute(x[0], ints(i.n)); }, "permute($0, {#*})", false},
      {"movedim", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         i.n = {some_dim(dice, x[0]), some_dim(dice, x[0])};
       },
       [](const Plains& x, const Instruction& i) {
         size_t from = dim_of(i, 0, x[0]), to = dim_of(i, 1, x[0]);
         require(x[0].rank() > 0, "no dimension");
         Index shape = x[0].shape;
         shape.erase(shape.begin() + static_cast<int64_t>(from));
         shape.insert(shape.begin() + static_cast<int64_t>(to), x[0].shape[from]);
         return viewed(x[0], shape, [=](Index k) {
           int64_t moved = k[to];
           k.erase(k.begin() + static_cast<int64_t>(to));
           k.insert(k.begin() + static_cast<int64_t>(from), moved);
           return k;
         });
       },
       [](const Tensors& x, const Instruction& i) { return movedim(x[0], as_int(i.n[0]), as_int(i.n[1])); }, "movedim($0, #0, #1)", false},
      {"expand", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         if (dice.chance(0.4)) i.n.push_back(dice.between(1, 3));
         for (int64_t size : x[0].shape) i.n.push_back(size == 1 && dice.chance(0.7) ? dice.between(1, 4) : size);
       },
       [](const Plains& x, const Instruction& i) {
         require(broadcast(x[0].shape, i.n) == i.n, "does not expand");
         return viewed(x[0], i.n, [&shape = x[0].shape](const Index& k) {
           Index own(k.end() - static_cast<int64_t>(shape.size()), k.end());
           for (size_t d = 0; d < own.size(); ++d)
             if (shape[d] == 1) own[d] = 0;
           return own;
         });
       },
       [](const Tensors& x, const Instruction& i) { return expand(x[0], Shape(i.n)); }, "expand($0, {#*})", false},
      {"unsqueeze", 1, [](Dice& dice, const Plains& x, Instruction& i) { i.n = {dice.below(x[0].rank() + 1)}; },
       [](const Plains& x, const Instruction& i) {
         Index shape = x[0].shape;
         require(i.n[0] <= x[0].rank(), "no such dimension");
         shape.insert(shape.begin() + i.n[0], 1);
         return viewed(x[0], shape, [d = i.n[0]](Index k) {
           k.erase(k.begin() + d);
           return k;
         });
       },
       [](const Tensors& x, const Instruction& i) { return unsqueeze(x[0], as_int(i.n[0])); }, "unsqueeze($0, #0)", false},
      {"squeeze", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         i.n = {some_dim(dice, x[0])};
         require(x[0].size(dimension(i.n[0], x[0])) == 1, "not 1");
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, 0, x[0]);
         Index shape = x[0].shape;
         require(d < shape.size() && shape[d] == 1, "not 1");
         shape.erase(shape.begin() + static_cast<int64_t>(d));
         return viewed(x[0], shape, [d](Index k) {
           k.insert(k.begin() + static_cast<int64_t>(d), 0);
           return k;
         });
       },
       [](const Tensors& x, const Instruction& i) { return squeeze(x[0], as_int(i.n[0])); }, "squeeze($0, #0)", false},
  };
}

// x along one dimension from `start`, `length` elements, every `step`.
Plain sliced(const Plain& x, size_t d, int64_t start, int64_t length, int64_t step) {
  Index shape = x.shape;
  require(d < shape.size() && start >= 0 && length >= 0 && (length == 0 || start + (length - 1) * step < shape[d]),
          "outside the dimension");
  shape[d] = length;
  return viewed(x, shape, [=](Index k) {
    k[d] = start + k[d] * step;
    return k;
  });
}
Plain without_dim(const Plain& x, size_t d) {
  Plain y = x;
  y.shape.erase(y.shape.begin() + static_cast<int64_t>(d));
  return y;
}

std::vector<Operation> parts() {
  return {
      {"slice", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         int64_t d = some_dim(dice, x[0]), size = x[0].size(dimension(d, x[0])), start = dice.between(0, size),
                 end = dice.between(start, size);
         i.n = {d, dice.chance(0.3) && start > 0 ? start - size : start, end, dice.between(1, 3)};
         if (i.n[1] == 0 && start > 0) i.n[1] = start;  // −0 is the beginning
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, 0, x[0]);
         require(d < x[0].shape.size(), "no dimension");
         int64_t size = x[0].shape[d], start = i.n[1] < 0 ? i.n[1] + size : i.n[1];
         return sliced(x[0], d, start, std::max<int64_t>(0, (i.n[2] - start + i.n[3] - 1) / i.n[3]), i.n[3]);
       },
       [](const Tensors& x, const Instruction& i) { return slice(x[0], as_int(i.n[0]), i.n[1], i.n[2], i.n[3]); },
       "slice($0, #0, #1, #2, #3)", false},
      {"narrow", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         int64_t d = some_dim(dice, x[0]), size = x[0].size(dimension(d, x[0])), start = dice.between(0, size);
         i.n = {d, start, dice.between(start < size ? 1 : 0, size - start)};
       },
       [](const Plains& x, const Instruction& i) { return sliced(x[0], dim_of(i, 0, x[0]), i.n[1], i.n[2], 1); },
       [](const Tensors& x, const Instruction& i) { return narrow(x[0], as_int(i.n[0]), i.n[1], i.n[2]); }, "narrow($0, #0, #1, #2)",
       false},
      {"select", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         int64_t d = some_dim(dice, x[0]), size = x[0].size(dimension(d, x[0]));
         require(size > 0, "nothing to select");
         i.n = {d, dice.below(size)};
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, 0, x[0]);
         return without_dim(sliced(x[0], d, i.n[1], 1, 1), d);
       },
       [](const Tensors& x, const Instruction& i) { return select(x[0], as_int(i.n[0]), i.n[1]); }, "select($0, #0, #1)", false},
      {"split", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         int64_t d = some_dim(dice, x[0]), size = x[0].size(dimension(d, x[0]));
         require(size > 1, "nothing to split");
         int64_t piece = dice.between(1, size - 1);
         i.n = {d, piece, dice.below((size + piece - 1) / piece)};
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, 0, x[0]);
         require(d < x[0].shape.size(), "no dimension");
         int64_t start = i.n[1] * i.n[2];
         return sliced(x[0], d, start, std::min(i.n[1], x[0].shape[d] - start), 1);
       },
       [](const Tensors& x, const Instruction& i) { return split(x[0], i.n[1], as_int(i.n[0])).at(static_cast<size_t>(i.n[2])); },
       "split($0, #1, #0)[#2]", false},
      {"unbind", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         int64_t d = some_dim(dice, x[0]), size = x[0].size(dimension(d, x[0]));
         require(size > 0, "nothing to take apart");
         i.n = {d, dice.below(size)};
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, 0, x[0]);
         return without_dim(sliced(x[0], d, i.n[1], 1, 1), d);
       },
       [](const Tensors& x, const Instruction& i) { return unbind(x[0], as_int(i.n[0])).at(static_cast<size_t>(i.n[1])); },
       "unbind($0, #0)[#1]", false},
      {"diagonal", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         require(x[0].rank() >= 2, "no matrix");
         int64_t p = dice.below(x[0].rank()), q = (p + dice.between(1, x[0].rank() - 1)) % x[0].rank();
         i.n = {dice.between(-1, 1), p, q};
       },
       [](const Plains& x, const Instruction& i) {
         auto p = static_cast<size_t>(i.n[1]), q = static_cast<size_t>(i.n[2]);
         require(std::max(p, q) < x[0].shape.size(), "no matrix");
         int64_t down = std::max<int64_t>(0, -i.n[0]), right = std::max<int64_t>(0, i.n[0]), length = 0;
         while (length + down < x[0].shape[p] && length + right < x[0].shape[q]) ++length;
         Index shape;
         for (size_t d = 0; d < x[0].shape.size(); ++d)
           if (d != p && d != q) shape.push_back(x[0].shape[d]);
         shape.push_back(length);
         return viewed(x[0], shape, [=](const Index& k) {
           Index source;
           size_t next = 0;
           for (size_t d = 0; d <= k.size(); ++d) source.push_back(d == p ? k.back() + down : d == q ? k.back() + right : k[next++]);
           return source;
         });
       },
       [](const Tensors& x, const Instruction& i) { return diagonal(x[0], as_int(i.n[0]), as_int(i.n[1]), as_int(i.n[2])); },
       "diagonal($0, #0, #1, #2)", false},
      {"sliding_window", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         int64_t d = some_dim(dice, x[0]), size = x[0].size(dimension(d, x[0]));
         require(size > 0, "nothing in the dimension");
         i.n = {d, dice.between(1, size), dice.between(1, 3)};
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, 0, x[0]);
         Index shape = x[0].shape;
         require(d < shape.size() && shape[d] >= i.n[1], "no window");
         shape[d] = (shape[d] - i.n[1]) / i.n[2] + 1;
         shape.push_back(i.n[1]);
         return viewed(x[0], shape, [d, step = i.n[2]](Index k) {
           k[d] = k[d] * step + k.back();
           k.pop_back();
           return k;
         });
       },
       [](const Tensors& x, const Instruction& i) { return sliding_window(x[0], as_int(i.n[0]), i.n[1], i.n[2]); },
       "sliding_window($0, #0, #1, #2)", false},
      {"as_strided", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         int64_t offset = dice.between(0, 2), rows = dice.between(1, 3), columns = dice.between(1, 3), down = dice.between(0, 3),
                 right = dice.between(0, 3);
         require(offset + (rows - 1) * down + (columns - 1) * right < count(x[0].shape), "leaves the elements");
         i.n = {rows, columns, down, right, offset};
       },
       [](const Plains& x, const Instruction& i) {
         require(i.n[4] + (i.n[0] - 1) * i.n[2] + (i.n[1] - 1) * i.n[3] < count(x[0].shape), "leaves the elements");
         Plain flat = row_major(x[0]) ? x[0] : copied(x[0]);
         flat.shape = {count(x[0].shape)};
         return viewed(flat, {i.n[0], i.n[1]}, [n = i.n](const Index& k) { return Index{n[4] + k[0] * n[2] + k[1] * n[3]}; });
       },
       [](const Tensors& x, const Instruction& i) {
         return as_strided(x[0], {i.n[0], i.n[1]}, {i.n[2], i.n[3]}, i.n[4]);
       },
       "as_strided($0, {#0, #1}, {#2, #3}, #4)", false},
      {"contiguous", 1, [](Dice&, const Plains&, Instruction&) {},
       [](const Plains& x, const Instruction&) { return row_major(x[0]) ? x[0] : copied(x[0]); },
       [](const Tensors& x, const Instruction&) { return contiguous(x[0]); }, "contiguous($0)", false},
      {"clone", 1, [](Dice&, const Plains&, Instruction&) {}, [](const Plains& x, const Instruction&) { return copied(x[0]); },
       [](const Tensors& x, const Instruction&) { return clone(x[0]); }, "clone($0)", false},
  };
}

}  // namespace

std::vector<Operation> view_operations() {
  std::vector<Operation> all = reordering();
  for (Operation& operation : parts()) all.push_back(std::move(operation));
  return all;
}

}  // namespace plumb::programs
