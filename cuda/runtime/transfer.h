// Copies from pinned memory on a stream of their own, beside the work of the current stream.
#pragma once
#include "engine/core/device_runtime.h"

namespace plumb::cuda_backend {

plumb::detail::TransferRuntime transfer_runtime();

}  // namespace plumb::cuda_backend
