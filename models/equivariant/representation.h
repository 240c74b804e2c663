// How a group acts on scalars, vectors and tensors, and which linear maps between them commute with it.
#pragma once
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "models/equivariant/matrix_group.h"

namespace plumb::equivariant {

/// `count` tensors of one rank over R^d: T_r = V ⊗ … ⊗ V, d^r numbers each, the last index fastest.
struct TensorKind {
  int rank = 0;
  int64_t count = 1;
};
/// A sum of tensors, one behind the other: {{0, 5}, {1, 5}} is five scalars, then five vectors.
struct Representation {
  std::vector<TensorKind> parts;
  int64_t size(int64_t dimension) const;  ///< Σ count · d^rank
  int max_rank() const;
  /// Throws ValueError for no parts, a negative rank or a count below 1.
  void check() const;
};
Representation operator+(const Representation& a, const Representation& b);

/// `channels` numbers shared out among ranks (EMLP's rule): with R the largest rank for which (R + 1) d^R numbers are left, d^(R − r) more
/// tensors of every rank r ≤ R, again and again until all are used. Throws ValueError for channels < 1 or d < 2.
Representation uniform_representation(int64_t channels, int64_t dimension);

/// ρ(g): block diagonal, g ⊗ … ⊗ g for each tensor, [size, size]. g f64 [d, d].
Tensor representation_matrix(const Representation& representation, const Tensor& g);

/// An orthonormal basis, f64 [d^(p + s), k], of the linear maps T_s → T_p that commute with the group, each flattened with its p output
/// indices before its s input indices: the null space of Σ_slots I ⊗ … A … ⊗ I for every A and of ρ(h) − I for every h, where input slots,
/// which are dual, have −Aᵀ for A and h⁻ᵀ for h. Singular values up to 1e-9 of the largest (or of 1) count as 0. Throws ValueError for a
/// negative rank, and as MatrixGroup::check.
Tensor equivariant_basis(const MatrixGroup& group, int rank_out, int rank_in);

/// The maps from tensors to tensors of which a weight [size of out, size of in] consists, gathered by the parts they lead from and to: a
/// row a map T_s → T_p, flattened as in equivariant_basis, [count out · count in, d^(p + s)]. Differentiable. Throws ShapeError where the
/// weight does not fit.
struct MapBlock {
  int rank_out = 0, rank_in = 0;
  Tensor maps;
};
std::vector<MapBlock> map_blocks(const Tensor& weight, const Representation& out, const Representation& in, int64_t dimension);

/// The orthogonal projections P onto weights and biases that commute with a group, applied block by block: the P of a whole layer is never
/// made. A block is worked out when it is first asked for and kept; one projector is for one thread at a time.
class Projector {
 public:
  explicit Projector(MatrixGroup group);
  const MatrixGroup& group() const { return group_; }
  /// P of maps from T_s to T_p, f64 [d^(p + s), d^(p + s)].
  const Tensor& block(int rank_out, int rank_in) const;
  /// P W for a weight [size of out, size of in]. Differentiable. Throws ShapeError where the weight does not fit.
  Tensor weight(const Tensor& weight, const Representation& out, const Representation& in) const;
  /// P b for a bias [size of out]: a map from one scalar.
  Tensor bias(const Tensor& bias, const Representation& out) const;

 private:
  struct Block {
    Tensor projection;
    int64_t kept = 0;  // dimensions of its image
  };
  const Block& find(int rank_out, int rank_in) const;
  MatrixGroup group_;
  mutable std::map<std::pair<int, int>, Block> blocks_;
};

}  // namespace plumb::equivariant
