// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "proof/address.hpp"

#include <utility>

using namespace jobruntime;

namespace proof {

bool is_mongo(const std::string& address) { return address.starts_with("mongodb://"); }

std::string file_of(const std::string& address) {
    return address.starts_with("sqlite:") ? address.substr(7) : address;
}

Result<std::unique_ptr<Store>> open_at(const std::string& address, AddressOptions options) {
    if (is_mongo(address)) {
#ifdef PROOF_HAS_MONGO
        return mongo::open(address, std::move(options.mongo));
#else
        return Error{Errc::unsupported, "this proof was built without MongoDB"};
#endif
    }
    auto store = sqlite::open(file_of(address), std::move(options.sqlite));
    if (!store) return std::move(store).error();
    return std::unique_ptr<Store>(*std::move(store));
}

}  // namespace proof
