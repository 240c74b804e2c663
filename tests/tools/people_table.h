// A user's table for the tests of train tabular and audit: people with numbers, texts, missing fields and two groups.
#pragma once
#include <string>

#include "engine/core/generator.h"

/// `rows` people: age, hours (some missing), job (some missing), sex, and whether they earn much, which follows from the others with noise.
inline std::string people_table(int rows, uint64_t seed = 1) {
  plumb::Generator g(seed);
  std::string text = "age,hours,job,sex,earns\n";
  const char* jobs[] = {"baker", "clerk", "\"doctor, senior\""};
  for (int i = 0; i < rows; ++i) {
    int age = 20 + static_cast<int>(g.next_below(40)), hours = 10 + static_cast<int>(g.next_below(40)),
        job = static_cast<int>(g.next_below(3));
    bool woman = g.next_below(2) == 1;
    double score = 0.06 * (age - 40) + 0.05 * (hours - 30) + 1.5 * (job - 1) + (woman ? -0.5 : 0.5) + 2 * (g.next_double() - 0.5);
    text += std::to_string(age) + "," + (g.next_below(10) == 0 ? "?" : std::to_string(hours)) + "," +
            (g.next_below(12) == 0 ? "" : jobs[job]) + "," + (woman ? "F" : "M") + "," + (score > 0 ? "yes" : "no") + "\n";
  }
  return text;
}
