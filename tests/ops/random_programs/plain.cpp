#include "tests/ops/random_programs/plain.h"

#include <algorithm>
#include <numeric>
#include <set>

namespace plumb::programs {

int64_t count(const Index& shape) {
  int64_t n = 1;
  for (int64_t size : shape) n *= size;
  return n;
}

void for_each(const Index& shape, const std::function<void(const Index&)>& visit) {
  int64_t n = count(shape);
  for (int64_t k = 0; k < n; ++k) {
    Index index(shape.size());
    int64_t rest = k;
    for (size_t d = shape.size(); d-- > 0;) {
      index[d] = rest % shape[d];
      rest /= shape[d];
    }
    visit(index);
  }
}

size_t ordinal(const Index& shape, const Index& index) {
  int64_t k = 0;
  for (size_t d = 0; d < shape.size(); ++d) k = k * shape[d] + index[d];
  return static_cast<size_t>(k);
}

const Number& at(const Plain& x, const Index& index) { return x.memory->numbers.at(x.places.at(ordinal(x.shape, index))); }

const Number& at_broadcast(const Plain& x, const Index& i) {
  Index own(x.shape.size());
  for (size_t d = 0; d < own.size(); ++d) own[d] = x.shape[d] == 1 ? 0 : i[i.size() - own.size() + d];
  return at(x, own);
}

Index broadcast(const Index& a, const Index& b) {
  Index out(std::max(a.size(), b.size()), 1);
  for (const Index* s : {&a, &b})
    for (size_t d = 0; d < s->size(); ++d) {
      int64_t& size = out[out.size() - s->size() + d];
      require((*s)[d] == size || (*s)[d] == 1 || size == 1, "shapes do not broadcast");
      if ((*s)[d] != 1) size = (*s)[d];
    }
  return out;
}

double unit_of(DType t) {
  switch (t) {
    case DType::f64: return 0x1p-53;
    case DType::f32: return 0x1p-24;
    case DType::bf16: return 0x1p-8;
    case DType::f16: return 0x1p-11;
    default: return 0;
  }
}

DType joined(DType a, DType b) {
  if (a == b) return a;
  if (is_floating(a) != is_floating(b)) return is_floating(a) ? a : b;
  if (is_floating(a)) return a == f64 || b == f64 ? f64 : f32;  // bf16 with f16 gives f32
  if (a == boolean || b == boolean) return a == boolean ? b : a;
  return i64;
}

Number stored(const Number& x, DType dtype) {
  require(std::abs(x.v) < 1e3 && std::abs(x.a) < 1e3 && std::abs(x.b) < 1e3 && std::abs(x.ab) < 1e5, "a number is large");
  if (!is_floating(dtype)) return constant(x.v);
  Number y = x;
  y.ev += unit_of(dtype) * std::abs(x.v) + (dtype == f16 ? 0x1p-25 : dtype == f64 ? 0 : 0x1p-126);  // smaller ones are lost, or become 0
  y.ea += unit_of(dtype) * std::abs(x.a);
  if (dtype == f16) precision.gradient_floor += 0x1p-25 * std::abs(x.a);
  return y;
}

Plain fresh(DType dtype, const Index& shape, const std::function<Number(const Index&)>& f) {
  require(count(shape) <= 300 && shape.size() <= 6, "a tensor is large");
  Plain y{std::make_shared<Memory>(), shape, {}, dtype};
  for_each(shape, [&](const Index& i) {
    y.places.push_back(y.places.size());
    y.memory->numbers.push_back(stored(f(i), dtype));
  });
  return y;
}

Plain viewed(const Plain& x, const Index& shape, const std::function<Index(const Index&)>& source) {
  require(count(shape) <= 300 && shape.size() <= 6, "a tensor is large");
  Plain y{x.memory, shape, {}, x.dtype};
  for_each(shape, [&](const Index& i) { y.places.push_back(x.places.at(ordinal(x.shape, source(i)))); });
  return y;
}

Plain copied(const Plain& x) {
  Plain y{std::make_shared<Memory>(), x.shape, {}, x.dtype};
  for (size_t place : x.places) {
    y.places.push_back(y.places.size());
    y.memory->numbers.push_back(x.memory->numbers[place]);
  }
  return y;
}

Plain reshaped(const Plain& x, const Index& shape) {
  require(count(shape) == count(x.shape) && shape.size() <= 6, "another number of elements");
  Plain y{x.memory, shape, x.places, x.dtype};
  if (x.places.empty()) return y;
  Index step(shape.size(), 0);
  for (size_t d = 0; d < shape.size(); ++d) {
    Index one(shape.size(), 0);
    if (shape[d] < 2) continue;
    one[d] = 1;
    step[d] = static_cast<int64_t>(x.places[ordinal(shape, one)]) - static_cast<int64_t>(x.places[0]);
  }
  bool fixed_steps = true;
  for_each(shape, [&](const Index& i) {
    int64_t place = static_cast<int64_t>(x.places[0]);
    for (size_t d = 0; d < i.size(); ++d) place += i[d] * step[d];
    fixed_steps = fixed_steps && place == static_cast<int64_t>(x.places[ordinal(shape, i)]);
  });
  if (fixed_steps) return y;
  Plain copy = copied(x);
  copy.shape = shape;
  return copy;
}

bool row_major(const Plain& x) {
  for (size_t i = 0; i < x.places.size(); ++i)
    if (x.places[i] != x.places[0] + i) return false;
  return true;
}

bool apart(const Plain& x) { return std::set<size_t>(x.places.begin(), x.places.end()).size() == x.places.size(); }

int dimension(int64_t dim, const Plain& x) {
  int64_t rank = std::max(1, x.rank()), d = dim < 0 ? dim + rank : dim;
  require(d >= 0 && d < rank, "no such dimension");
  return static_cast<int>(d);
}

Plain along(const Plain& x, int dim, const std::function<std::vector<Number>(const std::vector<Number>&)>& f) {
  auto d = static_cast<size_t>(dim);
  require(d < x.shape.size() && count(x.shape) > 0, "no line to run along");
  Index lines = x.shape;
  lines[d] = 1;
  std::vector<std::vector<Number>> results;
  for_each(lines, [&](Index i) {
    std::vector<Number> line;
    for (i[d] = 0; i[d] < x.shape[d]; ++i[d]) line.push_back(at(x, i));
    results.push_back(f(line));
  });
  Index shape = x.shape;
  shape[d] = static_cast<int64_t>(results[0].size());
  return fresh(x.dtype, shape, [&](Index i) {
    auto k = static_cast<size_t>(i[d]);
    i[d] = 0;
    return results[ordinal(lines, i)][k];
  });
}

Plain reduced(const Plain& x, const std::vector<int>& dims, bool keepdim, const std::function<Number(const std::vector<Number>&)>& f) {
  std::vector<bool> gone(x.shape.size(), dims.empty());
  for (int d : dims) gone[static_cast<size_t>(d)] = true;
  Index kept, shape;
  for (size_t d = 0; d < gone.size(); ++d) {
    kept.push_back(gone[d] ? 1 : x.shape[d]);
    if (keepdim || !gone[d]) shape.push_back(kept.back());
  }
  std::vector<std::vector<Number>> groups(static_cast<size_t>(count(kept)));
  for_each(x.shape, [&](const Index& i) {
    Index group = i;
    for (size_t d = 0; d < gone.size(); ++d)
      if (gone[d]) group[d] = 0;
    groups[ordinal(kept, group)].push_back(at(x, i));
  });
  return fresh(x.dtype, shape, [&](const Index& i) { return f(groups[ordinal(shape, i)]); });
}

}  // namespace plumb::programs
