// Files and values stored from reference libraries by the scripts in tests/reference.
#pragma once
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "engine/io/file.h"

namespace plumb_test {

/// tests/reference/`name`, which belongs to the checkout named by PLUMB_SOURCE (else the current directory).
inline nlohmann::json reference(const std::string& name) {
  const char* source = std::getenv("PLUMB_SOURCE");
  return nlohmann::json::parse(plumb::read_file(std::string(source ? source : ".") + "/tests/reference/" + name));
}

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

/// The elements of a row-major CPU tensor of any type.
inline std::vector<double> values_of(const plumb::Tensor& x) {
  std::vector<double> values;
  plumb::visit_dtype(x.dtype(), [&]<typename T>() {
    for (int64_t i = 0; i < x.numel(); ++i) values.push_back(static_cast<double>(static_cast<plumb::compute_t<T>>(x.data<T>()[i])));
  });
  return values;
}

/// A JSON list of numbers or truth values.
inline std::vector<double> values_of(const nlohmann::json& list) {
  std::vector<double> values;
  for (const auto& v : list) values.push_back(v.is_boolean() ? v.get<bool>() : v.get<double>());
  return values;
}

inline plumb::Shape shape_of(const nlohmann::json& list) { return plumb::Shape(list.get<std::vector<int64_t>>()); }

}  // namespace plumb_test
