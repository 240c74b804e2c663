// Batches on their way to a device, copied while it works on the one before.
#pragma once
#include <exception>
#include <optional>
#include <vector>

#include "engine/data/sample.h"

namespace plumb::data {

/// One batch whose copy to a device has begun, from pinned memory and on a stream of its own.
class Upload {
 public:
  /// Begins to copy `batch`, whose tensors are on the CPU, after everything that the device has been given so far. `number` is for the
  /// caller. The device may only have been given work with earlier batches by then.
  Upload(int64_t number, const Batch& batch, Device device);
  /// The upload of a batch that could not be made: finish() throws `error`.
  Upload(int64_t number, std::exception_ptr error) : number_(number), error_(std::move(error)) {}
  /// Waits for the copy.
  ~Upload();
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  int64_t number() const { return number_; }
  /// The batch on the device, for what the device is given from now on; the caller does not wait. Once.
  Batch finish();

 private:
  struct Copy {
    void* pinned;
    size_t bytes;
    void* event;  ///< null until the copy was started
  };
  explicit Upload(int64_t number) : number_(number) {}
  Tensor start(const Tensor& x, Device device);

  int64_t number_;
  std::exception_ptr error_;
  Batch batch_;
  std::vector<Copy> copies_;
};

}  // namespace plumb::data
