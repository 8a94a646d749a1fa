// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <jobruntime/api_router.hpp>

namespace jobruntime::http {

/// Whether Accept-Encoding takes gzip: named, or "*", and not with q=0.
bool takes_gzip(std::string_view accept_encoding);

/// Compresses a text answer of more than a kilobyte (JSON, plain text, pages) for a client that takes it, and says to
/// caches that its form depends on that. One that was packed before is unpacked for who does not take it. Other answers
/// stay as they are, and so does one that came out no smaller.
void compress(const Request& request, Response& response);

}  // namespace jobruntime::http
