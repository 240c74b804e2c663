// Tests of a difference between two methods: is it more than chance would give?
#pragma once
#include <cstdint>
#include <span>

#include "engine/core/generator.h"

namespace plumb {

struct TestResult {
  double statistic = 0;
  double p_value = 1;  ///< two-sided
};

/// Student's test of a_i − b_i: t = d̄ √n / s with n − 1 degrees of freedom. Where all differences are one number, p is 0 (1 if it is 0).
/// The paired tests throw ValueError if the lengths differ, a value is not finite or there are too few pairs (2 here, 1 below).
TestResult paired_t_test(std::span<const double> a, std::span<const double> b);

/// Each difference may as well have had the other sign: p is the share of sign patterns whose |Σ ± d_i| is at least that seen. All 2ⁿ
/// patterns for n ≤ 20, else `samples` random ones, the one seen counted among them. The statistic is the mean difference.
TestResult sign_flip_test(std::span<const double> a, std::span<const double> b, int64_t samples = 10000, Generator* generator = nullptr);

/// Wilcoxon's signed ranks (1945): W⁺, the sum of the ranks of |d_i| over positive d_i; differences of 0 are left out, equal ones share
/// their ranks. Exact for n ≤ 60 differences, with ties too; a normal approximation with the variance of the ranks beyond.
TestResult wilcoxon_test(std::span<const double> a, std::span<const double> b);

/// McNemar's exact test (1947) of two classifiers on the same examples: of those that one of them alone has right, is half each's?
/// The statistic is (only a is right) − (only b is right). Values are 0 or 1, else ValueError.
TestResult mcnemar_test(std::span<const double> a_correct, std::span<const double> b_correct);

/// Two independent samples: p is the share of ways to deal them out anew (`samples` random ones, the one seen counted among them) with a
/// difference of means as large in absolute value. The statistic is mean(a) − mean(b). Throws ValueError if one is empty.
TestResult permutation_test(std::span<const double> a, std::span<const double> b, int64_t samples = 10000, Generator* generator = nullptr);

}  // namespace plumb
