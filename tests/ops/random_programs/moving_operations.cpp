// Joining, repeating, turning, padding, and reading and writing at places.
#include <algorithm>

#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pad.h"
#include "tests/ops/random_programs/program.h"

namespace plumb::programs {
namespace {

int as_int(int64_t v) { return static_cast<int>(v); }
size_t dim_of(const Instruction& i, const Plain& x) {
  size_t d = static_cast<size_t>(dimension(i.n[0], x));
  require(d < x.shape.size(), "no dimension");
  return d;
}
// A dimension of x, sometimes counted from the end.
void draw_dim(Dice& dice, const Plain& x, Instruction& i, int extra = 0) {
  int64_t rank = x.rank() + extra;
  require(rank > 0, "no dimension");
  i.n = {dice.below(rank)};
  if (dice.chance(0.3)) i.n[0] -= rank;
}
Index places_of(const Instruction& i, size_t from = 1) { return {i.n.begin() + static_cast<int64_t>(from), i.n.end()}; }
void draw_places(Dice& dice, int64_t size, int64_t number, Instruction& i) {
  require(size > 0, "nothing to read");
  for (int64_t k = 0; k < number; ++k) i.n.push_back(dice.below(size));
}
// x's slice at place(k) along d becomes slice k of `length`.
Plain picked(const Plain& x, size_t d, int64_t length, const std::function<int64_t(int64_t)>& place) {
  Index shape = x.shape;
  shape[d] = length;
  return fresh(x.dtype, shape, [&](Index k) {
    k[d] = place(k[d]);
    return at(x, k);
  });
}
int64_t wrapped(int64_t i, int64_t n) { return ((i % n) + n) % n; }

Plain swapped(const Plain& x) {  // the first two dimensions
  Index shape = x.shape;
  std::swap(shape[0], shape[1]);
  return viewed(x, shape, [](Index k) {
    std::swap(k[0], k[1]);
    return k;
  });
}
Plain turned(const Plain& x) {  // y[i, j] = x[j, columns − 1 − i]
  Index shape = x.shape;
  std::swap(shape[0], shape[1]);
  return viewed(x, shape, [columns = x.shape[1]](Index k) {
    int64_t row = k[0];
    k[0] = k[1];
    k[1] = columns - 1 - row;
    return k;
  });
}

Operation joining(const std::string& name, int takes, const std::string& code) {
  return {name, takes,
          [](Dice& dice, const Plains& x, Instruction& i) {
            for (const Plain& p : x) require(p.floating(), "takes floating numbers");
            draw_dim(dice, x[0], i);
          },
          [](const Plains& x, const Instruction& i) {
            size_t d = dim_of(i, x[0]);
            Index shape = x[0].shape;
            shape[d] = 0;
            DType t = x[0].dtype;
            for (const Plain& p : x) {
              require(p.shape.size() == shape.size(), "another rank");
              for (size_t k = 0; k < shape.size(); ++k) require(k == d || p.shape[k] == shape[k], "another size");
              shape[d] += p.shape[d];
              t = joined(t, p.dtype);
            }
            return fresh(t, shape, [&](Index k) {
              size_t part = 0;
              for (; k[d] >= x[part].shape[d]; ++part) k[d] -= x[part].shape[d];
              return at(x[part], k);
            });
          },
          [](const Tensors& x, const Instruction& i) { return cat(x, as_int(i.n[0])); }, code, false};
}

std::vector<Operation> joins() {
  return {
      joining("cat", 2, "cat({$0, $1}, #0)"),
      joining("cat of three", 3, "cat({$0, $1, $2}, #0)"),
      {"stack", 2,
       [](Dice& dice, const Plains& x, Instruction& i) {
         require(x[0].floating() && x[1].floating() && x[0].shape == x[1].shape, "takes floating tensors of one shape");
         draw_dim(dice, x[0], i, 1);
       },
       [](const Plains& x, const Instruction& i) {
         require(x[0].shape == x[1].shape, "another shape");
         int64_t d = i.n[0] < 0 ? i.n[0] + x[0].rank() + 1 : i.n[0];
         Index shape = x[0].shape;
         shape.insert(shape.begin() + d, 2);
         return fresh(joined(x[0].dtype, x[1].dtype), shape, [&](Index k) {
           auto which = static_cast<size_t>(k[static_cast<size_t>(d)]);
           k.erase(k.begin() + d);
           return at(x[which], k);
         });
       },
       [](const Tensors& x, const Instruction& i) { return stack(x, as_int(i.n[0])); }, "stack({$0, $1}, #0)", false},
      {"repeat", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         for (int64_t d = 0; d < x[0].rank() + dice.below(2); ++d) i.n.push_back(dice.between(1, 2));
       },
       [](const Plains& x, const Instruction& i) {
         Index shape = i.n;
         require(shape.size() >= x[0].shape.size(), "fewer numbers than dimensions");
         size_t added = shape.size() - x[0].shape.size();
         for (size_t d = added; d < shape.size(); ++d) shape[d] *= x[0].shape[d - added];
         return fresh(x[0].dtype, shape, [&](const Index& k) {
           Index own(k.begin() + static_cast<int64_t>(added), k.end());
           for (size_t d = 0; d < own.size(); ++d) own[d] %= x[0].shape[d];
           return at(x[0], own);
         });
       },
       [](const Tensors& x, const Instruction& i) { return repeat(x[0], i.n); }, "repeat($0, {#*})", false},
      {"repeat_interleave", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         draw_dim(dice, x[0], i);
         i.n.push_back(dice.between(1, 3));
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, x[0]);
         return picked(x[0], d, x[0].shape[d] * i.n[1], [&](int64_t k) { return k / i.n[1]; });
       },
       [](const Tensors& x, const Instruction& i) { return repeat_interleave(x[0], i.n[1], as_int(i.n[0])); },
       "repeat_interleave($0, #1, #0)", false},
      {"roll", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         draw_dim(dice, x[0], i);
         i.n.push_back(dice.between(-5, 5));
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, x[0]);
         int64_t n = x[0].shape[d];
         return picked(x[0], d, n, [&](int64_t k) { return wrapped(k - i.n[1], n); });
       },
       [](const Tensors& x, const Instruction& i) { return roll(x[0], {i.n[1]}, {as_int(i.n[0])}); }, "roll($0, {#1}, {#0})", false},
      {"flip", 1, [](Dice& dice, const Plains& x, Instruction& i) { draw_dim(dice, x[0], i); },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, x[0]);
         return picked(x[0], d, x[0].shape[d], [n = x[0].shape[d]](int64_t k) { return n - 1 - k; });
       },
       [](const Tensors& x, const Instruction& i) { return flip(x[0], {as_int(i.n[0])}); }, "flip($0, {#0})", false},
      {"rot90", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         require(x[0].rank() >= 2, "no plane");
         i.n = {dice.between(-2, 4)};
       },
       [](const Plains& x, const Instruction& i) {
         require(x[0].rank() >= 2, "no plane");
         Plain y = x[0];
         int64_t turns = wrapped(i.n[0], 4);
         for (int64_t turn = 0; turn < turns; ++turn) y = turned(y);
         if (turns != 1) return copied(y);
         return swapped(copied(swapped(y)));  // in memory the two dimensions stand as they stood in x
       },
       [](const Tensors& x, const Instruction& i) { return rot90(x[0], as_int(i.n[0])); }, "rot90($0, #0)", false},
  };
}

Operation padding(const std::string& name, PadMode mode, const std::function<int64_t(int64_t, int64_t)>& place, int64_t most_missing) {
  return {"pad " + name, 1,
          [=](Dice& dice, const Plains& x, Instruction& i) {
            require(x[0].rank() > 0 && x[0].floating(), "no dimension");
            int64_t most = std::min<int64_t>(3, mode == PadMode::replicate ? 3 : x[0].shape.back() - most_missing);
            require(most >= 0 && x[0].shape.back() > 0, "nothing to repeat");
            i.n = {dice.between(0, most), dice.between(0, most)};
          },
          [=](const Plains& x, const Instruction& i) {
            size_t d = x[0].shape.size() - 1;
            int64_t n = x[0].shape[d];
            require(n > 0 && (mode == PadMode::replicate || std::max(i.n[0], i.n[1]) <= n - most_missing), "nothing to repeat");
            return picked(x[0], d, n + i.n[0] + i.n[1], [&](int64_t k) { return place(k - i.n[0], n); });
          },
          [mode](const Tensors& x, const Instruction& i) { return pad(x[0], i.n, mode); }, "pad($0, {#*}, PadMode::" + name + ")", false};
}

std::vector<Operation> paddings() {
  return {
      padding(
          "reflect", PadMode::reflect, [](int64_t k, int64_t n) { return k < 0    ? -k
                                                                         : k >= n ? 2 * (n - 1) - k
                                                                                  : k; }, 1),
      padding(
          "replicate", PadMode::replicate, [](int64_t k, int64_t n) { return std::clamp<int64_t>(k, 0, n - 1); }, 0),
      padding("circular", PadMode::circular, wrapped, 0),
      {"pad", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         require(x[0].rank() > 0 && x[0].floating(), "no dimension");
         i.n = {dice.between(0, 2), dice.between(0, 2)};
       },
       [](const Plains& x, const Instruction& i) {
         require(x[0].rank() > 0, "no dimension");
         Index shape = x[0].shape;
         int64_t n = shape.back();
         shape.back() += i.n[0] + i.n[1];
         return fresh(x[0].dtype, shape, [&](Index k) {
           k.back() -= i.n[0];
           return k.back() < 0 || k.back() >= n ? constant(0.5) : at(x[0], k);
         });
       },
       [](const Tensors& x, const Instruction& i) { return pad(x[0], i.n, PadMode::constant, 0.5); },
       "pad($0, {#*}, PadMode::constant, 0.5)", false},
  };
}

Operation triangle(const std::string& name, Tensor (*engine)(const Tensor&, int64_t), bool (*inside)(int64_t)) {
  return {name,
          1,
          [](Dice& dice, const Plains& x, Instruction& i) {
            require(x[0].rank() >= 2 && x[0].floating(), "no matrix");
            i.n = {dice.between(-1, 1)};
          },
          [inside](const Plains& x, const Instruction& i) {
            require(x[0].rank() >= 2, "no matrix");
            return fresh(x[0].dtype, x[0].shape,
                         [&](const Index& k) { return inside(k.back() - k[k.size() - 2] - i.n[0]) ? at(x[0], k) : constant(0); });
          },
          [engine](const Tensors& x, const Instruction& i) { return engine(x[0], i.n[0]); },
          name + "($0, #0)",
          false};
}

std::vector<Operation> triangles() {
  return {
      triangle("tril", tril, [](int64_t right) { return right <= 0; }),
      triangle("triu", triu, [](int64_t right) { return right >= 0; }),
      {"diag_embed", 1, [](Dice& dice, const Plains& x, Instruction& i) {
         require(x[0].rank() >= 1 && x[0].floating(), "no vector");
         i.n = {dice.between(-1, 1)};
       },
       [](const Plains& x, const Instruction& i) {
         require(x[0].rank() >= 1, "no vector");
         Index shape = x[0].shape;
         shape.back() += std::abs(i.n[0]);
         shape.push_back(shape.back());
         return fresh(x[0].dtype, shape, [&](Index k) {
           int64_t column = k.back();
           k.pop_back();
           if (column - k.back() != i.n[0]) return constant(0);
           k.back() -= std::max<int64_t>(0, -i.n[0]);
           return at(x[0], k);
         });
       },
       [](const Tensors& x, const Instruction& i) { return diag_embed(x[0], as_int(i.n[0])); }, "diag_embed($0, #0)", false},
  };
}

// x with src's slices put (or added) at the places along a dimension.
Operation slices_put(const std::string& name, Tensor (*engine)(const Tensor&, int, const Tensor&, const Tensor&), bool adds) {
  return {name, 2,
          [](Dice& dice, const Plains& x, Instruction& i) {
            draw_dim(dice, x[0], i);
            size_t d = dim_of(i, x[0]);
            require(x[0].floating() && x[1].dtype == x[0].dtype && x[1].shape.size() > d, "takes two floating tensors");
            draw_places(dice, x[0].shape[d], x[1].shape[d], i);
          },
          [adds](const Plains& x, const Instruction& i) {
            size_t d = dim_of(i, x[0]);
            Index expected = x[0].shape;
            expected[d] = static_cast<int64_t>(i.n.size()) - 1;
            require(x[1].shape == expected, "slices of another shape");
            return fresh(x[0].dtype, x[0].shape, [&](const Index& k) {
              std::vector<Number> here{at(x[0], k)};
              for (size_t p = 1; p < i.n.size(); ++p) {
                require(i.n[p] < x[0].shape[d], "outside");
                Index from = k;
                from[d] = static_cast<int64_t>(p) - 1;
                if (i.n[p] == k[d]) here.push_back(at(x[1], from));
              }
              return adds ? total(here) : here.back();
            });
          },
          [engine](const Tensors& x, const Instruction& i) { return engine(x[0], as_int(i.n[0]), from_vector(places_of(i)), x[1]); },
          name + "($0, #0, from_vector(std::vector<int64_t>{#1*}), $1)", false};
}

std::vector<Operation> readings() {
  return {
      {"index_select", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         draw_dim(dice, x[0], i);
         draw_places(dice, x[0].shape[dim_of(i, x[0])], dice.between(1, 4), i);
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, x[0]);
         for (int64_t p : places_of(i)) require(p < x[0].shape[d], "outside");
         return picked(x[0], d, static_cast<int64_t>(i.n.size()) - 1, [&](int64_t k) { return i.n[static_cast<size_t>(k) + 1]; });
       },
       [](const Tensors& x, const Instruction& i) { return index_select(x[0], as_int(i.n[0]), from_vector(places_of(i))); },
       "index_select($0, #0, from_vector(std::vector<int64_t>{#1*}))", false},
      {"take", 1, [](Dice& dice, const Plains& x, Instruction& i) { draw_places(dice, count(x[0].shape), dice.between(1, 5), i); },
       [](const Plains& x, const Instruction& i) {
         for (int64_t p : i.n) require(p < count(x[0].shape), "outside");
         return fresh(x[0].dtype, {static_cast<int64_t>(i.n.size())}, [&](const Index& k) {
           return x[0].memory->numbers[x[0].places[static_cast<size_t>(i.n[static_cast<size_t>(k[0])])]];
         });
       },
       [](const Tensors& x, const Instruction& i) { return take(x[0], from_vector(i.n)); },
       "take($0, from_vector(std::vector<int64_t>{#*}))", false},
      {"gather", 1,
       [](Dice& dice, const Plains& x, Instruction& i) {
         draw_dim(dice, x[0], i);
         draw_places(dice, x[0].shape[dim_of(i, x[0])], count(x[0].shape), i);
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, x[0]);
         require(static_cast<int64_t>(i.n.size()) == count(x[0].shape) + 1, "places of another shape");
         return fresh(x[0].dtype, x[0].shape, [&](Index k) {
           int64_t p = i.n[1 + ordinal(x[0].shape, k)];
           require(p < x[0].shape[d], "outside");
           k[d] = p;
           return at(x[0], k);
         });
       },
       [](const Tensors& x, const Instruction& i) { return gather(x[0], as_int(i.n[0]), from_vector(places_of(i), x[0].shape())); },
       "gather($0, #0, from_vector(std::vector<int64_t>{#1*}, $0.shape()))", false},
      {"scatter_add", 2,
       [](Dice& dice, const Plains& x, Instruction& i) {
         draw_dim(dice, x[0], i);
         require(x[0].floating() && x[0].dtype == x[1].dtype && x[0].shape == x[1].shape, "takes two floating tensors of one shape");
         draw_places(dice, x[0].shape[dim_of(i, x[0])], count(x[0].shape), i);
       },
       [](const Plains& x, const Instruction& i) {
         size_t d = dim_of(i, x[0]);
         require(x[0].shape == x[1].shape && static_cast<int64_t>(i.n.size()) == count(x[0].shape) + 1, "another shape");
         return fresh(x[0].dtype, x[0].shape, [&](const Index& k) {
           std::vector<Number> here{at(x[0], k)};
           Index from = k;
           for (from[d] = 0; from[d] < x[0].shape[d]; ++from[d])
             if (i.n[1 + ordinal(x[0].shape, from)] == k[d]) here.push_back(at(x[1], from));
           return total(here);
         });
       },
       [](const Tensors& x, const Instruction& i) {
         return scatter_add(x[0], as_int(i.n[0]), from_vector(places_of(i), x[0].shape()), x[1]);
       },
       "scatter_add($0, #0, from_vector(std::vector<int64_t>{#1*}, $0.shape()), $1)", false},
      slices_put("index_add", index_add, true),
      slices_put("index_copy", index_copy, false),
      {"masked_fill", 2,
       [](Dice&, const Plains& x, Instruction& i) {
         require(x[0].floating() && x[1].dtype == boolean, "takes floating numbers and a mask");
         i.r = {0.5};
       },
       [](const Plains& x, const Instruction& i) {
         require(broadcast(x[0].shape, x[1].shape) == x[0].shape, "a larger mask");
         return fresh(x[0].dtype, x[0].shape,
                      [&](const Index& k) { return at_broadcast(x[1], k).v != 0 ? constant(i.r[0]) : at(x[0], k); });
       },
       [](const Tensors& x, const Instruction& i) { return masked_fill(x[0], x[1], i.r[0]); }, "masked_fill($0, $1, %0)", false},
  };
}

}  // namespace

std::vector<Operation> moving_operations() {
  std::vector<Operation> all = joins();
  for (auto more : {paddings, triangles, readings})
    for (Operation& operation : more()) all.push_back(std::move(operation));
  return all;
}

}  // namespace plumb::programs
