// Module: a model or a part of one. It keeps parameters, buffers and children under names, and copies as a value.
#pragma once
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/tensor.h"
#include "engine/io/state_dict.h"

namespace plumb::nn {

class Module;

/// A tensor that is a member of a module. Alone it copies as any Tensor does: the copy is another handle to the same elements. As part
/// of its module it is copied with it (see Module). Assigning a tensor makes the member that tensor: `head.weight = embedding.weight`
/// ties the two.
class MemberTensor : public Tensor {
 public:
  MemberTensor(const MemberTensor& o);
  MemberTensor(MemberTensor&& o) noexcept = default;
  MemberTensor& operator=(const MemberTensor& o);
  MemberTensor& operator=(MemberTensor&& o) noexcept = default;
  MemberTensor& operator=(const Tensor& t) {
    Tensor::operator=(t);
    return *this;
  }

 protected:
  MemberTensor() = default;
  explicit MemberTensor(Tensor value) : Tensor(std::move(value)) {}
};

/// A tensor that is trained. Default-constructed it is undefined and unnamed: a part that the module does without (no bias).
class Parameter : public MemberTensor {
 public:
  Parameter() = default;
  /// `value` as the parameter `name` of `owner`, of which this object is a member; it requires a gradient.
  Parameter(Module* owner, std::string name, Tensor value);
  using MemberTensor::operator=;
};

/// A tensor that belongs to the state but is not trained (running statistics).
class Buffer : public MemberTensor {
 public:
  Buffer() = default;
  /// `value` as the buffer `name` of `owner`, of which this object is a member. One that is not `saved` is left out of state(), and so is
  /// one that is undefined at the time.
  Buffer(Module* owner, std::string name, Tensor value, bool saved = true);
  using MemberTensor::operator=;
};

struct NamedTensor {
  std::string name;  ///< dotted: "blocks.0.up.weight"
  Tensor tensor;
};

/// What load_state did not find a place or a value for.
struct LoadReport {
  std::vector<std::string> missing;     ///< in the module, not in the state
  std::vector<std::string> unexpected;  ///< in the state, not in the module
};

/// Base of every layer and model:
///
///   struct Mlp : nn::Module {
///     nn::Linear up{this, "up", 784, 256};
///     nn::Linear down{this, "down", 256, 10};
///     Tensor operator()(const Tensor& x) const { return down(gelu(up(x))); }
///   };
///
/// Copying makes an independent module (`Mlp teacher = student;`): parameters and buffers get their own elements, requires_grad and ties
/// are kept (two names for one tensor stay two names for one tensor), gradients are not copied. A plain Tensor member stays shared, as
/// tensors do. Moving keeps the tensors, so modules may live in containers.
///
/// How it works: a module knows its members by their distance in bytes from itself, so the copy of a module, whose members lie at the
/// same distances, knows its own members without registering anything again, and nothing points upwards that a move would have to mend.
/// What is registered must therefore be a member (direct, or in an std::array or std::optional) of the object that registers it, never in
/// a std::unique_ptr or std::vector: those move their elements away from it. Lists of children on the heap are ModuleList and Sequential.
/// How the tensors come to be copied is told in internal/copy_session.h.
class Module {
 public:
  virtual ~Module();

  /// Each tensor once, in order of declaration, children after the module's own.
  std::vector<Tensor> parameters() const;
  std::vector<Tensor> buffers() const;
  /// Every name, also the second one of a tied tensor.
  std::vector<NamedTensor> named_parameters() const;
  std::vector<NamedTensor> named_buffers() const;
  /// Elements of all parameters, tied ones counted once.
  int64_t num_parameters() const;

  /// Parameters and saved buffers under their names. These are handles: what is trained on changes them; copy the module for a snapshot.
  StateDict state() const;
  /// Copies the tensors of `state` into this module's, converting their type. Everything is checked first and nothing is loaded if
  /// something is wrong: throws ShapeError for a tensor of another shape; when `strict` ValueError for missing or unexpected names
  /// (one name of a tied tensor is enough); ValueError if the state holds different values for two names of one tensor.
  LoadReport load_state(const StateDict& state, bool strict = true);

  /// Sets training mode here and below: dropout drops, batch norm uses the batch. Modules start in training mode.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }
  /// requires_grad_ of every parameter: false freezes.
  void requires_grad_(bool on = true);
  /// Forgets the gradients of all parameters.
  void zero_grad();
  /// Converts floating parameters and buffers to `dtype`; moves all to `device`. Ties are kept. Make optimisers afterwards.
  void to(DType dtype);
  void to(Device device);

  /// The direct children with their names.
  std::vector<std::pair<std::string, Module*>> named_children() const;
  /// This module under the name "", then everything below it, parents first.
  std::vector<std::pair<std::string, Module*>> named_modules() const;
  /// f(Module&) for this module and everything below it, children first.
  template <typename F>
  void apply(F&& f) {
    for (auto& [name, child] : named_children()) child->apply(f);
    f(*this);
  }

  /// Registers what has been made before as members of this module. Throws ValueError for a name that is empty, has a dot or is taken.
  void register_module(std::string name, Module& child);
  void register_parameter(std::string name, Parameter& member, Tensor value);
  void register_buffer(std::string name, Buffer& member, Tensor value, bool saved = true);
  /// Takes a parameter off the list and returns its tensor: for a weight that is computed from others from now on.
  /// Throws ValueError if `member` is not a parameter of this module.
  Tensor release_parameter(Parameter& member);

 protected:
  Module() = default;
  /// A child: registered with `parent` (nullptr: a module of its own) under `name`.
  Module(Module* parent, std::string name) { join(parent, std::move(name)); }
  Module(const Module& o);
  Module(Module&& o) noexcept;
  Module& operator=(const Module& o);
  Module& operator=(Module&& o) noexcept;

  /// parent->register_module(name, *this) unless parent is null.
  void join(Module* parent, std::string name);

  /// For containers whose children are not members: those children under their names. What a child under the empty name holds counts
  /// as the container's own: "rnn.weight_ih_l0", not "rnn.0.weight_ih_l0". Its names must then differ from those of its neighbours.
  virtual std::vector<std::pair<std::string, Module*>> heap_children() const { return {}; }
  /// Said by such a container's copy constructor before the copy of `source_child` is constructed at `place`.
  template <typename T>
  void announce_copy(const Module& source_container, const T& source_child, void* place) {
    const Module& as_module = source_child;
    auto distance = reinterpret_cast<const std::byte*>(&as_module) - reinterpret_cast<const std::byte*>(&source_child);
    place_child(source_container, as_module, static_cast<std::byte*>(place) + distance);
  }

 private:
  friend class CopySession;
  enum class Kind : uint8_t { module, parameter, buffer, unsaved_buffer };
  struct Member {
    std::string name;
    ptrdiff_t distance;  ///< from this Module object to the Module or MemberTensor
    Kind kind;
  };
  struct Slot {
    std::string name;
    MemberTensor* member;
    Kind kind;
  };
  void place_child(const Module& source_container, const Module& source_child, const void* place);
  Module* child_at(const Member& m) const;
  MemberTensor* tensor_at(const Member& m) const;
  void add_member(std::string name, Kind kind, const void* address);
  void check_complete() const;
  void collect(const std::string& prefix, std::vector<Slot>& out) const;
  std::vector<Slot> slots() const;
  template <typename F> void replace_tensors(F&& convert);

  std::vector<Member> members_;
  bool training_ = true;

  friend class Parameter;
  friend class Buffer;
};

}  // namespace plumb::nn
