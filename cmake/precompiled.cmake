# Headers of others that nearly every file includes, compiled once for each kind of code. They are half of what compiling a
# file costs. No header of ours is among them. Only for builds with tests: what a file includes is still its own business,
# and the builds that users make, and the tests of the packages, have no such headers to forget one by.
option(JOBRUNTIME_PRECOMPILED "Precompile the headers of the standard library, Boost.JSON and doctest (for builds with tests)" OFF)

# _jobruntime_precompile(KIND HEADERS …): the one that compiles them. Its flags must be those of whoever takes part, or
# -Winvalid-pch says so.
function(_jobruntime_precompile kind)
    set(target jobruntime_precompiled_${kind})
    set(unit ${CMAKE_BINARY_DIR}/precompiled_${kind}.cpp)
    file(CONFIGURE OUTPUT ${unit} CONTENT "\n")
    add_library(${target} OBJECT ${unit})
    set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_EXTENSIONS OFF)
    target_link_libraries(${target} PRIVATE Boost::json jobruntime_flags)
    target_precompile_headers(${target} PRIVATE
        <algorithm> <array> <atomic> <chrono> <condition_variable> <cstdint> <cstdlib> <cstring> <deque> <filesystem> <fstream> <functional>
        <map> <memory> <mutex> <optional> <random> <set> <span> <sstream> <string> <string_view> <thread> <unordered_map>
        <utility> <variant> <vector> <boost/json.hpp> ${ARGN})
endfunction()

# jobruntime_precompiled(TARGET library|program)
function(jobruntime_precompiled target kind)
    if(JOBRUNTIME_PRECOMPILED)
        set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_EXTENSIONS OFF)
        target_precompile_headers(${target} REUSE_FROM jobruntime_precompiled_${kind})
    endif()
endfunction()

if(JOBRUNTIME_PRECOMPILED)
    find_package(Boost 1.81 REQUIRED COMPONENTS json)
    find_package(doctest REQUIRED)
    _jobruntime_precompile(library)
    set_target_properties(jobruntime_precompiled_library PROPERTIES
        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
    _jobruntime_precompile(program <doctest/doctest.h>)
    target_link_libraries(jobruntime_precompiled_program PRIVATE doctest::doctest)
endif()
