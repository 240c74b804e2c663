// JsonObject over nlohmann's library.
#include "engine/io/json_object.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "engine/core/error.h"
#include "engine/io/internal/json_limits.h"
#include "engine/io/unicode.h"

namespace plumb {

using Json = nlohmann::ordered_json;

struct JsonObject::Value {
  Json json = Json::object();
};

namespace {

template <typename T>
constexpr bool is_vector = false;
template <typename T>
constexpr bool is_vector<std::vector<T>> = true;

template <typename T>
const char* kind() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_unsigned_v<T>) return "a whole number, 0 or above";
  if constexpr (std::is_integral_v<T>) return "a whole number";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  if constexpr (std::is_same_v<T, std::string>) return "a string";
  if constexpr (std::is_same_v<T, JsonObject>) return "an object";
  return "a list";
}

template <typename T>
bool holds(const Json& json) {
  if constexpr (std::is_same_v<T, bool>) return json.is_boolean();
  else if constexpr (std::is_unsigned_v<T>) return json.is_number_unsigned() && json.get<uint64_t>() <= std::numeric_limits<T>::max();
  else if constexpr (std::is_integral_v<T>)
    return json.is_number_integer() &&
           (!json.is_number_unsigned() || json.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<T>::max())) &&
           json.get<int64_t>() >= std::numeric_limits<T>::min() && json.get<int64_t>() <= std::numeric_limits<T>::max();
  else if constexpr (std::is_floating_point_v<T>) return json.is_number();
  else if constexpr (std::is_same_v<T, std::string>) return json.is_string();
  else if constexpr (std::is_same_v<T, JsonObject>) return json.is_object();
  else return json.is_array();
}

template <typename T>
void convert(const Json& json, T& value, const std::string& name) {
  if (!holds<T>(json))
    throw ConfigError(name + " must be " + kind<T>() + ", it is " + json.dump(-1, ' ', false, Json::error_handler_t::replace));
  if constexpr (is_vector<T>) {
    T list(json.size());
    for (size_t i = 0; i < json.size(); ++i) convert(json[i], list[i], name + "[" + std::to_string(i) + "]");
    value = std::move(list);
  } else if constexpr (std::is_same_v<T, JsonObject>) {
    value = JsonObject::parse(json.dump(), name);
  } else {
    value = json.get<T>();
  }
}

template <typename T>
Json to_value(const T& value) {
  if constexpr (is_vector<T>) {
    Json list = Json::array();
    for (const auto& element : value) list.push_back(to_value(element));
    return list;
  } else if constexpr (std::is_same_v<T, JsonObject>) {
    return Json::parse(value.text());
  } else {
    return Json(value);
  }
}

}  // namespace

JsonObject::JsonObject() : value_(std::make_unique<Value>()) {}
JsonObject::JsonObject(const JsonObject& o) : value_(std::make_unique<Value>(*o.value_)), what_(o.what_) {}
JsonObject::JsonObject(JsonObject&& o) noexcept = default;
JsonObject& JsonObject::operator=(JsonObject o) noexcept {
  std::swap(value_, o.value_);
  std::swap(what_, o.what_);
  return *this;
}
JsonObject::~JsonObject() = default;

JsonObject JsonObject::parse(std::string_view text, std::string what) {
  JsonObject object;
  object.what_ = std::move(what);
  JsonExtent extent = json_extent(text);
  if (extent.depth > kDeepestJson) throw ConfigError(object.what_ + ": nested more than " + std::to_string(kDeepestJson) + " deep");
  if (extent.names > kMostJsonNames)
    throw ConfigError(object.what_ + ": an object has more than " + std::to_string(kMostJsonNames) + " names");
  object.value_->json = Json::parse(text, nullptr, false);
  if (!object.value_->json.is_object()) throw ConfigError(object.what_ + ": not a JSON object");
  return object;
}

template <typename T>
void JsonObject::set(std::string_view name, const T& value) {
  value_->json[std::string(name)] = to_value(value);
}

template <typename T>
void JsonObject::read(std::string_view name, T& value) const {
  auto found = value_->json.find(std::string(name));
  if (found != value_->json.end()) convert(*found, value, what_ + ": " + std::string(name));
}

bool JsonObject::contains(std::string_view name) const {
  auto found = value_->json.find(std::string(name));
  return found != value_->json.end() && !found->is_null();
}

std::vector<std::string> JsonObject::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : value_->json.items()) names.push_back(name);
  return names;
}

namespace {

/// A name stands before each of the values within it again: the list's length may be that of the text squared.
constexpr size_t kLongestNames = size_t{1} << 20;

struct Listing {
  std::vector<std::pair<std::string, std::string>> values;
  size_t names = 0;  ///< their length

  // False if they became too long.
  bool add(const Json& object, const std::string& prefix) {
    for (const auto& [name, value] : object.items()) {
      names += prefix.size() + name.size();
      if (names > kLongestNames) return false;
      if (!value.is_object()) values.push_back({prefix + name, value.is_string() ? value.get<std::string>() : value.dump()});
      else if (!add(value, prefix + name + ".")) return false;
    }
    return true;
  }
};

}  // namespace

std::vector<std::pair<std::string, std::string>> JsonObject::listing() const {
  Listing all;
  if (!all.add(value_->json, ""))
    throw ConfigError(what_ + ": its values' names, with those of the objects around them, are more than 1 MiB long");
  return std::move(all.values);
}

static bool is_utf8(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    Utf8Char c = decode_utf8(text, at);
    if (!c.valid) return false;
    at += static_cast<size_t>(c.bytes);
  }
  return true;
}

// Where in `json`, called `name`, a string is not UTF-8: "data[0]"; empty if nowhere.
static std::string not_utf8(const Json& json, const std::string& name) {
  if (json.is_string()) return is_utf8(json.get_ref<const std::string&>()) ? "" : name;
  if (!json.is_structured()) return {};
  for (const auto& [key, value] : json.items()) {
    if (!is_utf8(key)) return "a name in " + (name.empty() ? "the object" : name);
    std::string found = not_utf8(value, json.is_array() ? name + "[" + key + "]" : (name.empty() ? "" : name + ".") + key);
    if (!found.empty()) return found;
  }
  return {};
}

std::string JsonObject::text(int indent) const {
  try {
    return value_->json.dump(indent > 0 ? indent : -1);
  } catch (const Json::type_error&) {
    throw ConfigError((what_.empty() ? "" : what_ + ": ") + not_utf8(value_->json, "") +
                      " is not UTF-8, which JSON cannot hold; rename the file or convert its text to UTF-8");
  }
}

template void JsonObject::set(std::string_view, const bool&);
template void JsonObject::set(std::string_view, const int&);
template void JsonObject::set(std::string_view, const int64_t&);
template void JsonObject::set(std::string_view, const uint64_t&);
template void JsonObject::set(std::string_view, const double&);
template void JsonObject::set(std::string_view, const std::string&);
template void JsonObject::set(std::string_view, const JsonObject&);
template void JsonObject::set(std::string_view, const std::vector<int64_t>&);
template void JsonObject::set(std::string_view, const std::vector<double>&);
template void JsonObject::set(std::string_view, const std::vector<std::string>&);
template void JsonObject::set(std::string_view, const std::vector<JsonObject>&);

template void JsonObject::read(std::string_view, bool&) const;
template void JsonObject::read(std::string_view, int&) const;
template void JsonObject::read(std::string_view, int64_t&) const;
template void JsonObject::read(std::string_view, uint64_t&) const;
template void JsonObject::read(std::string_view, double&) const;
template void JsonObject::read(std::string_view, std::string&) const;
template void JsonObject::read(std::string_view, JsonObject&) const;
template void JsonObject::read(std::string_view, std::vector<int64_t>&) const;
template void JsonObject::read(std::string_view, std::vector<double>&) const;
template void JsonObject::read(std::string_view, std::vector<std::string>&) const;
template void JsonObject::read(std::string_view, std::vector<JsonObject>&) const;

}  // namespace plumb
