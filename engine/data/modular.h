// Tables of modular arithmetic: a small task with an exact rule, on which generalisation can come long after memorisation.
#pragma once
#include "engine/data/parts.h"

namespace plumb::data {

enum class ModularOperation { add, subtract, multiply, divide, sum_of_squares };

struct ModularOptions {
  int64_t modulus = 97;  ///< p
  ModularOperation operation = ModularOperation::add;
  double train = 0.5;  ///< share of the table to learn from; the rest is the test part
  uint64_t seed = 0;   ///< which entries those are
};

/// All a ∘ b mod p (Power et al., "Grokking", 2022): tokens [4] i64 = a, ∘ (= p), b, '=' (= p + 1), and label = a ∘ b. 0 ≤ a, b < p, but
/// for division b > 0 (a/b is the c with c·b = a). Sample::index is the place in the table, a·p + b (a·(p − 1) + b − 1 for division).
/// Numbers and signs make p + 2 tokens. Throws ValueError for p < 2, p > 65,535, a share outside [0, 1], or division by a p that is not
/// prime.
DatasetParts modular_arithmetic(ModularOptions options = {});

/// a ∘ b mod p for 0 ≤ a, b < p. Throws ValueError for a division by 0, or one with no answer or several (b shares a factor with p).
int64_t modular(ModularOperation operation, int64_t a, int64_t b, int64_t p);

}  // namespace plumb::data
