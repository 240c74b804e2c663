// Encoding, channel by channel.
#include "models/quantize/store.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/core/parallel.h"
#include "models/quantize/fit_scale.h"
#include "models/quantize/rf8.h"
#include "ops/shape.h"

namespace plumb::quantize {
namespace {

constexpr int kLeastExponent = -126, kMostExponent = 127;  // of scales that f32 holds as normal numbers
constexpr int64_t kSample = 1 << 14;                       // elements over which a scale's errors are summed

bool all_zero(const std::vector<double>& row) {
  return std::ranges::all_of(row, [](double v) { return v == 0; });
}

void check_finite(const std::vector<double>& row) {
  for (double v : row)
    if (!std::isfinite(v)) throw ValueError("quantize: a weight is " + decimal(v));
}

float integer_scale(const std::vector<double>& row, const StoreOptions& o) {
  if (all_zero(row)) return 1;
  double scale = fit_scale(from_vector(row), signed_codes(o.bits),
                           {.steps = o.shrink_steps > 0 ? o.shrink_steps
                                     : o.bits == 8      ? 5
                                                        : 40,
                            .max_elements = kSample})
                     .scale.item();
  return std::max(static_cast<float>(scale), std::ldexp(1.0f, kLeastExponent));
}

float rf8_scale(const std::vector<double>& row) {
  int top = kLeastExponent;
  for (double v : row)
    if (std::optional<int> e = rf8_exponent(v)) top = std::max(top, *e);
  return std::ldexp(1.0f, std::min(top, kMostExponent));
}

// The code of one number; of RF8 its byte.
int code_of(double v, float scale, const StoreOptions& o) {
  if (o.format == StorageFormat::rf8) return rf8_encode(v, std::ilogb(scale));
  CodeRange range = signed_codes(o.bits);
  return static_cast<int>(
      std::clamp(std::nearbyint(v / static_cast<double>(scale)), static_cast<double>(range.low), static_cast<double>(range.high)));
}

Tensor packed(const std::vector<int>& codes, const StoreOptions& o) {
  if (o.format == StorageFormat::rf8) return from_vector(std::vector<uint8_t>(codes.begin(), codes.end()));
  std::vector<uint8_t> bytes(o.bits == 4 ? (codes.size() + 1) / 2 : codes.size(), 0);
  for (size_t i = 0; i < codes.size(); ++i) {
    if (o.bits == 8)
      bytes[i] = static_cast<uint8_t>(codes[i] + 128);
    else
      bytes[i / 2] |= static_cast<uint8_t>((codes[i] + 8) << (i % 2 * 4));
  }
  return from_vector(bytes);
}

}  // namespace

void StoreOptions::check() const {
  if (bits != 8 && bits != 4) throw ValueError("quantize: " + std::to_string(bits) + " bits are not supported; choose 8 or 4");
  if (format == StorageFormat::rf8 && bits != 8) throw ValueError("quantize: RF8 has 8 bits, not " + std::to_string(bits));
}

StoredTensor encode(const Tensor& x, const StoreOptions& o) {
  o.check();
  if (!is_floating(x.dtype())) unsupported_dtype("quantize", x.dtype());
  std::vector<double> all = to_vector(x.detach());
  int64_t n = x.numel(), channels = o.per_channel && x.rank() > 0 && n > 0 ? x.size(0) : 1, row = n / channels;
  std::vector<int> codes(static_cast<size_t>(n));
  std::vector<float> scales(static_cast<size_t>(channels), 1.0f);
  parallel_for(channels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      std::vector<double> values(all.begin() + c * row, all.begin() + (c + 1) * row);
      check_finite(values);
      float scale = o.format == StorageFormat::integer ? integer_scale(values, o) : rf8_scale(values);
      scales[static_cast<size_t>(c)] = scale;
      for (int64_t i = 0; i < row; ++i) codes[static_cast<size_t>(c * row + i)] = code_of(values[static_cast<size_t>(i)], scale, o);
    }
  });
  return {packed(codes, o), from_vector(scales), x.shape(), o.format, o.bits};
}

StoredState encode_state(const StateDict& state, const StoreOptions& o) {
  o.check();
  StoredState stored;
  for (const auto& [name, t] : state) {
    if (is_floating(t.dtype()) && t.rank() >= 2) {
      try {
        stored.coded[name] = encode(t, o);
      } catch (const ValueError& error) { throw ValueError(std::string(error.what()) + " in " + name); }
    } else {
      stored.plain[name] = t;
    }
  }
  return stored;
}

StorageError storage_error(const StateDict& original, const StoredState& stored) {
  double error = 0, size = 0;
  StorageError worst;
  for (const auto& [name, s] : stored.coded) {
    std::vector<double> x = to_vector(original.at(name)), q = to_vector(decode(s));
    double own_error = 0, own_size = 0;
    for (size_t i = 0; i < x.size(); ++i) own_error += (x[i] - q[i]) * (x[i] - q[i]), own_size += x[i] * x[i];
    if (double relative = own_size > 0 ? std::sqrt(own_error / own_size) : 0; relative > worst.worst || worst.worst_name.empty())
      worst.worst = relative, worst.worst_name = name;
    error += own_error, size += own_size;
  }
  worst.relative = size > 0 ? std::sqrt(error / size) : 0;
  return worst;
}

}  // namespace plumb::quantize
