// The page of an audit: as HTML, as lines, as JSON.
#include <fmt/format.h>

#include <cmath>

#include "engine/io/json_object.h"
#include "methods/fairness/rai_inconsistency/audit.h"
#include "methods/fairness/rai_inconsistency/provenance.h"
#include "models/train/html.h"
#include "models/train/line_chart.h"

namespace plumb::methods::rai_inconsistency {
namespace {

using train::escape_html;

constexpr double kGaps[] = {0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3};

std::string number(double v, int digits = 3) {
  return std::isnan(v) ? "undefined" : std::isinf(v) ? "none" : fmt::format("{:.{}f}", v, digits);
}
std::string interval(const Range& r) { return std::isnan(r.low) ? "–" : fmt::format("{} … {}", number(r.low), number(r.high)); }
std::string with_interval(const Range& r) { return number(r.value) + (std::isnan(r.low) ? "" : fmt::format(" ({})", interval(r))); }

// Columns from `text` on are words, not numbers.
std::string row(const std::vector<std::string>& cells, const char* tag, size_t text) {
  std::string html = "<tr>";
  for (size_t c = 0; c < cells.size(); ++c)
    html += fmt::format("<{0}{1}>{2}</{0}>", tag, c >= text ? " class='text'" : "", escape_html(cells[c]));
  return html + "</tr>\n";
}

std::string table(const std::vector<std::string>& heads, const std::vector<std::vector<std::string>>& rows, size_t text = SIZE_MAX) {
  std::string html = "<div class='wide'><table>\n" + row(heads, "th", text);
  for (const auto& r : rows) html += row(r, "td", text);
  return html + "</table></div>\n";
}

std::string name_of(const AuditInput& in, int64_t group) { return in.group_names.at(static_cast<size_t>(group)); }

using Rows = std::vector<std::vector<std::string>>;

Rows group_rows(const AuditInput& in, const Audit& a) {
  Rows rows;
  for (const GroupIdentity& g : a.incompatibilities.groups)
    rows.push_back({name_of(in, g.group), std::to_string(g.count), number(g.base_rate), number(g.selection_rate),
                    number(1 - g.false_negative_rate), number(g.false_positive_rate), number(g.ppv), number(g.error)});
  return rows;
}

Rows measure_rows(const Audit& a) {
  Rows rows;
  for (const AuditedMeasure& m : a.measures) {
    bool gap = !std::isnan(m.chance);
    rows.push_back({m.measure.name, number(m.range.value), interval(m.range), gap ? number(m.chance) : "", gap ? number(m.p_value, 2) : "",
                    m.measure.kind, sheet_of(m.measure.name).assumption});
  }
  return rows;
}

// The least error for each allowed gap, of each definition alone and of all together.
Rows front_rows(const ThresholdFrontier& f) {
  Rows rows;
  for (double most : kGaps) {
    rows.push_back({number(most, 2)});
    for (size_t d = 0; d < kDefinitions; ++d) rows.back().push_back(number(f.least_error(d, most)));
    rows.back().push_back(number(f.least_error({0, 1, 2}, most)));
  }
  return rows;
}

std::string front_chart(const ThresholdFrontier& f) {
  constexpr const char* colours[] = {"#c0392b", "#2471a3", "#2c7a4b", "#333333"};
  std::vector<train::Series> lines;
  for (size_t d = 0; d <= kDefinitions; ++d) {
    train::Series s{d < kDefinitions ? definition_names()[d] : "all three", {}, {}, colours[d]};
    for (int k = 0; k <= 60; ++k) {
      double most = 0.005 * k;
      s.x.push_back(most);
      s.y.push_back(d < kDefinitions ? f.least_error(d, most) : f.least_error({0, 1, 2}, most));
    }
    lines.push_back(std::move(s));
  }
  return train::line_chart("Least error by two group thresholds", "largest gap allowed", lines);
}

Rows contradiction_rows(const TradeOff& t) {
  Rows rows;
  for (const Contradiction& c : t.contradictions)
    rows.push_back({definition_names()[c.first] + " and " + definition_names()[c.second], number(c.alone_first), number(c.alone_second),
                    with_interval(c.together), with_interval(c.excess)});
  rows.push_back({"all three", "", "", with_interval(t.joint), ""});
  return rows;
}

// What the impossibility results come to here, a sentence each.
std::vector<std::string> sentences(const IncompatibilityReport& r) {
  return {
      fmt::format("Base rates differ by {}. With equal precision ({}) and equal miss rates ({}) for all groups, false positive rates would "
                  "differ by {} (Chouldechova 2017); the identity holds to {:.1e} here.",
                  number(r.base_rate_gap), number(r.pooled_ppv), number(r.pooled_fnr), number(r.implied_gap), r.residual),
      fmt::format(
          "Calibration in the large is off by {}, balance among positives by {}, among negatives by {}. Not all three can be 0 unless base "
          "rates are equal or predictions perfect (Kleinberg et al. 2017).",
          number(r.calibration), number(r.balance_positive), number(r.balance_negative)),
      fmt::format("Errors of two groups add up to {} more than the gaps of their base and selection rates require (Zhao & Gordon 2019).",
                  number(r.zhao_gordon_slack))};
}

std::string trade_off_title(const AuditInput& in, const TradeOff& t) {
  return fmt::format("Thresholds of their own for \"{}\" and \"{}\", {} levels each; an error up to {} above the best, {}, is allowed.",
                     name_of(in, t.groups[0]), name_of(in, t.groups[1]), in.grid, number(in.budget, 2), number(t.frontier.best_error()));
}

std::string provenance_html() {
  Rows rows;
  for (const ProvenanceSheet& s : provenance_sheets())
    rows.push_back({s.name, s.definition, s.stakeholders, s.needs_labels ? "labels" : "", s.needs_groups ? "groups" : "", s.conflicts,
                    fmt::format("{}", s.tolerance)});
  return table({"measure", "definition", "who it serves", "needs", "", "known not to go with", "tolerance"}, rows, 1);
}

const std::vector<std::string> kMeasureHeads{"measure", "value", "95 % interval", "by chance", "p", "kind", "what it takes for granted"};
const std::vector<std::string> kGroupHeads{"group", "rows", "base rate", "selected", "TPR", "FPR", "PPV", "error"};
const std::vector<std::string> kPairHeads{"definitions", "first alone", "second alone", "together", "contradiction"};

// Columns as wide as their widest cell; letters beyond ASCII count once.
size_t width_of(const std::string& text) {
  size_t n = 0;
  for (char c : text) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

std::string columns(const std::vector<std::string>& heads, const Rows& rows, size_t shown) {
  std::vector<size_t> width(shown);
  auto widen = [&](const std::vector<std::string>& r) {
    for (size_t k = 0; k < shown; ++k) width[k] = std::max(width[k], width_of(r[k]));
  };
  widen(heads);
  for (const auto& r : rows) widen(r);
  auto line = [&](const std::vector<std::string>& r) {
    std::string text = "  ";
    for (size_t k = 0; k < shown; ++k) text += r[k] + std::string(k + 1 < shown ? width[k] - width_of(r[k]) + 2 : 0, ' ');
    return text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  };
  std::string text = line(heads);
  for (const auto& r : rows) text += line(r);
  return text;
}

JsonObject range_json(const Range& r) {
  JsonObject json;
  json.set("value", r.value);
  json.set("low", r.low);
  json.set("high", r.high);
  return json;
}

}  // namespace

std::string audit_page(const AuditInput& in, const Audit& a) {
  std::string body = fmt::format("<p>{}, on {} rows of {}; groups by {}; \"{}\" counts as positive, from a probability of {}.</p>\n",
                                 escape_html(in.model), in.p.numel(), escape_html(in.data), escape_html(in.protected_column),
                                 escape_html(in.positive), in.context.threshold);
  for (const std::string& note : a.notes) body += "<p>" + escape_html(note) + "</p>\n";
  body += table(kGroupHeads, group_rows(in, a));
  body += "<h2>Every measure</h2>\n" + table(kMeasureHeads, measure_rows(a), 5);
  body += fmt::format(
      "<p class='about'>Less is better. Intervals: percentiles over {} resamples of people within their groups, the model as it is. A gap "
      "is a largest difference, so it is above 0 even where groups are dealt out by chance: \"by chance\" is its mean over {} such "
      "deals, p the share of them with a gap as large. Noise and FGSM move every input, the 0/1 inputs of texts too.</p>\n",
      in.resamples, in.permutations);
  body += "<h2>What contradicts what, and by how much</h2>\n";
  for (const std::string& s : sentences(a.incompatibilities)) body += "<p>" + escape_html(s) + "</p>\n";
  if (a.trade_off) {
    const TradeOff& t = *a.trade_off;
    body += "<p>" + escape_html(trade_off_title(in, t)) + "</p>\n" + table(kPairHeads, contradiction_rows(t));
    body +=
        "<p class='about'>\"Alone\" is the smallest gap that the definition can be brought to, \"together\" the smallest that both can be "
        "kept to at once; the contradiction is how much larger that is than the worse one alone.</p>\n";
    body += "<h2>The trade-off front</h2>\n" + front_chart(t.frontier);
    body +=
        table({"gap at most", definition_names()[0], definition_names()[1], definition_names()[2], "all three"}, front_rows(t.frontier));
    body += "<p class='about'>The least error with each gap kept that small; \"none\": no pair of thresholds does.</p>\n";
  }
  body += "<h2>Where the measures come from</h2>\n" + provenance_html();
  return train::html_page("Audit: " + in.model, body);
}

std::string audit_text(const AuditInput& in, const Audit& a) {
  std::string text =
      fmt::format("{} rows of {}, groups by {}, \"{}\" is positive\n", in.p.numel(), in.data, in.protected_column, in.positive);
  for (const std::string& note : a.notes) text += note + "\n";
  text += "\n" + columns(kGroupHeads, group_rows(in, a), kGroupHeads.size()) + "\n" + columns(kMeasureHeads, measure_rows(a), 5) + "\n";
  for (const std::string& s : sentences(a.incompatibilities)) text += s + "\n";
  if (a.trade_off) {
    text +=
        "\n" + trade_off_title(in, *a.trade_off) + "\n" + columns(kPairHeads, contradiction_rows(*a.trade_off), kPairHeads.size()) + "\n";
    text += columns({"gap at most", definition_names()[0], definition_names()[1], definition_names()[2], "all three"},
                    front_rows(a.trade_off->frontier), 5);
  }
  return text;
}

std::string audit_json(const AuditInput& in, const Audit& a) {
  JsonObject json;
  json.set("model", in.model);
  json.set("data", in.data);
  json.set("protected", in.protected_column);
  json.set("positive", in.positive);
  json.set("rows", in.p.numel());
  std::vector<JsonObject> measures, groups, pairs;
  for (const AuditedMeasure& m : a.measures) {
    JsonObject one = range_json(m.range);
    one.set("name", m.measure.name);
    one.set("kind", m.measure.kind);
    one.set("undefined_resamples", m.undefined);
    one.set("chance", m.chance);
    one.set("p", m.p_value);
    measures.push_back(one);
  }
  for (const GroupIdentity& g : a.incompatibilities.groups) {
    JsonObject one;
    one.set("name", name_of(in, g.group));
    one.set("rows", g.count);
    one.set("base_rate", g.base_rate);
    one.set("selection_rate", g.selection_rate);
    one.set("false_positive_rate", g.false_positive_rate);
    one.set("false_negative_rate", g.false_negative_rate);
    one.set("ppv", g.ppv);
    one.set("error", g.error);
    groups.push_back(one);
  }
  json.set("groups", groups);
  json.set("measures", measures);
  json.set("implied_fpr_gap", a.incompatibilities.implied_gap);
  json.set("identity_residual", a.incompatibilities.residual);
  json.set("zhao_gordon_slack", a.incompatibilities.zhao_gordon_slack);
  if (a.trade_off) {
    for (const Contradiction& c : a.trade_off->contradictions) {
      JsonObject one;
      one.set("first", definition_names()[c.first]);
      one.set("second", definition_names()[c.second]);
      one.set("together", range_json(c.together));
      one.set("excess", range_json(c.excess));
      pairs.push_back(one);
    }
    json.set("joint_level", range_json(a.trade_off->joint));
    json.set("contradictions", pairs);
  }
  return json.text(1) + "\n";
}

}  // namespace plumb::methods::rai_inconsistency
