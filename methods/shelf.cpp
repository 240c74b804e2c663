// Finding a method by its slug, and a common table by its name.
#include "methods/shelf.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "engine/core/error.h"
#include "methods/tables.h"

namespace plumb::methods {
namespace {

// Letters to insert, delete or replace (Levenshtein), row by row.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

const Method* method_of(const Method& entry) {
  auto owns = [&](const Method& m) { return m.family == entry.family && entry.slug.starts_with(std::string(m.slug) + "_"); };
  auto found = std::ranges::find_if(shelf(), owns);
  return found == shelf().end() ? nullptr : &*found;
}

int64_t count_methods() {
  return std::ranges::count_if(shelf(), [](const Method& m) { return method_of(m) == nullptr; });
}

const Method& find_method(std::string_view slug) {
  for (const Method& m : shelf())
    if (m.slug == slug) return m;
  std::string message = "there is no method \"" + std::string(slug) + "\"";
  auto closest = std::ranges::min_element(shelf(), {}, [&](const Method& m) { return edits(m.slug, slug); });
  if (closest != shelf().end() && edits(closest->slug, slug) <= std::min<size_t>(3, slug.size() / 2))
    message += "; do you mean \"" + std::string(closest->slug) + "\"?";
  else message += "; `plumb methods` lists them";
  throw ConfigError(message);
}

namespace {
constexpr std::string_view kTable = "_table";
}

std::string_view name_of_table(const Method& table) { return table.slug.substr(0, table.slug.size() - kTable.size()); }

const Method& find_table(std::string_view name) {
  std::string names;
  for (const Method& t : tables()) {
    if (name_of_table(t) == name) return t;
    names += (names.empty() ? "" : ", ") + std::string(name_of_table(t));
  }
  throw ConfigError("there is no common table \"" + std::string(name) + "\"; " + (names.empty() ? "there is none" : "there are " + names));
}

std::string folder_of(const Method& method) {
  std::string family(method.family);
  if (!method.slug.ends_with(kTable)) return family + "/" + std::string(method.slug);
  return family + "/table_" + std::string(name_of_table(method));
}

}  // namespace plumb::methods
