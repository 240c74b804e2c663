// `plumb inspect`: the tensors of a run, a checkpoint or any safetensors file, with what their elements look like.
#include <fmt/format.h>

#include <memory>
#include <numeric>

#include "engine/io/json_object.h"
#include "tools/cli/printable.h"
#include "tools/commands.h"
#include "tools/inspect/statistics.h"
#include "tools/inspect/stored_tensors.h"

namespace plumb::tools {
namespace {

struct Options {
  std::string path;
  std::optional<int64_t> step;
  std::vector<std::string> names;
  bool no_values = false, json = false;
};

int64_t bytes_of(const Tensor& x) { return x.numel() * static_cast<int64_t>(item_size(x.dtype())); }

std::string readable_bytes(int64_t bytes) {
  if (bytes < 10'000) return fmt::format("{} B", bytes);
  if (bytes < (int64_t{10} << 20)) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / (1 << 10));
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

struct Total {
  int64_t elements = 0, bytes = 0;
};
Total total_of(const StateDict& tensors) {
  Total total;
  for (const auto& [name, x] : tensors) {
    total.elements += x.numel();
    total.bytes += bytes_of(x);
  }
  return total;
}

// -- as JSON ------------------------------------------------------------------------------------------

JsonObject as_json(const std::string& name, const Tensor& x, bool values) {
  JsonObject row;
  row.set("name", name);
  row.set("dtype", std::string(plumb::name(x.dtype())));
  row.set("shape", std::vector<int64_t>(x.shape().begin(), x.shape().end()));
  row.set("elements", x.numel());
  row.set("bytes", bytes_of(x));
  if (!values) return row;
  TensorStatistics s = statistics_of(x);
  row.set("zeros", s.zeros);
  row.set("nans", s.nans);
  row.set("infinities", s.infinities);
  if (s.finite == 0) return row;
  row.set("mean", s.mean);
  row.set("std", s.std);
  row.set("min", s.min);
  row.set("max", s.max);
  row.set("histogram", std::vector<int64_t>(s.histogram.begin(), s.histogram.end()));
  return row;
}

void print_json(const StoredTensors& stored, const StateDict& chosen, bool values) {
  JsonObject all, metadata;
  all.set("files", stored.files);
  all.set("other_files", stored.others);
  for (const auto& [key, value] : stored.metadata) metadata.set(key, value);
  all.set("metadata", metadata);
  Total total = total_of(chosen);
  all.set("elements", total.elements);
  all.set("bytes", total.bytes);
  std::vector<JsonObject> rows;
  for (const auto& [name, x] : chosen) rows.push_back(as_json(name, x, values));
  all.set("tensors", rows);
  fmt::print("{}\n", all.text(2));
}

// -- as a table ---------------------------------------------------------------------------------------

std::string shortened(std::string text, size_t most) {
  text = printable(std::move(text));
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not within a character
  return text.substr(0, end) + fmt::format("… ({} bytes)", text.size());
}

size_t longest(const StateDict& tensors, auto&& text) {
  return std::accumulate(tensors.begin(), tensors.end(), size_t{6},
                         [&](size_t width, const auto& entry) { return std::max(width, text(entry).size()); });
}

std::string numbers(const TensorStatistics& s) {
  std::string counts = fmt::format("{:>9} {:>5} {:>5}", s.zeros, s.nans, s.infinities);
  if (s.finite == 0) return fmt::format("{:>10} {:>10} {:>10} {:>10} {}", "", "", "", "", counts);
  return fmt::format("{:>10.3g} {:>10.3g} {:>10.3g} {:>10.3g} {}  {}", s.mean, s.std, s.min, s.max, counts, bars(s));
}

void print_table(const StoredTensors& stored, const StateDict& chosen, bool values) {
  Total total = total_of(chosen), of_all = total_of(stored.tensors);
  for (const std::string& file : stored.files) fmt::print("{}\n", file);
  for (const std::string& other : stored.others) fmt::print("beside it: {}\n", other);
  for (const auto& [key, value] : stored.metadata) fmt::print("  {}: {}\n", shortened(key, 80), shortened(value, 80));
  std::string of =
      chosen.size() == stored.tensors.size() ? "" : fmt::format(" (of {}, {} elements)", stored.tensors.size(), of_all.elements);
  fmt::print("{} tensors{}, {} elements, {}\n\n", chosen.size(), of, total.elements, readable_bytes(total.bytes));
  size_t name_width = longest(chosen, [](const auto& entry) { return entry.first; });
  size_t shape_width = longest(chosen, [](const auto& entry) { return to_string(entry.second.shape()); });
  std::string heading = fmt::format("{:{}}  {:5} {:{}} {:>10}", "tensor", name_width, "type", "shape", shape_width, "bytes");
  if (values)
    heading += fmt::format(" {:>10} {:>10} {:>10} {:>10} {:>9} {:>5} {:>5}  histogram from min to max", "mean", "std", "min", "max",
                           "zeros", "NaN", "inf");
  fmt::print("{}\n", heading);
  for (const auto& [name, x] : chosen) {
    std::string row = fmt::format("{:{}}  {:5} {:{}} {:>10}", printable(name), name_width, plumb::name(x.dtype()), to_string(x.shape()),
                                  shape_width, readable_bytes(bytes_of(x)));
    if (values) row += " " + numbers(statistics_of(x));
    fmt::print("{}\n", row.substr(0, row.find_last_not_of(' ') + 1));
  }
}

int inspect(const Options& o) {
  StoredTensors stored = load_stored(o.path, o.step);
  StateDict chosen = matching(stored.tensors, o.names);
  (o.json ? print_json : print_table)(stored, chosen, !o.no_values);
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.required("path", o->path, "a run, a directory of weights, or any .safetensors file");
  line.option("--name", o->names, "only tensors whose names contain this, or match it (* and ?)");
  line.option("--step", o->step, "the run's checkpoint of this step instead of its newest weights");
  line.flag("--no-values", o->no_values, "names, types and shapes only: the elements are not read");
  line.flag("--json", o->json, "one JSON object");
  return [o] { return inspect(*o); };
}

}  // namespace

extern const Command inspect_command;
const Command inspect_command{"inspect", "show the tensors of a run or a checkpoint: shapes, types, bytes, statistics, histograms", define};

}  // namespace plumb::tools
