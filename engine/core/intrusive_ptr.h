// Shared ownership with the count inside the object: one pointer wide, one allocation an object.
#pragma once
#include <atomic>
#include <cstdint>
#include <utility>

namespace plumb {

/// Base of what IntrusivePtr shares. The count may be changed from any thread.
class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;
  void retain() const { count_.fetch_add(1, std::memory_order_relaxed); }
  /// True when this was the last owner.
  bool drop() const {
    if (count_.load(std::memory_order_acquire) == 1) return true;  // sole owner: nobody else can be counting
    return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  uint32_t use_count() const { return count_.load(std::memory_order_acquire); }
  /// retain() of a new object: nobody else can be counting yet, so no locked instruction is needed.
  void retain_first() const { count_.store(1, std::memory_order_relaxed); }

 private:
  mutable std::atomic<uint32_t> count_{0};
};

/// A shared pointer to T, which has RefCounted as a base and a `void destroy(T*)` found by argument-dependent lookup.
template <typename T>
class IntrusivePtr {
 public:
  IntrusivePtr() = default;
  IntrusivePtr(std::nullptr_t) {}
  explicit IntrusivePtr(T* p) : p_(p) {
    if (p_) p_->retain();
  }
  /// Takes a new object that has no owner yet.
  static IntrusivePtr first_owner(T* fresh) {
    IntrusivePtr owner;
    owner.p_ = fresh;
    fresh->retain_first();
    return owner;
  }
  IntrusivePtr(const IntrusivePtr& o) : IntrusivePtr(o.p_) {}
  IntrusivePtr(IntrusivePtr&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  IntrusivePtr& operator=(IntrusivePtr o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~IntrusivePtr() {
    if (p_ && p_->drop()) destroy(p_);
  }
  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  friend bool operator==(const IntrusivePtr& a, const IntrusivePtr& b) { return a.p_ == b.p_; }

 private:
  T* p_ = nullptr;
};

/// A new T(args...) and its first owner.
template <typename T, typename... Args>
IntrusivePtr<T> make_intrusive(Args&&... args) {
  return IntrusivePtr<T>::first_owner(new T(std::forward<Args>(args)...));
}

}  // namespace plumb
