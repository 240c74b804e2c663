// How well vectors find what users took later: recall and average precision over a whole catalogue, on all of it and on slices.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods::item_ssl {

/// A part of the catalogue.
struct ItemSlice {
  std::string name;
  std::vector<bool> contains;  ///< by item
};
/// "all", "head": the ⌈share · items⌉ items with the largest counts, of equal ones the earlier, and "tail": the others. Throws ValueError
/// unless 0 < share < 1.
std::vector<ItemSlice> popularity_slices(const std::vector<int64_t>& counts, double share = 0.1);

struct SliceScores {
  std::string slice;
  std::vector<double> recall, average_precision;  ///< at each k; NaN where no user has truth there
  int64_t users = 0;                              ///< with truth in the slice
};

/// For each user the k items of the largest cosine among the catalogue [items, D] without `exclude[u]` (training items), of equal ones the
/// earlier. Recall@k = hits / |truth|, AP@k = 1/min(k, |truth|) Σ_{r ≤ k, hit} precision@r, means over users. On a slice truth is cut to
/// the slice's items, candidates are not, and users left without truth are skipped. Throws ShapeError for sizes that do not fit, ValueError
/// for k < 1, k larger than what is left of the catalogue for a user, or no ks, IndexError for an item that was never seen.
std::vector<SliceScores> evaluate_retrieval(const Tensor& users, const Tensor& items, const std::vector<std::vector<int64_t>>& truth,
                                            const std::vector<std::vector<int64_t>>& exclude, const std::vector<int64_t>& ks,
                                            const std::vector<ItemSlice>& slices);

}  // namespace plumb::methods::item_ssl
