# Headers of others that nearly every file includes, compiled once for each kind of code. They are half of what compiling a
# file costs. No header of ours is among them. Only for builds with tests: what a file includes is still its own business,
# and the builds that users make, and the tests of the packages, have no such headers to forget one by.
option(JOBRUNTIME_PRECOMPILED "Precompile the headers of the standard library and Boost.JSON (for builds with tests)" OFF)

# g++ 12 forgets in them what is a system header, and warns of what its own std::string does (https://gcc.gnu.org/PR105651).
# Builds without them, as users make them, keep these warnings.
# clang would write into them when each header was changed, and a compiler cache would never find them again.
set(_jobruntime_precompiled_flags
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>
    "$<$<COMPILE_LANG_AND_ID:CXX,Clang>:SHELL:-Xclang -fno-pch-timestamp>")

# _jobruntime_precompile(KIND): the target that compiles them. Its flags must be those of whoever takes part, or
# -Winvalid-pch says so.
function(_jobruntime_precompile kind)
    set(target jobruntime_precompiled_${kind})
    set(unit ${CMAKE_BINARY_DIR}/precompiled_${kind}.cpp)
    file(CONFIGURE OUTPUT ${unit} CONTENT "\n")
    add_library(${target} OBJECT ${unit})
    set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_EXTENSIONS OFF)
    target_link_libraries(${target} PRIVATE Boost::json jobruntime_flags)
    target_compile_options(${target} PRIVATE ${_jobruntime_precompiled_flags})
    if(kind STREQUAL "test")
        set(own <doctest/doctest.h>)
    endif()
    target_precompile_headers(${target} PRIVATE ${own}
        <algorithm> <array> <atomic> <chrono> <condition_variable> <cstdint> <cstdlib> <cstring> <deque> <filesystem> <fstream> <functional>
        <map> <memory> <mutex> <optional> <random> <set> <span> <sstream> <string> <string_view> <thread> <unordered_map>
        <utility> <variant> <vector> <boost/json.hpp>)
endfunction()

# jobruntime_precompiled(TARGET library|program|test)
function(jobruntime_precompiled target kind)
    if(JOBRUNTIME_PRECOMPILED)
        set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_EXTENSIONS OFF)
        target_compile_options(${target} PRIVATE ${_jobruntime_precompiled_flags})
        target_precompile_headers(${target} REUSE_FROM jobruntime_precompiled_${kind})
    endif()
endfunction()

if(JOBRUNTIME_PRECOMPILED)
    find_package(Boost 1.81 REQUIRED COMPONENTS json)
    _jobruntime_precompile(library)
    set_target_properties(jobruntime_precompiled_library PROPERTIES
        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
    _jobruntime_precompile(program)
    _jobruntime_precompile(test)
    target_compile_options(jobruntime_precompiled_test PRIVATE -O0)
endif()
