# GPU kernels: whether they are built, for what, and if not, why. The answer is one line in cuda.txt of the build directory.
# plumb_cuda is a library of its own: programs that link it (the command, the tests of cuda/) can use a GPU, others do without.
set(PLUMB_CUDA "AUTO" CACHE STRING "Build the GPU kernels in cuda/: ON, OFF, or AUTO (where nvcc is found)")
set_property(CACHE PLUMB_CUDA PROPERTY STRINGS AUTO ON OFF)

set(wanted ${PLUMB_CUDA})
if(wanted STREQUAL "AUTO")
  set(wanted OFF)
  find_program(PLUMB_NVCC nvcc PATHS /usr/local/cuda/bin)
  if(PLUMB_QUICK)
    set(PLUMB_CUDA_STATUS "CUDA: not built: the quick start leaves it out")
  elseif(NOT PLUMB_NVCC)
    set(PLUMB_CUDA_STATUS "CUDA: not built: nvcc was not found")
  else()
    set(ENV{CUDACXX} ${PLUMB_NVCC})
    include(CheckLanguage)
    check_language(CUDA)
    find_package(CUDAToolkit QUIET)
    find_library(PLUMB_CUDNN cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
    if(NOT CMAKE_CUDA_COMPILER)
      set(PLUMB_CUDA_STATUS "CUDA: not built: ${PLUMB_NVCC} does not work with this compiler")
    elseif(NOT PLUMB_CUDNN)
      set(PLUMB_CUDA_STATUS "CUDA: not built: nvcc is there, but cuDNN was not found")
    else()
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
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(PLUMB_NVCC nvcc PATHS /usr/local/cuda/bin REQUIRED)
    set(CMAKE_CUDA_COMPILER ${PLUMB_NVCC})
  endif()
  enable_language(CUDA)
  enable_language(ASM)  # for stubs of libraries (PlumbLazyLibraries)
  find_package(CUDAToolkit REQUIRED)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know that nvcc has C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  if(PLUMB_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${PLUMB_CCACHE})
  endif()
  list(JOIN CMAKE_CUDA_ARCHITECTURES ", " architectures)
  set(PLUMB_CUDA_STATUS "CUDA: built by nvcc ${CMAKE_CUDA_COMPILER_VERSION} for compute capability ${architectures}")
endif()
message(STATUS "${PLUMB_CUDA_STATUS}")
file(WRITE ${PROJECT_BINARY_DIR}/cuda.txt "${PLUMB_CUDA_STATUS}\n")

# Defines plumb_cuda_layout, what the libraries are told: plain C++, which tests use without a GPU or nvcc.
function(plumb_add_cuda_layout)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/layout/*.cpp)
  add_library(plumb_cuda_layout OBJECT ${sources})
  set_target_properties(plumb_cuda_layout PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(plumb_cuda_layout PRIVATE plumb_flags plumb_library ${PLUMB_PRIVATE_LIBRARIES})
endfunction()

# Defines plumb_cuda, once the library is there.
function(plumb_add_cuda)
  # What calls libraries has no kernels: the host's compiler is faster at it than nvcc.
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cu ${PROJECT_SOURCE_DIR}/cuda/libraries/*.cpp)
  find_library(PLUMB_CUDNN cudnn HINTS ${CUDAToolkit_LIBRARY_DIR} REQUIRED)
  find_library(PLUMB_NCCL nccl HINTS ${CUDAToolkit_LIBRARY_DIR})  # between GPUs; one alone does without
  if(NOT PLUMB_NCCL)
    list(FILTER sources EXCLUDE REGEX "/nccl_")
  endif()
  add_library(plumb_cuda STATIC ${sources} $<TARGET_OBJECTS:plumb_cuda_layout>)
  add_library(plumb::cuda ALIAS plumb_cuda)
  set_target_properties(plumb_cuda PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME cuda)
  # As on the CPU, products and sums are not contracted behind the code's back (-fmad=false); kernels write fma where they mean it.
  # --threads 0 would build architectures side by side; the build already does that with files.
  target_compile_options(plumb_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false --expt-relaxed-constexpr -diag-suppress=20012
    -Xcompiler=-Wall,-Wno-missing-field-initializers$<$<BOOL:${PLUMB_ARCH}>:,-march=${PLUMB_ARCH}>>
    $<$<COMPILE_LANGUAGE:CXX>:$<TARGET_PROPERTY:plumb_flags,INTERFACE_COMPILE_OPTIONS>>)
  target_link_libraries(plumb_cuda PUBLIC plumb_library PRIVATE CUDA::cudart_static)
  # What kernels of a program's own need to include the headers.
  target_compile_options(plumb_cuda INTERFACE "$<INSTALL_INTERFACE:$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr;-diag-suppress=20012>>")
  target_compile_definitions(plumb_cuda PRIVATE $<$<BOOL:${PLUMB_NCCL}>:PLUMB_WITH_NCCL>)
  set(libraries ${CUDA_cublasLt_LIBRARY} ${CUDA_cublas_LIBRARY} ${CUDA_cusolver_LIBRARY} ${CUDA_cufft_LIBRARY} ${PLUMB_CUDNN})
  if(PLUMB_NCCL)
    list(APPEND libraries ${PLUMB_NCCL})
  endif()
  include(PlumbLazyLibraries)
  plumb_lazy_libraries(plumb_cuda ${libraries})
  # The engine asks for register_cuda() weakly, so that programs without it link; this makes the linker take it.
  target_link_options(plumb_cuda INTERFACE LINKER:--undefined=_ZN5plumb13register_cudaEv)
endfunction()
