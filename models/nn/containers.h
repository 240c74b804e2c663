// Containers of modules: ModuleList, whose modules the program calls itself, and Sequential, which calls them one after the other.
#pragma once
#include <concepts>
#include <memory>

#include "models/nn/module.h"

namespace plumb::nn {

/// Modules of one type under the names "0", "1", …:
///   nn::ModuleList<Block> blocks{this, "blocks"};    …    for (int i = 0; i < depth; ++i) blocks.emplace_back(config);
/// A copy of the list has copies of the modules. Adding one moves the others: keep no references to them.
template <std::derived_from<Module> T>
class ModuleList : public Module {
 public:
  ModuleList() = default;
  ModuleList(Module* parent, std::string name) : Module(parent, std::move(name)) {}
  ModuleList(const ModuleList& o) : Module(o) { copy_items(o); }
  ModuleList(ModuleList&&) noexcept = default;
  ModuleList& operator=(const ModuleList& o) {
    if (this == &o) return *this;
    Module::operator=(o);
    copy_items(o);
    return *this;
  }
  ModuleList& operator=(ModuleList&&) noexcept = default;

  template <typename... Args>
  T& emplace_back(Args&&... args) {
    return items_.emplace_back(std::forward<Args>(args)...);
  }
  void push_back(T module) { items_.push_back(std::move(module)); }
  void pop_back() { items_.pop_back(); }
  void clear() { items_.clear(); }
  /// Takes out every module for which f is true; the others keep their order.
  template <typename F>
  void remove_if(F&& f) {
    std::vector<T> kept;
    for (T& item : items_)
      if (!f(static_cast<const T&>(item))) kept.push_back(std::move(item));
    items_ = std::move(kept);
  }
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  T& operator[](size_t i) { return items_[i]; }
  const T& operator[](size_t i) const { return items_[i]; }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }
  T& front() { return items_.front(); }
  const T& front() const { return items_.front(); }
  T& back() { return items_.back(); }

 protected:
  std::vector<std::pair<std::string, Module*>> heap_children() const override {
    std::vector<std::pair<std::string, Module*>> children;
    for (size_t i = 0; i < items_.size(); ++i) children.push_back({std::to_string(i), const_cast<T*>(&items_[i])});
    return children;
  }

 private:
  void copy_items(const ModuleList& o) {
    std::vector<T> copies;
    copies.reserve(o.items_.size());  // so that the place of each copy is known beforehand
    for (size_t i = 0; i < o.items_.size(); ++i) {
      announce_copy(o, o.items_[i], copies.data() + i);
      copies.push_back(o.items_[i]);
    }
    items_ = std::move(copies);
  }
  std::vector<T> items_;
};

/// f_n(… f_2(f_1(x))): modules and plain functions of one tensor, under the names "0", "1", … (functions count too, as in PyTorch):
///   nn::Sequential net{nn::Linear(784, 256), relu, nn::Linear(256, 10)};
class Sequential : public Module {
  // One Sequential alone is a copy, not a step.
  template <typename... F> static constexpr bool kSteps =
      sizeof...(F) > 0 && !(sizeof...(F) == 1 && (std::same_as<std::decay_t<F>, Sequential> && ...)) &&
      (std::invocable<std::decay_t<F>&, const Tensor&> && ...);

 public:
  Sequential() = default;
  Sequential(Module* parent, std::string name) : Module(parent, std::move(name)) {}
  template <typename... F>
    requires kSteps<F...>
  explicit Sequential(F&&... steps) {
    (push_back(std::forward<F>(steps)), ...);
  }
  template <typename... F>
    requires kSteps<F...>
  Sequential(Module* parent, std::string name, F&&... steps) : Module(parent, std::move(name)) {
    (push_back(std::forward<F>(steps)), ...);
  }
  Sequential(const Sequential& o);
  Sequential(Sequential&&) noexcept = default;
  Sequential& operator=(const Sequential& o);
  Sequential& operator=(Sequential&&) noexcept = default;

  template <typename F>
  void push_back(F&& step) {
    steps_.push_back(std::make_unique<Holder<std::decay_t<F>>>(std::forward<F>(step)));
  }
  Tensor operator()(const Tensor& x) const;
  size_t size() const { return steps_.size(); }
  /// The module at place i as an M. Throws IndexError outside the range, ValueError if it is no M.
  template <typename M>
  M& at(size_t i) const {
    auto* module = dynamic_cast<M*>(module_at(i));
    if (!module) throw ValueError("sequential: step " + std::to_string(i) + " is not of the type asked for");
    return *module;
  }

 protected:
  std::vector<std::pair<std::string, Module*>> heap_children() const override;

 private:
  struct Step {
    virtual ~Step() = default;
    virtual Tensor call(const Tensor& x) = 0;
    virtual Module* module() = 0;  ///< null for a function
    virtual std::unique_ptr<Step> copy(const Sequential& source, Sequential& target) const = 0;
  };
  template <typename F>
  struct Holder final : Step {
    explicit Holder(F f) : function(std::move(f)) {}
    Holder(const Sequential& source, Sequential& target, const F& f) : function((announce(source, target, f, &function), f)) {}
    static void announce(const Sequential& source, Sequential& target, const F& f, F* place) {
      if constexpr (std::derived_from<F, Module>) target.announce_copy(source, f, place);
    }
    Tensor call(const Tensor& x) override { return function(x); }
    Module* module() override {
      if constexpr (std::derived_from<F, Module>) return &function;
      else return nullptr;
    }
    std::unique_ptr<Step> copy(const Sequential& source, Sequential& target) const override {
      return std::make_unique<Holder>(source, target, function);
    }
    F function;
  };
  Module* module_at(size_t i) const;
  void copy_steps(const Sequential& o);
  std::vector<std::unique_ptr<Step>> steps_;
};

}  // namespace plumb::nn
