# The dashboard as it is committed (apps/dashboard/dist), put into the program by the assembler: nobody needs Node to
# build. `host_dashboard(VARIABLE)` names the C++ file that does it and declares the table of files in it.
function(host_dashboard variable)
    set(dist ${PROJECT_SOURCE_DIR}/apps/dashboard/dist)
    file(GLOB_RECURSE files RELATIVE ${dist} CONFIGURE_DEPENDS ${dist}/*)
    list(SORT files)
    if(NOT "index.html" IN_LIST files)
        message(FATAL_ERROR "${dist} has no index.html: build the dashboard with apps/dashboard/run write")
    endif()
    set(types html text/html js text/javascript css text/css svg image/svg+xml txt text/plain)
    set(bytes "")
    set(names "")
    set(rows "")
    set(number 0)
    foreach(file IN LISTS files)
        file(SHA256 ${dist}/${file} digest)
        string(SUBSTRING ${digest} 0 32 digest)
        set(name ${file})
        set(gzip false)
        if(name MATCHES "\\.gz$")
            string(REGEX REPLACE "\\.gz$" "" name ${name})
            set(gzip true)
        endif()
        string(REGEX REPLACE ".*\\." "" ending ${name})
        list(FIND types ${ending} at)
        if(at EQUAL -1)
            message(FATAL_ERROR "apps/host/dashboard.cmake knows no content type for ${file}")
        endif()
        math(EXPR at "${at} + 1")
        list(GET types ${at} type)
        if(type MATCHES "^text/")
            string(APPEND type "; charset=utf-8")
        endif()
        set(symbol jobrt_dashboard_${number})
        string(APPEND bytes "        \".hidden ${symbol}, ${symbol}_end\\n\"\n"
            "        \".global ${symbol}, ${symbol}_end\\n\"\n"
            "        \"${symbol}:\\n\"\n        \".incbin \\\"${dist}/${file}\\\"\\n\"\n        \"${symbol}_end:\\n\"\n")
        string(APPEND names "extern const char ${symbol}[], ${symbol}_end[];\n")
        string(APPEND rows "        {\"${name}\", \"${type}\", \"\\\"${digest}\\\"\", {${symbol}, ${symbol}_end}, ${gzip}},\n")
        math(EXPR number "${number} + 1")
    endforeach()
    set(source ${CMAKE_CURRENT_BINARY_DIR}/dashboard_files.cpp)
    file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [[
// Made by apps/host/dashboard.cmake.
#include "dashboard.hpp"

__asm__(".pushsection .rodata\n"
@bytes@        ".byte 0\n"
        ".popsection\n");

extern "C" {
@names@}

namespace jobruntime::host {

std::span<const DashboardFile> dashboard_files() {
    static const DashboardFile files[] = {
@rows@    };
    return files;
}

}  // namespace jobruntime::host
]])
    # The compiler does not see that it reads them.
    list(TRANSFORM files PREPEND ${dist}/)
    set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${files}")
    set(${variable} ${source} PARENT_SCOPE)
endfunction()
