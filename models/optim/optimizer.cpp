// The base of all optimisers: the course of a step, state that can grow, saving and loading.
#include "models/optim/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "engine/autograd/grad_mode.h"
#include "engine/core/capture.h"
#include "ops/shape.h"

namespace plumb::optim {

void check_option(bool fine, const char* optimizer, const char* what, const char* wanted, double value) {
  if (!fine) throw ValueError(fmt::format("{}: {} must {}, it is {}", optimizer, what, wanted, value));
}

// A fused update as it was recorded: which slots, where their tensors lie, and the constants that its kernel reads.
struct Optimizer::Recorded {
  std::vector<size_t> slots;
  std::vector<const void*> places;
  Tensor constants, brought;  ///< [slots, 8], on the GPU and on the host
  bool renewing = false;      ///< update() is called for its constants alone
  int64_t next = 0;           ///< row of `brought`

  static void add_places(const Slot& s, std::vector<const void*>& to) {
    to.push_back(s.parameter.raw_data());
    to.push_back(s.master.defined() ? s.master.raw_data() : nullptr);
    for (const Tensor& t : s.state) to.push_back(t.defined() ? t.raw_data() : nullptr);
  }
  void place(std::vector<UpdateTensor>& tensors) {
    for (size_t i = 0; i < tensors.size(); ++i) tensors[i].device_constants = select(constants, 0, static_cast<int64_t>(i));
  }
  void bring(const std::array<double, 8>& row) { std::copy(row.begin(), row.end(), brought.data<double>() + 8 * next++); }
};

// -- a step -----------------------------------------------------------------------------------------

void Optimizer::step() {
  if (is_recording() && can_be_recorded()) return record_step();
  eagerly([this] { step_now(); });
}

void Optimizer::step_now() {
  NoGrad off;
  std::vector<Slot*> active = prepare();
  std::vector<Tensor> before = values_before(active);
  for (Slot* s : active) ++s->steps;
  update(active);
  finish(active, before);
}

std::vector<Optimizer::Slot*> Optimizer::prepare() {
  std::vector<Slot*> active;
  for (Slot& s : slots_)
    if (s.parameter.grad().defined()) {
      s.gradient = s.parameter.grad().detach();
      active.push_back(&s);
    }
  transform_gradients(active);
  return active;
}

std::vector<Tensor> Optimizer::values_before(std::span<Slot* const> active) {
  std::vector<Tensor> before;
  if (std::any_of(hooks_.begin(), hooks_.end(), [](const UpdateHook& h) { return h.needs_before; }))
    for (Slot* s : active) before.push_back(clone(value_of(*s)));
  return before;
}

void Optimizer::finish(std::span<Slot* const> active, const std::vector<Tensor>& before) {
  if (!hooks_.empty()) run_hooks(active, before);
  for (Slot* s : active) s->gradient = {};
}

void Optimizer::transform_gradients(std::vector<Slot*>& active) {
  if (!transforms_.empty()) {
    std::vector<Tensor> parameters, gradients;
    for (Slot* s : active) {
      parameters.push_back(s->parameter);
      gradients.push_back(s->gradient);
    }
    for (const GradientTransform& transform : transforms_) transform(parameters, gradients);
    for (size_t i = 0; i < active.size(); ++i) active[i]->gradient = gradients[i];
  }
  std::erase_if(active, [](Slot* s) { return !s->gradient.defined(); });
  for (Slot* s : active)
    if (s->gradient.shape() != s->parameter.shape())
      throw ShapeError("optimizer: a gradient is " + to_string(s->gradient.shape()) + ", its parameter " + to_string(s->parameter.shape()));
}

void Optimizer::run_hooks(std::span<Slot* const> active, const std::vector<Tensor>& before) {
  for (size_t i = 0; i < active.size(); ++i) {
    Slot& s = *active[i];
    for (const UpdateHook& hook : hooks_) {
      Update u{s.parameter, value_of(s), hook.needs_before ? before[i] : Tensor(), rate(s)};
      hook.apply(u);
    }
    if (s.master.defined()) copy_data(s.master, s.parameter);
  }
}

Tensor Optimizer::value_of(Slot& s) {
  bool narrow = s.parameter.dtype() == bf16 || s.parameter.dtype() == f16;
  if (narrow && !s.master.defined()) s.master = clone(to(s.parameter.detach(), f32));
  return narrow ? s.master : s.parameter;
}

Tensor Optimizer::state_of(Slot& s, size_t i, double start) {
  if (s.state.size() <= i) s.state.resize(i + 1);
  if (!s.state[i].defined()) s.state[i] = full(s.parameter.shape(), start, s.parameter.dtype() == f64 ? f64 : f32, s.parameter.device());
  return s.state[i];
}

void Optimizer::Fused::add(Slot& slot, std::array<Tensor, 3> state, const std::array<double, 8>& constants) {
  if (optimizer_.recorded_ && optimizer_.recorded_->renewing) return optimizer_.recorded_->bring(constants);
  value_of(slot);
  tensors_.push_back({contiguous_data(slot.parameter), contiguous_data(to(slot.gradient, slot.parameter.dtype())), slot.master,
                      std::move(state), constants});
  slots_.push_back(&slot);
}

void Optimizer::Fused::run() {
  if (tensors_.empty()) return;
  Device device = tensors_[0].parameter.device();
  for (const UpdateTensor& u : tensors_)
    if (u.parameter.device() != device)
      throw DeviceError("optimizer: parameters on " + to_string(device) + " and " + to_string(u.parameter.device()));
  if (optimizer_.recorded_) optimizer_.recorded_->place(tensors_);
  else if (device.type != DeviceType::cpu) optimizer_.make_room_for_constants(static_cast<int64_t>(tensors_.size()), device);
  kernel::update(device, rule_, tensors_);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Tensor& parameter = slots_[i]->parameter;
    if (parameter.is_contiguous()) parameter.impl()->storage->bump_version();
    else copy_data(tensors_[i].parameter, parameter);
  }
}

void Optimizer::zero_grad() {
  for (Slot& s : slots_) s.parameter.zero_grad();
}

// -- a step that is captured --------------------------------------------------------------------------

void Optimizer::make_room_for_constants(int64_t count, Device device) {
  if (is_fused() && (!constants_.defined() || constants_.size(0) < count)) constants_ = empty({count, 8}, f64, device, "optimizer");
}

// State that is made while recording would be made again at each replay: each slot must have had an update before.
bool Optimizer::can_be_recorded() const {
  if (!is_fused() || !transforms_.empty() || !hooks_.empty()) return false;
  int64_t count = 0;
  for (const Slot& s : slots_)
    if (s.parameter.grad().defined()) {
      if (s.steps == 0) return false;
      ++count;
    }
  return count > 0 && constants_.defined() && constants_.size(0) >= count;
}

void Optimizer::update_for(Recorded& recorded, std::span<Slot* const> slots) {
  recorded_ = &recorded;
  struct Scope {
    Recorded*& recorded;
    ~Scope() { recorded = nullptr; }
  } scope{recorded_};
  update(slots);
}

void Optimizer::record_step() {
  NoGrad off;
  std::vector<Slot*> active = prepare();
  auto recorded = std::make_shared<Recorded>();
  auto count = static_cast<int64_t>(active.size());
  recorded->constants =
      narrow(std::exchange(constants_, {}), 0, 0, count);  // a second step in this recording needs others: it is done eagerly
  recorded->brought = empty({count, 8}, f64, cpu, "optimizer");
  for (Slot* s : active) {
    recorded->slots.push_back(static_cast<size_t>(s - slots_.data()));
    Recorded::add_places(*s, recorded->places);
  }
  update_for(*recorded, active);
  finish(active, {});
  recorded->renewing = true;
  before_replay([this, recorded] { renew(*recorded); });
}

void Optimizer::renew(Recorded& recorded) {
  NoGrad off;
  std::vector<Slot*> active;
  std::vector<const void*> places;
  for (size_t i : recorded.slots) {
    active.push_back(&slots_.at(i));
    Recorded::add_places(slots_[i], places);
  }
  if (places != recorded.places || !transforms_.empty() || !hooks_.empty())
    throw ValueError(
        "optimizer: its tensors, transforms or hooks are others than when the step was captured; call reset() of the captured step then");
  for (Slot* s : active) ++s->steps;
  recorded.next = 0;
  update_for(recorded, active);
  copy_data(recorded.brought, recorded.constants);
  for (Slot* s : active) s->parameter.impl()->storage->bump_version();
}

// -- parameters -------------------------------------------------------------------------------------

std::vector<Tensor> Optimizer::parameters() const {
  std::vector<Tensor> all;
  for (const Slot& s : slots_) all.push_back(s.parameter);
  return all;
}

void Optimizer::add_parameter(Tensor parameter, size_t group) {
  if (group >= group_count()) throw ValueError("optimizer: there is no group " + std::to_string(group));
  if (!parameter.defined()) throw ValueError("optimizer: a parameter is undefined");
  if (!is_floating(parameter.dtype())) throw DTypeError("optimizer: a parameter is " + std::string(name(parameter.dtype())));
  for (const Slot& s : slots_)
    if (s.parameter.same_as(parameter))
      throw ValueError("optimizer: a parameter of shape " + to_string(parameter.shape()) + " is given twice");
  slots_.push_back({std::move(parameter), group});
}

static Tensor enlarge(const Tensor& t, const Shape& shape) {
  if (!t.defined()) return t;
  Tensor wide = zeros(shape, t.dtype(), t.device());
  Tensor corner = view_of(wide, t.shape(), wide.strides(), 0);
  copy_data(t, corner);
  return wide;
}

void Optimizer::replace_parameter(const Tensor& parameter, Tensor enlarged) {
  auto slot = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& s) { return s.parameter.same_as(parameter); });
  if (slot == slots_.end()) throw ValueError("optimizer: the parameter to replace is not one of its parameters");
  const Shape &from = parameter.shape(), &to = enlarged.shape();
  bool fits = from.rank() == to.rank();
  for (int d = 0; fits && d < from.rank(); ++d) fits = from[d] <= to[d];
  if (!fits) throw ShapeError("optimizer: a parameter " + to_string(from) + " cannot grow to " + to_string(to));
  for (Tensor& t : slot->state) t = enlarge(t, to);
  slot->master = {};
  slot->parameter = std::move(enlarged);
}

// -- saving and loading -----------------------------------------------------------------------------

OptimizerState Optimizer::state() const {
  OptimizerState saved;
  saved.scalars["lr_scale"] = lr_scale_;
  for (size_t g = 0; g < group_count(); ++g) saved.scalars["group." + std::to_string(g) + ".lr"] = const_cast<Optimizer*>(this)->lr_of(g);
  std::vector<std::string> names = state_names();
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& s = slots_[i];
    std::string prefix = std::to_string(i) + ".";
    saved.scalars[prefix + "steps"] = static_cast<double>(s.steps);
    for (size_t j = 0; j < s.state.size(); ++j)
      if (s.state[j].defined()) saved.tensors[prefix + names[j]] = s.state[j];
    if (s.master.defined()) saved.tensors[prefix + "master"] = s.master;
  }
  return saved;
}

namespace {

double scalar_of(const OptimizerState& saved, const std::string& name) {
  auto found = saved.scalars.find(name);
  if (found == saved.scalars.end()) throw ValueError("optimizer: the state lacks \"" + name + "\"");
  return found->second;
}

// A copy of the saved tensor on the parameter's device; undefined if there is none.
Tensor tensor_of(const OptimizerState& saved, const std::string& name, const Tensor& parameter, std::set<std::string>& used) {
  auto found = saved.tensors.find(name);
  if (found == saved.tensors.end()) return {};
  used.insert(name);
  if (found->second.shape() != parameter.shape())
    throw ShapeError("optimizer: \"" + name + "\" is " + to_string(found->second.shape()) + " in the state, its parameter " +
                     to_string(parameter.shape()));
  Tensor t = empty(parameter.shape(), parameter.dtype() == f64 ? f64 : f32, parameter.device(), "load_state");
  copy_data(found->second, t);
  return t;
}

}  // namespace

void Optimizer::load_state(const OptimizerState& saved) {
  std::vector<std::string> names = state_names();
  std::vector<Slot> loaded = slots_;
  std::set<std::string> used;
  for (size_t i = 0; i < loaded.size(); ++i) {
    Slot& s = loaded[i];
    std::string prefix = std::to_string(i) + ".";
    s.steps = static_cast<int64_t>(scalar_of(saved, prefix + "steps"));
    s.state.assign(names.size(), Tensor());
    for (size_t j = 0; j < names.size(); ++j) s.state[j] = tensor_of(saved, prefix + names[j], s.parameter, used);
    s.master = tensor_of(saved, prefix + "master", s.parameter, used);
  }
  for (const auto& [name, t] : saved.tensors)
    if (!used.contains(name)) throw ValueError("optimizer: the state has \"" + name + "\", which belongs to nothing here");
  if (saved.scalars.size() != 1 + group_count() + slots_.size())
    throw ValueError("optimizer: the state is of " + std::to_string(saved.scalars.size() - 1) +
                     " groups and parameters, this optimizer has " + std::to_string(group_count() + slots_.size()));
  std::vector<double> rates;
  for (size_t g = 0; g < group_count(); ++g) rates.push_back(scalar_of(saved, "group." + std::to_string(g) + ".lr"));
  lr_scale_ = scalar_of(saved, "lr_scale");
  for (size_t g = 0; g < rates.size(); ++g) lr_of(g) = rates[g];
  slots_ = std::move(loaded);
}

}  // namespace plumb::optim
