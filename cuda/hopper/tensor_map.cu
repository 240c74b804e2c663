// Tensor maps, by the driver's own function, which is asked for by name: the program does not link the driver.
#include "cuda/hopper/tensor_map.h"

#include <cuda_runtime.h>

#include <limits>
#include <string>

#include "cuda/runtime/error.h"
#include "engine/core/error.h"

namespace plumb::cuda_backend {
namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                            const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

Encode encode() {
  static const Encode function = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result), "tensor map");
    if (result != cudaDriverEntryPointSuccess || !found)
      throw DeviceError("tensor map: the driver has no cuTensorMapEncodeTiled; it is older than CUDA 12");
    return reinterpret_cast<Encode>(found);
  }();
  return function;
}

}  // namespace

bool can_be_mapped(const void* data, const std::vector<MappedDim>& dims) {
  constexpr int64_t kMostStride = int64_t{1} << 39;  // in elements: the map has 40 bits for bytes
  bool fits = reinterpret_cast<uintptr_t>(data) % 16 == 0 && dims.front().stride == 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    fits = fits && dims[i].size > 0 && dims[i].size <= std::numeric_limits<int32_t>::max();
    if (i > 0) fits = fits && dims[i].stride > 0 && dims[i].stride % 8 == 0 && dims[i].stride < kMostStride;
  }
  return fits;
}

CUtensorMap tensor_map(const void* data, DType type, const std::vector<MappedDim>& dims) {
  cuuint64_t sizes[3], strides[2];
  cuuint32_t box[3], steps[3] = {1, 1, 1};
  for (size_t i = 0; i < dims.size(); ++i) {
    sizes[i] = static_cast<cuuint64_t>(dims[i].size);
    box[i] = static_cast<cuuint32_t>(dims[i].box);
    if (i > 0) strides[i - 1] = static_cast<cuuint64_t>(dims[i].stride) * 2;
  }
  CUtensorMap map;
  const CUtensorMapDataType elements = type == bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  const CUresult status = encode()(&map, elements, static_cast<cuuint32_t>(dims.size()), const_cast<void*>(data), sizes, strides, box,
                                   steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                   CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) throw DeviceError("tensor map: the driver refused it with error " + std::to_string(status));
  return map;
}

}  // namespace plumb::cuda_backend
