// Free pieces of memory of one size, in a list that runs through the pieces themselves.
#pragma once
#include <cstddef>
#include <cstdint>
#include <new>

namespace plumb::detail {

/// Plain data, so that one can be a thread-local that costs no check whether it was constructed. Owns nothing: whoever has it empties it.
class FreeList {
 public:
  bool empty() const { return !first_; }
  size_t size() const { return size_; }
  /// `memory` has room for a pointer.
  void push(void* memory) {
    first_ = new (memory) Piece{first_};
    ++size_;
  }
  /// The piece pushed last; the list must not be empty.
  void* pop() {
    Piece* piece = first_;
    first_ = piece->next;
    --size_;
    return piece;
  }

 private:
  struct Piece {
    Piece* next;
  };
  Piece* first_ = nullptr;
  size_t size_ = 0;
};

}  // namespace plumb::detail
