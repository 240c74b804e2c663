// Bringing a tensor's elements together in host memory.
#include "engine/io/host_rows.h"

namespace plumb {

Tensor host_rows(const Tensor& x) {
  if (x.device().type == DeviceType::cpu) return contiguous_data(x);
  Tensor host = empty(x.shape(), x.dtype(), cpu, "host_rows");
  copy_data(x, host);
  return host;
}

}  // namespace plumb
