// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/result.hpp>

namespace jobruntime {

std::string_view to_string(Errc code) noexcept {
    switch (code) {
        case Errc::invalid_argument: return "invalid_argument";
        case Errc::not_found: return "not_found";
        case Errc::conflict: return "conflict";
        case Errc::unavailable: return "unavailable";
        case Errc::timed_out: return "timed_out";
        case Errc::canceled: return "canceled";
        case Errc::unsupported: return "unsupported";
        case Errc::corrupt: return "corrupt";
        case Errc::internal: return "internal";
        case Errc::full: return "full";
    }
    return "internal";
}

BadResult::BadResult(const Error& error)
    : std::logic_error(std::string(to_string(error.code)) + (error.name.empty() ? "" : " (" + error.name + ")") + ": " +
                       error.message) {}

void throw_bad_result(const Error& error) {
    throw BadResult(error);
}

}  // namespace jobruntime
