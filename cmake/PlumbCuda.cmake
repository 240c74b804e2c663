# GPU kernels: whether they are built, for what, and if not, why. The answer is one line in cuda.txt of the build directory.
# plumb_cuda is a library of its own: programs that link it (the command, the tests of cuda/) can use a GPU, others do without.
set(PLUMB_CUDA "AUTO" CACHE STRING "Build the GPU kernels in cuda/: ON, OFF, or AUTO (where nvcc is found)")
set_property(CACHE PLUMB_CUDA PROPERTY STRINGS AUTO ON OFF)

set(wanted ${PLUMB_CUDA})
if(wanted STREQUAL "AUTO")
  set(wanted OFF)
  set(PLUMB_CUDA_STATUS "CUDA: not built: nvcc was not found")
  if(PLUMB_QUICK)
    set(PLUMB_CUDA_STATUS "CUDA: not built: the quick start leaves it out")
  else()
    include(CheckLanguage)
    find_program(PLUMB_NVCC nvcc PATHS /usr/local/cuda/bin)
    if(PLUMB_NVCC)
      set(wanted ON)
    endif()
  endif()
elseif(NOT wanted)
  set(PLUMB_CUDA_STATUS "CUDA: not built: PLUMB_CUDA is OFF")
endif()

if(wanted)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)  # code for both, and PTX of the newest for what comes later
  endif()
  if(NOT CMAKE_CUDA_COMPILER AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know that nvcc has C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  list(JOIN CMAKE_CUDA_ARCHITECTURES ", " architectures)
  set(PLUMB_CUDA_STATUS "CUDA: built by nvcc ${CMAKE_CUDA_COMPILER_VERSION} for compute capability ${architectures}")
endif()
message(STATUS "${PLUMB_CUDA_STATUS}")
file(WRITE ${PROJECT_BINARY_DIR}/cuda.txt "${PLUMB_CUDA_STATUS}\n")

# Defines plumb_cuda, once the library is there.
function(plumb_add_cuda)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cu)
  add_library(plumb_cuda STATIC ${sources})
  add_library(plumb::cuda ALIAS plumb_cuda)
  set_target_properties(plumb_cuda PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME cuda)
  # As on the CPU, products and sums are not contracted behind the code's back (-fmad=false); kernels write fma where they mean it.
  # --threads 0 would build architectures side by side; the build already does that with files.
  target_compile_options(plumb_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false --expt-relaxed-constexpr -diag-suppress=20012
    -Xcompiler=-Wall,-Wno-missing-field-initializers$<$<BOOL:${PLUMB_ARCH}>:,-march=${PLUMB_ARCH}>>)
  target_link_libraries(plumb_cuda PUBLIC plumb_library PRIVATE CUDA::cudart_static)
  # The engine asks for register_cuda() weakly, so that programs without it link; this makes the linker take it.
  target_link_options(plumb_cuda INTERFACE LINKER:--undefined=_ZN5plumb13register_cudaEv)
endfunction()
