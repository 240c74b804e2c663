// Structures as JSON objects: a configuration lists its fields once, for both directions.
#pragma once
#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/json_object.h"

namespace plumb {

/// A list of fields is a function that calls f(name, member) for every member, in the order of the file:
///
///   static constexpr auto fields = [](auto& c, auto&& f) { f("width", c.width), f("dropout", c.dropout); };
///   std::string MlpConfig::to_json() const { return fields_to_json(*this, fields); }
///   MlpConfig MlpConfig::from_json(const std::string& text) { return fields_from_json<MlpConfig>("mlp", text, fields); }
///
/// A member that has to_json() and from_json() itself becomes an object within; an enumeration becomes one of the words that
/// words_of(value), declared beside it, gives for its values in order.
template <typename T, typename Fields>
void set_fields(JsonObject& json, const T& object, Fields&& fields) {
  fields(object, [&](const char* name, const auto& member) {
    if constexpr (requires { member.to_json(); }) json.set(name, JsonObject::parse(member.to_json(), name));
    else if constexpr (std::is_enum_v<std::remove_cvref_t<decltype(member)>>) json.set(name, words_of(member)[static_cast<size_t>(member)]);
    else json.set(name, member);
  });
}

/// Members whose names are missing stay as they are. Throws ConfigError, naming the object and the field, for a value of the wrong kind.
template <typename T, typename Fields>
void read_fields(const JsonObject& json, T& object, Fields&& fields) {
  fields(object, [&]<typename Member>(const char* name, Member& member) {
    if constexpr (requires { member.to_json(); }) {
      JsonObject within;
      json.read(name, within);
      if (json.contains(name)) member = Member::from_json(within.text());
    } else if constexpr (std::is_enum_v<Member>) {
      const std::vector<std::string>& words = words_of(member);
      std::string word = words[static_cast<size_t>(member)];
      json.read(name, word);
      auto found = std::find(words.begin(), words.end(), word);
      if (found == words.end()) throw ConfigError(json.what() + ": " + name + " cannot be \"" + word + "\"");
      member = static_cast<Member>(found - words.begin());
    } else {
      json.read(name, member);
    }
  });
}

template <typename T, typename Fields>
std::string fields_to_json(const T& object, Fields&& fields) {
  JsonObject json;
  set_fields(json, object, fields);
  return json.text();
}

/// A T from `text`, checked by its check() if it has one. `what` names it in errors.
template <typename T, typename Fields>
T fields_from_json(const char* what, const std::string& text, Fields&& fields) {
  T object;
  read_fields(JsonObject::parse(text, what), object, fields);
  if constexpr (requires { object.check(); }) object.check();
  return object;
}

}  // namespace plumb
