# mg_proto(NAME … ROOT dir FILES … [SERVICES …] [DEPS …]): a library of generated code. FILES are relative to ROOT; for those in
# SERVICES the gRPC stubs are generated too. The generated headers are a system include path: no warnings from them.
find_program(MG_PROTOC protoc REQUIRED)
find_program(MG_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)

function(mg_proto)
  cmake_parse_arguments(A "" "NAME;ROOT" "FILES;SERVICES;DEPS;IMPORTS" ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/gen/${A_NAME})
  file(MAKE_DIRECTORY ${out})
  set(import_flags -I ${A_ROOT})
  foreach(dir IN LISTS A_IMPORTS)
    list(APPEND import_flags -I ${dir})
  endforeach()
  set(sources "")
  foreach(file IN LISTS A_FILES)
    string(REGEX REPLACE "\\.proto$" "" stem ${file})
    add_custom_command(
      OUTPUT ${out}/${stem}.pb.cc ${out}/${stem}.pb.h
      COMMAND ${MG_PROTOC} ${import_flags} --cpp_out=${out} ${file}
      DEPENDS ${A_ROOT}/${file}
      VERBATIM)
    list(APPEND sources ${out}/${stem}.pb.cc)
  endforeach()
  foreach(file IN LISTS A_SERVICES)
    string(REGEX REPLACE "\\.proto$" "" stem ${file})
    add_custom_command(
      OUTPUT ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h
      COMMAND ${MG_PROTOC} ${import_flags} --grpc_out=${out} --plugin=protoc-gen-grpc=${MG_GRPC_PLUGIN} ${file}
      DEPENDS ${A_ROOT}/${file}
      VERBATIM)
    list(APPEND sources ${out}/${stem}.grpc.pb.cc)
  endforeach()
  add_library(mg_proto_${A_NAME} STATIC ${sources})
  target_include_directories(mg_proto_${A_NAME} SYSTEM PUBLIC ${out})
  # Generated code is called, never read in a debugger: -O1 halves its compile time.
  target_compile_options(mg_proto_${A_NAME} PRIVATE -O1 -g0)
  target_link_libraries(mg_proto_${A_NAME} PUBLIC ${A_DEPS})
  add_library(mg::proto::${A_NAME} ALIAS mg_proto_${A_NAME})
endfunction()
