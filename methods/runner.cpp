// The loop over seeds and variants.
#include "methods/runner.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/io/animated_png.h"
#include "engine/io/file.h"
#include "engine/io/image.h"
#include "engine/io/json_object.h"
#include "methods/page.h"

namespace plumb::methods {
namespace {

using Clock = std::chrono::steady_clock;

std::string today() {
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

// What all cells in a directory have in common: the first line of cells.jsonl.
std::string heading(const Method& method, const RunOptions& o) {
  JsonObject json;
  json.set("method", std::string(method.slug));
  json.set("budget", words_of(o.budget)[static_cast<size_t>(o.budget)]);
  json.set("device", to_string(o.device));
  return json.text();
}

// cells.jsonl: a heading, then a cell a line. A last line without its end was cut off while it was written: it is dropped.
class CellFile {
 public:
  CellFile(const Method& method, const RunOptions& o) {
    if (o.out.empty()) return;
    path_ = o.out + "/cells.jsonl";
    std::string text = path_exists(path_) ? read_file(path_) : "";
    text.resize(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1);
    if (text.empty()) {
      if (path_exists(o.out) && !std::filesystem::is_empty(o.out) && !path_exists(path_))
        throw ConfigError(o.out + " exists and holds something else; give another --out");
      std::error_code failed;
      std::filesystem::create_directories(o.out, failed);
      if (failed) throw IoError(o.out + ": cannot make the directory: " + failed.message());
      text = heading(method, o) + "\n";
    }
    std::istringstream lines(text);
    std::string line;
    std::getline(lines, line);
    if (line != heading(method, o)) throw ConfigError(o.out + " holds cells of another run, " + line + "; give another --out or remove it");
    while (std::getline(lines, line)) cells_.push_back(CellResult::from_json(line, path_));
    write_file_atomic(path_, text);
  }

  std::vector<CellResult>& cells() { return cells_; }

  void add(const CellResult& cell) {
    cells_.push_back(cell);
    if (path_.empty()) return;
    std::ofstream file(path_, std::ios::app);
    file << cell.to_json() << "\n";
    if (!file.flush()) throw IoError(path_ + ": cannot write; the disk may be full");
  }

 private:
  std::string path_;
  std::vector<CellResult> cells_;
};

void check_variants(const Experiment& experiment, const std::vector<std::string>& asked) {
  auto known = [&](const std::string& name) {
    return std::ranges::find(experiment.variants, name, &Variant::name) != experiment.variants.end();
  };
  std::string names;
  for (const Variant& v : experiment.variants) names += (names.empty() ? "\"" : ", \"") + v.name + "\"";
  for (const std::string& name : asked)
    if (!known(name)) throw ConfigError("there is no variant \"" + name + "\"; there are " + names);
  if (!known(experiment.baseline) || !(experiment.method.empty() || known(experiment.method)))
    throw ValueError("an experiment's baseline and method must be among its variants: " + names);
}

void check_metrics(const Experiment& experiment, const std::string& variant, const Measured& measured) {
  for (const auto& [name, value] : measured.metrics)
    if (std::ranges::find(experiment.metrics, name, &Metric::name) == experiment.metrics.end())
      throw ValueError(variant + " measured \"" + name + "\", which the experiment does not declare");
  for (const Metric& m : experiment.metrics)
    if (std::ranges::find(measured.metrics, m.name, &std::pair<std::string, double>::first) == measured.metrics.end())
      throw ValueError(variant + " did not measure \"" + m.name + "\"");
}

void save_pictures(const std::string& out, const CellResult& cell) {
  if (out.empty() || cell.measured.pictures.empty()) return;
  std::filesystem::create_directories(out + "/pictures");
  for (const Picture& p : cell.measured.pictures) {
    std::string path = out + "/" + picture_file(cell.variant, p.title);
    if (p.image.rank() == 4) save_animated_png(path, p.image);
    else save_png(path, p.image);
  }
}

CellResult run_cell(const Experiment& experiment, Cell cell) {
  manual_seed(cell.seed());
  auto start = Clock::now();
  experiment.run(cell);
  double seconds = std::chrono::duration<double>(Clock::now() - start).count() - cell.seconds_sharing();
  check_metrics(experiment, cell.variant(), cell.measured());
  return {cell.variant(), cell.seed(), seconds, cell.measured()};
}

}  // namespace

Results run_experiment(const Method& method, const RunOptions& o) {
  if (o.seeds < 1) throw ConfigError("--seeds must be at least 1, it is " + std::to_string(o.seeds));
  if (o.first_seed < 0) throw ConfigError("--first-seed must be at least 0, it is " + std::to_string(o.first_seed));
  Experiment experiment = method.experiment();
  check_variants(experiment, o.variants);
  if (o.device != cpu && !experiment.follows_device)
    throw ConfigError(std::string(method.slug) + "'s experiment computes on the CPU alone; leave --device " + to_string(o.device) + " out");
  std::vector<std::string> variants = o.variants;
  if (variants.empty())
    for (const Variant& v : experiment.variants) variants.push_back(v.name);
  CellFile file(method, o);
  size_t total = variants.size() * static_cast<size_t>(o.seeds), done = 0;
  for (int64_t seed = o.first_seed; seed < o.first_seed + o.seeds; ++seed) {
    SharedValues values;
    for (const std::string& variant : variants) {
      auto same = [&](const CellResult& c) { return c.variant == variant && c.seed == static_cast<uint64_t>(seed); };
      std::string now = variant + ", seed " + std::to_string(seed);
      auto tell = [&](double share) { if (o.progress) o.progress(static_cast<double>(done) + share, total, now); };
      if (std::ranges::none_of(file.cells(), same)) {
        Cell cell(variant, static_cast<uint64_t>(seed), o.budget, o.device);
        cell.attach(&values, tell);
        cell.progress(0);
        CellResult result = run_cell(experiment, std::move(cell));
        if (seed == o.first_seed) save_pictures(o.out, result);
        result.measured.pictures.clear();
        file.add(result);
      }
      ++done;
      tell(0);
    }
  }
  return {std::string(method.slug), o.budget, to_string(o.device), o.command, o.machine, today(), file.cells()};
}

void write_results(const Method& method, const Results& results, const std::string& out) {
  write_file_atomic(out + "/results.json", results.to_json());
  write_file_atomic(out + "/report.html", experiment_page(method, results, out));
}

}  // namespace plumb::methods
