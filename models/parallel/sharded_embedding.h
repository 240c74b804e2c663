// A table of embeddings shared out over processes, for more rows than one should hold: who needs rows fetches them, and sends their
// gradients back to who owns them.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/dist/communicator.h"
#include "models/optim/adam.h"

namespace plumb::parallel {

struct ShardedEmbeddingOptions {
  double scale = 0.1;  ///< rows start as U(−scale, scale)
  uint64_t seed = 0;   ///< a row's start depends on it, the row and the column alone, however many processes there are
  DType dtype = f32;   ///< or f64
  dist::Communicator* processes = nullptr;  ///< among whom rows are shared out; none: all rows are here
};

/// Rows of a ShardedEmbedding as this process has them for one step.
struct FetchedRows {
  Tensor values;                ///< [u, columns], a leaf that takes a gradient
  Tensor place;                 ///< i64 of the shape that was asked for: values[place] are its rows
  std::vector<int64_t> number;  ///< which rows they are: u of them, ascending, each once
};

/// A table [rows, columns] of which process r of P holds the rows ≡ r (mod P): where row numbers follow popularity, neighbours are as
/// popular as each other, so the load is even. A step costs what it touches, whatever the table's size:
///   FetchedRows rows = table.fetch(items);
///   Tensor loss = f(embedding(rows.values, rows.place));   …   loss.backward();
///   table.update(rows, {.lr = 1e-3});
/// fetch and update are made by all processes together, each for the rows it needs.
class ShardedEmbedding {
 public:
  /// Throws ValueError unless the sizes are positive and scale ≥ 0, DTypeError for another type than f32 or f64.
  ShardedEmbedding(int64_t rows, int64_t columns, ShardedEmbeddingOptions options = {});

  /// Copies of the rows `indices` (i64 or i32, any shape). Throws IndexError, on every process, if one of them asks for a row outside [0,
  /// rows).
  FetchedRows fetch(const Tensor& indices) const;
  /// Adam on the rows that fetch gave, with the sum of their gradients over the processes, added in the order of ranks. Moments belong to a
  /// row and move only when it is touched, and the correction for their start counts the row's own updates: a rare row's first step is as
  /// long as any other's. `rows.values` without a gradient counts as untouched. Throws ValueError for weight decay, which would have to
  /// touch all rows, ShapeError for rows of another table.
  void update(const FetchedRows& rows, const optim::AdamOptions& options);

  /// The whole table [rows, columns], on every process: for tests and files of small ones.
  Tensor gather() const;
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t rows_here() const { return here_.size(0); }

 private:
  int64_t owner(int64_t row) const { return row % processes_->size(); }
  int64_t local(int64_t row) const { return row / processes_->size(); }
  template <typename T>
  void start(uint64_t seed, double scale);
  template <typename T>
  void apply(const std::vector<std::string>& messages, const optim::AdamOptions& options);

  int64_t rows_, columns_;
  dist::Communicator* processes_;
  Tensor here_;                        // [rows of this process, columns]
  Tensor first_moment_, second_moment_;  // as here_, from the first update on
  std::vector<int32_t> updates_;
};

/// The rows [n_r, D] that the processes have, one below the other: [Σ n_r, D]. The graph of this process's own goes on; the others' are
/// constants here, and have theirs there. A loss of all rows that every process computes alike has its exact gradient in the sum over the
/// processes. `processes` null: `own` as it is. Throws ShapeError unless all are matrices of one width.
Tensor gathered_rows(const Tensor& own, dist::Communicator* processes);
/// Each parameter's gradient becomes the sum of all processes' (0 where one has none), in one exchange; one that has none anywhere is left
/// without. All of one type, f32 or f64.
void sum_gradients(const std::vector<Tensor>& parameters, dist::Communicator* processes);

}  // namespace plumb::parallel
