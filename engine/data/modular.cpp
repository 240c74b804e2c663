// The table of an operation modulo p, and its random halves.
#include "engine/data/modular.h"

#include <fmt/format.h>

namespace plumb::data {

namespace {

/// c with c·b = 1 mod p, by Euclid's algorithm; 0 if there is none.
int64_t inverse(int64_t b, int64_t p) {
  int64_t r0 = p, r1 = b, t0 = 0, t1 = 1;
  while (r1 != 0) {
    int64_t q = r0 / r1;
    r0 = std::exchange(r1, r0 - q * r1);
    t0 = std::exchange(t1, t0 - q * t1);
  }
  return r0 == 1 ? (t0 + p) % p : 0;
}

bool is_prime(int64_t p) {
  for (int64_t d = 2; d * d <= p; ++d)
    if (p % d == 0) return false;
  return p >= 2;
}

Dataset table(const ModularOptions& o) {
  int64_t p = o.modulus, first = o.operation == ModularOperation::divide, columns = p - first, n = p * columns;
  Tensor tokens = empty({n, 4}, i64, cpu, "modular"), label = empty({n}, i64, cpu, "modular");
  int64_t *t = tokens.data<int64_t>(), *l = label.data<int64_t>();
  for (int64_t a = 0; a < p; ++a)
    for (int64_t b = first; b < p; ++b) {
      for (int64_t token : {a, p, b, p + 1}) *t++ = token;
      *l++ = modular(o.operation, a, b, p);
    }
  return from_tensors({{"tokens", tokens}, {"label", label}});
}

}  // namespace

int64_t modular(ModularOperation operation, int64_t a, int64_t b, int64_t p) {
  switch (operation) {
    case ModularOperation::add:
      return (a + b) % p;
    case ModularOperation::subtract:
      return (a - b + p) % p;
    case ModularOperation::multiply:
      return a * b % p;
    case ModularOperation::sum_of_squares:
      return (a * a + b * b) % p;
    case ModularOperation::divide:
      break;
  }
  int64_t reciprocal = inverse(b, p);
  if (reciprocal == 0 && p > 1) throw ValueError(fmt::format("modular: {} cannot be divided by {} modulo {}", a, b, p));
  return a * reciprocal % p;
}

DatasetParts modular_arithmetic(ModularOptions o) {
  if (o.modulus < 2 || o.modulus > 65535)
    throw ValueError(fmt::format("modular_arithmetic: the modulus {} is outside [2, 65535]", o.modulus));
  if (!(o.train >= 0 && o.train <= 1))
    throw ValueError(fmt::format("modular_arithmetic: the training share {} is outside [0, 1]", o.train));
  if (o.operation == ModularOperation::divide && !is_prime(o.modulus))
    throw ValueError(fmt::format("modular_arithmetic: division needs a prime modulus, {} is not", o.modulus));
  auto part = [o](size_t i) { return [o, i] { return table(o).split({o.train, 1 - o.train}, {.seed = o.seed})[i]; }; };
  return DatasetParts(part(0), part(1), {}, [o] { return table(o); });
}

}  // namespace plumb::data
