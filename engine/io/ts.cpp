// .ts: a header of @ lines, then a series a line: channels parted by colons, values by commas, the class or the target last.
#include "engine/io/ts.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

#include "engine/io/file.h"

namespace plumb {
namespace {

constexpr size_t kPadding = 1000, kAnyway = size_t{64} << 20;  // bytes of the padded tensor: for each byte of the file, and without asking
constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

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

struct Series {
  std::vector<std::vector<float>> channels;
  int64_t label = 0;
  double target = 0;
};

class TsReader {
 public:
  explicit TsReader(const std::string& path) : path_(path), text_(read_text(path)) {}

  TimeSeriesSet read() {
    std::string_view rest = text_;
    for (line_ = 1; !rest.empty(); ++line_) {
      size_t end = rest.find('\n');
      read_line(trimmed(rest.substr(0, end)));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    if (!in_data_) throw_io_error("ts", path_, "has no line @data");
    if (series_.empty()) throw_io_error("ts", path_, "has no series");
    return joined();
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
      set_.classes.assign(setting.begin() + 2, setting.end());
    if (name == "classlabel" && is_true(setting) && set_.classes.empty()) fail("names no classes");
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
    Series s;
    if (!set_.classes.empty() || has_target_) {
      read_answer(parts.back(), s);
      parts.pop_back();
    }
    if (parts.empty()) fail("has no channel before its label");
    size_t wanted = dimensions_ ? dimensions_ : univariate_ ? 1 : series_.empty() ? parts.size() : series_[0].channels.size();
    if (parts.size() != wanted) fail("has " + std::to_string(parts.size()) + " channels, there should be " + std::to_string(wanted));
    for (std::string_view part : parts) {
      std::vector<float>& channel = s.channels.emplace_back();
      for (std::string_view field : cut(part, ','))
        channel.push_back(field == "?" || lower(field) == "nan" ? kMissing : static_cast<float>(number(field)));
      check_length(channel.size());
    }
    series_.push_back(std::move(s));
  }

  void read_answer(std::string_view text, Series& s) const {
    if (has_target_) {
      s.target = number(text);
      return;
    }
    auto place = std::find(set_.classes.begin(), set_.classes.end(), text);
    if (place == set_.classes.end()) fail("has the class \"" + std::string(text.substr(0, 40)) + "\", which @classLabel does not name");
    s.label = place - set_.classes.begin();
  }

  void check_length(size_t length) {
    if (!equal_length_) return;
    if (!steps_) steps_ = length;
    if (length != steps_) fail("has a channel of " + std::to_string(length) + " steps, all should have " + std::to_string(steps_));
  }

  TimeSeriesSet joined() {
    auto count = static_cast<int64_t>(series_.size()), channels = static_cast<int64_t>(series_[0].channels.size());
    size_t steps = 0;
    set_.length = empty({count}, i64, cpu, "load_ts");
    for (size_t n = 0; n < series_.size(); ++n) {
      size_t longest = 0;
      for (const auto& channel : series_[n].channels) longest = std::max(longest, channel.size());
      set_.length.data<int64_t>()[n] = static_cast<int64_t>(longest);
      steps = std::max(steps, longest);
    }
    // Shorter series are padded; in a sound file that is a few times its size, in one of a long and many short series its square.
    size_t padded = series_.size() * static_cast<size_t>(channels) * sizeof(float);
    if (steps > (kPadding * text_.size() + kAnyway) / padded)
      throw_io_error("ts", path_, "has series of up to " + std::to_string(steps) + " steps, but most are so short that padding them would take " + std::to_string(kPadding) +
                                      " times the file's size; split it by length");
    set_.values = full({count, static_cast<int64_t>(steps), channels}, kMissing, f32);
    float* out = set_.values.data<float>();
    for (const Series& s : series_) {
      for (size_t c = 0; c < s.channels.size(); ++c)
        for (size_t t = 0; t < s.channels[c].size(); ++t) out[t * s.channels.size() + c] = s.channels[c][t];
      out += steps * s.channels.size();
    }
    if (has_target_)
      set_.target = answers<double>([](const Series& s) { return s.target; });
    else if (!set_.classes.empty())
      set_.label = answers<int64_t>([](const Series& s) { return s.label; });
    return std::move(set_);
  }

  template <typename T, typename Of>
  Tensor answers(Of&& of) const {
    std::vector<T> all;
    for (const Series& s : series_) all.push_back(of(s));
    return from_vector(all);
  }

  const std::string& path_;
  std::string text_;
  size_t line_ = 1, dimensions_ = 0, steps_ = 0;
  bool in_data_ = false, equal_length_ = false, univariate_ = false, has_target_ = false;
  TimeSeriesSet set_;
  std::vector<Series> series_;
};

}  // namespace

TimeSeriesSet load_ts(const std::string& path) { return TsReader(path).read(); }

}  // namespace plumb
