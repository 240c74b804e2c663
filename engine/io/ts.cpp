// .ts: a header of @ lines, then a series a line: channels parted by colons, values by commas, the class or the target last. And series
// stacked.
#include "engine/io/ts.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

#include "engine/io/file.h"

namespace plumb {
namespace {

constexpr int64_t kPadding = 1000,
                  kAnyway = int64_t{16} << 20;  // elements of the padded tensor: for each that the series have, and without asking
constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

// Whether `padded` elements would mostly be padding: in a sound set they are a few times those given, with one long row and many short
// their square.
bool too_sparse(int64_t padded, int64_t given) { return padded > kPadding * given + kAnyway; }

std::string_view trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

std::string lower(std::string_view text) {
  std::string low(text);
  for (char& c : low)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return low;
}

std::vector<std::string_view> cut(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    size_t end = text.find(at);
    parts.push_back(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> all;
  for (std::string_view part : cut(text, ' '))
    if (!part.empty()) all.push_back(part);
  return all;
}

class TsReader {
 public:
  explicit TsReader(const std::string& path) : path_(path), text_(read_text(path)) {}

  SeriesSet read() {
    std::string_view rest = text_;
    for (line_ = 1; !rest.empty(); ++line_) {
      size_t end = rest.find('\n');
      read_line(trimmed(rest.substr(0, end)));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    if (!in_data_) throw_io_error("ts", path_, "has no line @data");
    if (set_.series.empty()) throw_io_error("ts", path_, "has no series");
    return std::move(set_);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw_io_error("ts", path_, "line " + std::to_string(line_) + " " + problem); }

  void read_line(std::string_view line) {
    if (line.empty() || line.front() == '#') return;
    if (in_data_) return read_series(line);
    if (line.front() != '@') fail("stands before @data and is neither a comment nor a setting");
    read_setting(words(line.substr(1)));
  }

  bool is_true(const std::vector<std::string_view>& setting) const {
    std::string value = setting.size() > 1 ? lower(setting[1]) : "";
    if (value != "true" && value != "false") fail("has @" + std::string(setting[0]) + " neither true nor false");
    return value == "true";
  }

  void read_setting(const std::vector<std::string_view>& setting) {
    std::string name = setting.empty() ? "" : lower(setting[0]);
    if (name == "data")
      in_data_ = true;
    else if (name == "problemname")
      set_.name = setting.size() > 1 ? setting[1] : "";
    else if (name == "timestamps" && is_true(setting))
      fail("says that values have time stamps, which are not read");
    else if (name == "equallength")
      equal_length_ = is_true(setting);
    else if (name == "dimensions" || name == "dimension")
      dimensions_ = count(setting);
    else if (name == "serieslength")
      steps_ = count(setting);
    else if (name == "univariate")
      univariate_ = is_true(setting);
    else if (name == "targetlabel")
      has_target_ = is_true(setting);
    else if (name == "classlabel" && is_true(setting))
      set_.class_names.assign(setting.begin() + 2, setting.end());
    if (name == "classlabel" && is_true(setting) && set_.class_names.empty()) fail("names no classes");
  }

  size_t count(const std::vector<std::string_view>& setting) const {
    double value = setting.size() > 1 ? number(setting[1]) : 0;
    if (!(value >= 1 && value <= 1e9 && value == std::floor(value)))
      fail("has @" + std::string(setting[0]) + " that is no positive whole number");
    return static_cast<size_t>(value);
  }

  double number(std::string_view text) const {
    double value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      fail("has \"" + std::string(text.substr(0, 40)) + "\" where a number should be");
    return value;
  }

  void read_series(std::string_view line) {
    std::vector<std::string_view> parts = cut(line, ':');
    if (!set_.class_names.empty() || has_target_) {
      read_answer(parts.back());
      parts.pop_back();
    }
    if (parts.empty()) fail("has no channel before its label");
    size_t wanted = dimensions_ ? dimensions_ : univariate_ ? 1 : set_.series.empty() ? parts.size() : static_cast<size_t>(set_.channels());
    if (parts.size() != wanted) fail("has " + std::to_string(parts.size()) + " channels, there should be " + std::to_string(wanted));
    std::vector<std::vector<float>> channels;
    for (std::string_view part : parts) {
      channels.push_back(values(part));
      check_length(channels.back().size());
    }
    set_.series.push_back(joined(channels));
  }

  std::vector<float> values(std::string_view part) const {
    std::vector<float> all;
    for (std::string_view field : cut(part, ','))
      all.push_back(field == "?" || lower(field) == "nan" ? kMissing : static_cast<float>(number(field)));
    return all;
  }

  void read_answer(std::string_view text) {
    if (has_target_) {
      set_.targets.push_back(number(text));
      return;
    }
    auto place = std::find(set_.class_names.begin(), set_.class_names.end(), text);
    if (place == set_.class_names.end()) fail("has the class \"" + std::string(text.substr(0, 40)) + "\", which @classLabel does not name");
    set_.labels.push_back(place - set_.class_names.begin());
  }

  void check_length(size_t length) {
    if (!equal_length_) return;
    if (!steps_) steps_ = length;
    if (length != steps_) fail("has a channel of " + std::to_string(length) + " steps, all should have " + std::to_string(steps_));
  }

  // [C, L]
  Tensor joined(const std::vector<std::vector<float>>& channels) {
    size_t longest = 0;
    for (const auto& channel : channels) longest = std::max(longest, channel.size()), given_ += static_cast<int64_t>(channel.size());
    auto count = static_cast<int64_t>(channels.size()), steps = static_cast<int64_t>(longest);
    padded_ += count * steps;
    if (too_sparse(padded_, given_))
      fail("has a channel of " + std::to_string(steps) + " steps, but most are so short that they are no series");
    Tensor all = full({count, steps}, kMissing, f32);
    for (size_t c = 0; c < channels.size(); ++c) std::copy(channels[c].begin(), channels[c].end(), all.data<float>() + c * longest);
    return all;
  }

  const std::string& path_;
  std::string text_;
  size_t line_ = 1, dimensions_ = 0, steps_ = 0;
  int64_t given_ = 0, padded_ = 0;  // values in the lines so far, and in the tensors made of them
  bool in_data_ = false, equal_length_ = false, univariate_ = false, has_target_ = false;
  SeriesSet set_;
};

}  // namespace

std::vector<int64_t> SeriesSet::lengths() const {
  std::vector<int64_t> all;
  for (const Tensor& s : series) all.push_back(s.size(1));
  return all;
}

int64_t SeriesSet::longest() const {
  int64_t most = 0;
  for (const Tensor& s : series) most = std::max(most, s.size(1));
  return most;
}

Tensor SeriesSet::stacked(double padding) const {
  int64_t steps = longest(), given = 0;
  for (const Tensor& s : series) given += s.numel();
  if (too_sparse(size() * channels() * steps, given))
    throw ValueError("stacked: there are series of up to " + std::to_string(steps) +
                     " steps, but most are so short that padding them would take " + std::to_string(kPadding) +
                     " times their size; split them by length");
  Tensor all = full({size(), channels(), steps}, padding, f32);
  float* out = all.data<float>();
  for (const Tensor& s : series) {
    const float* in = s.data<float>();
    for (int64_t c = 0; c < s.size(0); ++c, out += steps, in += s.size(1)) std::copy(in, in + s.size(1), out);
  }
  return all;
}

SeriesSet load_ts(const std::string& path) { return TsReader(path).read(); }

}  // namespace plumb
