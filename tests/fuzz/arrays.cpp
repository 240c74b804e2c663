// Files of tensors.
#include <filesystem>
#include <stdexcept>

#include "engine/io/cifar.h"
#include "engine/io/idx.h"
#include "engine/io/nifti.h"
#include "engine/io/npy.h"
#include "engine/io/safetensors.h"
#include "engine/io/safetensors_index.h"
#include "tests/engine/io/without_checksums.h"
#include "tests/fuzz/target.h"

using namespace plumb;

namespace plumb_fuzz {
namespace {

Tensor matrix(DType type) {
  Tensor x = zeros({2, 3}, type);
  static_cast<unsigned char*>(x.raw_data())[0] = 1;
  return x;
}

// Reads every byte that the tensors view: a range outside the file would be found.
void touch(const StateDict& state) {
  volatile unsigned char sum = 0;
  for (const auto& [name, x] : state)
    for (size_t i = 0; i < static_cast<size_t>(x.numel()) * item_size(x.dtype()); ++i)
      sum = sum ^ static_cast<const unsigned char*>(x.raw_data())[i];
}

void read_safetensors(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) {
    touch(load_safetensors(path));
    load_safetensors_metadata(path);
  });
}
std::vector<std::string> safetensors_seeds() {
  StateDict state{{"a.weight", matrix(f32)}, {"b", matrix(boolean)}, {"c", matrix(i64)}, {"empty", zeros({0, 2})}, {"scalar", zeros({})}};
  std::string whole = written("", [&](const std::string& path) { save_safetensors(path, state, {{"step", "3"}}); });
  return {whole, plumb_test::without_checksums(whole),  // behind checksums little of what is damaged would be reached
          written("", [](const std::string& path) { save_safetensors(path, {}); })};
}

// Whatever an index says, its files lie below its directory.
void read_index(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) {
    std::filesystem::path directory = std::filesystem::path(path).parent_path();
    for (const auto& [tensor, file] : load_safetensors_index(path)) {
      std::filesystem::path way = std::filesystem::path(file).lexically_relative(directory);
      if (way.empty() || *way.begin() == "..") throw std::logic_error(tensor + " lies in " + file + ", outside");
    }
  });
}

std::vector<std::string> npy_seeds() {
  std::vector<std::string> seeds;
  for (DType type : {f32, f16, boolean, i64}) seeds.push_back(npy_bytes(matrix(type)));
  std::string fortran = npy_bytes(matrix(f64));
  size_t order = fortran.find("False");
  seeds.push_back(fortran.replace(order, 5, "True ").replace(fortran.find('<'), 1, ">"));
  return seeds;
}

std::vector<std::string> idx_seeds() {
  std::vector<std::string> seeds;
  for (DType type : {u8, i32, f64}) seeds.push_back(written("", [type](const std::string& path) { save_idx(path, matrix(type)); }));
  return seeds;
}

std::vector<std::string> nifti_seeds() {
  std::vector<std::string> seeds;
  for (DType type : {u8, i64, f32})
    seeds.push_back(written(".nii", [type](const std::string& path) { save_nifti(path, {matrix(type), {}, {1, 2}, "two by three"}); }));
  return seeds;
}

template <CifarKind kKind>
void read_cifar(std::string_view bytes) {
  with_file(bytes, [](const std::string& path) { load_cifar(path, kKind); });
}
template <CifarKind kKind>
std::vector<std::string> cifar_seeds() {
  CifarImages images{zeros({1, 3, 32, 32}, u8), full({1}, 7, i64), kKind == CifarKind::hundred ? full({1}, 3, i64) : Tensor()};
  return {written(".bin", [&](const std::string& path) { save_cifar(path, images); })};
}

}  // namespace

std::vector<Target> array_targets() {
  return {
      {"safetensors", read_safetensors, safetensors_seeds, "safetensors"},
      {"safetensors_index", read_index,
       [] {
         return std::vector<std::string>{
             R"({"metadata":{"total_size":24},"weight_map":{"a.weight":"model-1.safetensors","b":"more/model-2.safetensors"}})"};
       },
       "json"},
      {"npy", [](std::string_view bytes) { parse_npy(bytes, "x.npy"); }, npy_seeds, "npy"},
      {"npz", [](std::string_view bytes) { with_file(bytes, [](const std::string& path) { load_npz(path); }); },
       [] { return std::vector{written("", [](const std::string& path) {
              save_npz(path, {{"a", matrix(f32)}, {"b", matrix(u8)}});
            })}; },
       "zip"},
      {"idx", [](std::string_view bytes) { with_file(bytes, [](const std::string& path) { load_idx(path); }); }, idx_seeds},
      {"cifar10", read_cifar<CifarKind::ten>, cifar_seeds<CifarKind::ten>, nullptr, 4096},
      {"cifar100", read_cifar<CifarKind::hundred>, cifar_seeds<CifarKind::hundred>, nullptr, 4096},
      {"nifti", [](std::string_view bytes) { parse_nifti(bytes, "x.nii"); }, nifti_seeds},
  };
}

}  // namespace plumb_fuzz
