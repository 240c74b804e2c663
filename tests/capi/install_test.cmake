# A program in C against the installed C API, outside the tree: once found by CMake and once by pkg-config.
# cmake -DBUILD=… -DSOURCE=… -DWORK=… -DCOMPILER=… -DVERSION=… -P install_test.cmake
include(${SOURCE}/tests/tools/run_and_expect.cmake)
set(answer "y = 2\\.00 x0 -3\\.00 x1 \\+0\\.50\n$")

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
file(COPY ${SOURCE}/examples/c_api DESTINATION ${WORK})  # copied away, so that nothing of the tree is found by its place
run(${CMAKE_COMMAND} -G Ninja -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_C_COMPILER=${COMPILER} "-DCMAKE_C_FLAGS=-std=c99 -pedantic -Wall -Wextra -Werror"
  -S ${WORK}/c_api -B ${WORK}/build)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/c_api)
expect("^step   0  loss 4\\.65[0-9]+\n")
expect("${answer}")

find_program(PKG_CONFIG pkg-config)
if(NOT PKG_CONFIG)
  message("pkg-config is not installed: its file is not tried")
  return()
endif()
file(GLOB_RECURSE pc ${WORK}/prefix/plumb_c.pc)
get_filename_component(pc_dir ${pc} DIRECTORY)
set(ENV{PKG_CONFIG_PATH} ${pc_dir})
run(${PKG_CONFIG} --modversion plumb_c)
expect("^${VERSION}\n$")
run(${PKG_CONFIG} --variable=libdir plumb_c)
string(STRIP "${out}" libdir)
run(sh -c "${COMPILER} -std=c99 -Wall -Werror c_api/main.c $(${PKG_CONFIG} --cflags --libs plumb_c) -o by_pkg_config")
set(ENV{LD_LIBRARY_PATH} ${libdir})
run(${WORK}/by_pkg_config)
expect("${answer}")
file(REMOVE_RECURSE ${WORK})
