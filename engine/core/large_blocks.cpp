// Best fit over parts in order of address. There are hundreds of them at most in a training step, so a scan is cheaper than a tree.
#include "engine/core/large_blocks.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace plumb::detail {
namespace {

constexpr size_t kPiece = size_t{256} << 20;  // of address space: what is not used takes no memory
constexpr size_t kHugePage = size_t{1} << 21;

// `bytes` (whole huge pages) of address space, aligned to huge pages; null if there is none.
char* map(size_t bytes) {
  void* all = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(all);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(all) % kHugePage) % kHugePage;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + bytes, kHugePage - before);
  madvise(begin + before, bytes, MADV_HUGEPAGE);
  return begin + before;
}

}  // namespace

size_t LargeBlocks::best_fit(size_t bytes) const {
  size_t best = parts_.size();
  for (size_t i = 0; i < parts_.size(); ++i)
    if (parts_[i].free && parts_[i].bytes >= bytes && (best == parts_.size() || parts_[i].bytes < parts_[best].bytes)) best = i;
  return best;
}

bool LargeBlocks::extend(size_t bytes) {
  const size_t least = (bytes + kHugePage - 1) / kHugePage * kHugePage, usual = std::max(kPiece, least);
  size_t size = usual;
  char* piece = map(usual);
  if (!piece && least < usual) piece = map(size = least);
  if (!piece) return false;
  auto place = std::upper_bound(parts_.begin(), parts_.end(), piece, [](const char* at, const Part& p) { return at < p.at; });
  parts_.insert(place, {piece, size, 0, true, true});
  return true;
}

void* LargeBlocks::allocate(size_t bytes, int64_t room) try {
  bytes = rounded(bytes);
  parts_.reserve(parts_.size() + 2);  // all that may fail for want of memory comes before anything is changed
  size_t i = best_fit(bytes);
  const size_t held = i < parts_.size() ? std::min(parts_[i].resident, bytes) : 0;
  const auto grown = static_cast<int64_t>(bytes - held);
  if (grown > room) return nullptr;
  if (i == parts_.size()) {
    if (!extend(bytes)) return nullptr;
    i = best_fit(bytes);
  }
  Part& part = parts_[i];
  const Part rest{part.at + bytes, part.bytes - bytes, part.resident - held, true, false};
  part.bytes = part.resident = bytes;
  part.free = false;
  void* block = part.at;
  if (rest.bytes > 0) parts_.insert(parts_.begin() + static_cast<std::ptrdiff_t>(i) + 1, rest);
  reserved_ += grown;
  return block;
} catch (const std::bad_alloc&) {
  return nullptr;
}

void LargeBlocks::deallocate(void* block) noexcept {
  auto part = std::lower_bound(parts_.begin(), parts_.end(), block, [](const Part& p, const void* at) { return p.at < at; });
  part->free = true;
  auto join = [this](auto into, auto next) {
    into->bytes += next->bytes;
    into->resident += next->resident;
    parts_.erase(next);
  };
  if (auto next = part + 1; next != parts_.end() && next->free && !next->first) join(part, next);
  if (part != parts_.begin() && (part - 1)->free && !part->first) join(part - 1, part);
}

void LargeBlocks::release() noexcept {
  for (size_t i = 0; i < parts_.size();) {
    Part& p = parts_[i];
    const bool whole = p.free && p.first && (i + 1 == parts_.size() || parts_[i + 1].first);
    if (p.free) reserved_ -= static_cast<int64_t>(p.resident);
    if (whole) {
      munmap(p.at, p.bytes);
      parts_.erase(parts_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    if (p.free && p.resident > 0) madvise(p.at, p.bytes, MADV_DONTNEED);
    if (p.free) p.resident = 0;
    ++i;
  }
}

}  // namespace plumb::detail
