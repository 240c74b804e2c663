// Sessions are kept in one list for all threads: an address tells them apart, also when models are copied on several threads at once.
#include "models/nn/internal/copy_session.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>

namespace plumb::nn {
namespace {

std::atomic<int> open_sessions{0};  // lets the usual case, no copy in progress, skip the lock
std::mutex sessions_lock;
std::vector<std::unique_ptr<CopySession>>& sessions() {
  static auto* list = new std::vector<std::unique_ptr<CopySession>>;  // never destroyed: modules may outlive static objects
  return *list;
}

// What lies at `address` in `from` will lie here in its copy at `to`, which need not be constructed yet.
const void* moved_by(const void* address, const Module& from, const void* to) {
  return static_cast<const std::byte*>(to) + (static_cast<const std::byte*>(address) - reinterpret_cast<const std::byte*>(&from));
}

}  // namespace

CopySession::CopySession(const Module& source, Module& target) : target_(&target) {
  modules_[&source] = &target;
  expect(source, &target);
}

Tensor CopySession::clone_of(const Tensor& t) {
  if (!t.defined()) return t;
  Tensor& clone = clones_[t.impl()];
  if (!clone.defined()) {
    clone = empty_like(t, "module copy");
    copy_data(t, clone);
    if (t.requires_grad()) clone.requires_grad_();
  }
  return clone;
}

// Lists all that lies below `source`; a null target for what is on the heap.
void CopySession::expect(const Module& source, const void* target) {
  for (const Module::Member& m : source.members_) {
    if (m.kind != Module::Kind::module) {
      const MemberTensor* from = source.tensor_at(m);
      expected_[from] = {target ? moved_by(from, source, target) : nullptr, clone_of(*from)};
      continue;
    }
    const Module* from = source.child_at(m);
    const void* to = target ? moved_by(from, source, target) : nullptr;
    expected_[from] = {to, {}};
    if (to) modules_[from] = to;
    expect(*from, to);
  }
  for (const auto& [name, from] : source.heap_children()) {
    expected_[from] = {};
    expect(*from, nullptr);
  }
}

void CopySession::place_members(const Module& source, const void* target) {
  modules_[&source] = target;
  for (const Module::Member& m : source.members_) {
    const void* from = reinterpret_cast<const std::byte*>(&source) + m.distance;
    if (auto it = expected_.find(from); it != expected_.end()) it->second.target = moved_by(from, source, target);
    if (m.kind == Module::Kind::module) place_members(*source.child_at(m), moved_by(from, source, target));
  }
}

std::optional<Tensor> CopySession::arrived(const void* source, const void* target) {
  if (open_sessions.load() == 0) return std::nullopt;
  std::lock_guard lock(sessions_lock);
  for (auto& session : sessions()) {
    auto it = session->expected_.find(source);
    if (it == session->expected_.end() || it->second.target != target) continue;
    Tensor clone = it->second.clone;
    session->expected_.erase(it);
    if (session->expected_.empty()) std::erase(sessions(), session);
    open_sessions = static_cast<int>(sessions().size());
    return clone;
  }
  return std::nullopt;
}

void CopySession::module_copied(const Module& source, Module& target) {
  if (arrived(&source, &target)) return;
  forget(target);
  std::unique_ptr<CopySession> session(new CopySession(source, target));
  if (session->expected_.empty()) return;
  std::lock_guard lock(sessions_lock);
  sessions().push_back(std::move(session));
  open_sessions = static_cast<int>(sessions().size());
}

Tensor CopySession::tensor_copied(const MemberTensor& source, const MemberTensor* target) {
  std::optional<Tensor> clone = arrived(&source, target);
  return clone ? *clone : static_cast<const Tensor&>(source);
}

void CopySession::place(const Module& source_container, const Module& container, const Module& source_child, const void* child) {
  if (open_sessions.load() == 0) return;
  std::lock_guard lock(sessions_lock);
  for (auto& session : sessions()) {
    auto known = session->modules_.find(&source_container);
    if (known == session->modules_.end() || known->second != &container) continue;
    if (auto it = session->expected_.find(&source_child); it != session->expected_.end()) {
      it->second.target = child;
      session->place_members(source_child, child);
      return;
    }
  }
}

bool CopySession::complete(const Module& target) {
  if (open_sessions.load() == 0) return true;
  std::lock_guard lock(sessions_lock);
  return std::none_of(sessions().begin(), sessions().end(), [&](const auto& s) { return s->target_ == &target; });
}

void CopySession::moved(const Module& from, const Module& to) noexcept {
  if (open_sessions.load() == 0) return;
  std::lock_guard lock(sessions_lock);
  for (auto& session : sessions())
    if (session->target_ == &from) session->target_ = &to;
}

void CopySession::forget(const Module& target) noexcept {
  if (open_sessions.load() == 0) return;
  std::lock_guard lock(sessions_lock);
  std::erase_if(sessions(), [&](const auto& s) { return s->target_ == &target; });
  open_sessions = static_cast<int>(sessions().size());
}

}  // namespace plumb::nn
