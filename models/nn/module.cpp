// Modules: registration, names, state, modes. Copying is in internal/copy_session.cpp.
#include "models/nn/module.h"

#include <algorithm>
#include <cstring>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>

#include "engine/autograd/grad_mode.h"
#include "models/nn/internal/copy_session.h"
#include "ops/shape.h"

namespace plumb::nn {

// -- member tensors ---------------------------------------------------------------------------------

MemberTensor::MemberTensor(const MemberTensor& o) : Tensor(CopySession::tensor_copied(o, this)) {}
MemberTensor& MemberTensor::operator=(const MemberTensor& o) {
  Tensor::operator=(CopySession::tensor_copied(o, this));
  return *this;
}

Parameter::Parameter(Module* owner, std::string name, Tensor value) { owner->register_parameter(std::move(name), *this, std::move(value)); }
Buffer::Buffer(Module* owner, std::string name, Tensor value, bool saved) {
  owner->register_buffer(std::move(name), *this, std::move(value), saved);
}

// -- life -------------------------------------------------------------------------------------------

Module::~Module() { CopySession::forget(*this); }

Module::Module(const Module& o) {
  o.check_complete();
  CopySession::module_copied(o, *this);
  members_ = o.members_;
  training_ = o.training_;
}
Module::Module(Module&& o) noexcept : members_(std::move(o.members_)), training_(o.training_) { CopySession::moved(o, *this); }

Module& Module::operator=(const Module& o) {
  if (this == &o) return *this;
  o.check_complete();
  CopySession::module_copied(o, *this);
  members_ = o.members_;
  training_ = o.training_;
  return *this;
}
Module& Module::operator=(Module&& o) noexcept {
  if (this == &o) return *this;
  CopySession::forget(*this);
  members_ = std::move(o.members_);
  training_ = o.training_;
  CopySession::moved(o, *this);
  return *this;
}

void Module::place_child(const Module& source_container, const Module& source_child, const void* place) {
  CopySession::place(source_container, *this, source_child, place);
}

void Module::check_complete() const {
  if (!CopySession::complete(*this))
    throw ValueError(std::string("module: this ") + typeid(*this).name() +
                     " is an incomplete copy: it was copied as its base class, or something registered with it is not its member");
}

// -- registration -----------------------------------------------------------------------------------

void Module::add_member(std::string name, Kind kind, const void* address) {
  if (name.empty() || name.find('.') != std::string::npos)
    throw ValueError("module: a name must be non-empty and without dots: \"" + name + "\"");
  for (const Member& m : members_)
    if (m.name == name) throw ValueError("module: \"" + name + "\" is registered already");
  members_.push_back({std::move(name), static_cast<const std::byte*>(address) - reinterpret_cast<const std::byte*>(this), kind});
}

void Module::register_module(std::string name, Module& child) { add_member(std::move(name), Kind::module, &child); }
void Module::join(Module* parent, std::string name) {
  if (parent) parent->register_module(std::move(name), *this);
}

void Module::register_parameter(std::string name, Parameter& member, Tensor value) {
  if (!value.defined()) throw ValueError("module: the parameter \"" + name + "\" has no value");
  value.requires_grad_();
  add_member(std::move(name), Kind::parameter, static_cast<MemberTensor*>(&member));
  member = value;
}

void Module::register_buffer(std::string name, Buffer& member, Tensor value, bool saved) {
  add_member(std::move(name), saved ? Kind::buffer : Kind::unsaved_buffer, static_cast<MemberTensor*>(&member));
  member = value;
}

Tensor Module::release_parameter(Parameter& member) {
  auto found =
      std::find_if(members_.begin(), members_.end(), [&](const Member& m) { return m.kind == Kind::parameter && tensor_at(m) == &member; });
  if (found == members_.end()) throw ValueError("module: the parameter to release is not registered with it");
  members_.erase(found);
  Tensor value = member;
  member = Tensor();
  return value;
}

Module* Module::child_at(const Member& m) const {
  return reinterpret_cast<Module*>(const_cast<std::byte*>(reinterpret_cast<const std::byte*>(this)) + m.distance);
}
MemberTensor* Module::tensor_at(const Member& m) const {
  return reinterpret_cast<MemberTensor*>(const_cast<std::byte*>(reinterpret_cast<const std::byte*>(this)) + m.distance);
}

// -- the tree ---------------------------------------------------------------------------------------

std::vector<std::pair<std::string, Module*>> Module::named_children() const {
  check_complete();
  std::vector<std::pair<std::string, Module*>> children;
  for (const Member& m : members_)
    if (m.kind == Kind::module) children.push_back({m.name, child_at(m)});
  for (auto& child : heap_children()) children.push_back(std::move(child));
  return children;
}

// A child without a name (heap_children) is no part of the names below it.
static std::string below(const std::string& name, const std::string& child) {
  return name.empty() ? child : child.empty() ? name : name + "." + child;
}

static void collect_modules(const std::string& name, Module* module, std::vector<std::pair<std::string, Module*>>& out) {
  out.push_back({name, module});
  for (auto& [child_name, child] : module->named_children()) collect_modules(below(name, child_name), child, out);
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() const {
  std::vector<std::pair<std::string, Module*>> all;
  collect_modules("", const_cast<Module*>(this), all);
  return all;
}

void Module::collect(const std::string& prefix, std::vector<Slot>& out) const {
  check_complete();
  for (const Member& m : members_)
    if (m.kind != Kind::module && tensor_at(m)->defined()) out.push_back({prefix + m.name, tensor_at(m), m.kind});
  for (const auto& [name, child] : named_children()) child->collect(name.empty() ? prefix : prefix + name + ".", out);
}

std::vector<Module::Slot> Module::slots() const {
  std::vector<Slot> all;
  collect("", all);
  return all;
}

std::vector<NamedTensor> Module::named_parameters() const {
  std::vector<NamedTensor> named;
  for (Slot& s : slots())
    if (s.kind == Kind::parameter) named.push_back({std::move(s.name), *s.member});
  return named;
}

std::vector<NamedTensor> Module::named_buffers() const {
  std::vector<NamedTensor> named;
  for (Slot& s : slots())
    if (s.kind != Kind::parameter) named.push_back({std::move(s.name), *s.member});
  return named;
}

static std::vector<Tensor> distinct(const std::vector<NamedTensor>& named) {
  std::vector<Tensor> tensors;
  std::unordered_set<const TensorImpl*> seen;
  for (const NamedTensor& n : named)
    if (seen.insert(n.tensor.impl()).second) tensors.push_back(n.tensor);
  return tensors;
}

std::vector<Tensor> Module::parameters() const { return distinct(named_parameters()); }
std::vector<Tensor> Module::buffers() const { return distinct(named_buffers()); }

int64_t Module::num_parameters() const {
  int64_t n = 0;
  for (const Tensor& p : parameters()) n += p.numel();
  return n;
}

void Module::train(bool on) {
  apply([on](Module& m) { m.training_ = on; });
}
void Module::requires_grad_(bool on) {
  for (const Tensor& p : parameters()) p.requires_grad_(on);
}
void Module::zero_grad() {
  for (const Tensor& p : parameters()) p.zero_grad();
}

template <typename F>
void Module::replace_tensors(F&& convert) {
  NoGrad off;
  std::unordered_map<const TensorImpl*, std::pair<Tensor, Tensor>> converted;  // old (kept alive) and new
  for (Slot& s : slots()) {
    auto [it, is_new] = converted.try_emplace(s.member->impl(), *s.member, Tensor());
    if (is_new) {
      Tensor t = convert(*s.member);
      it->second.second = t.same_as(*s.member) ? t : t.requires_grad_(s.member->requires_grad());
    }
    *s.member = it->second.second;
  }
}

void Module::to(DType dtype) {
  if (!is_floating(dtype)) throw DTypeError("module: parameters are floating, not " + std::string(name(dtype)));
  replace_tensors([&](const Tensor& t) { return is_floating(t.dtype()) ? plumb::to(t, dtype) : t; });
}
void Module::to(Device device) {
  replace_tensors([&](const Tensor& t) { return plumb::to(t, device); });
}

// -- state ------------------------------------------------------------------------------------------

StateDict Module::state() const {
  StateDict state;
  for (const Slot& s : slots())
    if (s.kind != Kind::unsaved_buffer) state[s.name] = s.member->detach();
  return state;
}

static std::string quoted_list(const std::vector<std::string>& names) {
  std::string text;
  constexpr size_t kShown = 4;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i ? ", \"" : "\"") + names[i] + "\"";
  return names.size() > kShown ? text + " and " + std::to_string(names.size() - kShown) + " more" : text;
}

static bool same_elements(const Tensor& a, const Tensor& b) {
  if (a.same_as(b)) return true;
  if (a.dtype() != b.dtype()) return false;
  NoGrad off;
  Tensor x = contiguous_data(plumb::to(a, Device{})), y = contiguous_data(plumb::to(b, Device{}));
  return x.raw_data() == y.raw_data() ||
         std::memcmp(x.raw_data(), y.raw_data(), static_cast<size_t>(x.numel()) * item_size(x.dtype())) == 0;
}

LoadReport Module::load_state(const StateDict& state, bool strict) {
  struct Source {
    std::string name;
    Tensor value;
    MemberTensor* member;
  };
  std::vector<Source> sources;
  std::unordered_map<const TensorImpl*, size_t> source_of;  // by the tensor to load into
  std::vector<Slot> all = slots();
  std::unordered_set<std::string> known;
  for (const Slot& s : all) {
    if (s.kind == Kind::unsaved_buffer) continue;
    known.insert(s.name);
    auto found = state.find(s.name);
    if (found == state.end()) continue;
    if (found->second.shape() != s.member->shape())
      throw ShapeError("load_state: \"" + s.name + "\" is " + to_string(found->second.shape()) + " in the state, " +
                       to_string(s.member->shape()) + " in the module");
    auto [it, is_new] = source_of.try_emplace(s.member->impl(), sources.size());
    if (is_new) sources.push_back({s.name, found->second, s.member});
    else if (!same_elements(found->second, sources[it->second].value))
      throw ValueError("load_state: \"" + sources[it->second].name + "\" and \"" + s.name +
                       "\" are one tensor in the module, but differ in the state");
  }
  LoadReport report;
  for (const Slot& s : all)
    if (s.kind != Kind::unsaved_buffer && !source_of.contains(s.member->impl())) report.missing.push_back(s.name);
  for (const auto& [name, value] : state)
    if (!known.contains(name)) report.unexpected.push_back(name);
  if (strict && !report.missing.empty()) throw ValueError("load_state: the state lacks " + quoted_list(report.missing));
  if (strict && !report.unexpected.empty()) throw ValueError("load_state: the module has no " + quoted_list(report.unexpected));
  for (Source& s : sources)
    if (!s.value.same_as(*s.member)) copy_data(s.value, *s.member);
  return report;
}

}  // namespace plumb::nn
