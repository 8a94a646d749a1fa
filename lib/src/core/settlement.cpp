// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/settlement.hpp"

#include <jobruntime/telemetry_sink.hpp>

#include "core/json.hpp"
#include "core/utf8.hpp"

namespace jobruntime::core {

std::string clean_code(std::string_view code, std::string_view fallback) {
    std::string clean;
    for (const char c : redact(code).substr(0, limits::name)) {
        if (c >= 'a' && c <= 'z') clean += static_cast<char>(c - 'a' + 'A');
        else clean += (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
    }
    return clean.empty() ? std::string(fallback) : clean;
}

void set_error(Settlement& settlement, std::string_view code, std::string_view message) {
    settlement.code = code;
    settlement.message = clean_text(message, limits::message);
}

void set_result(Settlement& settlement, const boost::json::value& result) {
    if (result.is_null()) return;
    if (const auto wrong = flaw(result)) {
        settlement.verdict = Verdict::failed;
        return set_error(settlement, "INVALID_RESULT", "the result cannot be kept as JSON: " + *wrong);
    }
    settlement.result = to_text(result);
    if (settlement.result.size() <= limits::result) return;
    settlement.verdict = Verdict::failed;
    set_error(settlement, "RESULT_TOO_LARGE",
              "the result has " + std::to_string(settlement.result.size()) + " bytes as text; at most " +
                  std::to_string(limits::result) + " are kept, so keep it elsewhere and return its name");
    settlement.result.clear();
}

}  // namespace jobruntime::core
