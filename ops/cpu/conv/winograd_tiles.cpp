// Moving places between planes and windows, in transposes of 16 channels × 16 places where that many are left.
#include "ops/cpu/conv/winograd_tiles.h"

#include "ops/cpu/gemm/kernels.h"

namespace plumb::conv {

template <>
const WinogradKernels* winograd_kernels<float>() {
  switch (gemm::instruction_set()) {
    case gemm::InstructionSet::avx512:
    case gemm::InstructionSet::avx512bf16:
      return avx512_winograd();
    case gemm::InstructionSet::avx2:
      return avx2_winograd();
    case gemm::InstructionSet::plain:
      break;
  }
  return plain_winograd();
}
template <>
const WinogradKernels* winograd_kernels<bfloat16>() {
  return gemm::instruction_set() == gemm::InstructionSet::avx512bf16 ? avx512bf16_winograd() : nullptr;
}

template <typename T>
Places places_of(const Source<T>& planes, int64_t image, int64_t images, int64_t y, int64_t rows, int64_t x, int64_t columns) {
  Places p{planes.channel, planes.column, {}, {}};
  const int64_t left = std::max<int64_t>(0, x), right = std::min(planes.width, x + columns);
  for (int64_t i = 0; i < images; ++i)
    for (int64_t r = std::max<int64_t>(0, -y); r < std::min(rows, planes.height - y) && left < right; ++r) {
      const int64_t offset = (image + i) * planes.image + (y + r) * planes.row + left * planes.column,
                    first = static_cast<int64_t>(p.at.size());
      if (!p.pieces.empty() && p.pieces.back().offset + p.pieces.back().count * planes.column == offset)
        p.pieces.back().count += right - left;
      else p.pieces.push_back({offset, right - left, first});
      for (int64_t c = left; c < right; ++c) p.at.push_back(((i * rows + r) * columns + c - x) * kLanes);
    }
  return p;
}

namespace {

// Calls f(offset in a plane, places of the window, how many) for every 16 places of a piece and for what is left of it.
template <typename F>
void for_sixteens(const Places& places, const F& f) {
  for (const Piece& piece : places.pieces)
    for (int64_t i = 0; i < piece.count; i += kLanes)
      f(piece.offset + i * places.step, places.at.data() + piece.first + i, std::min(kLanes, piece.count - i));
}

void transpose(const WinogradKernels& kernels, const float* const* from, float* const* to) { kernels.transpose(from, to); }
void transpose(const WinogradKernels& kernels, const bfloat16* const* from, float* const* to) { kernels.transpose_bf16(from, to); }
void transpose(const WinogradKernels& kernels, const float* const* from, bfloat16* const* to) { kernels.transpose_to_bf16(from, to); }

}  // namespace

template <typename T>
void load_places(const WinogradKernels& kernels, const T* planes, const Places& places, int64_t channel, int64_t count, float* window) {
  planes += channel * places.channel;
  for_sixteens(places, [&](int64_t offset, const int64_t* at, int64_t n) {
    if (n == kLanes && count == kLanes && places.step == 1) {
      const T* from[kLanes];
      float* to[kLanes];
      for (int64_t l = 0; l < kLanes; ++l) from[l] = planes + l * places.channel + offset, to[l] = window + at[l];
      return transpose(kernels, from, to);
    }
    if (count == kLanes && places.channel == 1) {  // channels lie side by side in the planes, too
      for (int64_t i = 0; i < n; ++i)
        for (int64_t l = 0; l < kLanes; ++l) window[at[i] + l] = static_cast<float>(planes[offset + i * places.step + l]);
      return;
    }
    for (int64_t i = 0; i < n; ++i)
      for (int64_t l = 0; l < kLanes; ++l)
        window[at[i] + l] = l < count ? static_cast<float>(planes[l * places.channel + offset + i * places.step]) : 0.0f;
  });
}

template <typename T>
void store_places(const WinogradKernels& kernels, const float* window, const Places& places, int64_t channel, int64_t count, T* planes) {
  planes += channel * places.channel;
  for_sixteens(places, [&](int64_t offset, const int64_t* at, int64_t n) {
    if (n == kLanes && count == kLanes) {
      const float* from[kLanes];
      T* to[kLanes];
      for (int64_t l = 0; l < kLanes; ++l) from[l] = window + at[l], to[l] = planes + l * places.channel + offset;
      return transpose(kernels, from, to);
    }
    for (int64_t l = 0; l < count; ++l)
      for (int64_t i = 0; i < n; ++i) planes[l * places.channel + offset + i] = static_cast<T>(window[at[i] + l]);
  });
}

template Places places_of(const Source<float>&, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
template Places places_of(const Source<bfloat16>&, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
template void load_places(const WinogradKernels&, const float*, const Places&, int64_t, int64_t, float*);
template void load_places(const WinogradKernels&, const bfloat16*, const Places&, int64_t, int64_t, float*);
template void store_places(const WinogradKernels&, const float*, const Places&, int64_t, int64_t, float*);
template void store_places(const WinogradKernels&, const float*, const Places&, int64_t, int64_t, bfloat16*);

}  // namespace plumb::conv
