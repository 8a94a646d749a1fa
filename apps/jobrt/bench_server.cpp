// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "bench.hpp"

#include "stores.hpp"

#ifdef JOBRUNTIME_HAS_MONGO
#include <mongoc/mongoc.h>
#endif

namespace jobruntime::jobrt {

#ifdef JOBRUNTIME_HAS_MONGO
namespace {

template <auto close>
struct Closer {
    template <class T>
    void operator()(T* handle) const noexcept {
        close(handle);
    }
};

/// The members of a buildInfo that say who it is. Servers that speak MongoDB's protocol call themselves a version of it
/// in "version", and themselves in a member of their own, as "ferretdbVersion".
std::string named_by(const bson_t* info) {
    constexpr std::string_view suffix = "Version";
    std::string version = "of an unknown version", own;
    bson_iter_t member;
    for (bool more = bson_iter_init(&member, info) && bson_iter_next(&member); more; more = bson_iter_next(&member)) {
        const std::string_view name = bson_iter_key(&member);
        if (!BSON_ITER_HOLDS_UTF8(&member)) continue;
        if (name == "version") version = bson_iter_utf8(&member, nullptr);
        if (name.ends_with(suffix) && name != "gitVersion")
            own = std::string(name.substr(0, name.size() - suffix.size())) + " " + bson_iter_utf8(&member, nullptr);
    }
    return own.empty() ? "MongoDB " + version : own + ", which is not MongoDB (it speaks as " + version + ")";
}

}  // namespace

Result<std::string> server_name(const std::string& uri_text) {
    mongoc_init();
    mongoc_log_set_handler(nullptr, nullptr);
    const auto place = host::public_address(uri_text);
    bson_error_t why;
    const std::unique_ptr<mongoc_uri_t, Closer<mongoc_uri_destroy>> uri(
        mongoc_uri_new_with_error(uri_text.c_str(), &why));
    if (!uri) return Error{Errc::invalid_argument, "INVALID_STORE", place + " is no MongoDB URI that can be used"};
    mongoc_uri_set_option_as_int32(uri.get(), MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 5'000);
    const std::unique_ptr<mongoc_client_t, Closer<mongoc_client_destroy>> client(
        mongoc_client_new_from_uri(uri.get()));
    if (!client) return Error{Errc::invalid_argument, "INVALID_STORE", place + " asks for what this driver has not"};
    bson_t command, info;
    bson_init(&command);
    BSON_APPEND_INT32(&command, "buildInfo", 1);
    const bool told = mongoc_client_command_simple(client.get(), "admin", &command, nullptr, &info, &why);
    auto name = told ? named_by(&info) : std::string();
    bson_destroy(&info);
    bson_destroy(&command);
    if (!told)
        return Error{Errc::unavailable, "STORE_UNAVAILABLE",
                     "the server at " + place + " does not say who it is; check that it runs and lets this user in"};
    return name;
}
#else
Result<std::string> server_name(const std::string& uri) {
    return Error{Errc::unsupported, "STORE_UNSUPPORTED",
                 "this program was built without MongoDB, so it cannot measure " + host::public_address(uri)};
}
#endif

}  // namespace jobruntime::jobrt
