// How a module is copied. C++ copies the base class first, then member by member, and says neither where the whole copy ends nor which
// member belongs to which copy. But every member of a copy lies where it lies in the original, so the first thing copied, the outermost
// Module, can foretell the address of everything that will follow: its copy opens a session that clones each distinct tensor once and
// lists, for each module and member tensor of the original, where its copy will be constructed. Each of them, when it is copied, looks
// for itself (source and target address) in the open sessions. A tensor found there takes the clone: ties stay ties. A module found
// there is part of a copy in progress; one not found starts a copy. The session closes when its list is empty.
#pragma once
#include <optional>
#include <unordered_map>

#include "models/nn/module.h"

namespace plumb::nn {

class CopySession {
 public:
  /// `target` is being copied (or assigned) from `source`.
  static void module_copied(const Module& source, Module& target);
  /// What `target`, which is being copied from `source`, should hold: its clone, or `source` itself if it is copied alone.
  static Tensor tensor_copied(const MemberTensor& source, const MemberTensor* target);
  /// The copy of a child on the heap will be at `child`.
  static void place(const Module& source_container, const Module& container, const Module& source_child, const void* child);
  /// `target`, whose copy has begun, is complete. If not, it was cut off: copied as its base class, or with a registered thing that is no
  /// member.
  static bool complete(const Module& target);
  static void moved(const Module& from, const Module& to) noexcept;
  static void forget(const Module& target) noexcept;

 private:
  struct Expected {
    const void* target = nullptr;  ///< null: on the heap, not yet placed
    Tensor clone;                  ///< undefined for a module
  };
  CopySession(const Module& source, Module& target);
  /// Takes (source → target) off the list it is on and gives its clone; nothing if no session expects it.
  static std::optional<Tensor> arrived(const void* source, const void* target);
  Tensor clone_of(const Tensor& t);
  void expect(const Module& source, const void* target);
  void place_members(const Module& source, const void* target);

  const Module* target_;
  std::unordered_map<const void*, Expected> expected_;              ///< by address in the original
  std::unordered_map<const Module*, const void*> modules_;          ///< original → copy, of those whose place is known
  std::unordered_map<const TensorImpl*, Tensor> clones_;
};

}  // namespace plumb::nn
