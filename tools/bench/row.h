// Fields of the rows of a report.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_object.h"
#include "tools/bench/statistics.h"

namespace plumb::tools {

/// What a row says under the name; 0, empty or false where it says nothing.
double number(const JsonObject& row, const std::string& name);
std::string text(const JsonObject& row, const std::string& name);
bool flag(const JsonObject& row, const std::string& name);
/// The ends of the interval of `name`, which stand under "name_95"; twice the number itself where there is none.
std::vector<double> ends(const JsonObject& row, const std::string& name);
/// Puts the value and, under "name_95", the ends of its interval into the row.
void set_interval(JsonObject& row, const std::string& name, const Estimate& e, double scale = 1);
/// "1.234 s [1.200, 1.260]"
std::string interval(const JsonObject& row, const std::string& name, const char* unit, int digits, double scale = 1);
/// "plumb 0.1.0", "torch 2.15.0 compiled", and of a program that is compared with "its name for itself (its file)".
std::string who(const JsonObject& row);

}  // namespace plumb::tools
