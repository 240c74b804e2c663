// A JSON object of named values: what configurations are stored as. Keeps the parser's headers, slow to compile, out of every
// configuration's file.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plumb {

/// Numbers are printed in the shortest form that reads back exactly; names keep the order in which they were set.
///
///   std::string to_json() const { JsonObject json; json.set("width", width); json.set("dropout", dropout); return json.text(); }
///   auto json = JsonObject::parse(text, "gpt");   json.read("width", config.width);   json.read("dropout", config.dropout);
class JsonObject {
 public:
  JsonObject();
  JsonObject(const JsonObject& o);
  JsonObject(JsonObject&& o) noexcept;
  JsonObject& operator=(JsonObject o) noexcept;
  ~JsonObject();
  /// `what` names the object in errors. Throws ConfigError if text is not a JSON object.
  static JsonObject parse(std::string_view text, std::string what);

  /// T: bool, int64_t, int, uint64_t, double, std::string, JsonObject, or a vector of int64_t, double, std::string or JsonObject.
  template <typename T>
  void set(std::string_view name, const T& value);
  void set(std::string_view name, const char* value) { set(name, std::string(value)); }
  /// Reads a value of one of those types; leaves `value` as it is if the name is missing. Throws ConfigError, naming the object and the
  /// name, for a value of another kind or an integer out of T's range.
  template <typename T>
  void read(std::string_view name, T& value) const;

  /// Whether the name is there, with a value that is not null.
  bool contains(std::string_view name) const;
  std::vector<std::string> names() const;
  /// What the object is called in errors.
  const std::string& what() const { return what_; }
  /// Every value as text, strings without their quotes; a value of an object within is called "outer.inner". Throws ConfigError for names
  /// of > 1 MiB.
  std::vector<std::pair<std::string, std::string>> listing() const;
  /// One line; with `indent` > 0, one value a line.
  std::string text(int indent = 0) const;

 private:
  struct Value;
  std::unique_ptr<Value> value_;
  std::string what_;
};

}  // namespace plumb
