// The pool of small objects: reuse, sizes, objects that change threads or outlive theirs.
#include "engine/core/object_pool.h"

#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "engine/core/allocator.h"
#include "engine/core/tensor.h"

using namespace plumb;

namespace {

template <size_t kBytes>
struct Piece : detail::Pooled {
  unsigned char bytes[kBytes];
};

// Several at once, each filled to its end: pieces that overlapped or were too small would spoil each other.
template <size_t kBytes>
void fill_and_check() {
  std::vector<Piece<kBytes>*> pieces;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 1500; ++i) {
      pieces.push_back(new Piece<kBytes>);
      std::memset(pieces.back()->bytes, i % 251, kBytes);
    }
    std::set<void*> places(pieces.begin(), pieces.end());
    CHECK(places.size() == pieces.size());
    int spoiled = 0;
    for (int i = 0; i < 1500; ++i)
      for (unsigned char byte : pieces[static_cast<size_t>(i)]->bytes) spoiled += byte != i % 251;
    CHECK(spoiled == 0);
    for (auto* p : pieces) delete p;
    pieces.clear();
  }
}

struct Base : detail::Pooled {
  virtual ~Base() = default;
};
struct Wide : Base {
  char bytes[700];
};

}  // namespace

TEST_CASE("object pool: pieces of every size hold their object, more of them than a list keeps, and larger ones") {
  fill_and_check<1>();
  fill_and_check<63>();
  fill_and_check<64>();
  fill_and_check<65>();
  fill_and_check<768>();
  fill_and_check<769>();
  fill_and_check<5000>();
}

TEST_CASE("object pool: an object deleted through its base returns to the list of its own size") {
  for (int i = 0; i < 3; ++i) {
    Base* wide = new Wide;
    void* place = dynamic_cast<void*>(wide);
    delete wide;
    auto* small = new Piece<8>;
    CHECK(static_cast<void*>(small) != place);
    delete small;
  }
}

TEST_CASE("object pool: objects may be deleted by another thread, and outlive the one that made them") {
  std::vector<Tensor> made;
  std::thread([&] {
    for (int i = 0; i < 3000; ++i) made.push_back(full({2}, i));
  }).join();
  CHECK(made[2999].data<float>()[1] == 2999);
  std::thread([&] { made.clear(); }).join();
  std::thread([&] {
    for (int i = 0; i < 10; ++i) made.push_back(full({2}, i));
  }).join();
  for (int i = 0; i < 10; ++i) CHECK(made[static_cast<size_t>(i)].data<float>()[0] == static_cast<float>(i));
}

TEST_CASE("object pool: a thread's last objects may die after its pool and its cache of blocks were closed") {
  int64_t live = memory_stats(cpu).live;
  std::thread([] {
    static thread_local Tensor late;  // constructed before the pool is opened below, so destroyed after it is closed
    CHECK_FALSE(late.defined());
    late = full({3}, 7);
    full({3}, 8);
  }).join();
  CHECK(memory_stats(cpu).live == live);
}
