# Compiler settings that hold for every target. Warnings and sanitizers live in interface targets, so that third-party and
# generated code can leave them out.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
find_program(LLD_PROGRAM ld.lld)
if(LLD_PROGRAM)
  add_link_options(-fuse-ld=lld)
endif()

# Debug information costs compile time and disk; -g1 keeps line numbers for sanitizers and debuggers.
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
add_compile_options(-fdata-sections -ffunction-sections -fno-plt)
add_link_options(-Wl,--gc-sections)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_link_options(-s)
endif()
# Two large static links at once are the peak of memory in the sanitizer builds.
set_property(GLOBAL PROPERTY JOB_POOLS links=2)
set(CMAKE_JOB_POOL_LINK links)

add_library(mg_warnings INTERFACE)
target_compile_options(mg_warnings INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wswitch
  -Wno-missing-field-initializers -Werror)

set(MG_SANITIZE "" CACHE STRING "sanitizers, as given to -fsanitize=")
if(MG_SANITIZE)
  add_compile_options(-fsanitize=${MG_SANITIZE} -fno-omit-frame-pointer)
  if(MG_SANITIZE STREQUAL "thread")
    # Boost.Asio has fences, which ThreadSanitizer does not know; it knows the atomics around them.
    add_compile_options(-Wno-tsan)
    # protobuf's headers lay out a map field otherwise when this macro is set, but Debian's library is built without it. libstdc++
    # then needs its own macro, so that shared_ptr counts in a way that ThreadSanitizer understands.
    add_compile_options(-U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
  endif()
  add_link_options(-fsanitize=${MG_SANITIZE})
endif()
