// Pinned copies and their events.
#include "engine/data/internal/upload.h"

#include <cstring>

#include "engine/core/device_runtime.h"

namespace plumb::data {
namespace {

const detail::TransferRuntime& transfers() { return detail::device_runtime().transfers; }

}  // namespace

// By way of another constructor, so that what was begun is ended where one of the tensors finds no room.
Upload::Upload(int64_t number, const Batch& batch, Device device) : Upload(number) {
  for (const std::string& name : batch.names()) batch_.set(name, start(batch[name], device));
  if (batch.index.defined()) batch_.index = start(batch.index, device);
}

// The device's block is the copying stream's: it is not handed out again before the copies that were started in the meantime have waited
// for the work that used it.
Tensor Upload::start(const Tensor& x, Device device) {
  Tensor rows = contiguous_data(x);
  size_t bytes = static_cast<size_t>(x.numel()) * item_size(x.dtype());
  if (bytes == 0) return empty(x.shape(), x.dtype(), device, "upload");
  copies_.reserve(copies_.size() + 1);
  Copy& copy = copies_.emplace_back(Copy{transfers().pin(bytes), bytes, nullptr});
  std::memcpy(copy.pinned, rows.raw_data(), bytes);
  void* block = transfers().start(device.index, copy.pinned, bytes, &copy.event);
  struct Owner {
    Device device;
    void* block;
    size_t bytes;
  };
  auto release = [](void* context) {
    auto* owner = static_cast<Owner*>(context);
    detail::device_runtime_if_used()->deallocate(owner->device.index, owner->block, owner->bytes);
    delete owner;
  };
  return from_blob(block, x.shape(), x.dtype(), release, new Owner{device, block, bytes}, device);
}

Batch Upload::finish() {
  if (error_) std::rethrow_exception(error_);
  for (const Copy& copy : copies_) transfers().wait(copy.event);
  return std::move(batch_);
}

Upload::~Upload() {
  for (const Copy& copy : copies_) {
    if (copy.event) transfers().finish(copy.event);
    transfers().unpin(copy.pinned, copy.bytes);
  }
}

}  // namespace plumb::data
