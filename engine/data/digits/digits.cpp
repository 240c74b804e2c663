// The embedded digits: unpacked from the bytes that the build compiled in.
#include "engine/data/digits/digits.h"

#include <charconv>

#include "engine/data/internal/tensor_source.h"
#include "engine/io/file.h"
#include "engine/io/sha256.h"

namespace plumb::data {

namespace detail {
extern const unsigned char digits_file[];  // defined in a source that cmake/PlumbEmbed.cmake writes
extern const unsigned long digits_file_size;
}  // namespace detail

namespace {

constexpr int64_t kCount = 1797, kPixels = 64;
constexpr const char* kName = "engine/data/digits/digits.csv.gz";

/// The next number of a comma-separated text.
int next_number(const char*& at, const char* end) {
  int value = 0;
  auto [rest, error] = std::from_chars(at, end, value);
  if (error != std::errc()) throw IoError(std::string(kName) + ": the embedded digits are damaged");
  at = rest == end ? rest : rest + 1;
  return value;
}

Dataset all_digits() {
  std::string_view packed(reinterpret_cast<const char*>(detail::digits_file), detail::digits_file_size);
  std::string text = gunzip(packed, kName);
  Tensor image = empty({kCount, 1, 8, 8}, u8, cpu, "digits"), label = empty({kCount}, i64, cpu, "digits");
  const char *at = text.data(), *end = at + text.size();
  for (int64_t i = 0; i < kCount; ++i) {
    for (int64_t p = 0; p < kPixels; ++p) image.data<uint8_t>()[i * kPixels + p] = static_cast<uint8_t>(next_number(at, end));
    label.data<int64_t>()[i] = next_number(at, end);
  }
  return Dataset(tensor_source({{"image", image, 16}, {"label", label}}, {{kName, sha256(packed)}}));
}

Dataset part(size_t i) { return all_digits().split({0.8, 0.2}, {.seed = 0, .stratified = true})[i]; }

}  // namespace

DatasetParts digits() {
  return DatasetParts([] { return part(0); }, [] { return part(1); }, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, all_digits);
}

}  // namespace plumb::data
