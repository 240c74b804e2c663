// The backward pass: nodes are visited from the latest to the earliest, so each has all its gradient when its turn comes.
#include "engine/autograd/backward.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "engine/autograd/engine_operations.h"
#include "engine/autograd/grad_mode.h"
#include "engine/autograd/gradient_ready.h"
#include "engine/core/data_kernels.h"
#include "engine/core/watcher.h"

namespace plumb {
namespace {

thread_local bool anomaly_mode = false;

// Nobody but this handle can see the elements, so they may be overwritten.
bool sole_owner(const Tensor& t) {
  return t.impl()->use_count() == 1 && t.impl()->storage->use_count() == 1 && t.is_contiguous() && !t.impl()->base;
}

Tensor sum(Tensor a, Tensor b, bool create_graph) {
  if (!create_graph && a.dtype() == b.dtype() && a.shape() == b.shape()) {
    if (!sole_owner(a)) std::swap(a, b);
    if (sole_owner(a)) {
      kernel::accumulate(a.device(), b, a);
      return a;
    }
  }
  return detail::engine_operations().add(a, b);
}

void run_hooks(const std::vector<GradientHook>& hooks, Tensor& gradient) {
  for (const auto& hook : hooks)
    if (Tensor replaced = hook(gradient); replaced.defined()) gradient = replaced;
}

void check_gradient(const Shape& shape, DType dtype, const Tensor& gradient, const char* whose) {
  if (gradient.shape() != shape)
    throw ShapeError(std::string("backward: the gradient of ") + whose + " has shape " + to_string(gradient.shape()) + ", its tensor " +
                     to_string(shape));
  if (gradient.dtype() != dtype)
    throw DTypeError(std::string("backward: the gradient of ") + whose + " is " + std::string(name(gradient.dtype())) + ", its tensor " +
                     std::string(name(dtype)));
}

// A leaf, and the number of the earliest node that gives to its gradient, after which it is complete.
struct AwaitedLeaf {
  TensorImplPtr leaf;
  uint64_t last;
};

// Those that `root` depends on, the first complete first. Leaves of one node, which are complete together, in the order of its inputs.
std::vector<AwaitedLeaf> awaited_leaves(const Tensor& root) {
  std::vector<AwaitedLeaf> leaves;
  std::unordered_map<TensorImpl*, size_t> place;
  Edge start = edge_of(root);
  std::vector<Node*> stack;
  std::unordered_set<Node*> seen;
  auto meet = [&](const Edge& edge, uint64_t from) {
    if (edge.leaf) {
      auto [known, fresh] = place.try_emplace(edge.leaf.get(), leaves.size());
      if (fresh) leaves.push_back({edge.leaf, from});
      else leaves[known->second].last = std::min(leaves[known->second].last, from);
    } else if (edge.node && seen.insert(edge.node.get()).second) {
      stack.push_back(edge.node.get());
    }
  };
  meet(start, UINT64_MAX);
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    for (const Edge& edge : node->edges) meet(edge, node->sequence);
  }
  auto hooked = [](const AwaitedLeaf& a) { return a.leaf->grad_state && !a.leaf->grad_state->hooks.empty(); };
  for (AwaitedLeaf& a : leaves)
    if (hooked(a)) a.last = 0;
  std::stable_sort(leaves.begin(), leaves.end(), [](const AwaitedLeaf& a, const AwaitedLeaf& b) { return a.last > b.last; });
  return leaves;
}

// One pass over the graph, either into grad() of the leaves or into the gradients of chosen inputs.
class BackwardPass {
 public:
  BackwardPass(GradOptions options, const std::vector<Tensor>* inputs) : options_(options), selective_(inputs != nullptr) {
    if (!inputs) return;
    results.resize(inputs->size());
    for (size_t i = 0; i < inputs->size(); ++i) {
      Edge edge = edge_of((*inputs)[i]);
      if (edge.leaf) wanted_leaves_[edge.leaf.get()].push_back(i);
      else wanted_outputs_[edge.node.get()].push_back({edge.output_index, i});
      earliest_ = std::min(earliest_, edge.leaf ? 0 : edge.node->sequence);
    }
  }

  void add_root(const Tensor& output, Tensor gradient) {
    Edge edge = edge_of(output);
    if (selective_ && edge.node) mark_paths(edge.node.get());
    deliver(edge, std::move(gradient));
  }
  void run();
  /// Has `ready` called as backward_by_leaf says.
  void tell(const Tensor& root, const std::function<void(const Tensor&)>& ready) {
    awaited_ = awaited_leaves(root);
    ready_ = &ready;
  }

  std::vector<Tensor> results;

 private:
  struct Pending {
    NodePtr node;
    Grads gradients;
  };
  Pending& pending_at(uint64_t sequence);
  Pending& earlier(uint64_t sequence);
  Pending take_latest();
  bool leads_to_input(const Edge& edge) const {
    if (edge.leaf) return wanted_leaves_.contains(edge.leaf.get());
    if (wanted_outputs_.contains(edge.node.get())) return true;
    auto found = on_path_.find(edge.node.get());
    return found != on_path_.end() && found->second;
  }
  void mark_paths(Node* root);
  void visit(Node& node, Grads& gradients);
  void deliver(const Edge& edge, Tensor gradient);
  void deliver_leaf(TensorImpl& leaf, Tensor gradient);
  void tell_complete(uint64_t visited);
  void capture(Node& node, Grads& gradients);
  Needs needs(const Node& node) const;
  void keep_result(size_t i, const Tensor& g) { results[i] = results[i].defined() ? sum(results[i], g, options_.create_graph) : g; }

  GradOptions options_;
  bool selective_;
  Pending latest_;                                 // what is visited next, kept apart: along a chain of operations nothing else is pending
  std::map<uint64_t, Pending> earlier_;            // the rest, by sequence number
  std::map<uint64_t, Pending>::node_type spare_;   // an entry of `earlier_` for reuse
  std::unordered_map<Node*, std::vector<std::pair<uint32_t, size_t>>> wanted_outputs_;
  std::unordered_map<TensorImpl*, std::vector<size_t>> wanted_leaves_;
  std::vector<std::pair<TensorImplPtr, Tensor>> hooked_leaves_;
  std::unordered_map<Node*, bool> on_path_;  // the node leads to a wanted input
  std::vector<AwaitedLeaf> awaited_;         // leaves whose completion a callback waits for
  size_t told_ = 0;
  const std::function<void(const Tensor&)>* ready_ = nullptr;
  uint64_t earliest_ = UINT64_MAX;           // sequence of the earliest wanted input: nothing before it leads to one
};

// Depth-first without recursion: a node is on a path if one of its edges leads to an input.
void BackwardPass::mark_paths(Node* root) {
  if (on_path_.contains(root)) return;
  std::vector<std::pair<Node*, size_t>> stack{{root, 0}};
  on_path_[root] = false;
  while (!stack.empty()) {
    auto& [node, next] = stack.back();
    if (next < node->edges.size()) {
      Node* child = node->edges[next++].node.get();
      if (child && child->sequence >= earliest_ && on_path_.try_emplace(child, false).second) stack.push_back({child, 0});
      continue;
    }
    bool leads = false;
    for (const Edge& edge : node->edges) leads = leads || (edge && leads_to_input(edge));
    on_path_[node] = leads;
    stack.pop_back();
  }
}

Needs BackwardPass::needs(const Node& node) const {
  uint64_t bits = 0;
  for (size_t i = 0; i < node.edges.size() && i < 64; ++i)
    if (node.edges[i] && (!selective_ || leads_to_input(node.edges[i]))) bits |= uint64_t{1} << i;
  return Needs(bits);
}

void BackwardPass::deliver_leaf(TensorImpl& leaf, Tensor gradient) {
  check_gradient(leaf.shape, leaf.dtype, gradient, "a leaf");
  if (selective_) {
    if (auto found = wanted_leaves_.find(&leaf); found != wanted_leaves_.end())
      for (size_t i : found->second) keep_result(i, gradient);
    return;
  }
  if (!leaf.grad_state) leaf.grad_state = std::make_shared<GradState>();
  Tensor& grad = leaf.grad_state->grad;
  if (!grad.defined()) {
    // Its own memory, under create_graph too: later passes add to it in place.
    grad = sole_owner(gradient) ? std::move(gradient) : detail::engine_operations().clone(gradient);
  } else if (options_.create_graph || grad.requires_grad()) {
    grad = detail::engine_operations().add(grad, gradient);
  } else {
    kernel::accumulate(grad.device(), gradient, grad);
    grad.impl()->storage->bump_version();
  }
}

void BackwardPass::deliver(const Edge& edge, Tensor gradient) {
  if (!edge || (selective_ && !leads_to_input(edge))) return;
  if (edge.leaf && edge.leaf->grad_state && !edge.leaf->grad_state->hooks.empty()) {  // hooks see the whole gradient: at the end
    auto found = std::find_if(hooked_leaves_.begin(), hooked_leaves_.end(), [&](auto& entry) { return entry.first == edge.leaf; });
    Tensor& total = found != hooked_leaves_.end() ? found->second : hooked_leaves_.emplace_back(edge.leaf, Tensor()).second;
    total = total.defined() ? sum(std::move(total), std::move(gradient), options_.create_graph) : std::move(gradient);
    return;
  }
  if (edge.leaf) return deliver_leaf(*edge.leaf, std::move(gradient));
  Pending& pending = pending_at(edge.node->sequence);
  if (!pending.node) {
    pending.node = edge.node;
    pending.gradients.resize(edge.node->output_count);
  }
  Tensor& slot = pending.gradients[edge.output_index];
  slot = slot.defined() ? sum(std::move(slot), std::move(gradient), options_.create_graph) : std::move(gradient);
}

BackwardPass::Pending& BackwardPass::earlier(uint64_t sequence) {
  auto found = earlier_.lower_bound(sequence);
  if (found != earlier_.end() && found->first == sequence) return found->second;
  if (!spare_) return earlier_.try_emplace(found, sequence)->second;
  spare_.key() = sequence;
  return earlier_.insert(found, std::move(spare_))->second;
}

BackwardPass::Pending& BackwardPass::pending_at(uint64_t sequence) {
  if (latest_.node && latest_.node->sequence == sequence) return latest_;
  bool later = latest_.node ? sequence > latest_.node->sequence : earlier_.empty() || sequence > earlier_.rbegin()->first;
  if (!later) return earlier(sequence);
  if (latest_.node) earlier(latest_.node->sequence) = std::move(latest_);
  return latest_;
}

BackwardPass::Pending BackwardPass::take_latest() {
  if (latest_.node || earlier_.empty()) return std::move(latest_);
  auto entry = earlier_.extract(std::prev(earlier_.end()));
  Pending latest = std::move(entry.mapped());
  if (!spare_) spare_ = std::move(entry);
  return latest;
}

// Hooks, kept gradients and wanted results of a node's outputs.
void BackwardPass::capture(Node& node, Grads& gradients) {
  if (node.watchers)
    for (auto& [output, hook] : node.watchers->hooks)
      if (gradients[output].defined()) run_hooks({hook}, gradients[output]);
  if (node.watchers && !selective_)
    for (auto& [output, state] : node.watchers->retained)
      if (gradients[output].defined())
        state->grad = state->grad.defined() ? detail::engine_operations().add(state->grad, gradients[output]) : gradients[output];
  if (auto found = wanted_outputs_.find(&node); found != wanted_outputs_.end())
    for (auto [output, i] : found->second)
      if (gradients[output].defined()) keep_result(i, gradients[output]);
}

void BackwardPass::visit(Node& node, Grads& gradients) {
  if (node.watchers || selective_) capture(node, gradients);
  if (selective_) {
    auto on_path = on_path_.find(&node);
    if (on_path == on_path_.end() || !on_path->second) return;
  }
  if (node.released)
    throw AutogradError(std::string("backward: what ") + node.name +
                        " saved was freed by an earlier backward, which did not retain the graph (retain_graph)");
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = zeros(node.outputs[i].shape, node.outputs[i].dtype, node.outputs[i].device);
  if (watcher()) [[unlikely]] watcher()->backward_begins(node.name);
  Grads out = node.backward(gradients, needs(node));
  if (watcher()) [[unlikely]] watcher()->backward_ended();
  gradients.clear();
  if (out.size() != node.edges.size())
    throw AutogradError(std::string("backward: ") + node.name + " gave " + std::to_string(out.size()) + " gradients for " +
                        std::to_string(node.edges.size()) + " inputs");
  for (size_t i = 0; i < out.size(); ++i) {
    if (!out[i].defined()) continue;
    if (anomaly_mode && detail::engine_operations().has_nan(out[i]))
      throw AutogradError(std::string("anomaly: the derivative of ") + node.name + " with respect to input " + std::to_string(i) +
                          " has a NaN");
    deliver(node.edges[i], std::move(out[i]));
  }
  if (!options_.retain_graph && !options_.create_graph) node.release();
}

// All nodes from `visited` on have given what they had.
void BackwardPass::tell_complete(uint64_t visited) {
  for (; told_ < awaited_.size() && awaited_[told_].last >= visited; ++told_) (*ready_)(Tensor(awaited_[told_].leaf));
}

void BackwardPass::run() {
  GradMode recording(options_.create_graph);
  for (Pending next = take_latest(); next.node; next = take_latest()) {
    visit(*next.node, next.gradients);
    if (ready_) tell_complete(std::max<uint64_t>(next.node->sequence, 1));
  }
  for (auto& [leaf, gradient] : hooked_leaves_) {
    run_hooks(leaf->grad_state->hooks, gradient);
    deliver_leaf(*leaf, std::move(gradient));
  }
  if (ready_) tell_complete(0);
}

Tensor root_gradient(const Tensor& output, const Tensor& given) {
  if (!output.requires_grad())
    throw AutogradError("backward: the output does not depend on a tensor that requires a gradient" +
                        std::string(is_floating(output.dtype()) ? "" : " (integers have no derivative)"));
  if (given.defined()) {
    check_gradient(output.shape(), output.dtype(), given, "an output");
    return given;
  }
  if (output.numel() != 1)
    throw ShapeError("backward: an output of shape " + to_string(output.shape()) +
                     " needs a gradient to start from; only one element has the gradient 1");
  return ones_like(output);
}

void add_roots(BackwardPass& pass, const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients) {
  if (!gradients.empty() && gradients.size() != outputs.size())
    throw ShapeError("backward: " + std::to_string(gradients.size()) + " gradients for " + std::to_string(outputs.size()) + " outputs");
  std::vector<Tensor> roots;
  for (size_t i = 0; i < outputs.size(); ++i) roots.push_back(root_gradient(outputs[i], gradients.empty() ? Tensor() : gradients[i]));
  for (size_t i = 0; i < outputs.size(); ++i) pass.add_root(outputs[i], std::move(roots[i]));
}

}  // namespace

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs, GradOptions options,
                         const std::vector<Tensor>& gradients) {
  for (const Tensor& x : inputs)
    if (!x.requires_grad()) throw AutogradError("grad: an input of shape " + to_string(x.shape()) + " does not require a gradient");
  BackwardPass pass(options, &inputs);
  {
    GradMode recording(options.create_graph);
    add_roots(pass, outputs, gradients);
  }
  pass.run();
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!pass.results[i].defined() && !options.allow_unused)
      throw AutogradError("grad: the outputs do not depend on input " + std::to_string(i) +
                          "; pass allow_unused to get an undefined tensor for it");
  return pass.results;
}

void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients, GradOptions options) {
  BackwardPass pass(options, nullptr);
  {
    GradMode recording(options.create_graph);
    add_roots(pass, outputs, gradients);
  }
  pass.run();
}

std::vector<Tensor> leaves_by_readiness(const Tensor& output) {
  std::vector<Tensor> leaves;
  for (const AwaitedLeaf& a : awaited_leaves(output)) leaves.push_back(Tensor(a.leaf));
  return leaves;
}

void backward_by_leaf(const Tensor& output, const std::function<void(const Tensor&)>& ready) {
  BackwardPass pass({}, nullptr);
  {
    GradMode recording(false);
    add_roots(pass, {output}, {});
  }
  pass.tell(output, ready);
  pass.run();
}

AnomalyMode::AnomalyMode(bool enabled) : before_(std::exchange(anomaly_mode, enabled)) {}
AnomalyMode::~AnomalyMode() { anomaly_mode = before_; }
bool AnomalyMode::enabled() { return anomaly_mode; }

}  // namespace plumb
