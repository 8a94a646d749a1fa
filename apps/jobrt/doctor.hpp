// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/array.hpp>

#include "commands.hpp"

// What doctor's looks at the machine and its checklist share.
namespace jobruntime::jobrt {

/// Collects findings; prints them as lines or as one JSON object at the end.
class Report {
public:
    void good(std::string text) { add("ok", std::move(text)); }
    void warn(std::string text) { add("warning", std::move(text)); }
    void bad(std::string text) {
        failed_ = true;
        add("problem", std::move(text));
    }
    /// The exit code.
    int finish(const Invocation& in) const;

private:
    void add(std::string_view kind, std::string text) {
        lines_.push_back(boost::json::object{{"kind", kind}, {"text", std::move(text)}});
    }
    boost::json::array lines_;
    bool failed_ = false;
};

/// Where the API of this configuration should be, as seen from this machine.
std::string api_address(const host::Config& config);

/// The six lines of the deployment checklist, live, through the API.
void run_checklist(const Invocation& in, Report& report);

}  // namespace jobruntime::jobrt
