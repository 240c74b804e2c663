// Codes back to numbers, and the file that holds them.
#include "models/quantize/stored.h"

#include <algorithm>
#include <cmath>

#include "models/quantize/rf8.h"
#include "ops/shape.h"

namespace plumb::quantize {
namespace {

constexpr const char* kKey = "plumb.quantization";

std::string name_of(StorageFormat format, int bits) { return format == StorageFormat::rf8 ? "rf8" : "int" + std::to_string(bits); }

[[noreturn]] void damaged(const std::string& problem) { throw IoError("quantize: " + problem); }

void check(const StoredTensor& s) {
  if (s.bits != 8 && !(s.bits == 4 && s.format == StorageFormat::integer))
    damaged("codes of " + std::to_string(s.bits) + " bits are not known");
  int64_t n = numel(s.shape), bytes = s.bits == 4 ? (n + 1) / 2 : n;
  if (s.codes.dtype() != u8 || s.codes.numel() != bytes)
    damaged(std::to_string(s.codes.numel()) + " bytes of codes, where " + to_string(s.shape) + " needs " + std::to_string(bytes));
  bool fits = s.scale.dtype() == f32 && (s.scale.numel() == 1 || (s.shape.rank() > 0 && s.scale.numel() == s.shape[0]));
  if (!fits) damaged(std::to_string(s.scale.numel()) + " scales do not fit " + to_string(s.shape));
  for (double scale : to_vector(s.scale))
    if (!std::isfinite(scale) || (s.format == StorageFormat::rf8 && scale <= 0)) damaged("a scale of " + decimal(scale));
}

int integer_at(const uint8_t* bytes, int64_t i, int bits) {
  if (bits == 8) return bytes[i] - 128;
  return (bytes[i / 2] >> (i % 2 * 4) & 15) - 8;
}

const char* const kCodes = ".codes";
const char* const kScale = ".scale";
const char* const kShape = ".shape";

Shape shape_of(const Tensor& sizes) {
  if (sizes.dtype() != i64 || sizes.numel() > kMaxRank)
    damaged("a shape that is no list of up to " + std::to_string(kMaxRank) + " whole numbers");
  Shape shape;
  int64_t elements = 1;
  for (int64_t s : to_vector<int64_t>(sizes)) {
    if (s < 0 || __builtin_mul_overflow(elements, std::max<int64_t>(s, 1), &elements)) damaged("a size of " + std::to_string(s));
    shape.push_back(s);
  }
  return shape;
}

StoredTensor taken(StateDict& state, const std::string& name, StorageFormat format, int bits) {
  auto take = [&](const char* what) {
    auto entry = state.extract(name + what);
    if (entry.empty()) damaged("there is no " + name + what);
    return entry.mapped();
  };
  StoredTensor s{take(kCodes), take(kScale), {}, format, bits};
  s.shape = shape_of(take(kShape));
  check(s);
  return s;
}

}  // namespace

Tensor decode(const StoredTensor& s) {
  check(s);
  Tensor codes = contiguous_data(to(s.codes, cpu)), scale = contiguous_data(to(s.scale, cpu)), x = empty(s.shape, f32);
  const uint8_t* from = codes.data<uint8_t>();
  const float* scales = scale.data<float>();
  float* out = x.data<float>();
  int64_t n = x.numel(), row = std::max<int64_t>(1, n / std::max<int64_t>(1, scale.numel()));
  for (int64_t i = 0; i < n; ++i) {
    float step = scales[i / row];
    out[i] = s.format == StorageFormat::integer ? static_cast<float>(integer_at(from, i, s.bits)) * step
                                                : static_cast<float>(rf8_decode(from[i], std::ilogb(step)));
  }
  return x;
}

StateDict StoredState::decoded() const {
  StateDict out = plain;
  for (const auto& [name, stored] : coded) out[name] = decode(stored);
  return out;
}

int64_t StoredState::bytes() const {
  auto bytes_of = [](const Tensor& t) { return t.numel() * static_cast<int64_t>(item_size(t.dtype())); };
  int64_t total = 0;
  for (const auto& [name, t] : plain) total += bytes_of(t);
  for (const auto& [name, s] : coded) total += bytes_of(s.codes) + bytes_of(s.scale);
  return total;
}

void save_stored(const std::string& path, const StoredState& state) {
  StateDict file = state.plain;
  std::string format;
  auto put = [&](const std::string& name, const Tensor& t) {
    if (!file.emplace(name, t).second) throw ValueError("quantize: there are two tensors called " + name);
  };
  for (const auto& [name, s] : state.coded) {
    std::string own = name_of(s.format, s.bits);
    if (!format.empty() && own != format) throw ValueError("quantize: " + name + " is stored as " + own + ", others as " + format);
    format = own;
    put(name + kCodes, s.codes), put(name + kScale, s.scale),
        put(name + kShape, from_vector(std::vector<int64_t>(s.shape.begin(), s.shape.end())));
  }
  save_safetensors(path, file, {{kKey, format.empty() ? "int8" : format}});
}

bool is_stored(const FileMetadata& metadata) { return metadata.contains(kKey); }

StoredState load_stored(const std::string& path) {
  FileMetadata metadata = load_safetensors_metadata(path);
  if (!is_stored(metadata)) throw IoError("quantize: " + path + " holds no codes");
  const std::string& format = metadata.at(kKey);
  if (format != "int8" && format != "int4" && format != "rf8")
    throw IoError("quantize: " + path + " is stored as " + format + ", which is not known");
  StoredState state{{}, load_safetensors(path)};
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state.plain)
    if (name.ends_with(kCodes)) names.push_back(name.substr(0, name.size() - std::string(kCodes).size()));
  try {
    for (const std::string& name : names)
      state.coded[name] = taken(state.plain, name, format == "rf8" ? StorageFormat::rf8 : StorageFormat::integer, format == "int4" ? 4 : 8);
  } catch (const IoError& error) { throw IoError(path + ": " + error.what()); }
  return state;
}

StateDict load_weights(const std::string& path) {
  return is_stored(load_safetensors_metadata(path)) ? load_stored(path).decoded() : load_safetensors(path);
}

}  // namespace plumb::quantize
