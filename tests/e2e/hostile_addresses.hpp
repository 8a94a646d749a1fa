// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "unit/extract/canary.hpp"

// Addresses that lead, or may lead, to who must not be reached.
namespace jobruntime::e2e {

/// One hostile address; P is the canary's port, N the place that the path tells, and a star that place as a name. Where
/// `control` says so, Chromium goes to the canary with it once that is allowed.
struct Row {
    std::string text;
    bool control = false;
    bool patient = false;  // Its host is not refused but only not there, so that a stream is tried again for long.
    const char* code = nullptr;  // What every fetch says of it; where no canary can stand, only that tells.
};

// Names of false_names.cpp: of a private address, of allowed ones and a private one, and of one that changes.
constexpr const char* private_name = "http://four.canary.invalid:PN";
constexpr const char* mixed_name = "http://mixed.canary.invalid:PN";
constexpr const char* turning_name = "http://*.turning.canary.invalid:PN";

inline const std::vector<Row>& table() {
    static const std::vector<Row> rows = {
        {"http://127.0.0.2:PN", true},
        {"https://127.0.0.2:PN"},
        {"http://127.2:PN", true},
        {"http://2130706434:PN", true},
        {"http://0x7f.2:PN", true},
        {"http://0x7f000002:PN", true},
        {"http://0177.0.0.2:PN", true},
        {"http://127.0.0.2.:PN", true},
        {"http://%31%32%37.0.0.2:PN", true},
        {"http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.2:PN", true},  // Full-width digits.
        {"http://user@127.0.0.2:PN"},
        {"http://user:password@127.0.0.2:PN"},
        {"http://a@video.invalid@127.0.0.2:PN"},
        {"http://127.0.0.2:P\\@video.invalidN"},
        {"http://video.invalid\\@127.0.0.2:PN"},
        {"http://video.invalid#@127.0.0.2:PN", false, true},
        {"http://video.invalid?@127.0.0.2:PN", false, true},
        {"http://127.0.0.2:P#@video.invalidN"},
        {"http:\\\\127.0.0.2:PN", true},
        {"http:///127.0.0.2:PN", true},
        {"//127.0.0.2:PN", true},
        {"HTTP://127.0.0.2:PN", true},
        {"http://[::1]:PN"},
        {"http://[0:0:0:0:0:0:0:1]:PN"},
        {"http://[::ffff:127.0.0.2]:PN"},
        {"http://[::ffff:7f00:2]:PN"},
        {"http://[::127.0.0.2]:PN"},
        {"http://[64:ff9b::7f00:2]:PN"},
        {"http://[2002:7f00:2::1]:PN"},
        {"http://localhost:PN", false, true},
        {"http://LOCALHOST.:PN", false, true},
        {"http://a.localhost:PN", false, true},
        {"http://0:PN"},
        {"http://0.0.0.0:PN"},
        {"http://169.254.169.254/latest/meta-dataN", false, false, "SSRF_BLOCKED"},
        {"http://10.0.0.1:PN", false, false, "SSRF_BLOCKED"},
        {"ftp://127.0.0.2:PN"},
        {"gopher://127.0.0.2:PN"},
        {"file:///etc/passwd?N"},
        {"http://100.64.0.1:PN", false, false, "SSRF_BLOCKED"},
        {"http://[fe80::1]:PN", false, false, "INVALID_URL"},
        {private_name, true, false, "SSRF_BLOCKED"},
        {"http://six.canary.invalid:PN", false, false, "SSRF_BLOCKED"},
        {"http://mapped.canary.invalid:PN", false, false, "SSRF_BLOCKED"},
        {mixed_name, false, true},
        {turning_name, false, true},
    };
    return rows;
}

inline std::size_t row_of(std::string_view text) {
    for (std::size_t i = 0; i < table().size(); ++i)
        if (table()[i].text == text) return i;
    throw std::logic_error("no such row");
}

inline std::string written(const Row& row, const extract_test::Canary& canary, const std::string& place) {
    std::string text = row.text;
    if (const auto star = text.find('*'); star != std::string::npos) text.replace(star, 1, place.substr(1));
    if (const auto at = text.find(":P"); at != std::string::npos) text.replace(at + 1, 1, std::to_string(canary.port()));
    return text.substr(0, text.size() - 1) + place;
}

/// Whom the browser may ask: the site alone, or the canary, too.
constexpr const char* only_site = "127.0.0.1/32";
constexpr const char* with_canary = "127.0.0.0/8,::1/128";
/// Another site's network, so that this machine's own names lead to nobody who is allowed.
constexpr const char* only_other_site = "127.0.0.3/32";

}  // namespace jobruntime::e2e
