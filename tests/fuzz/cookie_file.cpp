// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/extract.hpp>

#include "fuzz.hpp"

namespace jobruntime::fuzz {

/// A cookie file of either form.
void cookie_file(std::string_view input) {
    const auto cookies = extract::parse_cookie_file(input);
    if (!cookies) {
        expect(cookies.error().name == "INVALID_COOKIE_FILE", "an error of another name");
        return;
    }
    const auto text = extract::to_cookie_file(*cookies);
    const auto again = extract::parse_cookie_file(text);
    expect(again.has_value() && *again == *cookies, "cookies are written as others:\n" + text);
    net::CookieJar jar(*cookies);
    for (const auto* address : {"https://site.example/a/b", "http://10.0.0.1/"}) {
        const auto url = *net::parse_url(address);
        jar.take(url, input.substr(0, input.find('\n')));
        const auto header = jar.header_for(url);
        expect(header.size() <= 8'192 && header.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos,
               "a cookie ends its header");
    }
}

}  // namespace jobruntime::fuzz
