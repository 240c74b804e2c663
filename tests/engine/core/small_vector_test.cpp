// SmallVector and IntrusivePtr: every element constructed and destroyed once, inline and on the heap; shared counts.
#include "engine/core/small_vector.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "engine/core/intrusive_ptr.h"

using namespace plumb;

namespace {

struct Counted {
  static inline int alive = 0;
  int value;
  explicit Counted(int v = -1) : value(v) { ++alive; }
  Counted(const Counted& o) : value(o.value) { ++alive; }
  Counted(Counted&& o) noexcept : value(std::exchange(o.value, -2)) { ++alive; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --alive; }
};
using Vector = SmallVector<Counted, 3>;

Vector counting(int n) {
  Vector v;
  for (int i = 0; i < n; ++i) v.push_back(Counted(i));
  return v;
}
bool counts(const Vector& v, int n) {
  if (v.size() != static_cast<size_t>(n)) return false;
  for (int i = 0; i < n; ++i)
    if (v[static_cast<size_t>(i)].value != i) return false;
  return true;
}

struct Shared : RefCounted {
  static inline std::atomic<int> alive{0};
  Shared() { ++alive; }
  ~Shared() { --alive; }
};
void destroy(Shared* s) { delete s; }

}  // namespace

TEST_CASE("SmallVector: copies, moves and grows, inline and beyond") {
  for (int n : {0, 1, 3, 4, 20}) {
    CAPTURE(n);
    {
      Vector v = counting(n), copy = v, moved = std::move(v);
      CHECK(counts(copy, n));
      CHECK(counts(moved, n));
      CHECK(v.empty());
      v.push_back(Counted(0));
      CHECK(counts(v, 1));
      v = copy;
      CHECK(counts(v, n));
      v = counting(20 - n);
      CHECK(counts(v, 20 - n));
      copy = std::move(v);
      CHECK(counts(copy, 20 - n));
      copy = std::move(copy);
      CHECK(counts(copy, 20 - n));
    }
    CHECK(Counted::alive == 0);
  }
}

TEST_CASE("SmallVector: resize, clear, back, iteration, an element pushed from itself") {
  {
    Vector v = counting(3);
    v.push_back(v[2]);
    CHECK(v.back().value == 2);
    v.resize(6);
    CHECK(v[5].value == -1);
    v.resize(2);
    CHECK(counts(v, 2));
    int sum = 0;
    for (const Counted& c : v) sum += c.value;
    CHECK(sum == 1);
    v.clear();
    CHECK(v.empty());
    Vector list{Counted(0), Counted(1), Counted(2), Counted(3)};
    CHECK(counts(list, 4));
  }
  CHECK(Counted::alive == 0);
}

TEST_CASE("IntrusivePtr: the last owner destroys, whoever it is") {
  {
    IntrusivePtr<Shared> a(new Shared), b = a, c = std::move(b);
    CHECK_FALSE(static_cast<bool>(b));
    CHECK(a == c);
    CHECK(a->use_count() == 2);
    a = nullptr;
    CHECK(Shared::alive == 1);
    auto& same = c;
    c = same;
    CHECK(c->use_count() == 1);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([c] {
        for (int i = 0; i < 10000; ++i) IntrusivePtr<Shared> copy = c;
      });
    for (auto& t : threads) t.join();
    threads.clear();
    CHECK(c->use_count() == 1);
  }
  CHECK(Shared::alive == 0);
}
