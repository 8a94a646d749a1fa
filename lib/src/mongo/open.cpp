// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/driver.hpp"

namespace jobruntime::mongo {

Result<std::unique_ptr<Store>> open(std::string_view uri, Options options) {
    Place place;
    auto read = read_uri(uri, options, place);
    if (!read) return std::move(read).error();
    return Error{Errc::unsupported, "this build has no MongoDB store yet"};
}

}  // namespace jobruntime::mongo
