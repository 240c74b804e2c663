// Reading and writing fields.
#include "tools/bench/row.h"

#include <fmt/format.h>

namespace plumb::tools {

double number(const JsonObject& row, const std::string& name) {
  double value = 0;
  row.read(name, value);
  return value;
}

std::string text(const JsonObject& row, const std::string& name) {
  std::string value;
  row.read(name, value);
  return value;
}

bool flag(const JsonObject& row, const std::string& name) {
  bool value = false;
  row.read(name, value);
  return value;
}

std::vector<double> ends(const JsonObject& row, const std::string& name) {
  std::vector<double> both;
  row.read(name + "_95", both);
  return both.size() == 2 ? both : std::vector<double>(2, number(row, name));
}

void set_interval(JsonObject& row, const std::string& name, const Estimate& e, double scale) {
  row.set(name, e.value * scale);
  row.set(name + "_95", std::vector<double>{e.low * scale, e.high * scale});
}

std::string interval(const JsonObject& row, const std::string& name, const char* unit, int digits, double scale) {
  std::vector<double> both = ends(row, name);
  return fmt::format("{:.{}f}{} [{:.{}f}, {:.{}f}]", number(row, name) * scale, digits, unit, both[0] * scale, digits, both[1] * scale,
                     digits);
}

std::string who(const JsonObject& row) {
  std::string side = text(row, "side"), peer = text(row, "peer");
  if (peer.empty()) return side;
  size_t mode = side.find(' ');
  if (mode != std::string::npos) return peer + side.substr(mode);
  return peer.starts_with(side) ? peer : peer + " (" + side + ")";
}

}  // namespace plumb::tools
