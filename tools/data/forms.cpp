// Tables to comma-separated rows.
#include "tools/data/forms.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace plumb::tools {
namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string replaced(std::string_view line, char from) {
  std::string row;
  for (char c : line) {
    if (c != from) row += c;
    else if (!row.empty() && row.back() != ',') row += ',';
  }
  if (row.ends_with(',')) row.pop_back();
  return row;
}

std::string row_of(std::string_view line, Form form, const std::string& name) {
  if (form == Form::comma_for_spaces) return replaced(line, ' ');
  if (form == Form::comma_for_semicolons) return replaced(line, ';');
  if (form == Form::comment_first) return std::string(line);
  size_t comma = line.find(',');
  if (comma == std::string_view::npos) throw IoError(fmt::format("{}: a row has one column only: \"{}\"", name, line));
  std::string rest(line.substr(comma + 1));
  return form == Form::target_first ? rest + "," + std::string(line.substr(0, comma)) : rest;
}

}  // namespace

std::string stored_form(std::string_view text, Form form, const std::string& name) {
  if (form == Form::as_it_is) return std::string(text);
  std::vector<std::string_view> lines = lines_of(text);
  bool drop_first = form == Form::comma_for_semicolons || form == Form::comment_first;
  std::string rows;
  for (size_t i = drop_first ? 1 : 0; i < lines.size(); ++i) rows += row_of(lines[i], form, name) + "\n";
  if (rows.empty()) throw IoError(name + ": holds no rows");
  return rows;
}

}  // namespace plumb::tools
