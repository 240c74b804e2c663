// Named tensors: lookup by name over the usual members and the rest.
#include "engine/data/sample.h"

#include <algorithm>
#include <array>

namespace plumb::data {

namespace {

struct UsualField {
  std::string_view name;
  Tensor Fields::*member;
};
constexpr std::array<UsualField, 5> kUsualFields{{{"image", &Fields::image},
                                                  {"features", &Fields::features},
                                                  {"tokens", &Fields::tokens},
                                                  {"label", &Fields::label},
                                                  {"target", &Fields::target}}};

const UsualField* usual_field(std::string_view name) {
  for (const UsualField& f : kUsualFields)
    if (f.name == name) return &f;
  return nullptr;
}

Tensor on_device(const Tensor& x, Device device) {
  if (x.device() == device) return x;
  Tensor moved = empty(x.shape(), x.dtype(), device, "batch");
  copy_data(x, moved);
  return moved;
}

}  // namespace

bool Fields::has(std::string_view name) const {
  if (const UsualField* f = usual_field(name)) return (this->*f->member).defined();
  return std::any_of(others_.begin(), others_.end(), [&](const auto& o) { return o.first == name; });
}

const Tensor& Fields::operator[](std::string_view name) const {
  if (const UsualField* f = usual_field(name); f && (this->*f->member).defined()) return this->*f->member;
  for (const auto& [key, value] : others_)
    if (key == name) return value;
  std::string known;
  for (const std::string& n : names()) known += (known.empty() ? "" : ", ") + n;
  throw ValueError("data: there is no field \"" + std::string(name) + "\"; the fields are: " + (known.empty() ? "none" : known));
}

void Fields::set(std::string_view name, Tensor value) {
  if (const UsualField* f = usual_field(name)) {
    this->*f->member = std::move(value);
    return;
  }
  auto at = std::find_if(others_.begin(), others_.end(), [&](const auto& o) { return o.first == name; });
  if (at == others_.end()) {
    if (value.defined()) others_.emplace_back(name, std::move(value));
  } else if (value.defined()) {
    at->second = std::move(value);
  } else {
    others_.erase(at);
  }
}

std::vector<std::string> Fields::names() const {
  std::vector<std::string> names;
  for (const UsualField& f : kUsualFields)
    if ((this->*f.member).defined()) names.emplace_back(f.name);
  for (const auto& o : others_) names.push_back(o.first);
  return names;
}

Batch Batch::to(Device device) const {
  Batch moved;
  for (const std::string& name : names()) moved.set(name, on_device((*this)[name], device));
  if (index.defined()) moved.index = on_device(index, device);
  return moved;
}

}  // namespace plumb::data
