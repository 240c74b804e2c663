// The families' rows put together. A family adds its declaration and its name in the list.
#include "tests/ops/op_table.h"

namespace plumb::testing {

std::vector<OpCase> pointwise_cases();
std::vector<OpCase> elementary_cases();
std::vector<OpCase> activation_cases();
std::vector<OpCase> shape_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> join_cases();
std::vector<OpCase> index_cases();
std::vector<OpCase> scan_cases();
std::vector<OpCase> sort_cases();
std::vector<OpCase> einsum_cases();
std::vector<OpCase> matmul_cases();
std::vector<OpCase> grouped_matmul_cases();
std::vector<OpCase> norm_cases();
std::vector<OpCase> loss_cases();
std::vector<OpCase> linalg_cases();
std::vector<OpCase> attention_cases();
std::vector<OpCase> recurrent_cases();
std::vector<OpCase> random_cases();
std::vector<OpCase> conv_cases();
std::vector<OpCase> pool_cases();
std::vector<OpCase> vision_cases();
std::vector<OpCase> fft_cases();
std::vector<OpCase> incomplete_gamma_cases();
std::vector<OpCase> grid_sample_cases();
std::vector<OpCase> conv3d_cases();

std::vector<OpCase> all_op_cases() {
  std::vector<OpCase> all;
  for (auto family : {
           pointwise_cases,
           elementary_cases,
           activation_cases,
           shape_cases,
           reduce_cases,
           join_cases,
           index_cases,
           scan_cases,
           sort_cases,
           einsum_cases,
           matmul_cases,
           grouped_matmul_cases,
           norm_cases,
           loss_cases,
           linalg_cases,
           attention_cases,
           recurrent_cases,
           random_cases,
           conv_cases,
           pool_cases,
           vision_cases,
           fft_cases,
           incomplete_gamma_cases,
           grid_sample_cases,
           conv3d_cases,
       })
    for (OpCase& row : family()) all.push_back(std::move(row));
  return all;
}

}  // namespace plumb::testing
