# Runs the lookup example alone and by three processes, on few items: a line for each size and law.
foreach(command "${EXAMPLE};100000;512" "${MPIEXEC};-n;3;${EXAMPLE};100000;512")
  execute_process(COMMAND ${command} OUTPUT_VARIABLE said RESULT_VARIABLE code)
  if(NOT code EQUAL 0 OR NOT said MATCHES "100000  power law +[0-9]+\\.[0-9] +[0-9]+\\.[0-9] +[0-9]+\\.[0-9] +(6\\.4|2\\.1)")
    message(FATAL_ERROR "${command} ended with ${code} and said\n${said}")
  endif()
endforeach()
