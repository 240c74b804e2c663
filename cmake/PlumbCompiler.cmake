# Compiler flags. Products and sums are never contracted behind the code's back (-ffp-contract=off): results must not
# depend on how a loop was compiled. Code writes std::fma where it means one.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET default)
if(CMAKE_CXX_FLAGS_RELEASE STREQUAL "-O3 -DNDEBUG")  # CMake's own choice: a user's stays
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
endif()

add_library(plumb_flags INTERFACE)
target_compile_options(plumb_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers -ffp-contract=off -fno-math-errno -fno-trapping-math
  $<$<BOOL:${PLUMB_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overruns in std::string's own inlined code that are not there (its bugs 105329, 105651), more or fewer with every change.
  target_compile_options(plumb_flags INTERFACE -Wno-array-bounds -Wno-stringop-overflow -Wno-restrict)
endif()
if(PLUMB_ARCH AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(plumb_flags INTERFACE -march=${PLUMB_ARCH})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT CMAKE_SYSTEM_NAME STREQUAL "Darwin")
  # What nothing calls is left out of the binary, function by function.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffunction-sections> $<$<COMPILE_LANGUAGE:CXX>:-fdata-sections>)
  add_link_options(LINKER:--gc-sections)
  # Addresses that the loader fills in take a bit in the place of 24 bytes, where linker and C library know how.
  include(CheckLinkerFlag)
  check_linker_flag(CXX LINKER:-z,pack-relative-relocs PLUMB_PACKS_RELOCATIONS)
  if(PLUMB_PACKS_RELOCATIONS)
    add_link_options(LINKER:-z,pack-relative-relocs)
  endif()
endif()
if(PLUMB_SANITIZE)
  # A finding ends the program, so that a test cannot pass over it. -O1 -g1: twice as fast to build, and stacks stay readable.
  add_compile_options(-fsanitize=${PLUMB_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g1)
  add_link_options(-fsanitize=${PLUMB_SANITIZE})
endif()
find_program(PLUMB_CCACHE ccache)
if(PLUMB_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${PLUMB_CCACHE})
endif()

# plumb_precompile(target headers…): reads these headers once for the target's files instead of once a file, which halves its build.
# Every file still includes what it uses: with PLUMB_PRECOMPILE=OFF (in tools/nightly.sh) nothing is read for it. A file with flags of
# its own cannot share the compiled headers and is left out.
# ccache can hand out a precompiled header that no longer fits its headers, so it is one or the other.
if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(precompile OFF)
else()
  set(precompile ON)
endif()
option(PLUMB_PRECOMPILE "Read common headers once a target" ${precompile})
function(plumb_precompile target)
  if(NOT PLUMB_PRECOMPILE)
    return()
  endif()
  target_precompile_headers(${target} PRIVATE ${ARGN})
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    get_source_file_property(own_flags ${source} COMPILE_OPTIONS)
    if(own_flags)
      set_source_files_properties(${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
endfunction()

# Kernels written for one instruction set live in files named after it; each is chosen at run time.
function(plumb_instruction_sets)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    file(GLOB_RECURSE avx512 CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/cpu/*_avx512.cpp)
    set_source_files_properties(${avx512} PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;-mprefer-vector-width=512")
    file(GLOB_RECURSE avx512bf16 CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/cpu/*_avx512bf16.cpp)
    set_source_files_properties(${avx512bf16} PROPERTIES COMPILE_OPTIONS "-march=x86-64-v4;-mavx512bf16;-mprefer-vector-width=512")
  endif()
endfunction()
