// Blocks of a MiB and more: cut out of large pieces of address space and joined again when they are free, so that what one size leaves
// serves another. A list for each size would hold far more than is ever in use at once: a training step frees tensors of many sizes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace plumb::detail {

/// Not for several threads at once.
class LargeBlocks {
 public:
  /// Sizes are rounded up to this.
  static constexpr size_t kGrain = size_t{64} << 10;
  static size_t rounded(size_t bytes) { return (bytes + kGrain - 1) / kGrain * kGrain; }

  /// The smallest free block that is large enough, cut to rounded(bytes); aligned to 64 KiB, its contents undefined. Null if that would
  /// take more than `room` bytes from the system, or more than it has.
  void* allocate(size_t bytes, int64_t room);
  void deallocate(void* block) noexcept;
  /// Gives the system back what no block uses.
  void release() noexcept;
  /// Bytes held from the system: in blocks, and kept for the next ones.
  int64_t reserved() const { return reserved_; }

 private:
  // A part of the address space. Of a free one, `resident` bytes have been used before and are still held.
  struct Part {
    char* at;
    size_t bytes, resident;
    bool free;
    bool first;  // of what the system gave in one piece
  };
  size_t best_fit(size_t bytes) const;
  bool extend(size_t bytes);

  std::vector<Part> parts_;  // by address
  int64_t reserved_ = 0;
};

}  // namespace plumb::detail
