// `plumb bench`: rows are there under their names and count what they move. How long anything takes is not looked at.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/tools/run_command.h"

TEST_CASE("bench kernels: the row of where moves a byte and three numbers an element, its derivative a byte and two numbers a gradient") {
  Outcome o = run_plumb("bench kernels --only where --seconds 0.01 --json");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  std::istringstream lines(o.out);
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(nlohmann::json::parse(line));
  REQUIRE(rows.size() == 2);
  double elements = 1 << 20;
  auto bytes = [](const nlohmann::json& row) { return row["gb_per_s"].get<double>() * 1e9 * row["us"].get<double>() * 1e-6; };
  CHECK(rows[0]["kernel"] == "where");
  CHECK(bytes(rows[0]) == doctest::Approx(elements * (1 + 3 * 4)).epsilon(1e-9));
  CHECK(rows[1]["kernel"] == "where_backward");
  CHECK(bytes(rows[1]) == doctest::Approx(elements * 2 * (1 + 2 * 4)).epsilon(1e-9));
}

TEST_CASE("bench kernels: an unknown row is one line with those that there are") {
  Outcome o = run_plumb("bench kernels --only wheer");
  CHECK(o.code == 2);
  CHECK(o.err.starts_with("plumb: bench kernels: --only wheer is unknown; choose from copy, matmul, pointwise, where, "));
}
