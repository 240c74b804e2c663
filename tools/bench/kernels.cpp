// Rounds of plumb_bench and of a peer, and what they say together.
#include "tools/bench/kernels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <plumb/version.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "tools/bench/child.h"
#include "tools/bench/peers.h"
#include "tools/bench/row.h"
#include "tools/bench/speaker.h"
#include "tools/bench/statistics.h"

namespace plumb::tools {
namespace {

namespace fs = std::filesystem;
constexpr const char* kCeiling = "ceiling_";

struct Name {
  std::string kernel, shape, type, side;
  std::string row() const { return kernel + "/" + shape + "/" + type; }
};

Name split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (char c : text) c == '/' ? (void)parts.emplace_back() : parts.back().push_back(c);
  parts.resize(std::max<size_t>(parts.size(), 4));
  return {parts[0], parts[1], parts[2], parts[3]};
}

std::string bench_program(const KernelSettings& s) {
  std::string path = !s.binary.empty() ? s.binary : (fs::read_symlink("/proc/self/exe").parent_path() / "plumb_bench").string();
  if (fs::is_regular_file(path)) return path;
  throw ConfigError(
      path + " is not there: configure with -DPLUMB_BENCH=ON (bash tools/packages.sh bench) and build plumb_bench, or give --binary PATH");
}

// The output of a run of the program with these arguments.
std::string output_of(std::vector<std::string> command) {
  std::string program = command[0], text;
  Child child(std::move(command), {{"OPENBLAS_CORETYPE", std::nullopt}});
  child.close_input();
  while (std::optional<std::string> line = child.receive()) text += *line + "\n";
  if (int code = child.wait(); code != 0)
    throw ConfigError(
        fmt::format("{} ended with exit code {}{}{}", program, code, child.last_complaint().empty() ? "" : ": ", child.last_complaint()));
  return text;
}

std::vector<std::string> listed(const std::string& program, const std::string& device) {
  std::string text = output_of({program, "--device=" + device, "--benchmark_list_tests=true"});
  std::vector<std::string> names;
  for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) names.push_back(text.substr(at, end - at));
  return names;
}

bool matches(const std::string& pattern, const std::string& kernel) {
  return pattern.ends_with('*') ? kernel.starts_with(pattern.substr(0, pattern.size() - 1)) : kernel == pattern;
}

// A regular expression of the rows that were asked for, and the ceilings.
std::string filter_of(const KernelSettings& s, const std::vector<std::string>& names) {
  std::set<std::string> kernels, sides{"plumb"}, all;
  for (const std::string& name : names)
    if (!name.starts_with(kCeiling)) all.insert(split(name).kernel);
  for (const std::string& pattern : s.only) {
    size_t before = kernels.size();
    for (const std::string& kernel : all)
      if (matches(pattern, kernel)) kernels.insert(kernel);
    if (kernels.size() == before && !kernels.contains(pattern))
      throw ConfigError(fmt::format("--only {} is unknown; choose from {}", pattern, fmt::join(all, ", ")));
  }
  for (const std::string& peer : s.against) {
    if (peer == "onednn" && std::ranges::none_of(names, [](const std::string& name) { return split(name).side == "onednn"; }))
      throw ConfigError(
          "--against onednn: plumb_bench was built without oneDNN; install libdnnl-dev (bash tools/packages.sh peers), configure and build "
          "again");
    if (peer != "torch") sides.insert(peer);
  }
  std::string which = s.only.empty() ? "[a-z0-9_]+" : fmt::format("({})", fmt::join(kernels, "|"));
  return fmt::format("^({}[a-z]+/.*|{}/.*/({}))(/real_time)?$", kCeiling, which, fmt::join(sides, "|"));
}

// On a CPU and on a GPU there are different libraries.
void check_side(const std::string& side, const std::string& device) {
  std::vector<std::string> sides = device == "cpu" ? std::vector<std::string>{"plain", "openblas", "onednn", "torch"}
                                                   : std::vector<std::string>{"plain", "own", "cublaslt", "cudnn", "torch"};
  if (std::ranges::find(sides, side) == sides.end())
    throw ConfigError(fmt::format("--against {} is unknown on {}; choose {}", side, device, fmt::join(sides, ", ")));
}

// A peer that times rows by their names, a turn at a time.
class KernelPeer {
 public:
  KernelPeer(const KernelSettings& s, const std::vector<std::string>& rows)
      : peers_(kernel_peer(s.python)), speaker_(peers_.sides[0].name, command(s, rows)) {
    JsonObject about = speaker_.listen();
    about.read("peer", version_);
  }
  const std::string& version() const { return version_; }

  void take_turn(std::vector<KernelTime>& round, double seconds) {
    JsonObject reply = speaker_.turn(decimal(seconds)), times;
    reply.read("seconds", times);
    for (const std::string& name : times.names()) {
      KernelTime t{.name = name + "/torch"};
      times.read(name, t.seconds);
      round.push_back(t);
    }
  }

 private:
  std::vector<std::string> command(const KernelSettings& s, const std::vector<std::string>& rows) const {
    std::vector<std::string> words = peers_.sides[0].command;
    for (const std::string& word : {std::string("--threads"), std::to_string(num_threads()), std::string("--device"), s.device})
      words.push_back(word);
    words.insert(words.end(), rows.begin(), rows.end());
    return words;
  }

  Peers peers_;
  Speaker speaker_;
  std::string version_;
};

std::vector<std::string> rows_of(const std::vector<KernelTime>& round) {
  std::vector<std::string> rows;
  for (const KernelTime& t : round)
    if (Name name = split(t.name); name.side == "plumb" && !t.name.starts_with(kCeiling)) rows.push_back(name.row());
  return rows;
}

}  // namespace

std::vector<KernelTime> parse_kernel_times(const std::string& json) {
  std::vector<KernelTime> times;
  try {
    const nlohmann::json printed = nlohmann::json::parse(json);
    for (const auto& b : printed.at("benchmarks")) {
      if (b.value("error_occurred", false))
        throw ConfigError(fmt::format("plumb_bench: {}: {}", b.at("name").get<std::string>(), b.value("error_message", "failed")));
      std::string name = b.at("name"), unit = b.at("time_unit");
      if (size_t end = name.rfind("/real_time"); end != std::string::npos) name.erase(end);
      double scale = unit == "ns" ? 1e-9 : unit == "us" ? 1e-6 : unit == "ms" ? 1e-3 : 1;
      times.push_back({name, b.at("real_time").get<double>() * scale, b.value("bytes", 0.0), b.value("flops", 0.0)});
    }
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(std::string("plumb_bench printed no results: ") + error.what());
  }
  return times;
}

void Ceilings::see(const KernelTime& t) {
  Name name = split(t.name);
  if (name.kernel == "ceiling_copy") copy[t.bytes] = std::max(copy[t.bytes], t.bytes / t.seconds);
  if (name.kernel == "ceiling_product" || name.kernel == "gemm") product[name.type] = std::max(product[name.type], t.flops / t.seconds);
}

double Ceilings::bandwidth(double bytes) const {
  double nearest = 0, rate = 0;
  for (const auto& [moved, speed] : copy)
    if (double distance = std::abs(std::log(moved / std::max(bytes, 1.0))); rate == 0 || distance < nearest)
      nearest = distance, rate = speed;
  return rate;
}

double Ceilings::product_rate(const std::string& type) const {
  auto found = product.find(type);
  return found == product.end() ? 0 : found->second;
}

std::vector<JsonObject> kernel_rows(const std::vector<std::vector<KernelTime>>& rounds, const std::string& device,
                                    const std::map<std::string, std::string>& peers) {
  Ceilings ceilings;
  std::map<std::string, std::vector<double>> times;
  std::vector<KernelTime> order;
  for (const auto& round : rounds)
    for (const KernelTime& t : round) {
      ceilings.see(t);
      if (!times.contains(t.name)) order.push_back(t);
      times[t.name].push_back(t.seconds);
    }
  std::vector<JsonObject> rows;
  auto ceiling = [&](const std::string& what, const char* unit, double rate) {
    JsonObject row;
    row.set("bench", "ceiling");
    row.set("what", what);
    row.set(unit, rate * 1e-9);
    rows.push_back(std::move(row));
  };
  for (const auto& [bytes, rate] : ceilings.copy) ceiling(fmt::format("copy that moves {:.0f} MB", bytes * 1e-6), "gb_per_s", rate);
  for (const auto& [type, rate] : ceilings.product) ceiling("product " + type, "gflop_per_s", rate);
  for (const KernelTime& own : order) {
    Name name = split(own.name);
    if (name.side != "plumb" || own.name.starts_with(kCeiling)) continue;
    // The roofline: what moves its bytes and does its operations takes at least the longer of the two.
    double moving = own.bytes > 0 ? own.bytes / ceilings.bandwidth(own.bytes) : 0, product = ceilings.product_rate(name.type),
           computing = product > 0 ? own.flops / product : 0;
    const std::vector<double>& own_times = times[own.name];
    for (const KernelTime& other : order) {
      if (split(other.name).row() != name.row()) continue;
      const std::vector<double>& its_times = times[other.name];
      Estimate e = estimate(its_times);
      std::string side = split(other.name).side;
      JsonObject row;
      row.set("bench", "kernels");
      row.set("kernel", name.kernel);
      row.set("shape", name.shape);
      row.set("dtype", name.type);
      row.set("side", side);
      row.set("peer", side == "plumb" ? std::string("plumb ") + kVersion : peers.contains(side) ? peers.at(side) : side);
      row.set("device", device);
      set_interval(row, "us", e, 1e6);
      if (own.flops > 0) row.set("gflop_per_s", own.flops / e.value * 1e-9);
      if (own.bytes > 0) row.set("gb_per_s", own.bytes / e.value * 1e-9);
      row.set("flops", own.flops);
      row.set("bytes", own.bytes);
      row.set("bound", moving >= computing ? "memory" : "compute");
      row.set("share_of_ceiling", std::max(moving, computing) / e.value);
      if (side != "plumb") set_interval(row, "ratio", ratio(its_times, own_times));
      row.set("rounds", static_cast<int64_t>(its_times.size()));
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::vector<JsonObject> time_kernels(const KernelSettings& s) {
  for (const std::string& peer : s.against) check_side(peer, s.device);
  std::string program = bench_program(s);
  std::vector<std::string> command{program, "--device=" + s.device, "--benchmark_filter=" + filter_of(s, listed(program, s.device)),
                                   "--benchmark_format=json", fmt::format("--benchmark_min_time={}", s.seconds)};
  std::unique_ptr<KernelPeer> torch;
  std::vector<std::vector<KernelTime>> rounds;
  for (int64_t i = 0; i < s.rounds; ++i) {
    rounds.push_back(parse_kernel_times(output_of(command)));
    if (std::ranges::find(s.against, "torch") == s.against.end()) continue;
    if (!torch) torch = std::make_unique<KernelPeer>(s, rows_of(rounds[0]));
    torch->take_turn(rounds.back(), s.seconds);
  }
  return kernel_rows(rounds, s.device,
                     torch ? std::map<std::string, std::string>{{"torch", torch->version()}} : std::map<std::string, std::string>{});
}

}  // namespace plumb::tools
