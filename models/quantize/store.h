// Numbers to codes: what storage in few bits begins with.
#pragma once
#include "models/quantize/stored.h"

namespace plumb::quantize {

struct StoreOptions {
  StorageFormat format = StorageFormat::integer;
  int bits = 8;              ///< 8 or 4; RF8 has 8
  bool per_channel = true;   ///< a scale for each place of the first dimension; else one for the tensor
  int64_t shrink_steps = 0;  ///< of fit_scale, for integers; 0: 5 for 8 bits, 40 for 4
  /// Throws ValueError `quantize: 5 bits are not supported; choose 8 or 4`.
  void check() const;
};

/// Codes of x with the scales that fit it best (fit_scale, symmetric, p = 2.4); those of a channel of zeros are zeros.
/// Throws as StoreOptions::check; ValueError for numbers that are not finite.
StoredTensor encode(const Tensor& x, const StoreOptions& options = {});

/// Floating tensors of two dimensions and more as codes, the others (biases, norms, running statistics) as they are.
StoredState encode_state(const StateDict& state, const StoreOptions& options = {});

/// How much was lost: √(Σ (x − q)² / Σ x²) over all coded tensors, and over the worst one, named.
struct StorageError {
  double relative = 0;
  double worst = 0;
  std::string worst_name;
};
StorageError storage_error(const StateDict& original, const StoredState& stored);

}  // namespace plumb::quantize
