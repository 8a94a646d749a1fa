// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string_view>

#include <jobruntime/export.hpp>

// Which hosts belong to one owner: what browsers take from a list of all public suffixes, as far as a rule of
// thumb goes. Hosts as net::Url has them.
namespace jobruntime::net {

/// Whether it is a dotted quad: an address is its own site and has no names below it.
bool is_numeric_host(std::string_view host);

/// The part of a name that one registers: "example.org" of "cdn.example.org", "example.co.uk" of
/// "www.example.co.uk"; an address or a single label whole.
JOBRUNTIME_API std::string_view site_of(std::string_view host);

/// "com", "co.uk": names under which strangers register.
bool is_suffix(std::string_view domain);

}  // namespace jobruntime::net
