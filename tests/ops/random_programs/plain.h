// Tensors of the plain interpreter: numbers in a shared memory, and for each element its place there. A view is another list of places. All
// index arithmetic is by whole indices, one element at a time; nothing of ops/ is used.
#pragma once
#include <functional>
#include <memory>

#include "engine/core/dtype.h"
#include "tests/ops/random_programs/number.h"

namespace plumb::programs {

using Index = std::vector<int64_t>;

struct Memory {
  std::vector<Number> numbers;
  bool input = false;  ///< of an input of the program, a leaf of the graph
  bool kept = false;   ///< an operation may have kept these numbers for its derivative: they must not be overwritten
};

struct Plain {
  std::shared_ptr<Memory> memory;
  Index shape;
  std::vector<size_t> places;  ///< of the elements in row-major order
  DType dtype = f64;

  int rank() const { return static_cast<int>(shape.size()); }
  int64_t size(int dim) const { return shape[static_cast<size_t>(dim)]; }
  bool floating() const { return is_floating(dtype); }
};

int64_t count(const Index& shape);
/// Calls visit(index) for all indices of the shape in row-major order.
void for_each(const Index& shape, const std::function<void(const Index&)>& visit);
/// The place of an index among all of the shape, in row-major order.
size_t ordinal(const Index& shape, const Index& index);
const Number& at(const Plain& x, const Index& index);
/// The element that index i of a larger shape sees by broadcasting.
const Number& at_broadcast(const Plain& x, const Index& i);
/// Throws Unsuitable where shapes do not broadcast, or the result is large.
Index broadcast(const Index& a, const Index& b);

/// The rounding unit of a type: half the distance of 1 and the next number; 0 for integers.
double unit_of(DType t);
/// The type that an operation on both gives.
DType joined(DType a, DType b);

/// A new tensor whose elements are f(index). Throws Unsuitable where a number is too large to be compared.
Plain fresh(DType dtype, const Index& shape, const std::function<Number(const Index&)>& f);
/// A number as it is stored in the type.
Number stored(const Number& x, DType dtype);
/// A view of x whose element `index` is x's element source(index).
Plain viewed(const Plain& x, const Index& shape, const std::function<Index(const Index&)>& source);
/// A copy in memory of its own.
Plain copied(const Plain& x);
/// The same elements in row-major order under another shape: a view if the places advance by fixed steps along every dimension, else a
/// copy.
Plain reshaped(const Plain& x, const Index& shape);
/// The places follow each other.
bool row_major(const Plain& x);
/// No two elements share a place.
bool apart(const Plain& x);

/// The dimension, counted from the end if negative.
int dimension(int64_t dim, const Plain& x);
/// For each index of the other dimensions, f of x's numbers along `dim`; the result's lines stand along the same dimension.
Plain along(const Plain& x, int dim, const std::function<std::vector<Number>(const std::vector<Number>&)>& f);
/// f of all numbers that differ in `dims` only (all dims if none are given); these dims disappear, or stay with size 1.
Plain reduced(const Plain& x, const std::vector<int>& dims, bool keepdim, const std::function<Number(const std::vector<Number>&)>& f);

}  // namespace plumb::programs
