// Representations on tensors, and projections onto equivariant maps.
#include "models/equivariant/representation.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::equivariant {
namespace {

constexpr double kZero = 1e-9;  // singular values up to this share of the largest are none

int64_t power(int64_t base, int exponent) {
  int64_t out = 1;
  for (int i = 0; i < exponent; ++i) out *= base;
  return out;
}

Tensor identity(int64_t n) { return eye(n, -1, f64); }

// Σ over slots of I ⊗ … A … ⊗ I, −Aᵀ in the last `rank_in`.
Tensor algebra_action(const Tensor& a, int rank_out, int rank_in) {
  int64_t d = a.size(0);
  int slots = rank_out + rank_in;
  Tensor total = zeros({power(d, slots), power(d, slots)}, f64);
  for (int slot = 0; slot < slots; ++slot) {
    Tensor acting = slot < rank_out ? a : neg(transpose(a, 0, 1));
    total = total + kron(kron(identity(power(d, slot)), contiguous(acting)), identity(power(d, slots - slot - 1)));
  }
  return total;
}

Tensor tensor_power(const Tensor& g, int rank) {
  Tensor out = identity(1);
  for (int slot = 0; slot < rank; ++slot) out = kron(out, g);
  return out;
}

Tensor discrete_constraint(const Tensor& h, int rank_out, int rank_in) {
  Tensor dual = contiguous(transpose(inv(h), 0, 1)), action = kron(tensor_power(h, rank_out), tensor_power(dual, rank_in));
  return action - identity(action.size(0));
}

}  // namespace

int64_t Representation::size(int64_t dimension) const {
  int64_t total = 0;
  for (const TensorKind& p : parts) total += p.count * power(dimension, p.rank);
  return total;
}

int Representation::max_rank() const {
  int largest = 0;
  for (const TensorKind& p : parts) largest = std::max(largest, p.rank);
  return largest;
}

void Representation::check() const {
  if (parts.empty()) throw ValueError("representation: it has no parts");
  for (const TensorKind& p : parts)
    if (p.rank < 0 || p.count < 1) throw ValueError(fmt::format("representation: {} tensors of rank {}", p.count, p.rank));
}

Representation operator+(const Representation& a, const Representation& b) {
  Representation out = a;
  out.parts.insert(out.parts.end(), b.parts.begin(), b.parts.end());
  return out;
}

Representation uniform_representation(int64_t channels, int64_t dimension) {
  if (channels < 1) throw ValueError(fmt::format("uniform_representation: {} channels", channels));
  if (dimension < 2) throw ValueError(fmt::format("uniform_representation: the dimension {} is below 2", dimension));
  auto largest_rank = [dimension](int64_t left) {
    int rank = 0;
    while ((rank + 2) * power(dimension, rank + 1) <= left) ++rank;
    return rank;
  };
  std::vector<int64_t> counts(static_cast<size_t>(largest_rank(channels) + 1), 0);
  for (int64_t left = channels; left > 0;) {
    int top = largest_rank(left);
    for (int r = 0; r <= top; ++r) counts[static_cast<size_t>(r)] += power(dimension, top - r);
    left -= (top + 1) * power(dimension, top);
  }
  Representation out;
  for (size_t r = 0; r < counts.size(); ++r) out.parts.push_back({static_cast<int>(r), counts[r]});
  return out;
}

Tensor representation_matrix(const Representation& representation, const Tensor& g) {
  representation.check();
  if (g.rank() != 2 || g.size(0) != g.size(1))
    throw ShapeError("representation_matrix: an element must be a square matrix, it is " + to_string(g.shape()));
  int64_t d = g.size(0), size = representation.size(d), at = 0;
  std::vector<double> all(static_cast<size_t>(size * size), 0.0);
  for (const TensorKind& part : representation.parts) {
    std::vector<double> block = to_vector(tensor_power(to(g, f64), part.rank));
    int64_t n = power(d, part.rank);
    for (int64_t copy = 0; copy < part.count; ++copy, at += n)
      for (int64_t i = 0; i < n; ++i) std::copy_n(block.begin() + i * n, n, all.begin() + (at + i) * size + at);
  }
  return from_vector(all, {size, size});
}

Tensor equivariant_basis(const MatrixGroup& group, int rank_out, int rank_in) {
  group.check();
  if (rank_out < 0 || rank_in < 0)
    throw ValueError(fmt::format("equivariant_basis: ranks {} and {} must not be negative", rank_out, rank_in));
  int64_t n = power(group.dimension, rank_out + rank_in);
  std::vector<Tensor> constraints;
  for (const Tensor& a : group.algebra) constraints.push_back(algebra_action(a, rank_out, rank_in));
  for (const Tensor& h : group.discrete) constraints.push_back(discrete_constraint(h, rank_out, rank_in));
  if (constraints.empty()) return identity(n);
  Svd parts = svd(cat(constraints, 0));
  std::vector<double> s = to_vector(parts.s);
  double limit = kZero * std::max(1.0, s[0]);
  std::vector<int64_t> kept;
  for (size_t i = 0; i < s.size(); ++i)
    if (s[i] <= limit) kept.push_back(static_cast<int64_t>(i));
  if (kept.empty()) return zeros({n, 0}, f64);
  return contiguous(transpose(index_select(parts.vh, 0, from_vector(kept)), 0, 1));
}

Projector::Projector(MatrixGroup group) : group_(std::move(group)) { group_.check(); }

const Projector::Block& Projector::find(int rank_out, int rank_in) const {
  auto at = blocks_.find({rank_out, rank_in});
  if (at != blocks_.end()) return at->second;
  Tensor basis = equivariant_basis(group_, rank_out, rank_in);
  Tensor projection = basis.size(1) == 0 ? zeros({basis.size(0), basis.size(0)}, f64) : matmul(basis, transpose(basis, 0, 1));
  return blocks_.emplace(std::pair{rank_out, rank_in}, Block{projection, basis.size(1)}).first->second;
}

const Tensor& Projector::block(int rank_out, int rank_in) const { return find(rank_out, rank_in).projection; }

// A part of a·d^p rows and b·d^s columns holds a·b maps T_s → T_p: [a, d^p, b, d^s] → [a b, d^p d^s].
std::vector<MapBlock> map_blocks(const Tensor& weight, const Representation& out, const Representation& in, int64_t d) {
  out.check();
  in.check();
  if (weight.shape() != Shape{out.size(d), in.size(d)})
    throw ShapeError(
        fmt::format("projector: the representations need a weight [{}, {}], it is {}", out.size(d), in.size(d), to_string(weight.shape())));
  std::vector<MapBlock> blocks;
  int64_t row = 0;
  for (const TensorKind& o : out.parts) {
    int64_t dp = power(d, o.rank), column = 0;
    Tensor rows = narrow(weight, 0, row, o.count * dp);
    row += o.count * dp;
    for (const TensorKind& i : in.parts) {
      int64_t ds = power(d, i.rank);
      Tensor part = reshape(narrow(rows, 1, column, i.count * ds), {o.count, dp, i.count, ds});
      column += i.count * ds;
      blocks.push_back({o.rank, i.rank, reshape(permute(part, {0, 2, 1, 3}), {o.count * i.count, dp * ds})});
    }
  }
  return blocks;
}

// The maps times the symmetric P, and back to where they were.
Tensor Projector::weight(const Tensor& weight, const Representation& out, const Representation& in) const {
  int64_t d = group_.dimension;
  std::vector<MapBlock> blocks = map_blocks(weight, out, in, d);
  std::vector<Tensor> rows;
  size_t at = 0;
  for (const TensorKind& o : out.parts) {
    std::vector<Tensor> row;
    for (const TensorKind& i : in.parts) {
      const MapBlock& b = blocks[at++];
      const Block& block = find(o.rank, i.rank);
      int64_t dp = power(d, o.rank), ds = power(d, i.rank);
      Tensor maps = block.kept == 0         ? zeros_like(b.maps.detach())
                    : block.kept == dp * ds ? b.maps
                                            : matmul(b.maps, to(block.projection, weight.dtype()));
      row.push_back(reshape(permute(reshape(maps, {o.count, i.count, dp, ds}), {0, 2, 1, 3}), {o.count * dp, i.count * ds}));
    }
    rows.push_back(row.size() == 1 ? row[0] : cat(row, 1));
  }
  return rows.size() == 1 ? rows[0] : cat(rows, 0);
}

Tensor Projector::bias(const Tensor& bias, const Representation& out) const {
  if (bias.rank() != 1) throw ShapeError("projector: a bias must be a vector, it is " + to_string(bias.shape()));
  return squeeze(weight(unsqueeze(bias, 1), out, {{{0, 1}}}), 1);
}

}  // namespace plumb::equivariant
