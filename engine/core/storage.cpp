// Returning a storage's memory to where it came from.
#include "engine/core/storage.h"

#include "engine/core/allocator.h"

namespace plumb {

Storage::~Storage() {
  if (!foreign_) {
    if (data_) deallocate(device_, data_, bytes_);
  } else if (release_) {
    release_(context_);
  }
}

}  // namespace plumb
