// Tables to comma-separated rows; archives to their members.
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

/// An octal number of a tar header; the field is padded with spaces and zeros.
size_t octal(std::string_view field) {
  size_t value = 0;
  for (char c : field)
    if (c >= '0' && c <= '7') value = 8 * value + static_cast<size_t>(c - '0');
  return value;
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

std::vector<std::pair<std::string, std::string_view>> tar_members(std::string_view archive, const std::string& name) {
  constexpr size_t kBlock = 512;
  std::vector<std::pair<std::string, std::string_view>> members;
  for (size_t at = 0; at + kBlock <= archive.size();) {
    std::string_view header = archive.substr(at, kBlock);
    if (header[0] == '\0') return members;  // the end is marked by empty blocks
    if (header.substr(257, 5) != "ustar") throw IoError(name + ": not a tar archive");
    size_t size = octal(header.substr(124, 12));
    at += kBlock;
    if (size > archive.size() - at) break;
    std::string path(header.substr(0, std::min<size_t>(header.find('\0'), 100)));
    if (header[156] == '0' || header[156] == '\0') members.emplace_back(path, archive.substr(at, size));
    at += (size + kBlock - 1) / kBlock * kBlock;
  }
  throw IoError(name + ": the archive ends too early; fetch it again");
}

}  // namespace plumb::tools
