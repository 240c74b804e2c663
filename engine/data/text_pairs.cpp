// Cutting texts and sources into pairs, and the rules for what is a pair.
#include "engine/data/text_pairs.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <unordered_set>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/tar.h"

namespace plumb::data {
namespace {

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_letter(char c) { return is_upper(c) || (c >= 'a' && c <= 'z'); }
bool in_word(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '\'' || static_cast<unsigned char>(c) >= 0x80; }
char lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string trimmed(const std::string& s) {
  size_t begin = s.find_first_not_of(" \t\r");
  return begin == std::string::npos ? "" : s.substr(begin, s.find_last_not_of(" \t\r") - begin + 1);
}

// Every byte sequence is UTF-8, and no control character but tabs and ends of lines.
bool valid_characters(const std::string& s) {
  for (size_t i = 0; i < s.size();) {
    auto c = static_cast<unsigned char>(s[i]);
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F) return false;
    size_t length = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    if (length == 0 || i + length > s.size()) return false;
    for (size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(s[i + k]) & 0xC0) != 0x80) return false;
    i += length;
  }
  return true;
}

// "<b>", "</div>", "<img src=…>": a tag's name is lower case and its end is near. `std::vector<float>` is none: a name stands before it.
bool has_tag(const std::string& s) {
  for (size_t i = s.find('<'); i != std::string::npos; i = s.find('<', i + 1)) {
    if (i > 0 && (in_word(s[i - 1]) || s[i - 1] == '_')) continue;
    size_t k = i + 1 < s.size() && s[i + 1] == '/' ? i + 2 : i + 1;
    size_t name = k;
    while (k < s.size() && ((s[k] >= 'a' && s[k] <= 'z') || (k > name && s[k] >= '0' && s[k] <= '9'))) ++k;
    if (k > name && k < s.size() && (s[k] == '>' || s[k] == '/' || (s[k] == ' ' && s.find("=\"", k) < s.find('>', k)))) return true;
  }
  return false;
}

double share_of_letters(const std::string& s) {
  double letters = 0, all = 0;
  for (char c : s) {
    if (std::isspace(static_cast<unsigned char>(c)) || (static_cast<unsigned char>(c) & 0xC0) == 0x80)
      continue;  // a character's first byte counts
    ++all;
    letters += is_letter(c) ? 1 : 0;
  }
  return all == 0 ? 0 : letters / all;
}

// The name before the first '(' of a declaration; empty if it declares no function.
std::string function_name(const std::string& declaration) {
  size_t open = declaration.find('(');
  if (open == std::string::npos || open == 0) return "";
  size_t end = open;
  while (end > 0 && declaration[end - 1] == ' ') --end;
  size_t begin = end;
  while (begin > 0 && (in_word(declaration[begin - 1]) || declaration[begin - 1] == '_')) --begin;
  return declaration.substr(begin, end - begin);
}

// From line `first` to the ';' or the closing '}' that ends what begins there; at most 60 lines.
std::string statement_from(const std::vector<std::string>& lines, size_t first) {
  std::string out;
  int depth = 0;
  bool body = false;
  for (size_t i = first; i < std::min(lines.size(), first + 60); ++i) {
    out += (out.empty() ? "" : "\n") + trimmed(lines[i]);
    for (char c : lines[i]) {
      if (c == '(' || c == '{') ++depth;
      if (c == ')' || c == '}') --depth;
      if (c == '{') body = true;
      if (depth == 0 && (c == ';' || (body && c == '}'))) return out;
    }
    if (depth < 0) return "";
  }
  return out;
}

// The first definition of each function in a source file, by name: one pass for all that are asked for.
std::map<std::string, std::string> definitions_in(const std::vector<std::string>& source) {
  std::map<std::string, std::string> found;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i].empty() || !is_letter(source[i][0])) continue;  // definitions begin at the left
    std::string name = function_name(source[i]);
    if (name.empty() || found.contains(name)) continue;
    if (std::string text = statement_from(source, i); text.find('{') != std::string::npos) found[name] = std::move(text);
  }
  return found;
}

using Files = std::map<std::string, std::string>;

bool is_source(const std::string& path) { return path.ends_with(".h") || path.ends_with(".cpp"); }

Files files_of_directory(const std::string& path) {
  Files files;
  for (const char* folder : {"engine", "ops", "models", "methods"}) {
    std::filesystem::path root = std::filesystem::path(path) / folder;
    if (!std::filesystem::is_directory(root)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
      if (entry.is_regular_file() && is_source(entry.path().string()) && entry.file_size() > 0)
        files[entry.path().string()] = read_text(entry.path().string());
  }
  return files;
}

Files files_of_archive(const std::string& path) {
  Files files;
  std::string archive = read_nonempty_file(path);
  for (const auto& [name, content] : tar_members(archive, path))
    if (is_source(name)) files[name] = std::string(content);
  return files;
}

}  // namespace

std::vector<std::string> words_of(const std::string& text, bool code) {
  std::vector<std::string> words;
  std::string word;
  auto finish = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (!in_word(c)) {
      finish();
      continue;
    }
    // "fooBar" is two words of code, and so is "HTTPServer": a capital after a small letter or before one begins a part.
    bool begins = is_upper(c) && i > 0 &&
                  ((in_word(text[i - 1]) && !is_upper(text[i - 1])) ||
                   (is_upper(text[i - 1]) && i + 1 < text.size() && is_letter(text[i + 1]) && !is_upper(text[i + 1])));
    if (code && begins) finish();
    word += lower(c);
  }
  finish();
  return words;
}

std::string first_words(const std::string& text, int64_t count, bool code) {
  std::string out;
  for (const std::string& word : words_of(text, code)) {
    if (count-- <= 0) break;
    out += (out.empty() ? "" : " ") + word;
  }
  return out;
}

std::string reason_to_drop(const TextPair& pair, const PairRules& rules) {
  if (!valid_characters(pair.query) || !valid_characters(pair.document)) return "invalid characters";
  if (pair.query.find("http://") != std::string::npos || pair.query.find("https://") != std::string::npos ||
      pair.query.find("www.") != std::string::npos)
    return "URL";
  if (has_tag(pair.query)) return "HTML";
  if (static_cast<int64_t>(words_of(pair.query).size()) < rules.query_words ||
      static_cast<int64_t>(words_of(pair.document).size()) < rules.document_words)
    return "short";
  if (share_of_letters(pair.query) < rules.letters) return "not English";
  return "";
}

std::vector<TextPair> selected_pairs(const std::vector<TextPair>& pairs, const PairRules& rules) {
  std::vector<TextPair> kept;
  std::unordered_set<std::string> queries, documents;
  for (const TextPair& pair : pairs) {
    if (!reason_to_drop(pair, rules).empty() || queries.contains(pair.query) || documents.contains(pair.document)) continue;
    queries.insert(pair.query);
    documents.insert(pair.document);
    kept.push_back(pair);
  }
  return kept;
}

std::vector<TextPair> passage_pairs(const std::string& text, int64_t sentences, int64_t source) {
  if (sentences < 2) throw ValueError("passage_pairs: a passage needs at least 2 sentences, got " + std::to_string(sentences));
  std::vector<std::string> lines;
  for (const std::string& line : lines_of(text))
    if (std::string s = trimmed(line); !s.empty()) lines.push_back(s);
  std::vector<TextPair> pairs;
  auto step = static_cast<size_t>(sentences);
  for (size_t i = 0; i < lines.size(); i += step) {
    size_t end = std::min(lines.size(), i + step);
    if (end - i < std::min<size_t>(3, step)) continue;
    TextPair pair{lines[i], "", source};
    for (size_t k = i + 1; k < end; ++k) pair.document += (k > i + 1 ? " " : "") + lines[k];
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<TextPair> comment_pairs(const std::string& header, const std::string& definitions, int64_t source) {
  std::vector<std::string> lines = lines_of(header);
  std::map<std::string, std::string> defined = definitions_in(lines_of(definitions));
  std::vector<TextPair> pairs;
  for (size_t i = 0; i < lines.size(); ++i) {
    TextPair pair{"", "", source};
    while (i < lines.size() && trimmed(lines[i]).starts_with("///") && !trimmed(lines[i]).starts_with("///<")) {
      std::string part = trimmed(trimmed(lines[i]).substr(3));
      pair.query += (pair.query.empty() ? "" : " ") + part;
      ++i;
    }
    if (pair.query.empty() || i >= lines.size()) continue;
    std::string declaration = statement_from(lines, i), name = function_name(declaration);
    auto definition = defined.find(name);
    pair.document = definition == defined.end() ? declaration : definition->second;
    bool type = declaration.starts_with("class ") || declaration.starts_with("struct ") || declaration.starts_with("enum ");
    if (!type && !name.empty() && !pair.document.empty()) pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<TextPair> source_tree_pairs(const std::string& path) {
  if (!path_exists(path)) throw IoError("source_tree_pairs: " + path + " is missing; give a source tree or an archive of one");
  Files files = std::filesystem::is_directory(path) ? files_of_directory(path) : files_of_archive(path);
  std::vector<TextPair> pairs;
  int64_t source = 0;
  for (const auto& [name, text] : files) {
    if (!name.ends_with(".h")) continue;
    auto beside = files.find(name.substr(0, name.size() - 1) + "cpp");
    std::vector<TextPair> part = comment_pairs(text, beside == files.end() ? "" : beside->second, source++);
    pairs.insert(pairs.end(), part.begin(), part.end());
  }
  if (pairs.empty()) throw IoError("source_tree_pairs: " + path + ": no header has a comment /// above a function");
  return pairs;
}

}  // namespace plumb::data
